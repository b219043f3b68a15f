using Ringdown.Kernel;

namespace Ringdown.Verifier;

/// <summary>Locks are taken in one order everywhere: two orders are a deadlock that waits for its moment.</summary>
/// <remarks>Holds for every export that says which lock it takes, whether or not anybody had to wait.</remarks>
public sealed class LockOrderRule(Reporter reporter) : IObserver
{
    /// <summary>Every lock that was taken while another was held, and where.</summary>
    readonly Dictionary<ulong, SortedDictionary<ulong, string>> _after = [];
    readonly HeldLocks _locks = new();

    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        if (_locks.Enter(nt, export, arguments) is { } taken && MayWait(export, arguments)) Check(nt, taken);
    }

    public void Leave(NtKernel nt, Export export, ulong result) => _locks.Leave(nt, export, result);

    // An attempt that gives up deadlocks with nobody.
    static bool MayWait(Export export, ReadOnlySpan<ulong> arguments)
    {
        if (export.Returns != nameof(Boolean)) return true;
        int wait = Array.FindIndex(export.Parameters, p => p.Name == "wait");
        return wait >= 0 && (byte)arguments[wait] != 0;
    }

    void Check(NtKernel nt, ulong taken)
    {
        foreach (ulong held in _locks.Held(nt))
        {
            if (held == taken) continue;
            if (!_after.TryGetValue(held, out var after)) _after[held] = after = [];
            if (after.ContainsKey(taken)) continue;
            after[taken] = Place(nt);
            if (PathFrom(nt, taken, held) is not { } path) continue;
            reporter.Report(nt, "LockOrder", Severity.Warning,
                $"{HeldLocks.Name(nt, taken)} is taken while {HeldLocks.Name(nt, held)} is held; "
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
                string path = $"{before}{HeldLocks.Name(nt, next)} under {HeldLocks.Name(nt, at.Lock)} at {place}";
                if (next == to) return path;
                if (seen.Add(next)) open.Enqueue((next, path));
            }
        }
        return null;
    }

    static string Place(NtKernel nt) =>
        nt.Stack().FirstOrDefault(f => nt.Loader.IsDriver(f.Module))?.ToString() ?? "a place in the kernel";
}
