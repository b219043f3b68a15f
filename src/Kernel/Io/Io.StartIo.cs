using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Packets for StartIo: one IRP at a time is a device's; the others wait in its queue.</summary>
/// <remarks>A deferred StartIo is not called from within itself: what it asks for is done when it has
/// returned.</remarks>
sealed partial class Io
{
    [Export]
    public void IoSetStartIoAttributes(DeviceObject deviceObject, bool deferredStartIo, bool nonCancelable)
    {
        DevobjExtension extension = deviceObject.DeviceObjectExtension;
        StartIoFlags flags = extension.StartIoFlags & ~(StartIoFlags.Deferred | StartIoFlags.NonCancelable);
        extension.StartIoFlags = flags | (deferredStartIo ? StartIoFlags.Deferred : 0)
            | (nonCancelable ? StartIoFlags.NonCancelable : 0);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoStartPacket(DeviceObject deviceObject, Irp irp, Va key, Va cancelFunction)
    {
        Irql old = nt.Ke.Raise(DISPATCH_LEVEL);
        if (!cancelFunction.IsNull) irp.CancelRoutine = cancelFunction;
        uint? sortKey = key.IsNull ? null : nt.Memory.Read<uint>(key);
        if (QueueOf(deviceObject).TryInsert(irp.DeviceQueueEntry, sortKey)) Note(irp, IrpEventKind.Queue, Va.Null);
        else Defer(deviceObject, StartIoFlags.None, 0, () => Start(deviceObject, irp));
        nt.Ke.Lower(old);
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoStartNextPacket(DeviceObject deviceObject, bool cancelable) =>
        Defer(deviceObject, StartIoFlags.Requested, 0, () => StartNext(deviceObject, null));

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoStartNextPacketByKey(DeviceObject deviceObject, bool cancelable, uint key) => Defer(
        deviceObject, StartIoFlags.Requested | StartIoFlags.RequestedByKey, key, () => StartNext(deviceObject, key));

    void Defer(DeviceObject device, StartIoFlags request, uint key, Action start)
    {
        DevobjExtension extension = device.DeviceObjectExtension;
        if ((extension.StartIoFlags & StartIoFlags.Deferred) == 0)
        {
            start();
            return;
        }
        if (extension.StartIoCount > 0)
        {
            extension.StartIoFlags |= request;
            extension.StartIoKey = key;
            return;
        }
        extension.StartIoCount = 1;
        start();
        while ((extension.StartIoFlags & StartIoFlags.Requested) != 0)
        {
            nt.Ke.Clock.Spend();
            bool byKey = (extension.StartIoFlags & StartIoFlags.RequestedByKey) != 0;
            extension.StartIoFlags &= ~(StartIoFlags.Requested | StartIoFlags.RequestedByKey);
            StartNext(device, byKey ? extension.StartIoKey : null);
        }
        extension.StartIoCount = 0;
    }

    void StartNext(DeviceObject device, uint? key)
    {
        device.CurrentIrp = Irp.At(nt.Memory, Va.Null);
        Va next = QueueOf(device).RemoveNext(key);
        if (!next.IsNull) Start(device, Irp.FromDeviceQueueEntry(nt.Memory, next));
    }

    void Start(DeviceObject device, Irp irp)
    {
        device.CurrentIrp = irp;
        if ((device.DeviceObjectExtension.StartIoFlags & StartIoFlags.NonCancelable) != 0) irp.CancelRoutine = Va.Null;
        (Va address, Va routine, int depth) = (irp.Address, device.DriverObject.DriverStartIo, DepthOf(irp));
        if (nt.WatchesIrps)
            Note(null, address, depth, new IrpEvent(IrpEventKind.StartIo, device.Address, routine, 0, default));
        nt.Routines.Call(routine, device.Address.Value, address.Value);
        if (nt.WatchesIrps)
            Note(null, address, depth, new IrpEvent(IrpEventKind.StartIoReturn, device.Address, routine, 0, default));
    }

    DeviceQueue QueueOf(DeviceObject device) => new(nt, device.Address + 0xA0);
}
