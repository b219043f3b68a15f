using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>The slices of one thread, or of one processor's DPCs: routines in each other, as they call each
/// other.</summary>
/// <remarks>Between routines a thread shows when it runs, within one when it does not: so slices always
/// nest.</remarks>
sealed class TimelineTrack(TraceWriter writer, TrackId id)
{
    readonly List<(IrpEventKind Kind, Va Routine, Va Irp)> _open = [];
    int? _processor;
    long? _innerSince;

    public TrackId Id => id;

    public void SwitchOn(long time, int processor)
    {
        EndInner(time);
        _processor = processor;
        if (_open.Count == 0) BeginInner(time);
    }

    public void SwitchOff(long time)
    {
        EndInner(time);
        _processor = null;
        if (_open.Count > 0) BeginInner(time);
    }

    public void Begin(
        long time, IrpEventKind kind, Va routine, Va irp, string name,
        params ReadOnlySpan<(string Name, string Value)> values)
    {
        EndInner(time);
        writer.Begin(id, time, name, values);
        _open.Add((kind, routine, irp));
    }

    /// <summary>A routine has returned. Those that were called in it and never returned were left by an
    /// exception.</summary>
    public void End(
        long time, IrpEventKind kind, Va routine, Va irp, params ReadOnlySpan<(string Name, string Value)> values)
    {
        int at = _open.FindLastIndex(o => o == (kind, routine, irp));
        if (at < 0) return;
        EndInner(time);
        for (int i = _open.Count - 1; i > at; i--) writer.End(id, time);
        writer.End(id, time, values);
        _open.RemoveRange(at, _open.Count - at);
        if (_processor is not null && _open.Count == 0) BeginInner(time);
    }

    public void Close(long time)
    {
        EndInner(time);
        for (int i = 0; i < _open.Count; i++) writer.End(id, time);
        _open.Clear();
    }

    void BeginInner(long time) => _innerSince = time;

    // The kernel's own work takes no time, so often there is none between two routines.
    void EndInner(long time)
    {
        string what = _processor is { } processor ? $"runs on processor {processor}" : "off the processor";
        if (_innerSince is { } since && since < time) writer.Slice(id, since, time, what);
        _innerSince = null;
    }
}
