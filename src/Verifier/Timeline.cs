using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>Writes what happens in a machine as a trace for Perfetto: threads, processors and their DPCs, devices and
/// the IRPs that they hold, arrows from an IRP's first dispatch to its completion.</summary>
/// <remarks>Only what is not over is kept in memory, and what of it has a name.</remarks>
public sealed class Timeline : IIrpObserver, IProcessorObserver, IDisposable
{
    const int ProcessorsPid = 1, ThreadsPid = 2, RequestsPid = 3, FirstDevicePid = 10;

    readonly TraceWriter _writer;
    readonly TimelineIrps _irps;
    readonly SortedDictionary<ulong, TimelineTrack> _threads = [];
    readonly SortedDictionary<int, TimelineTrack> _dpcs = [];
    readonly SortedDictionary<int, (ulong Thread, string Name, long Since)> _running = [];
    readonly HashSet<int> _processors = [];
    long _now;
    bool _ended;

    /// <summary>Begins a document; <see cref="Dispose"/> ends it. The stream stays open.</summary>
    public Timeline(Stream stream)
    {
        _writer = new TraceWriter(stream);
        _writer.NameProcess(ProcessorsPid, "processors");
        _writer.NameProcess(ThreadsPid, "threads");
        _writer.NameProcess(RequestsPid, "requests");
        _irps = new TimelineIrps(_writer, RequestsPid, FirstDevicePid);
    }

    /// <summary>Events that were written.</summary>
    public long Count => _writer.Count;

    public void ThreadSwitched(NtKernel nt, ThreadSwitch change)
    {
        if (!Advance(nt)) return;
        Know(change.Processor);
        EndRun(change.Processor);
        if (change.Before != 0 && _threads.TryGetValue(change.Before, out TimelineTrack? before))
        {
            before.SwitchOff(_now);
            if (change.IsEnded)
            {
                before.Close(_now);
                _threads.Remove(change.Before);
            }
        }
        if (change.Next == 0) return;
        _running[change.Processor] = (change.Next, change.Name, _now);
        Thread(change.Next, change.Name).SwitchOn(_now, change.Processor);
    }

    public void DpcStarting(NtKernel nt, int processor, Va routine)
    {
        if (!Advance(nt)) return;
        Dpcs(processor).Begin(_now, default, routine, Va.Null, nt.Loader.Describe(routine));
    }

    public void DpcEnded(NtKernel nt, int processor, Va routine)
    {
        if (Advance(nt)) Dpcs(processor).End(_now, default, routine, Va.Null);
    }

    public void IrqlChanged(NtKernel nt, int processor, Irql irql)
    {
        if (!Advance(nt)) return;
        Know(processor);
        _writer.Counter(ProcessorsPid, _now, $"IRQL of processor {processor}", (long)irql);
    }

    public void Stepped(NtKernel nt, IrpStep step)
    {
        if (!Advance(nt)) return;
        TimelineTrack track = step.Dpc.IsNull ? Thread(step.Context, nt.CurrentThreadName) : Dpcs(step.Processor);
        (Va routine, Va irp) = (step.Event.Routine, step.Irp);
        switch (step.Event.Kind)
        {
            case IrpEventKind.Dispatch or IrpEventKind.CompletionCall or IrpEventKind.StartIo or IrpEventKind.Cancel:
                track.Begin(_now, step.Event.Kind, routine, irp, nt.Loader.Describe(routine),
                    ("device", nt.DescribeDevice(step.Event.Device)), ("IRP", irp.ToString()),
                    ("IRQL", step.Irql.ToString()));
                break;
            case IrpEventKind.Return:
                track.End(_now, IrpEventKind.Dispatch, routine, irp, ("returns", step.Event.Status.ToString()));
                break;
            case IrpEventKind.Completion:
                track.End(
                    _now, IrpEventKind.CompletionCall, routine, irp, ("returns", step.Event.Status.ToString()));
                break;
            case IrpEventKind.StartIoReturn:
                track.End(_now, IrpEventKind.StartIo, routine, irp);
                break;
            case IrpEventKind.CancelReturn:
                track.End(_now, IrpEventKind.Cancel, routine, irp);
                break;
        }
        _irps.Step(nt, step, _now, track);
    }

    /// <summary>Ends all that is not over, and the document.</summary>
    public void Dispose()
    {
        if (_ended) return;
        _ended = true;
        foreach (int processor in _running.Keys.ToArray()) EndRun(processor);
        foreach (TimelineTrack track in _threads.Values) track.Close(_now);
        foreach (TimelineTrack track in _dpcs.Values) track.Close(_now);
        _irps.Close(_now);
        _writer.Dispose();
    }

    // After the end the machine may still be taken apart.
    bool Advance(NtKernel nt)
    {
        if (_ended) return false;
        _now = Math.Max(_now, nt.Nanoseconds);
        return true;
    }

    void Know(int processor)
    {
        if (_processors.Add(processor))
            _writer.NameThread(new TrackId(ProcessorsPid, 2 * (ulong)processor), $"processor {processor}");
    }

    void EndRun(int processor)
    {
        if (!_running.Remove(processor, out (ulong Thread, string Name, long Since) run)) return;
        _writer.Slice(new TrackId(ProcessorsPid, 2 * (ulong)processor), run.Since, _now, run.Name);
    }

    TimelineTrack Thread(ulong id, string name)
    {
        if (_threads.TryGetValue(id, out TimelineTrack? known)) return known;
        var track = new TimelineTrack(_writer, new TrackId(ThreadsPid, id));
        _writer.NameThread(track.Id, name);
        return _threads[id] = track;
    }

    TimelineTrack Dpcs(int processor)
    {
        if (_dpcs.TryGetValue(processor, out TimelineTrack? known)) return known;
        var track = new TimelineTrack(_writer, new TrackId(ProcessorsPid, 2 * (ulong)processor + 1));
        _writer.NameThread(track.Id, $"processor {processor}, DPCs");
        return _dpcs[processor] = track;
    }
}
