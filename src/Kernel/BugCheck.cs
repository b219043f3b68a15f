using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The machine has stopped and cannot go on. The only exceptions that cross the kernel's edge.</summary>
public abstract class MachineStop(string message) : Exception(message)
{
    /// <summary>What the machine looked like when it stopped; there as soon as it has passed the kernel's
    /// edge.</summary>
    public CrashReport? Report { get; internal set; }

    /// <summary>The context to report, where the one of the processor is not the guilty one (a trap that is being
    /// handled, a thread that waits).</summary>
    internal CpuContext? Context { get; init; }

    /// <summary>The .NET exception behind it, thrown by a driver in C#.</summary>
    public Exception? Thrown { get; internal init; }

    /// <summary>What is known of it that its parameters do not say.</summary>
    internal string? Known { get; init; }

    /// <summary>The driver to look at first, where it is none on the stack.</summary>
    internal string? Blamed { get; init; }

    /// <summary>Whose context that is; null: the current thread's.</summary>
    internal NtThread? Culprit { get; init; }
}

/// <summary>NT stopped the machine, as KeBugCheckEx does: somebody broke a rule that cannot be survived.</summary>
public sealed class BugCheck(BugCheckCode code, ulong p1 = 0, ulong p2 = 0, ulong p3 = 0, ulong p4 = 0)
    : MachineStop($"{code} (0x{(uint)code:X}) {p1:x} {p2:x} {p3:x} {p4:x}")
{
    public BugCheckCode Code { get; } = code;
    public ulong[] Parameters { get; } = [p1, p2, p3, p4];

    /// <summary>A list whose links contradict each other: what the fast-fail check in RemoveEntryList stops
    /// for.</summary>
    internal static BugCheck CorruptListEntry(Va entry) =>
        new(BugCheckCode.KERNEL_SECURITY_CHECK_FAILURE, 3, 0, entry.Value);
}

/// <summary>Nothing more will happen: a loop without end, or a wait for something that nobody will do.</summary>
public sealed class Hang(HangKind kind, string message) : MachineStop(message)
{
    public HangKind Kind { get; } = kind;
}

public enum HangKind
{
    /// <summary>The instruction limit was reached.</summary>
    InstructionLimit,

    /// <summary>Every thread waits, and no timer or device will wake one.</summary>
    Deadlock,
}
