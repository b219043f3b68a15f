using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>What a stay of an IRP is: a routine that was called for it, or a time in which none was.</summary>
public enum StayKind
{
    Dispatch,
    Completion,
    StartIo,
    Cancel,

    /// <summary>It was completed by a routine that was not called for it: a DPC, a thread of the driver's.</summary>
    Completes,

    /// <summary>A driver has it and none of its routines runs for it: pending, queued, kept.</summary>
    Held,
}

/// <summary>Where an IRP was for a while. Times are in ns of the machine's time since boot.</summary>
public sealed class IrpStay
{
    public required StayKind Kind { get; init; }
    public required long Begin { get; init; }

    /// <summary>Null while it lasts.</summary>
    public long? End { get; internal set; }

    /// <summary>How many stack locations are above the driver's.</summary>
    public required int Depth { get; init; }
    public required int Processor { get; init; }

    /// <summary>The IRQL at which it began.</summary>
    public required Irql Irql { get; init; }

    /// <summary>The thread, or the DPC and its processor; empty if nobody runs.</summary>
    public required string Context { get; init; }

    /// <summary>The routine, or who holds it.</summary>
    public required string Routine { get; init; }
    public required string Device { get; init; }
    public string? Driver { get; init; }
    public string Outcome { get; internal set; } = "";

    internal Va Address { get; init; }
    internal Va DeviceAddress { get; init; }
    internal ulong ContextNumber { get; init; }
    internal bool PassedDown { get; set; }
    internal NtStatus? Completed { get; set; }
}

/// <summary>One request: from the first dispatch routine until it is completed or freed.</summary>
/// <param name="Request">Its function, and the control code.</param>
/// <param name="Device">The device that it was sent to.</param>
/// <param name="During">What was being done when it began; null if nobody said.</param>
public sealed record IrpLife(int Number, string Request, string Device, string? During, long Begin)
{
    const int MaximumStays = 64;

    readonly List<IrpStay> _stays = [];

    /// <summary>Null while it is in flight.</summary>
    public long? End { get; internal set; }

    /// <summary>Null if it was freed by its driver without completion having reached the top, or is in
    /// flight.</summary>
    public NtStatus? Status { get; internal set; }
    public ulong Information { get; internal set; }
    public IReadOnlyList<IrpStay> Stays => _stays;

    /// <summary>Stays that there were beyond those that are kept.</summary>
    public int Omitted { get; private set; }

    internal IrpStay Add(IrpStay stay)
    {
        if (_stays.Count < MaximumStays) _stays.Add(stay);
        else Omitted++;
        return stay;
    }
}
