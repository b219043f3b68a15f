using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A provider of one block with two instances, which leaves its WMI requests to wmilib.sys.</summary>
sealed class WmiDriver : NtDriver
{
    public static readonly Guid Block = new("5d1e2c3a-0001-4711-8000-00aabbccddee");

    public byte[][] Values { get; } = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]];
    public List<string> Seen { get; } = [];
    public DeviceObject Device { get; private set; }
    public WmiLibContext Context { get; private set; }
    public uint LastDisposition { get; private set; }
    public bool HasName { get; set; } = true;
    public Va GuidAddress { get; private set; }
    Va _system, _complete, _fire;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        _system = Import("wmilib.sys", "WmiSystemControl");
        _complete = Import("wmilib.sys", "WmiCompleteRequest");
        _fire = Import("wmilib.sys", "WmiFireEvent");
        Va block = Nt.ExAllocatePoolWithTag(NonPagedPool, 0x60, Tag("Wmi "));
        Memory.Fill(block, 0x60, 0);
        GuidAddress = block + 0x50;
        Memory.Write(GuidAddress, Block);
        var context = At<WmiLibContext>(block);
        (context.GuidCount, context.GuidList) = (1, block + 0x40);
        WmiGuidRegInfo entry = context.Entry(0);
        (entry.Guid, entry.InstanceCount, entry.Flags) = (GuidAddress, 2, WmiRegFlags.Expensive);
        context.QueryWmiRegInfo = Routine(QueryRegInfo);
        context.QueryWmiDataBlock = Routine(QueryDataBlock);
        context.SetWmiDataBlock = Routine(SetDataBlock);
        context.SetWmiDataItem = Routine(SetDataItem);
        context.ExecuteWmiMethod = Routine(ExecuteMethod);
        context.WmiFunctionControl = Routine(FunctionControl);
        Context = context;
        driverObject.SetMajorFunction(IrpMajor.IRP_MJ_SYSTEM_CONTROL, Routine(SystemControl));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = IoCreateDevice(driverObject, 0, @"\Device\WmiTest", FILE_DEVICE_UNKNOWN, 0, false,
            out DeviceObject made);
        Device = made;
        return status.IsSuccess ? Nt.IoWMIRegistrationControl(made, WMIREG_ACTION_REGISTER) : status;
    }

    void Unload(DriverObject driverObject)
    {
        Nt.IoWMIRegistrationControl(Device, WMIREG_ACTION_DEREGISTER);
        Nt.IoDeleteDevice(Device);
        Nt.ExFreePool(Context.Address);
    }

    NtStatus SystemControl(DeviceObject device, Irp irp)
    {
        Va disposition = Local(4);
        var status = new NtStatus((uint)Call(
            _system, Context.Address.Value, device.Address.Value, irp.Address.Value, disposition.Value));
        LastDisposition = Memory.Read<uint>(disposition);
        if (LastDisposition == IrpProcessed) return status;
        status = irp.IoStatus.Status;
        Nt.IofCompleteRequest(irp, 0);
        return status;
    }

    NtStatus Finish(DeviceObject device, Irp irp, NtStatus status, int used) => new((uint)Call(
        _complete, device.Address.Value, irp.Address.Value, status.Value, (ulong)used, 0));

    NtStatus QueryRegInfo(
        DeviceObject device, Va flags, UnicodeString name, Va registryPath, UnicodeString mofName, Va pdo)
    {
        if (!HasName) return STATUS_SUCCESS;
        byte[] text = System.Text.Encoding.Unicode.GetBytes("Thing");
        Va buffer = Nt.ExAllocatePoolWithTag(NonPagedPool, (ulong)text.Length, Tag("Name"));
        Memory.Write(buffer, text);
        (name.Length, name.MaximumLength, name.Buffer) = ((ushort)text.Length, (ushort)text.Length, buffer);
        return STATUS_SUCCESS;
    }

    NtStatus QueryDataBlock(DeviceObject device, Irp irp, uint guid, uint instance, uint count, Va lengths,
        uint available, Va buffer)
    {
        int needed = 0;
        for (uint i = instance; i < instance + count; i++) needed = (needed + 7 & ~7) + Values[i].Length;
        if (available < needed) return Finish(device, irp, STATUS_BUFFER_TOO_SMALL, needed);
        int at = 0;
        for (uint i = 0; i < count; i++)
        {
            byte[] value = Values[instance + i];
            at = at + 7 & ~7;
            Memory.Write(lengths + i * 4ul, value.Length);
            Memory.Write(buffer + at, value);
            at += value.Length;
        }
        return Finish(device, irp, STATUS_SUCCESS, needed);
    }

    NtStatus SetDataBlock(DeviceObject device, Irp irp, uint guid, uint instance, uint size, Va buffer)
    {
        Values[instance] = Memory.ReadBytes(buffer, (int)size);
        return Finish(device, irp, STATUS_SUCCESS, 0);
    }

    NtStatus SetDataItem(DeviceObject device, Irp irp, uint guid, uint instance, uint item, uint size, Va buffer)
    {
        Values[instance][item - 1] = Memory.Read<byte>(buffer);
        return Finish(device, irp, STATUS_SUCCESS, 0);
    }

    NtStatus ExecuteMethod(DeviceObject device, Irp irp, uint guid, uint instance, uint method, uint inSize,
        uint outSize, Va buffer)
    {
        byte[] input = Memory.ReadBytes(buffer, (int)inSize);
        byte[] output = [(byte)method, .. input.Reverse()];
        if (outSize < output.Length) return Finish(device, irp, STATUS_BUFFER_TOO_SMALL, output.Length);
        Memory.Write(buffer, output);
        return Finish(device, irp, STATUS_SUCCESS, output.Length);
    }

    NtStatus FunctionControl(DeviceObject device, Irp irp, uint guid, uint function, byte enable)
    {
        Seen.Add($"{(function == WmiEventControl ? "events" : "collection")} {(enable != 0 ? "on" : "off")}");
        return Finish(device, irp, STATUS_SUCCESS, 0);
    }

    public NtStatus Fire(uint instance, byte[] data)
    {
        Va block = Nt.ExAllocatePoolWithTag(NonPagedPool, (ulong)data.Length, Tag("Fire"));
        Memory.Write(block, data);
        return new NtStatus((uint)Call(
            _fire, Device.Address.Value, GuidAddress.Value, instance, (ulong)data.Length, block.Value));
    }
}
