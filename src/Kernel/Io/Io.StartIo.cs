using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Packets for StartIo: one IRP at a time is a device's; the others wait in its queue.</summary>
/// <remarks>A deferred StartIo is not called from within itself: what it asks for is done when it has
/// returned.</remarks>
sealed partial class Io
{
    /// <summary>Deferred: as above. Not cancelable: a packet loses its cancel routine when it is taken to be
    /// started.</summary>
    [Export]
    public void IoSetStartIoAttributes(DeviceObject deviceObject, bool deferredStartIo, bool nonCancelable)
    {
        DevobjExtension extension = deviceObject.DeviceObjectExtension;
        StartIoFlags flags = extension.StartIoFlags & ~(StartIoFlags.Deferred | StartIoFlags.NonCancelable);
        extension.StartIoFlags = flags | (deferredStartIo ? StartIoFlags.Deferred : 0)
            | (nonCancelable ? StartIoFlags.NonCancelable : 0);
    }

    /// <summary>Starts the packet, or puts it into the device's queue: by its key, or at the end. One that was canceled
    /// before it came into the queue is canceled there.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoStartPacket(DeviceObject deviceObject, Irp irp, Va key, Va cancelFunction)
    {
        Irql old = nt.Ke.Raise(DISPATCH_LEVEL);
        uint? sortKey = key.IsNull ? null : nt.Memory.Read<uint>(key);
        if (cancelFunction.IsNull)
        {
            if (QueueOf(deviceObject).TryInsert(irp.DeviceQueueEntry, sortKey)) Note(irp, IrpEventKind.Queue, Va.Null);
            else StartFirst(deviceObject, irp);
        }
        else StartCancelable(deviceObject, irp, sortKey, cancelFunction);
        nt.Ke.Lower(old);
    }

    void StartCancelable(DeviceObject device, Irp irp, uint? key, Va cancelFunction)
    {
        Irql old = nt.Ke.KeAcquireSpinLockRaiseToDpc(CancelLock);
        irp.CancelRoutine = cancelFunction;
        if (!QueueOf(device).TryInsert(irp.DeviceQueueEntry, key))
        {
            device.CurrentIrp = irp;
            if (IsNotCancelable(device)) irp.CancelRoutine = Va.Null;
            nt.Ke.KeReleaseSpinLock(CancelLock, old);
            StartFirst(device, irp);
        }
        else if (irp.Cancel)
        {
            Note(irp, IrpEventKind.Queue, Va.Null);
            (irp.CancelIrql, irp.CancelRoutine) = (old, Va.Null);
            CallCancelRoutine(irp, cancelFunction);
        }
        else
        {
            Note(irp, IrpEventKind.Queue, Va.Null);
            nt.Ke.KeReleaseSpinLock(CancelLock, old);
        }
    }

    void StartFirst(DeviceObject device, Irp irp)
    {
        device.CurrentIrp = irp;
        Defer(device, StartIoFlags.None, 0, () => CallStartIo(device, irp));
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoStartNextPacket(DeviceObject deviceObject, bool cancelable) =>
        Defer(deviceObject, Requested(cancelable), 0, () => StartNext(deviceObject, null, cancelable));

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoStartNextPacketByKey(DeviceObject deviceObject, bool cancelable, uint key) =>
        Defer(deviceObject, Requested(cancelable) | StartIoFlags.RequestedByKey, key,
            () => StartNext(deviceObject, key, cancelable));

    static StartIoFlags Requested(bool cancelable) =>
        StartIoFlags.Requested | (cancelable ? StartIoFlags.Cancelable : 0);

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
            StartIoFlags asked = extension.StartIoFlags;
            extension.StartIoFlags &= ~(StartIoFlags.Requested | StartIoFlags.RequestedByKey | StartIoFlags.Cancelable);
            StartNext(device, (asked & StartIoFlags.RequestedByKey) != 0 ? extension.StartIoKey : null,
                (asked & StartIoFlags.Cancelable) != 0);
        }
        extension.StartIoCount = 0;
    }

    /// <summary>Under the cancel lock, if packets of the device can be canceled: so a cancel routine sees either a
    /// packet in the queue or the current one.</summary>
    void StartNext(DeviceObject device, uint? key, bool cancelable)
    {
        Irql old = cancelable ? nt.Ke.KeAcquireSpinLockRaiseToDpc(CancelLock) : DISPATCH_LEVEL;
        device.CurrentIrp = Irp.At(nt.Memory, Va.Null);
        Va next = QueueOf(device).RemoveNext(key);
        Irp irp = next.IsNull ? Irp.At(nt.Memory, Va.Null) : Irp.FromDeviceQueueEntry(nt.Memory, next);
        if (!next.IsNull) device.CurrentIrp = irp;
        if (cancelable)
        {
            if (!next.IsNull && IsNotCancelable(device)) irp.CancelRoutine = Va.Null;
            nt.Ke.KeReleaseSpinLock(CancelLock, old);
        }
        if (!next.IsNull) CallStartIo(device, irp);
    }

    static bool IsNotCancelable(DeviceObject device) =>
        (device.DeviceObjectExtension.StartIoFlags & StartIoFlags.NonCancelable) != 0;

    void CallStartIo(DeviceObject device, Irp irp)
    {
        (Va address, Va routine, int depth) = (irp.Address, device.DriverObject.DriverStartIo, DepthOf(irp));
        if (nt.WatchesIrps)
            Note(null, address, depth, new IrpEvent(IrpEventKind.StartIo, device.Address, routine, 0, default));
        nt.Routines.Call(routine, device.Address.Value, address.Value);
        if (nt.WatchesIrps)
            Note(null, address, depth, new IrpEvent(IrpEventKind.StartIoReturn, device.Address, routine, 0, default));
    }

    DeviceQueue QueueOf(DeviceObject device) => new(nt, device.Address + 0xA0);
}
