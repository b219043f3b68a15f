using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>Locks are taken in one order everywhere: two orders are a deadlock that waits for its moment.</summary>
/// <remarks>Holds for every export that says which lock it takes, whether or not anybody had to wait.</remarks>
public sealed class LockOrderRule(Reporter reporter) : IObserver
{
    /// <summary>The cancel spin lock, which no argument names.</summary>
    const ulong CancelLock = 1;

    /// <summary>Every lock that was taken while another was held, and where.</summary>
    readonly Dictionary<ulong, SortedDictionary<ulong, string>> _after = [];
    readonly Dictionary<ulong, Context> _contexts = [];

    sealed class Context
    {
        public List<ulong> Held { get; } = [];

        /// <summary>Calls that have not returned and may yet take a lock.</summary>
        public Stack<ulong> Pending { get; } = new();

        /// <summary>Queue handles and the locks for which they stand.</summary>
        public Dictionary<ulong, ulong> Handles { get; } = [];
    }

    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        if (LockOf(export, Fact.AcquiresLock, arguments) is { } taken)
        {
            Context context = ContextOf(nt);
            context.Pending.Push(taken);
            int handle = Array.FindIndex(export.Parameters, p => p.Name == "lockHandle");
            if (handle >= 0) context.Handles[arguments[handle]] = taken;
            if (MayWait(export, arguments)) Check(nt, context, taken);
        }
        if (LockOf(export, Fact.ReleasesLock, arguments) is not { } released) return;
        Context holder = ContextOf(nt);
        if (holder.Handles.Remove(released, out ulong behind)) released = behind;
        int at = holder.Held.LastIndexOf(released);
        if (at >= 0) holder.Held.RemoveAt(at);
    }

    public void Leave(NtKernel nt, Export export, ulong result)
    {
        if (!Has(export, Fact.AcquiresLock)) return;
        Context context = ContextOf(nt);
        if (!context.Pending.TryPop(out ulong taken)) return;
        bool refused = export.Returns == nameof(Boolean) && (byte)result == 0;
        if (!refused) context.Held.Add(taken);
    }

    static bool Has(Export export, Fact fact) =>
        (export.Facts & fact) != 0 || Array.Exists(export.Parameters, p => (p.Facts & fact) != 0);

    static ulong? LockOf(Export export, Fact fact, ReadOnlySpan<ulong> arguments)
    {
        if ((export.Facts & fact) != 0) return CancelLock;
        int at = Array.FindIndex(export.Parameters, p => (p.Facts & fact) != 0);
        return at < 0 ? null : arguments[at];
    }

    // An attempt that gives up deadlocks with nobody.
    static bool MayWait(Export export, ReadOnlySpan<ulong> arguments)
    {
        if (export.Returns != nameof(Boolean)) return true;
        int wait = Array.FindIndex(export.Parameters, p => p.Name == "wait");
        return wait >= 0 && (byte)arguments[wait] != 0;
    }

    Context ContextOf(NtKernel nt)
    {
        if (_contexts.TryGetValue(nt.CurrentContext, out Context? known)) return known;
        return _contexts[nt.CurrentContext] = new Context();
    }

    void Check(NtKernel nt, Context context, ulong taken)
    {
        foreach (ulong held in context.Held)
        {
            if (held == taken) continue;
            if (!_after.TryGetValue(held, out var after)) _after[held] = after = [];
            if (after.ContainsKey(taken)) continue;
            after[taken] = Place(nt);
            if (PathFrom(nt, taken, held) is not { } path) continue;
            reporter.Report(nt, "LockOrder", Severity.Warning,
                $"{Name(nt, taken)} is taken while {Name(nt, held)} is held; "
                + $"elsewhere it is the other way round: {path}.");
        }
    }

    // How one lock came to be taken under another, through others in between.
    string? PathFrom(NtKernel nt, ulong from, ulong to)
    {
        var seen = new HashSet<ulong> { from };
        var open = new Queue<(ulong Lock, string Path)>();
        open.Enqueue((from, ""));
        while (open.TryDequeue(out var at))
        {
            if (!_after.TryGetValue(at.Lock, out var after)) continue;
            foreach ((ulong next, string place) in after)
            {
                string before = at.Path.Length > 0 ? at.Path + ", then " : "";
                string path = $"{before}{Name(nt, next)} under {Name(nt, at.Lock)} at {place}";
                if (next == to) return path;
                if (seen.Add(next)) open.Enqueue((next, path));
            }
        }
        return null;
    }

    static string Place(NtKernel nt) =>
        nt.Stack().FirstOrDefault(f => nt.Loader.IsDriver(f.Module))?.ToString() ?? "a place in the kernel";

    static string Name(NtKernel nt, ulong taken) =>
        taken == CancelLock ? "the cancel spin lock" : $"the lock {nt.DescribeData(new Va(taken))}";
}
