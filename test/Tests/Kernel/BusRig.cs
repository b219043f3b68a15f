using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A bus driver on a device of the test's own, asked by IRPs as plug and play asks.</summary>
sealed class BusRig
{
    public BusRig(TestMachine m, BusDriver driver)
    {
        Machine = m;
        Driver loaded = m.Load(driver);
        Root = m.Dispatching("BusRoot", (_, irp) => m.Complete(irp, STATUS_SUCCESS, irp.IoStatus.Information));
        DriverObject made = loaded.Object;
        Added = new NtStatus((uint)m.Nt.Routines.Call(
            made.DriverExtension.AddDevice, made.Address.Value, Root.Address.Value));
        Bus = Root.AttachedDevice;
        Loaded = loaded;
    }

    public TestMachine Machine { get; }
    public Driver Loaded { get; }
    public DeviceObject Root { get; }
    public DeviceObject Bus { get; }
    public NtStatus Added { get; }

    /// <summary>Sends an IRP with STATUS_NOT_SUPPORTED in it, and waits for nothing.</summary>
    public IoStatusBlock Send(
        DeviceObject device, byte minor, Action<IoStackLocation>? set = null, IrpMajor major = IrpMajor.IRP_MJ_PNP)
    {
        Irp irp = New(device, minor, set, major);
        Machine.Nt.IofCallDriver(device, irp);
        IoStatusBlock result = irp.IoStatus;
        Machine.Nt.IoFreeIrp(irp);
        return result;
    }

    public Irp New(
        DeviceObject device, byte minor, Action<IoStackLocation>? set = null, IrpMajor major = IrpMajor.IRP_MJ_PNP,
        Action<Irp>? completed = null)
    {
        Irp irp = Machine.Nt.IoAllocateIrp((sbyte)(device.StackSize + 1), false);
        irp.IoStatus = new IoStatusBlock(STATUS_NOT_SUPPORTED, 0);
        IoStackLocation next = irp.Next(major);
        next.MinorFunction = minor;
        set?.Invoke(next);
        irp.OnCompletion(Machine.Keeping(completed));
        return irp;
    }

    public NtStatus Start(DeviceObject device, IReadOnlyList<Resource> resources)
    {
        CmResourceList raw = ResourceLists.Make(Machine.Nt, resources, PCIBus, 0, false);
        return Send(device, IRP_MN_START_DEVICE, l => l.AllocatedResources = raw).Status;
    }

    /// <summary>The devices on the bus. The list's references are given back.</summary>
    public DeviceObject[] Children()
    {
        IoStatusBlock answer = Send(Bus, IRP_MN_QUERY_DEVICE_RELATIONS,
            l => l.RelationType = DeviceRelationType.BusRelations);
        if (answer.Status != STATUS_SUCCESS) throw new InvalidOperationException($"{answer.Status}");
        var list = DeviceRelations.At(Machine.Nt.Memory, new Va(answer.Information));
        DeviceObject[] children = [.. Enumerable.Range(0, (int)list.Count).Select(list.Object)];
        foreach (DeviceObject child in children) Machine.Nt.ObfDereferenceObject(child.Address);
        Machine.Nt.ExFreePool(list.Address);
        return children;
    }

    /// <summary>The texts of an id; none if the bus has no such one.</summary>
    public string[] Ids(DeviceObject device, BusQueryIdType type) =>
        Texts(Send(device, IRP_MN_QUERY_ID, l => l.IdType = type), type is BusQueryIdType.BusQueryHardwareIDs
            or BusQueryIdType.BusQueryCompatibleIDs);

    public string[] Text(DeviceObject device, DeviceTextType type) =>
        Texts(Send(device, IRP_MN_QUERY_DEVICE_TEXT, l => l.DeviceTextType = type), false);

    string[] Texts(IoStatusBlock answer, bool many)
    {
        if (answer.Status != STATUS_SUCCESS) return [];
        List<string> all = [];
        Va at = new(answer.Information);
        do
        {
            string text = Machine.WideAt(at);
            at += (text.Length + 1) * 2;
            all.Add(text);
        }
        while (many && Machine.Read<ushort>(at) != 0);
        Machine.Nt.ExFreePool(new Va(answer.Information));
        return [.. all];
    }

    public DeviceCapabilities Capabilities(DeviceObject device)
    {
        var filled = DeviceCapabilities.At(Machine.Nt.Memory, Machine.Block(DeviceCapabilities.Size));
        (filled.ObjectSize, filled.Version) = ((ushort)DeviceCapabilities.Size, 1);
        (filled.BusAddress, filled.UINumber) = (uint.MaxValue, uint.MaxValue);
        if (Send(device, IRP_MN_QUERY_CAPABILITIES, l => l.Capabilities = filled).Status != STATUS_SUCCESS)
            throw new InvalidOperationException("The bus has no capabilities.");
        return filled;
    }

    /// <summary>The descriptors of all alternative lists. They stay in the pool.</summary>
    public IoResourceDescriptor[][] Requirements(DeviceObject device)
    {
        IoStatusBlock answer = Send(device, IRP_MN_QUERY_RESOURCE_REQUIREMENTS);
        if (answer.Information == 0) return [];
        var all = IoResourceRequirementsList.At(Machine.Nt.Memory, new Va(answer.Information));
        var lists = new List<IoResourceDescriptor[]>();
        Va at = all.Address + IoResourceRequirementsList.FirstList;
        for (int i = 0; i < (int)all.AlternativeLists; i++)
        {
            int count = (int)Machine.U32(at + 4);
            at += IoResourceRequirementsList.ListHeader;
            lists.Add([.. Enumerable.Range(0, count).Select(
                n => IoResourceDescriptor.At(Machine.Nt.Memory, at + n * IoResourceDescriptor.Size))]);
            at += count * IoResourceDescriptor.Size;
        }
        return at - all.Address == all.ListSize ? [.. lists] : throw new InvalidOperationException("Wrong ListSize.");
    }

    public IReadOnlyList<Resource> Resources(DeviceObject device)
    {
        IoStatusBlock answer = Send(device, IRP_MN_QUERY_RESOURCES);
        if (answer.Information == 0) return [];
        IReadOnlyList<Resource> all = ResourceLists.Read(
            CmResourceList.At(Machine.Nt.Memory, new Va(answer.Information)));
        Machine.Nt.ExFreePool(new Va(answer.Information));
        return all;
    }
}
