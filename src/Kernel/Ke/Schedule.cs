using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A processor that can go on, and the thread that it would go on with (0: it is idle and has DPCs to
/// run).</summary>
public readonly record struct Candidate(int Processor, ulong Thread)
{
    /// <summary>Who would go on: the thread, or the idle processor.</summary>
    public ulong Key => Thread != 0 ? Thread : ~(ulong)Processor;
}

/// <summary>
/// Decides what is left open by NT's rules: whose turn it is among processors, which of several threads of the highest
/// priority runs, and after how many instructions these questions are asked again.
/// </summary>
/// <remarks>One object belongs to one machine. Its answers may depend on its chance and on what it was asked, on
/// nothing else: so a seed decides the whole run.</remarks>
public abstract class Schedule
{
    /// <summary>The longest time between two looks at timers and other threads: 100 µs.</summary>
    public const long LongestSlice = 100_000;

    /// <summary>Instructions that the machine has executed; of the moment when a question is asked.</summary>
    public long Executed { get; internal set; }

    /// <summary>Instructions until the next decision, at least 1.</summary>
    public abstract long Slice();

    /// <summary>The index of the processor that goes on; never called without candidates.</summary>
    /// <param name="active">The index of the one that has just run; -1 if it cannot go on.</param>
    /// <param name="sliceEnded">Its slice is over; otherwise it stopped for another reason.</param>
    public abstract int Choose(ReadOnlySpan<Candidate> candidates, int active, bool sliceEnded);

    /// <summary>The index of the thread that runs next, of several that are ready with the same priority, the one that
    /// waits longest first.</summary>
    public virtual int ChooseThread(ReadOnlySpan<ulong> threads) => 0;

    /// <summary>Whether a thread at the end of a slice gives way to others of its priority.</summary>
    public virtual bool EndsQuantum(ulong thread) => true;
}

/// <summary>Everybody in turn, for as long as a slice is.</summary>
public sealed class RoundRobinSchedule : Schedule
{
    public override long Slice() => LongestSlice;

    public override int Choose(ReadOnlySpan<Candidate> candidates, int active, bool sliceEnded)
    {
        if (active < 0) return 0;
        return sliceEnded ? (active + 1) % candidates.Length : active;
    }
}

/// <summary>Any processor, any thread. Some runs are cut into slices of a few blocks, some into long ones, most into
/// something between: mistakes of every width have their runs.</summary>
public sealed class RandomSchedule : Schedule
{
    const int SliceBits = 18, OtherSlice = 8;

    readonly Chance _chance;
    readonly int _bits;

    public RandomSchedule(Chance chance)
    {
        _chance = chance;
        _bits = chance.Next(SliceBits);
    }

    public override long Slice()
    {
        int bits = _chance.OneIn(OtherSlice) ? _chance.Next(SliceBits) : _bits;
        return Math.Min(LongestSlice, 1 + (long)(_chance.Next() & ((1UL << bits) - 1)));
    }

    public override int Choose(ReadOnlySpan<Candidate> candidates, int active, bool sliceEnded) =>
        candidates.Length == 1 ? 0 : _chance.Next(candidates.Length);

    public override int ChooseThread(ReadOnlySpan<ulong> threads) => _chance.Next(threads.Length);
}

/// <summary>
/// Probabilistic concurrency testing: each thread has a random priority and the greatest runs; at a few random moments
/// the running one falls behind all others.
/// </summary>
/// <remarks>
/// With n threads, about k instructions and a bug that d ordered moments suffice for, one run finds it with a chance of
/// at least 1/(n·k^(d-1)) (Burckhardt, Kothari, Musuvathi, Nagarakatte: ASPLOS 2010).
/// </remarks>
public sealed class PctSchedule : Schedule
{
    readonly Chance _chance;
    readonly Dictionary<ulong, long> _priorities = [];
    readonly Queue<long> _changes;
    long _lowest;

    // The slice that runs ends with the next change.
    bool _reaches;

    // Instructions count from the first moment at which there is a choice.
    long _start = -1;

    /// <param name="depth">d: one more than the number of moments at which the order changes.</param>
    /// <param name="instructions">k: how long the part of the run is expected to be in which threads compete.</param>
    public PctSchedule(Chance chance, int depth = 3, long instructions = 20_000)
    {
        _chance = chance;
        var moments = new long[Math.Max(0, depth - 1)];
        for (int i = 0; i < moments.Length; i++)
            moments[i] = (long)(chance.Next() % (ulong)Math.Max(1, instructions));
        _changes = new Queue<long>(moments.Order());
    }

    public override long Slice()
    {
        _reaches = _start >= 0 && _changes.TryPeek(out long next) && _start + next - Executed is var left
            && left <= LongestSlice;
        return _reaches ? Math.Max(1, _start + _changes.Peek() - Executed) : LongestSlice;
    }

    public override int Choose(ReadOnlySpan<Candidate> candidates, int active, bool sliceEnded)
    {
        if (active >= 0 && sliceEnded) MayFall(candidates[active].Key);
        int best = 0;
        for (int i = 1; i < candidates.Length; i++)
            if (PriorityOf(candidates[i].Key) > PriorityOf(candidates[best].Key)) best = i;
        if (candidates.Length > 1 && _start < 0) _start = Executed;
        return best;
    }

    public override int ChooseThread(ReadOnlySpan<ulong> threads)
    {
        int best = 0;
        for (int i = 1; i < threads.Length; i++)
            if (PriorityOf(threads[i]) > PriorityOf(threads[best])) best = i;
        if (_start < 0) _start = Executed;
        return best;
    }

    public override bool EndsQuantum(ulong thread)
    {
        MayFall(thread);
        return true;
    }

    // Also whoever has used up the longest slice: it may spin for somebody who does not run.
    void MayFall(ulong key)
    {
        if (_reaches) _changes.Dequeue();
        _reaches = false;
        _priorities[key] = --_lowest;
    }

    long PriorityOf(ulong key)
    {
        if (_priorities.TryGetValue(key, out long known)) return known;
        // What interrupts an idle processor is due.
        long made = key > long.MaxValue ? long.MaxValue : (long)(_chance.Next() >> 2);
        _priorities.Add(key, made);
        return made;
    }
}

/// <summary>Passes on another's decisions and keeps them.</summary>
public sealed class RecordingSchedule(Schedule inner) : Schedule
{
    readonly List<long> _decisions = [];

    /// <summary>All decisions so far, to be given to a <see cref="ReplaySchedule"/>.</summary>
    public IReadOnlyList<long> Decisions => _decisions;

    public override long Slice()
    {
        inner.Executed = Executed;
        return Keep(inner.Slice());
    }

    public override int Choose(ReadOnlySpan<Candidate> candidates, int active, bool sliceEnded)
    {
        inner.Executed = Executed;
        return (int)Keep(inner.Choose(candidates, active, sliceEnded));
    }

    public override int ChooseThread(ReadOnlySpan<ulong> threads)
    {
        inner.Executed = Executed;
        return (int)Keep(inner.ChooseThread(threads));
    }

    public override bool EndsQuantum(ulong thread)
    {
        inner.Executed = Executed;
        return Keep(inner.EndsQuantum(thread) ? 1 : 0) != 0;
    }

    long Keep(long decision)
    {
        _decisions.Add(decision);
        return decision;
    }
}

/// <summary>Decides as was recorded; when the record ends, everybody in turn.</summary>
public sealed class ReplaySchedule(IReadOnlyList<long> decisions) : Schedule
{
    readonly RoundRobinSchedule _rest = new();
    int _next;

    /// <summary>The record was made by another run: a decision in it does not fit.</summary>
    public bool Diverged { get; private set; }

    public override long Slice() =>
        _next < decisions.Count ? Math.Clamp(decisions[_next++], 1, LongestSlice) : _rest.Slice();

    public override int Choose(ReadOnlySpan<Candidate> candidates, int active, bool sliceEnded) =>
        Next(candidates.Length) ?? _rest.Choose(candidates, active, sliceEnded);

    public override int ChooseThread(ReadOnlySpan<ulong> threads) => Next(threads.Length) ?? 0;

    public override bool EndsQuantum(ulong thread) => Next(2) != 0;

    int? Next(int count)
    {
        if (_next >= decisions.Count) return null;
        long decision = decisions[_next++];
        Diverged |= decision < 0 || decision >= count;
        return (int)Math.Clamp(decision, 0, count - 1);
    }
}
