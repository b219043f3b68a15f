using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Verifier;

/// <summary>Who makes an IRP uses and frees it as its origin says, never while another driver has it; who sends one on
/// hands it over clean.</summary>
public sealed class IrpRule(Reporter reporter) : IObserver
{
    readonly HashSet<Va> _signaledBefore = [];

    public void IrpUsed(NtKernel nt, IrpUse use, Irp irp)
    {
        if (nt.IrpRecordOf(irp.Address) is not { } record) return;
        switch (use)
        {
            case IrpUse.Free:
                if (record.IsInUse(irp)) Report(nt, irp, "The IRP is freed while a lower driver has it", 0x20A);
                if (irp.IsOnThreadList)
                    Report(nt, irp, "The IRP is freed by IoFreeIrp, but it is its thread's and the system frees it",
                        0x20C);
                break;
            case IrpUse.Reuse:
                if (record.IsInUse(irp))
                    Report(nt, irp, "IoReuseIrp is called while a lower driver has the IRP", 0x310);
                if (record.Origin is not (IrpOrigin.Allocated or IrpOrigin.Raw))
                    Report(nt, irp, "IoReuseIrp is only for IRPs of IoAllocateIrp and IoInitializeIrp", 0x311);
                break;
            case IrpUse.Initialize:
                if (record.Origin is not IrpOrigin.Raw)
                    Report(nt, irp, "IoInitializeIrp is called for an IRP of IoAllocateIrp, whose quota is lost; "
                        + "IoReuseIrp is meant", 0x20D);
                break;
            case IrpUse.CompleteToTop:
                if (record.Origin == IrpOrigin.Allocated && irp.Thread.IsNull)
                    Report(nt, irp, "An IRP of IoAllocateIrp is completed to the top: nobody is there to take it. Its "
                        + "driver's completion routine frees it and returns STATUS_MORE_PROCESSING_REQUIRED "
                        + "(SDV: IoAllocateComplete).", null);
                break;
        }
    }

    public void Dispatching(NtKernel nt, Irp irp, IrpMajor major, Va routine)
    {
        IoStackLocation here = irp.CurrentStackLocation;
        bool isTop = irp.CurrentLocation == irp.StackCount, hasAbove = !isTop;
        // A driver that skips its location passes down in the topmost one, too.
        bool isFirst = isTop && nt.IrpRecordOf(irp.Address) is { WasSent: false };
        if (!irp.CancelRoutine.IsNull)
            Report(nt, irp, $"{major} is passed down with a cancel routine set, which could be called while a lower "
                + "driver has the IRP", 0x203);
        if ((here.Control & StackControl.SL_PENDING_RETURNED) != 0)
            Report(nt, irp, $"{major} is passed down in a stack location that is marked pending: an IRP that was "
                + "marked pending is copied to the next location, not skipped", 0x206);
        if (nt.CurrentIrql >= Irql.DISPATCH_LEVEL && !MayBeSentAtDispatch(major))
            Report(nt, irp, $"{major} is passed down at {nt.CurrentIrql}", 0x23A);
        if (hasAbove) CheckCopied(nt, irp, here);
        if (isFirst) CheckFirst(nt, irp, major);
    }

    static bool MayBeSentAtDispatch(IrpMajor major) =>
        major is IRP_MJ_READ or IRP_MJ_WRITE or IRP_MJ_DEVICE_CONTROL or IRP_MJ_INTERNAL_DEVICE_CONTROL or IRP_MJ_POWER;

    void CheckCopied(NtKernel nt, Irp irp, IoStackLocation here)
    {
        IoStackLocation above = here.Above;
        if (here.CompletionRoutine.IsNull || here.CompletionRoutine != above.CompletionRoutine
            || here.Context != above.Context || here.Control != above.Control
            || DriverOf(here) == DriverOf(above)) return;
        Report(nt, irp, "The stack location was copied together with the completion routine of the driver above, which "
            + "would be called twice", 0x207);
    }

    static Va DriverOf(IoStackLocation location) =>
        location.DeviceObject.IsNull ? Va.Null : location.DeviceObject.DriverObject.Address;

    void CheckFirst(NtKernel nt, Irp irp, IrpMajor major)
    {
        uint? code = major switch
        {
            IRP_MJ_PNP => 0x20E,
            IRP_MJ_POWER => 0x20F,
            IRP_MJ_SYSTEM_CONTROL => 0x210,
            _ => null,
        };
        if (code is { } initial && irp.IoStatus.Status != STATUS_NOT_SUPPORTED)
            Report(nt, irp, $"{major} is sent with the status {irp.IoStatus.Status}, not STATUS_NOT_SUPPORTED",
                initial);
        if (nt.IrpRecordOf(irp.Address)?.Origin == IrpOrigin.Threaded && !irp.UserEvent.IsNull
            && irp.UserEvent.SignalState != 0) _signaledBefore.Add(irp.Address);
        else _signaledBefore.Remove(irp.Address);
    }

    public void Dispatched(NtKernel nt, Dispatched d)
    {
        if (d.Status == STATUS_PENDING && d.Completed is null) CheckCancelRoutine(nt, d);
        if (!_signaledBefore.Remove(d.Irp) || d.Status != STATUS_PENDING) return;
        reporter.Report(nt, "Irp", Severity.Error,
            $"{d.Major} is pending, but the event of its IRP was signaled before it was sent: nobody would wait. "
            + "(Driver Verifier: 0xC9/0x307)", d.Irp);
    }

    // The routine would be called for an IRP that its driver does not have, and has replaced the one of who has it.
    void CheckCancelRoutine(NtKernel nt, Dispatched d)
    {
        if (nt.IrpRecordOf(d.Irp) is null) return;
        Irp irp = Irp.At(nt.Memory, d.Irp);
        Va routine = irp.CancelRoutine;
        if (routine.IsNull || irp.CurrentLocation > irp.StackCount) return;
        Driver? owner = nt.Loader.Drivers.FirstOrDefault(o => o.Image.Contains(routine));
        Va holder = DriverOf(irp.CurrentStackLocation);
        if (owner is null || holder.IsNull || owner.Object.Address == holder || !owner.Image.Contains(d.Routine))
            return;
        // A port driver's routines serve the devices of its miniports.
        DriverObject below = irp.CurrentStackLocation.DeviceObject.DriverObject;
        if (owner.Image.Contains(below.MajorFunction(irp.CurrentStackLocation.MajorFunction))) return;
        reporter.Report(nt, "Irp", Severity.Error,
            $"{nt.Loader.Describe(routine)} is set as the cancel routine of an IRP that a lower driver has, and may "
            + "have replaced that one's. (Driver Verifier: 0xC9/0x229)", d.Irp);
    }

    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        for (int i = 0; i < export.Parameters.Length; i++)
        {
            if ((export.Parameters[i].Facts & Fact.FreesMem) == 0 || export.Parameters[i].Type == nameof(Irp)) continue;
            if (nt.IrpRecordOf(new Va(arguments[i])) is not { Origin: not IrpOrigin.Raw } record) continue;
            reporter.Report(nt, "Irp", Severity.Error,
                $"{export.Name} frees an IRP; IoFreeIrp is meant. (Driver Verifier: 0xC4/0x105)", record.Address);
        }
    }

    void Report(NtKernel nt, Irp irp, string message, uint? code) => reporter.Report(nt, "Irp", Severity.Error,
        code is null ? message : $"{message}. (Driver Verifier: 0xC9/0x{code:X})", irp.Address);
}
