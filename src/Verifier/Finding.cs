using Ringdown.Kernel;

namespace Ringdown.Verifier;

public enum Severity { Note, Warning, Error }

/// <summary>Something that a driver did wrong: the rule, what happened, where, and how to see it again.</summary>
public sealed record Finding(string Rule, Severity Severity, string Message)
{
    /// <summary>The module that did it.</summary>
    public string? Driver { get; init; }

    /// <summary>What was being done: the phase of a check, or the request.</summary>
    public string? During { get; init; }
    public IReadOnlyList<StackFrame> Stack { get; init; } = [];

    /// <summary>What became of the IRP, a line a step.</summary>
    public IReadOnlyList<string> IrpHistory { get; init; } = [];

    /// <summary>The crash behind it, if the machine stopped.</summary>
    public CrashReport? Crash { get; init; }
    public ulong Seed { get; init; }

    /// <summary>How often it was seen.</summary>
    public int Count { get; init; } = 1;

    /// <summary>What the finding is about, where the message has more in it that changes from run to run.</summary>
    public string? Subject { get; init; }

    /// <summary>Two findings of the same rule at the same place are one.</summary>
    public string Key => $"{Rule}|{Driver}|{Place}|{(Crash is null ? Subject ?? Message : Crash.Code.ToString("X"))}";

    string Place => Stack.FirstOrDefault(f => f.Module == Driver)?.Text ?? "";
}

/// <summary>The findings of a run, each place once.</summary>
public sealed class FindingList
{
    readonly Dictionary<string, Finding> _byKey = [];
    readonly List<string> _order = [];

    public IReadOnlyList<Finding> All => [.. _order.Select(k => _byKey[k])];

    public int Count => _order.Count;

    /// <summary>How many of them are errors.</summary>
    public int Errors => _byKey.Values.Count(f => f.Severity == Severity.Error);

    /// <returns>Whether it is new.</returns>
    public bool Add(Finding finding)
    {
        if (_byKey.TryGetValue(finding.Key, out Finding? known))
        {
            _byKey[finding.Key] = known with { Count = known.Count + finding.Count };
            return false;
        }
        _byKey.Add(finding.Key, finding);
        _order.Add(finding.Key);
        return true;
    }
}
