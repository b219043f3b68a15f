using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A driver for the device to learn with: factorials, several at once, and transfers between a program and the
/// chip's buffer by DMA. Requests wait where the chip has no room; while it has no power, those that came before wait
/// for it.</summary>
public sealed partial class Edu : PlugSample
{
    const long PauseTicks = -10_000;
    const uint MessageBased = 3, MmNonCached = 0;
    const byte HighImportance = 2;

    public static readonly Guid Interface = new("6f0c3a52-8c55-4c39-9f3d-52494e474645");

    /// <summary>A factorial: in a number of 4 bytes, out one of 8. A transfer to the chip's buffer, and from it: in an
    /// offset of 4 bytes; the other buffer is the data. Out: jobs done and dropped, pieces moved, faults.</summary>
    public const uint FactorialCode = 0x22E000, PutCode = 0x22A005, GetCode = 0x22600A, CountCode = 0x22600C;

    public const int CounterBytes = 16;

    protected override Device New(DeviceObject self, Extension x) => new Card(self, x, At<EduExtension>(x.Address),
        [.. Enumerable.Range(0, SlotCount).Select(i => new Slot(At<IoCsqIrpContext>(
            x.Address + ContextsOffset + i * IoCsqIrpContext.Size)))]);

    Card CardOf(Va device) => (Card)DeviceOf(At<DeviceObject>(device));

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        PlugSet(driverObject, Routine(AddDevice));
        driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(Cleanup));
        return STATUS_SUCCESS;
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        NtStatus status = PlugAdd(
            driverObject, physical, EduExtension.Size, FILE_DEVICE_UNKNOWN, Interface, out DeviceObject device);
        if (!status.IsSuccess) return status;
        var x = (Card)DeviceOf(device);
        InitializeQueue(x.More.Jobs);
        InitializeQueue(x.More.Running);
        InitializeQueue(x.More.Transfers);
        Nt.KeInitializeEvent(x.More.Idle, NotificationEvent, false);
        IoInitializeDpcRequest(device, Routine(Work));
        Nt.KeSetTargetProcessorDpc(device.Dpc, 0);
        // Else another processor would let it wait.
        Nt.KeSetImportanceDpc(device.Dpc, HighImportance);
        device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    // Each request holds the remove lock from its dispatch to its end.
    void End(Irp irp, NtStatus status, ulong information = 0)
    {
        var x = (Card)DeviceOf(irp.CurrentStackLocation.DeviceObject);
        x.Requests--;
        PlugFinish(x, irp, status, information);
    }

    bool IsThere(Card x) => In(x, Id) == Identification;

    // What waits begins.
    void Resume(Card x)
    {
        Out(x, InterruptEnable, 0);
        Out(x, InterruptAck, uint.MaxValue);
        for (int i = 0; i < SlotCount; i++) Out(x, DonePop, 1);
        Out(x, InterruptEnable, All);
        x.Held = false;
        IoRequestDpc(x.Self, default, Va.Null);
    }

    // What is under way ends, and what waits waits on. A chip that is gone ends nothing, so here it is done.
    void Quiet(Card x)
    {
        using LocalFrame frame = Frame();
        Va pause = Local(8);
        Memory.Write(pause, PauseTicks);
        Nt.KeClearEvent(x.More.Idle);
        x.Held = true;
        IoRequestDpc(x.Self, default, Va.Null);
        while (Nt.KeWaitForSingleObject(x.More.Idle.Header, Executive, KernelMode, false, pause) == STATUS_TIMEOUT)
        {
            bool waitsForMemory = !x.Transfer.IsNull && x.List.IsNull;
            if (!waitsForMemory && !IsThere(x)) break;
        }
        Out(x, InterruptEnable, 0);
        Nt.KeFlushQueuedDpcs();
        foreach (Slot slot in x.Slots) slot.Id = 0;
        EndAll(x.More.Running, default, STATUS_DEVICE_REMOVED);
        Irql irql = Nt.KeRaiseIrqlToDpcLevel();
        if (!x.Transfer.IsNull) EndTransfer(x, STATUS_DEVICE_REMOVED);
        Nt.KeLowerIrql(irql);
    }

    protected override void SetPower(Device device, bool on)
    {
        var x = (Card)device;
        if (!on) Quiet(x);
        else if (x.Held) Resume(x);
    }

    // By messages, if the device has been given some; else by its line.
    NtStatus Connect(Card x)
    {
        using LocalFrame frame = Frame();
        var p = Local<IoConnectInterruptParameters>();
        (p.Version, p.PhysicalDeviceObject) = (MessageBased, x.X.Physical);
        (p.ServiceRoutine, p.FallBackServiceRoutine) = (Routine(MessageIsr), Routine(Isr));
        (p.ConnectionContext, p.ServiceContext) = (x.More.Address + ConnectedOffset, x.Self.Address);
        NtStatus status = Nt.IoConnectInterruptEx(p.Address);
        if (!status.IsSuccess) return status;
        Va connected = x.More.Connected;
        x.Connection = p.Version;
        x.Interrupt = At<KInterrupt>(p.Version == MessageBased
            ? At<IoInterruptMessageInfo>(connected).Entry(0).InterruptObject : connected);
        return STATUS_SUCCESS;
    }

    void Disconnect(Card x)
    {
        using LocalFrame frame = Frame();
        Va p = Local(16);
        Memory.Write(p, x.Connection);
        Memory.Write(p + 8, x.More.Connected);
        Nt.IoDisconnectInterruptEx(p);
        x.Interrupt = default;
        Nt.KeFlushQueuedDpcs();
    }

    // The chip says how many address bits it has. What lies above, the system copies.
    NtStatus MakeAdapter(Card x)
    {
        const uint version = 3, pciBus = 5;
        using LocalFrame frame = Frame();
        if (!x.Adapter.IsNull) return STATUS_SUCCESS;
        Va description = Local(0x40), registers = Local(8);
        Memory.Write(description, version);
        // Master and ScatterGather.
        Memory.Write(description + 4, (ushort)0x101);
        Memory.Write(description + 0x14, pciBus);
        Memory.Write(description + 0x20, BufferBytes);
        Memory.Write(description + 0x28, In(x, DmaBits));
        x.Adapter = Nt.IoGetDmaAdapter(x.X.Physical, description, registers);
        return x.Adapter.IsNull ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
    }

    protected override NtStatus Start(Device device, IoStackLocation location)
    {
        var x = (Card)device;
        CmResourceList resources = location.AllocatedResourcesTranslated;
        if (resources.IsNull || resources.Count != 1) return STATUS_INSUFFICIENT_RESOURCES;
        for (int i = 0; i < (int)resources.DescriptorCount && x.Registers.IsNull; i++)
        {
            CmPartialResourceDescriptor d = resources.Descriptor(i);
            if (d.Type != ResourceType.Memory || d.Length < RegisterBytes) continue;
            x.RegisterBytes = d.Length;
            x.Registers = Nt.MmMapIoSpace(d.Start, x.RegisterBytes, MmNonCached);
        }
        if (x.Registers.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        if (!IsThere(x)) return STATUS_NO_SUCH_DEVICE;
        NtStatus status = MakeAdapter(x);
        return status.IsSuccess ? Connect(x) : status;
    }

    protected override void Stop(Device device)
    {
        var x = (Card)device;
        if (x.Gone)
        {
            EndAll(x.More.Jobs, default, STATUS_DEVICE_REMOVED);
            EndAll(x.More.Transfers, default, STATUS_DEVICE_REMOVED);
            EndAll(x.More.Running, default, STATUS_DEVICE_REMOVED);
        }
        if (!x.Interrupt.IsNull)
        {
            Quiet(x);
            Disconnect(x);
        }
        if (!x.Registers.IsNull) Nt.MmUnmapIoSpace(x.Registers, x.RegisterBytes);
        x.Registers = Va.Null;
    }

    // A request that has come keeps the device where it is.
    protected override bool MayStop(Device device) => ((Card)device).Requests == 0;

    protected override void Removed(Device device)
    {
        var x = (Card)device;
        if (!x.Adapter.IsNull) Dma(x, PutDmaAdapter);
    }

    NtStatus Accept(Card x, RequestQueue queue, Irp irp)
    {
        x.Requests++;
        // The queue marks it pending. After this call it may be gone.
        Nt.IoCsqInsertIrp(queue.Csq, irp, default);
        IoRequestDpc(x.Self, default, Va.Null);
        return STATUS_PENDING;
    }

    protected override NtStatus Control(Device device, Irp irp, IoStackLocation location, out ulong information)
    {
        var x = (Card)device;
        uint code = location.IoControlCode, input = location.InputBufferLength, output = location.OutputBufferLength;
        information = 0;
        switch (code)
        {
            case FactorialCode:
                return input < 4 || output < 8 ? STATUS_BUFFER_TOO_SMALL : Accept(x, x.More.Jobs, irp);
            case PutCode or GetCode:
                if (input < 4) return STATUS_BUFFER_TOO_SMALL;
                return irp.MdlAddress.IsNull || output > BufferBytes
                    || Memory.Read<uint>(irp.SystemBuffer) > BufferBytes - output
                    ? STATUS_INVALID_PARAMETER : Accept(x, x.More.Transfers, irp);
            case CountCode:
                if (output < CounterBytes) return STATUS_BUFFER_TOO_SMALL;
                Memory.Write(irp.SystemBuffer, x.Jobs | (ulong)x.Dropped << 32);
                Memory.Write(irp.SystemBuffer + 8, x.Pieces | (ulong)x.Faults << 32);
                information = CounterBytes;
                return STATUS_SUCCESS;
            default:
                return STATUS_INVALID_DEVICE_REQUEST;
        }
    }

    // The last handle of a file closes: what it still has waiting, or in the chip, ends. A transfer that runs does so
    // soon.
    NtStatus Cleanup(DeviceObject device, Irp irp)
    {
        var x = (Card)DeviceOf(device);
        FileObject file = irp.CurrentStackLocation.FileObject;
        EndAll(x.More.Jobs, file, STATUS_CANCELLED);
        EndAll(x.More.Transfers, file, STATUS_CANCELLED);
        EndAll(x.More.Running, file, STATUS_CANCELLED);
        return Complete(irp, STATUS_SUCCESS);
    }
}
