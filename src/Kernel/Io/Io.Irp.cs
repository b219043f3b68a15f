using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.StackControl;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>IRPs: allocated, passed down a stack, completed up it.</summary>
sealed partial class Io
{
    readonly Dictionary<Va, IrpRecord> _irps = [];

    /// <summary>IRPs that exist, in the order of their addresses.</summary>
    public IEnumerable<IrpRecord> LiveIrps => _irps.Values.OrderBy(r => r.Address);

    public IrpRecord? FindRecord(Va irp) => _irps.GetValueOrDefault(irp);

    /// <summary>An IRP with so many stack locations. <paramref name="owner"/>: the driver that asked, null for the
    /// kernel.</summary>
    Irp AllocateIrp(int stackSize, Va owner, IrpOrigin origin = IrpOrigin.System)
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
        _irps.Add(block, new IrpRecord(block, stackSize) { Origin = origin });
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

    public void FreeIrp(Irp irp)
    {
        if (_irps.Remove(irp.Address, out IrpRecord? record)) Delist(irp, record);
        NoteFree(irp.Address);
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
        stackSize < 0 ? Irp.At(nt.Memory, Va.Null) : AllocateIrp(stackSize, nt.Caller, IrpOrigin.Allocated);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoFreeIrp([FreesMem] Irp irp)
    {
        if (irp.Type != IO_TYPE_IRP) throw new BugCheck(BugCheckCode.MULTIPLE_IRP_COMPLETE_REQUESTS, irp.Address.Value);
        nt.OnIrpUsed(IrpUse.Free, irp);
        FreeIrp(irp);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoInitializeIrp(Irp irp, ushort packetSize, sbyte stackSize)
    {
        if (FindRecord(irp.Address) is { } before)
        {
            nt.OnIrpUsed(IrpUse.Initialize, irp);
            Delist(irp, before);
        }
        NoteFree(irp.Address);
        InitializeIrp(irp, packetSize, stackSize);
        _irps[irp.Address] = new IrpRecord(irp.Address, stackSize) { Origin = IrpOrigin.Raw };
    }

    /// <summary>Makes an IRP as it was when it was made, for a driver that sends its own again.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoReuseIrp(Irp irp, NtStatus iostatus)
    {
        IrpRecord before = Record(irp);
        nt.OnIrpUsed(IrpUse.Reuse, irp);
        Delist(irp, before);
        byte allocationFlags = irp.AllocationFlags;
        NoteFree(irp.Address);
        InitializeIrp(irp, irp.ObjectSize, irp.StackCount);
        irp.AllocationFlags = allocationFlags;
        irp.IoStatus = new(iostatus, 0);
        _irps[irp.Address] = new IrpRecord(irp.Address, irp.StackCount) { Origin = before.Origin };
    }

    /// <summary>Hands an IRP to the driver of a device: the next stack location becomes current, then its dispatch
    /// routine runs.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus IofCallDriver(DeviceObject deviceObject, [AliasesMem] Irp irp)
    {
        // The last location belongs to the lowest driver: below it nobody is left to call.
        if (irp.CurrentLocation <= 1) throw new BugCheck(BugCheckCode.NO_MORE_IRP_STACK_LOCATIONS, irp.Address.Value);
        IrpRecord record = Record(irp);
        if (!record.IsInUse(irp)) record.SentFrom = irp.CurrentLocation;
        irp.CurrentLocation--;
        IoStackLocation next = irp.CurrentStackLocation.Below;
        irp.CurrentStackLocation = next;
        next.DeviceObject = deviceObject;
        int location = irp.CurrentLocation;
        IrpMajor major = next.MajorFunction;
        if (major > IrpMajor.IRP_MJ_PNP)
            throw new BugCheck(BugCheckCode.DRIVER_VERIFIER_DETECTED_VIOLATION, 0x20, irp.Address.Value, (ulong)major);

        Va address = irp.Address, dispatch = deviceObject.DriverObject.MajorFunction(major);
        int depth = DepthOf(irp);
        if (nt.WatchesIrps) Note(record, address, depth, Step(IrpEventKind.Dispatch, default));
        nt.OnDispatching(irp, major, dispatch);
        record.WasSent = true;
        Irql before = nt.Ke.Irql;
        var status = new NtStatus((uint)nt.Routines.Call(dispatch, deviceObject.Address.Value, address.Value));
        if (nt.WatchesIrps) Note(record, address, depth, Step(IrpEventKind.Return, status));
        if (status == STATUS_PENDING) record.LowerPended(location + 1);
        bool marked = record.IsCompletedAt(location) ? record.WasMarkedPending(location)
            : (Irp.At(nt.Memory, address).Location(location).Control & SL_PENDING_RETURNED) != 0;
        nt.OnDispatched(new Dispatched(
            deviceObject, address, major, dispatch, status, marked, record.StatusAt(location),
            record.HasLowerPended(location), before));
        return status;

        IrpEvent Step(IrpEventKind kind, NtStatus result) =>
            new(kind, deviceObject.Address, dispatch, major, result);
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
        if (nt.WatchesIrps) Note(irp, IrpEventKind.Complete, nt.Caller);
        nt.OnIrpUsed(IrpUse.Complete, irp);
        // A cancel that comes now would find an IRP that is gone.
        if (!irp.CancelRoutine.IsNull)
            throw new BugCheck(BugCheckCode.CANCEL_STATE_IN_COMPLETED_IRP, irp.Address.Value, irp.CancelRoutine.Value);
        while (irp.CurrentLocation <= irp.StackCount)
            if (!CompleteLocation(irp, record)) return;
        nt.OnIrpUsed(IrpUse.CompleteToTop, irp);
        irp.CurrentLocation++;
        Note(irp, IrpEventKind.Finish, Va.Null);
        if (priorityBoost > 0) nt.Ke.Scheduler.Find(irp.Thread.Address)?.Boost(priorityBoost);
        KeepReparseData(irp, record);
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
        Note(irp, IrpEventKind.Passed, Va.Null);
        irp.CurrentLocation++;
        irp.CurrentStackLocation = done.Above;
        bool isTop = irp.CurrentLocation == irp.StackCount + 1;

        bool success = irp.IoStatus.Status.IsSuccess;
        bool invoke = (control & SL_INVOKE_ON_SUCCESS) != 0 && success
            || (control & SL_INVOKE_ON_ERROR) != 0 && !success
            || (control & SL_INVOKE_ON_CANCEL) != 0 && irp.Cancel;
        Clear(done);
        if (!invoke)
        {
            // Nobody is asked, so the mark travels up by itself.
            if (pending && !isTop) MarkPending(irp.CurrentStackLocation);
            return true;
        }
        Va device = isTop ? Va.Null : irp.CurrentStackLocation.DeviceObject.Address;
        Va address = irp.Address;
        int depth = DepthOf(irp);
        Note(irp, IrpEventKind.CompletionCall, routine);
        (Irql irql, int apcs) = (nt.Ke.Irql, ApcDisable);
        var status = new NtStatus((uint)nt.Routines.Call(routine, device.Value, address.Value, context.Value));
        if (nt.WatchesIrps)
            Note(record, address, depth, new IrpEvent(IrpEventKind.Completion, device, routine, 0, status));
        bool keeps = status == STATUS_MORE_PROCESSING_REQUIRED;
        // Who keeps the IRP may have freed it.
        bool marked = isTop || keeps || (irp.CurrentStackLocation.Control & SL_PENDING_RETURNED) != 0;
        nt.OnCompletionReturned(new CompletionReturned(
            device, record.Address, routine, status, pending, marked, irql, apcs - ApcDisable));
        return !keeps;
    }

    // Each critical or guarded region counts one down.
    int ApcDisable
    {
        get
        {
            KThread thread = nt.Ke.CurrentThread;
            return thread.KernelApcDisable + thread.SpecialApcDisable;
        }
    }

    // A lower driver's location is nobody's any more; so a stale one does not look like a fresh one.
    static void Clear(IoStackLocation done)
    {
        (done.MinorFunction, done.Flags, done.Control) = (0, 0, None);
        (done.Parameter1, done.Parameter2, done.Parameter3, done.Parameter4) = (0, 0, 0, 0);
        (done.CompletionRoutine, done.Context) = (Va.Null, Va.Null);
    }

    static void MarkPending(IoStackLocation location) => location.Control |= SL_PENDING_RETURNED;
}
