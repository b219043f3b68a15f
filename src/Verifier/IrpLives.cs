using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Verifier;

/// <summary>The lives of a run's IRPs: who had each, where, for how long, and what came of it.</summary>
public sealed class IrpLives : IIrpObserver
{
    /// <summary>So many are kept, the first ones; of more it is only known that there were.</summary>
    const int MaximumLives = 1000;

    readonly List<IrpLife> _all = [];
    readonly Dictionary<Va, Live> _live = [];

    public IReadOnlyList<IrpLife> All => _all;

    /// <summary>There were more requests than are kept.</summary>
    public bool HasMore { get; private set; }

    /// <summary>What is being done now; stands in each life that begins.</summary>
    public string? During { get; set; }

    /// <summary>A life that is followed: what of it is not over.</summary>
    /// <param name="Before">Another life of the same memory whose routines have not returned.</param>
    sealed record Live(IrpLife Life, Live? Before)
    {
        public List<IrpStay> Open { get; } = [];
        public IrpStay? Held { get; set; }
        public bool IsOver => Life.End is not null;
    }

    public void Stepped(NtKernel nt, IrpStep step)
    {
        IrpEvent e = step.Event;
        Live? live = _live.GetValueOrDefault(step.Irp);
        if (e.Kind == IrpEventKind.Dispatch && live is null or { IsOver: true }) live = Begin(nt, step, live);
        if (live is null) return;
        switch (e.Kind)
        {
            case IrpEventKind.Dispatch:
                EndHeld(live, step);
                if (Running(live, step) is { } sender) sender.PassedDown = true;
                Open(nt, live, step, StayKind.Dispatch);
                break;
            case IrpEventKind.CompletionCall:
                Open(nt, live, step, StayKind.Completion);
                break;
            case IrpEventKind.StartIo:
                EndHeld(live, step);
                Open(nt, live, step, StayKind.StartIo);
                break;
            case IrpEventKind.Cancel:
                EndHeld(live, step);
                Open(nt, live, step, StayKind.Cancel);
                break;
            case IrpEventKind.Return:
                OnReturn(nt, live, step);
                break;
            case IrpEventKind.Completion:
                OnCompletionReturn(nt, live, step);
                break;
            case IrpEventKind.StartIoReturn:
                OnStartIoReturn(nt, live, step);
                break;
            case IrpEventKind.CancelReturn:
                if (Close(live, step, StayKind.Cancel) is { } cancel)
                    cancel.Outcome = cancel.Completed is { } status ? $"cancels: completes {status}" : "cancels";
                break;
            case IrpEventKind.Queue:
                Hold(nt, live, step, "queued");
                break;
            case IrpEventKind.Dequeue:
                EndHeld(live, step);
                break;
            case IrpEventKind.Complete:
                OnComplete(nt, live, step);
                break;
            case IrpEventKind.Finish:
                (live.Life.Status, live.Life.Information) =
                    (e.Status, Irp.At(nt.Memory, step.Irp).IoStatus.Information);
                End(live, step);
                break;
            case IrpEventKind.Free:
                if (!live.IsOver) End(live, step);
                break;
        }
        Forget(step.Irp, live);
    }

    Live? Begin(NtKernel nt, IrpStep step, Live? before)
    {
        if (_all.Count == MaximumLives)
        {
            HasMore = true;
            return null;
        }
        var life = new IrpLife(
            _all.Count + 1, RequestName(nt, step), nt.DescribeStack(step.Event.Device), During, step.Time);
        _all.Add(life);
        return _live[step.Irp] = new Live(life, before);
    }

    /// <summary>The function of an IRP that is being dispatched, with the control code, or the minor function, if it
    /// has one.</summary>
    internal static string RequestName(NtKernel nt, IrpStep step)
    {
        IrpMajor major = step.Event.Major;
        IoStackLocation location = Irp.At(nt.Memory, step.Irp).CurrentStackLocation;
        if (major is IrpMajor.IRP_MJ_DEVICE_CONTROL or IrpMajor.IRP_MJ_INTERNAL_DEVICE_CONTROL
            or IrpMajor.IRP_MJ_FILE_SYSTEM_CONTROL) return $"{major} 0x{location.IoControlCode:X}";
        if (MinorNames.Find(major, location.MinorFunction) is not { } minor) return major.ToString();
        // Of a power IRP it matters whose state, and which.
        if (major != IrpMajor.IRP_MJ_POWER
            || location.MinorFunction is not (Wdm.IRP_MN_SET_POWER or Wdm.IRP_MN_QUERY_POWER)) return minor;
        return $"{minor} {(location.PowerStateType == Wdm.SystemPowerState ? 'S' : 'D')}{location.PowerState - 1}";
    }

    /// <summary>Who does it, in words: the thread, or the DPCs of a processor.</summary>
    internal static string ContextName(NtKernel nt, IrpStep step) =>
        step.Dpc.IsNull ? nt.CurrentThreadName : $"DPC cpu {step.Processor}";

    /// <summary>A routine's name without the offset of a return address in it.</summary>
    internal static string RoutineName(NtKernel nt, Va routine)
    {
        string name = nt.Loader.Describe(routine);
        int offset = name.IndexOf("+0x", StringComparison.Ordinal);
        return offset > 0 && name.Contains('!') ? name[..offset] : name;
    }

    static IrpStay Stay(NtKernel nt, IrpStep step, StayKind kind, string? routine = null) => new()
    {
        Kind = kind,
        Begin = step.Time,
        Depth = step.Depth,
        Processor = step.Processor,
        Irql = step.Irql,
        Context = kind == StayKind.Held ? "" : ContextName(nt, step),
        Routine = routine ?? RoutineName(nt, step.Event.Routine),
        Device = nt.DescribeDevice(step.Event.Device),
        Driver = nt.DriverOfDevice(step.Event.Device) ?? nt.Loader.ImageAt(step.Event.Routine)?.ModuleName,
        Address = step.Event.Routine,
        DeviceAddress = step.Event.Device,
        ContextNumber = step.Context,
    };

    static void Open(NtKernel nt, Live live, IrpStep step, StayKind kind) =>
        live.Open.Add(live.Life.Add(Stay(nt, step, kind)));

    // What an exception unwinds never returns: then a stay outside of it ends those inside, too.
    static IrpStay? Close(Live live, IrpStep step, StayKind kind)
    {
        for (Live? of = live; of is not null; of = of.Before)
        {
            int at = of.Open.FindLastIndex(s => s.Kind == kind && s.Address == step.Event.Routine
                && s.ContextNumber == step.Context);
            // Its thread may have run as an interrupted one and gone on elsewhere.
            if (at < 0) at = of.Open.FindLastIndex(s => s.Kind == kind && s.Address == step.Event.Routine);
            if (at < 0) continue;
            IrpStay closed = of.Open[at];
            foreach (IrpStay inner in of.Open.Skip(at + 1).Where(s => s.ContextNumber == closed.ContextNumber))
                inner.Outcome = "left by an exception";
            foreach (IrpStay ended in of.Open.Skip(at).Where(s => s.ContextNumber == closed.ContextNumber))
                ended.End = step.Time;
            of.Open.RemoveAll(s => s.End is not null);
            return closed;
        }
        return null;
    }

    // The innermost routine of the IRP's that runs in the step's thread or DPC.
    static IrpStay? Running(Live live, IrpStep step) => live.Open.FindLast(s => s.ContextNumber == step.Context);

    void OnReturn(NtKernel nt, Live live, IrpStep step)
    {
        if (Close(live, step, StayKind.Dispatch) is not { } stay) return;
        NtStatus status = step.Event.Status;
        bool isPending = status == STATUS_PENDING;
        string passes = stay.PassedDown ? "passes down" : "";
        stay.Outcome = stay.Completed is { } completed
            ? stay.PassedDown ? $"{passes}, completes {completed}" : $"completes {completed}"
            : stay.PassedDown ? isPending ? "passes down, pending" : passes
            : isPending ? live.Held is { Outcome: "queued" } ? "queues" : "pends"
            : $"returns {status}";
        if (isPending && !stay.PassedDown && stay.Completed is null && !live.IsOver) Hold(nt, live, step, "pending");
    }

    static void OnCompletionReturn(NtKernel nt, Live live, IrpStep step)
    {
        if (Close(live, step, StayKind.Completion) is not { } stay) return;
        bool keeps = step.Event.Status == STATUS_MORE_PROCESSING_REQUIRED;
        stay.Outcome = !keeps ? "goes on" : live.IsOver ? "keeps the IRP, frees it" : "keeps the IRP";
        if (keeps && !live.IsOver && !live.Open.Exists(s => s.Kind == StayKind.Dispatch && s.Depth == stay.Depth))
            Hold(nt, live, step, "kept");
    }

    static void OnStartIoReturn(NtKernel nt, Live live, IrpStep step)
    {
        if (Close(live, step, StayKind.StartIo) is not { } stay) return;
        stay.Outcome = stay.Completed is { } status ? $"completes {status}" : "starts it";
        if (stay.Completed is null && !live.IsOver) Hold(nt, live, step, "started");
    }

    static void OnComplete(NtKernel nt, Live live, IrpStep step)
    {
        EndHeld(live, step);
        if (Running(live, step) is { } running)
        {
            running.Completed = step.Event.Status;
            return;
        }
        IrpStay stay = live.Life.Add(Stay(nt, step, StayKind.Completes));
        (stay.End, stay.Outcome) = (step.Time, $"completes {step.Event.Status}");
    }

    static void Hold(NtKernel nt, Live live, IrpStep step, string how)
    {
        if (live.Held is not null || live.IsOver) return;
        live.Held = live.Life.Add(Stay(nt, step, StayKind.Held, nt.DescribeDevice(step.Event.Device)));
        live.Held.Outcome = how;
    }

    static void EndHeld(Live live, IrpStep step)
    {
        if (live.Held is not { } held) return;
        held.End = step.Time;
        live.Held = null;
    }

    static void End(Live live, IrpStep step)
    {
        EndHeld(live, step);
        live.Life.End = step.Time;
    }

    void Forget(Va irp, Live live)
    {
        if (live is not { IsOver: true, Open.Count: 0 }) return;
        if (live.Before is { } before) _live[irp] = before;
        else _live.Remove(irp);
    }
}
