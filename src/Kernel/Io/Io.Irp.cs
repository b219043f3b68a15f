using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.StackControl;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>IRPs: allocated, passed down a stack, completed up it, canceled.</summary>
sealed partial class Io
{
    readonly Dictionary<Va, IrpRecord> _irps = [];

    /// <summary>IRPs that exist, in the order of their addresses.</summary>
    public IEnumerable<IrpRecord> LiveIrps => _irps.Values.OrderBy(r => r.Address);

    public IrpRecord? FindRecord(Va irp) => _irps.GetValueOrDefault(irp);

    /// <summary>An IRP with so many stack locations. <paramref name="owner"/>: the driver that asked, null for the
    /// kernel.</summary>
    Irp AllocateIrp(int stackSize, Va owner)
    {
        int bytes = Irp.Size + stackSize * IoStackLocation.Size;
        Va block = owner.IsNull
            ? nt.Mm.Pool.Allocate(bytes, IrpTag)
            : nt.Mm.Pool.Allocate((ulong)bytes, PoolKind.NonPaged, IrpTag, owner, zero: true);
        Irp irp = Irp.At(nt.Memory, block);
        if (irp.IsNull) return irp;
        InitializeIrp(irp, bytes, stackSize);
        // IRP_ALLOCATED_FIXED_SIZE is 4: it came from the pool, not from a driver's buffer
        irp.AllocationFlags = 0x04;
        _irps.Add(block, new IrpRecord(block, stackSize));
        return irp;
    }

    void InitializeIrp(Irp irp, int bytes, int stackSize)
    {
        nt.Memory.Fill(irp.Address, (ulong)(Irp.Size + stackSize * IoStackLocation.Size), 0);
        irp.Type = IO_TYPE_IRP;
        irp.ObjectSize = (ushort)bytes;
        irp.StackCount = (sbyte)stackSize;
        irp.CurrentLocation = (sbyte)(stackSize + 1);
        irp.CurrentStackLocation = irp.Location(stackSize + 1);
        irp.ThreadListEntry.Initialize();
    }

    void FreeIrp(Irp irp)
    {
        if (_irps.Remove(irp.Address, out IrpRecord? record)) Delist(irp, record);
        nt.Mm.Pool.Free(irp.Address);
    }

    /// <summary>A driver touches an IRP that was completed and freed: that is told, and what it touches is a completed
    /// IRP.</summary>
    /// <remarks>So a second completion is still seen for what it is.</remarks>
    public bool TryRevive(Va address)
    {
        if (nt.Mm.Pool.Near(address) is not { IsFree: true, Tag: IrpTag } block) return false;
        if (nt.Memory.IsMapped(block.Address) || address < block.Address || address - block.Address >= block.Bytes)
            return false;
        nt.OnIrpTouchedAfterCompletion(block.Address, address);
        nt.Mm.Pool.Revive(block);
        Irp irp = Irp.At(nt.Memory, block.Address);
        InitializeIrp(irp, (int)block.Bytes, (int)(block.Bytes - (ulong)Irp.Size) / IoStackLocation.Size);
        irp.CurrentLocation = (sbyte)(irp.StackCount + 2);
        return true;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irp IoAllocateIrp(sbyte stackSize, bool chargeQuota) =>
        stackSize < 0 ? Irp.At(nt.Memory, Va.Null) : AllocateIrp(stackSize, nt.Caller);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoFreeIrp([FreesMem] Irp irp)
    {
        if (irp.Type != IO_TYPE_IRP) throw new BugCheck(BugCheckCode.MULTIPLE_IRP_COMPLETE_REQUESTS, irp.Address.Value);
        FreeIrp(irp);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoInitializeIrp(Irp irp, ushort packetSize, sbyte stackSize)
    {
        if (FindRecord(irp.Address) is { } before) Delist(irp, before);
        InitializeIrp(irp, packetSize, stackSize);
        _irps[irp.Address] = new IrpRecord(irp.Address, stackSize);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoReuseIrp(Irp irp, NtStatus iostatus)
    {
        if (FindRecord(irp.Address) is { } before) Delist(irp, before);
        byte allocationFlags = irp.AllocationFlags;
        InitializeIrp(irp, irp.ObjectSize, irp.StackCount);
        irp.AllocationFlags = allocationFlags;
        irp.IoStatus = new(iostatus, 0);
        _irps[irp.Address] = new IrpRecord(irp.Address, irp.StackCount);
    }

    /// <summary>Hands an IRP to the driver of a device: the next stack location becomes current, then its dispatch
    /// routine runs.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IofCallDriver(DeviceObject deviceObject, [AliasesMem] Irp irp)
    {
        // The last location belongs to the lowest driver: below it nobody is left to call.
        if (irp.CurrentLocation <= 1) throw new BugCheck(BugCheckCode.NO_MORE_IRP_STACK_LOCATIONS, irp.Address.Value);
        irp.CurrentLocation--;
        IoStackLocation next = irp.CurrentStackLocation.Below;
        irp.CurrentStackLocation = next;
        next.DeviceObject = deviceObject;
        int location = irp.CurrentLocation;
        IrpMajor major = next.MajorFunction;
        if (major > IrpMajor.IRP_MJ_PNP)
            throw new BugCheck(BugCheckCode.DRIVER_VERIFIER_DETECTED_VIOLATION, 0x20, irp.Address.Value, (ulong)major);

        Va address = irp.Address, dispatch = deviceObject.DriverObject.MajorFunction(major);
        IrpRecord record = Record(irp);
        record.Add(new IrpEvent(IrpEventKind.Dispatch, deviceObject.Address, dispatch, major, default));
        nt.OnDispatching(irp, major, dispatch);
        Irql before = nt.Ke.Irql;
        var status = new NtStatus((uint)nt.Routines.Call(dispatch, deviceObject.Address.Value, address.Value));
        record.Add(new IrpEvent(IrpEventKind.Return, deviceObject.Address, dispatch, major, status));
        bool marked = record.IsCompletedAt(location) ? record.WasMarkedPending(location)
            : (Irp.At(nt.Memory, address).Location(location).Control & SL_PENDING_RETURNED) != 0;
        nt.OnDispatched(new Dispatched(
            deviceObject, address, major, dispatch, status, marked, record.StatusAt(location), before));
        return status;
    }

    IrpRecord Record(Irp irp)
    {
        if (_irps.TryGetValue(irp.Address, out IrpRecord? record)) return record;
        return _irps[irp.Address] = new IrpRecord(irp.Address, irp.StackCount);
    }

    /// <summary>The same under the name that drivers have without the inline form.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IoCallDriver(DeviceObject deviceObject, [AliasesMem] Irp irp) => IofCallDriver(deviceObject, irp);

    /// <summary>The same under the name that drivers have without the inline form.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoCompleteRequest([AliasesMem] Irp irp, sbyte priorityBoost) => IofCompleteRequest(irp, priorityBoost);

    /// <summary>Says that the caller is done with an IRP. From here on the IRP is not the caller's to touch.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IofCompleteRequest([AliasesMem] Irp irp, sbyte priorityBoost)
    {
        if (nt.Mm.Pool.Near(irp.Address) is { IsFree: true, Tag: IrpTag } || irp.CurrentLocation > irp.StackCount + 1
            || irp.Type != IO_TYPE_IRP)
            throw new BugCheck(BugCheckCode.MULTIPLE_IRP_COMPLETE_REQUESTS, irp.Address.Value);
        IrpRecord record = Record(irp);
        // One that was never sent has no location yet.
        Va device = irp.CurrentLocation > irp.StackCount ? Va.Null : irp.CurrentStackLocation.DeviceObject.Address;
        record.Add(new IrpEvent(
            IrpEventKind.Complete, device, nt.Caller, 0, irp.IoStatus.Status));
        if (!irp.CancelRoutine.IsNull) nt.OnCompletedWithCancelRoutine(irp);
        while (irp.CurrentLocation <= irp.StackCount)
            if (!CompleteLocation(irp, record)) return;
        irp.CurrentLocation++;
        Finish(irp, record);
    }

    /// <returns>False if the completion routine kept the IRP.</returns>
    bool CompleteLocation(Irp irp, IrpRecord record)
    {
        IoStackLocation done = irp.CurrentStackLocation;
        StackControl control = done.Control;
        (Va routine, Va context) = (done.CompletionRoutine, done.Context);
        bool pending = (control & SL_PENDING_RETURNED) != 0;
        record.CompleteAt(irp.CurrentLocation, pending, irp.IoStatus.Status);
        irp.PendingReturned = pending;
        irp.CurrentLocation++;
        irp.CurrentStackLocation = done.Above;
        bool isTop = irp.CurrentLocation == irp.StackCount + 1;

        bool success = irp.IoStatus.Status.IsSuccess;
        bool invoke = (control & SL_INVOKE_ON_SUCCESS) != 0 && success
            || (control & SL_INVOKE_ON_ERROR) != 0 && !success
            || (control & SL_INVOKE_ON_CANCEL) != 0 && irp.Cancel;
        if (!invoke)
        {
            // Nobody is asked, so the mark travels up by itself.
            if (pending && !isTop) MarkPending(irp.CurrentStackLocation);
            return true;
        }
        done.Control = None;
        Va device = isTop ? Va.Null : irp.CurrentStackLocation.DeviceObject.Address;
        var status = new NtStatus((uint)nt.Routines.Call(routine, device.Value, irp.Address.Value, context.Value));
        record.Add(new IrpEvent(IrpEventKind.Completion, device, routine, 0, status));
        return status != STATUS_MORE_PROCESSING_REQUIRED;
    }

    static void MarkPending(IoStackLocation location) => location.Control |= SL_PENDING_RETURNED;

    [Export, AcquiresLock, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoAcquireCancelSpinLock(Va irql) =>
        nt.Memory.Write(irql, (byte)nt.Ke.KeAcquireSpinLockRaiseToDpc(CancelLock));

    [Export, ReleasesLock, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoReleaseCancelSpinLock(Irql irql) => nt.Ke.KeReleaseSpinLock(CancelLock, irql);

    /// <summary>The system's cancel spin lock.</summary>
    public Va CancelLock
    {
        get
        {
            if (field.IsNull) field = nt.Mm.Pool.Allocate(8, 0x636E_6143);
            return field;
        }
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool IoCancelIrp(Irp irp)
    {
        Irql old = nt.Ke.KeAcquireSpinLockRaiseToDpc(CancelLock);
        irp.Cancel = true;
        Va routine = irp.CancelRoutine;
        irp.CancelRoutine = Va.Null;
        if (routine.IsNull)
        {
            nt.Ke.KeReleaseSpinLock(CancelLock, old);
            return false;
        }
        irp.CancelIrql = old;
        Record(irp).Add(new IrpEvent(
            IrpEventKind.Cancel, irp.CurrentStackLocation.DeviceObject.Address, routine, 0, default));
        // The routine gives the lock back.
        nt.Routines.Call(routine, irp.CurrentStackLocation.DeviceObject.Address.Value, irp.Address.Value);
        return true;
    }
}
