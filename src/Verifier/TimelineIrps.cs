using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>The IRPs of a timeline: a slice for each from its first dispatch to its end, one in each device that holds
/// it meanwhile, and the arrow from dispatch to completion.</summary>
sealed class TimelineIrps(TraceWriter writer, int requestsPid, int firstDevicePid)
{
    const string Request = "irp", Held = "device";

    readonly Dictionary<Va, InFlight> _inFlight = [];
    readonly Dictionary<Va, int> _devices = [];
    int _count;

    sealed record InFlight(int Id, string Name, long Begin, TrackId Track)
    {
        /// <summary>Processes of the devices that hold it, the lowest last.</summary>
        public List<(Va Device, int Pid)> Holders { get; } = [];
        public (long Time, TrackId Track)? Completed { get; set; }
    }

    public void Step(NtKernel nt, IrpStep step, long now, TimelineTrack track)
    {
        IrpEvent e = step.Event;
        if (!_inFlight.TryGetValue(step.Irp, out InFlight? irp))
        {
            if (e.Kind != IrpEventKind.Dispatch) return;
            irp = Begin(nt, step, now, track);
        }
        switch (e.Kind)
        {
            case IrpEventKind.Dispatch:
                irp.Holders.Add((e.Device, DevicePid(nt, e.Device)));
                writer.Async("b", irp.Holders[^1].Pid, Held, irp.Id, now, irp.Name);
                Note(irp, now, $"to {nt.Loader.Describe(e.Routine)}");
                break;
            case IrpEventKind.Complete:
                irp.Completed = (now, track.Id);
                Note(irp, now, $"completed with {e.Status} by {IrpLives.RoutineName(nt, e.Routine)}");
                break;
            case IrpEventKind.Completion when e.Status == Status.STATUS_MORE_PROCESSING_REQUIRED:
                Note(irp, now, $"kept by {nt.Loader.Describe(e.Routine)}");
                break;
            case IrpEventKind.Cancel:
                Note(irp, now, "canceled");
                break;
            case IrpEventKind.Queue:
                Note(irp, now, "queued");
                break;
            case IrpEventKind.Passed:
                Leave(irp, irp.Holders.FindLastIndex(h => h.Device == e.Device), now);
                break;
            case IrpEventKind.Finish:
                Flow(irp, now, track);
                End(step.Irp, irp, now, e.Status.ToString());
                break;
            case IrpEventKind.Free:
                End(step.Irp, irp, now, "freed by its driver");
                break;
        }
    }

    /// <summary>What is still in flight ends with the document.</summary>
    public void Close(long now)
    {
        foreach ((Va address, InFlight irp) in _inFlight.OrderBy(i => i.Value.Id).ToArray())
            End(address, irp, now, "still in flight");
    }

    InFlight Begin(NtKernel nt, IrpStep step, long now, TimelineTrack track)
    {
        int id = ++_count;
        var irp = new InFlight(id, $"{IrpLives.RequestName(nt, step)} #{id}", now, track.Id);
        _inFlight.Add(step.Irp, irp);
        writer.Async("b", requestsPid, Request, id, now, irp.Name, ("IRP", step.Irp.ToString()),
            ("device", nt.DescribeStack(step.Event.Device)));
        Count(now);
        return irp;
    }

    void End(Va address, InFlight irp, long now, string outcome)
    {
        Leave(irp, 0, now);
        writer.Async("e", requestsPid, Request, irp.Id, now, irp.Name, ("outcome", outcome));
        _inFlight.Remove(address);
        Count(now);
    }

    // Whoever is below a device that is left does not hold it either.
    void Leave(InFlight irp, int at, long now)
    {
        if (at < 0) return;
        for (int i = irp.Holders.Count - 1; i >= at; i--)
            writer.Async("e", irp.Holders[i].Pid, Held, irp.Id, now, irp.Name);
        irp.Holders.RemoveRange(at, irp.Holders.Count - at);
    }

    // Written at the end, so that every arrow that begins ends.
    void Flow(InFlight irp, long now, TimelineTrack track)
    {
        writer.Flow("s", irp.Track, irp.Id, irp.Begin, irp.Name);
        if (irp.Completed is { } completed) writer.Flow("t", completed.Track, irp.Id, completed.Time, irp.Name);
        writer.Flow("f", track.Id, irp.Id, now, irp.Name);
    }

    void Note(InFlight irp, long now, string what) => writer.Async("n", requestsPid, Request, irp.Id, now, what);

    void Count(long now) => writer.Counter(requestsPid, now, "IRPs in flight", _inFlight.Count);

    int DevicePid(NtKernel nt, Va device)
    {
        if (_devices.TryGetValue(device, out int known)) return known;
        int pid = firstDevicePid + _devices.Count;
        writer.NameProcess(pid, $"device {nt.DescribeDevice(device)}");
        return _devices[device] = pid;
    }
}
