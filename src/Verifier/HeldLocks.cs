using Ringdown.Kernel;

namespace Ringdown.Verifier;

/// <summary>The locks that a thread, or the DPCs of a processor, hold: followed over every export that says which lock
/// it takes.</summary>
sealed class HeldLocks
{
    /// <summary>The cancel spin lock, which no argument names.</summary>
    public const ulong CancelLock = 1;

    readonly Dictionary<ulong, Context> _contexts = [];

    sealed class Context
    {
        public List<ulong> Held { get; } = [];

        /// <summary>Calls that have not returned and may yet take a lock.</summary>
        public Stack<ulong> Pending { get; } = new();

        /// <summary>Queue handles and the locks for which they stand.</summary>
        public Dictionary<ulong, ulong> Handles { get; } = [];
    }

    /// <summary>What the running context holds, the first taken first.</summary>
    public IReadOnlyList<ulong> Held(NtKernel nt) => ContextOf(nt).Held;

    /// <returns>The lock that the call is about to take; null for none.</returns>
    public ulong? Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        ulong? taken = LockOf(export, Fact.AcquiresLock, arguments);
        if (taken is { } pending)
        {
            Context context = ContextOf(nt);
            context.Pending.Push(pending);
            int handle = Array.FindIndex(export.Parameters, p => p.Name == "lockHandle");
            if (handle >= 0) context.Handles[arguments[handle]] = pending;
        }
        if (LockOf(export, Fact.ReleasesLock, arguments) is not { } released) return taken;
        Context holder = ContextOf(nt);
        if (holder.Handles.Remove(released, out ulong behind)) released = behind;
        int at = holder.Held.LastIndexOf(released);
        if (at >= 0) holder.Held.RemoveAt(at);
        return taken;
    }

    /// <returns>The lock that the call has taken; null for none.</returns>
    public ulong? Leave(NtKernel nt, Export export, ulong result)
    {
        if (!Has(export, Fact.AcquiresLock)) return null;
        Context context = ContextOf(nt);
        if (!context.Pending.TryPop(out ulong taken)) return null;
        bool refused = export.Returns == nameof(Boolean) && (byte)result == 0;
        if (refused) return null;
        context.Held.Add(taken);
        return taken;
    }

    static bool Has(Export export, Fact fact) =>
        (export.Facts & fact) != 0 || Array.Exists(export.Parameters, p => (p.Facts & fact) != 0);

    static ulong? LockOf(Export export, Fact fact, ReadOnlySpan<ulong> arguments)
    {
        if ((export.Facts & fact) != 0) return CancelLock;
        int at = Array.FindIndex(export.Parameters, p => (p.Facts & fact) != 0);
        return at < 0 ? null : arguments[at];
    }

    Context ContextOf(NtKernel nt)
    {
        if (_contexts.TryGetValue(nt.CurrentContext, out Context? known)) return known;
        return _contexts[nt.CurrentContext] = new Context();
    }

    public static string Name(NtKernel nt, ulong taken) =>
        taken == CancelLock ? "the cancel spin lock" : $"the lock {nt.DescribeData(new Machine.Va(taken))}";
}
