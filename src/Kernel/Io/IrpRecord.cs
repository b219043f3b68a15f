using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What happens to an IRP. Of a routine that is called for it, the call and the return are two
/// events.</summary>
public enum IrpEventKind
{
    /// <summary>A dispatch routine is about to be called.</summary>
    Dispatch,

    /// <summary>It has returned.</summary>
    Return,

    /// <summary>IofCompleteRequest was called; the routine is its caller.</summary>
    Complete,

    /// <summary>A completion routine is about to be called.</summary>
    CompletionCall,

    /// <summary>It has returned. The device is that of the driver that set it; null above the topmost one.</summary>
    Completion,

    /// <summary>Completion has passed the device's stack location: the device has it no longer.</summary>
    Passed,

    /// <summary>A cancel routine is about to be called.</summary>
    Cancel,

    /// <summary>It has returned.</summary>
    CancelReturn,

    /// <summary>It waits in the device's queue, or in a cancel-safe one.</summary>
    Queue,

    /// <summary>It was taken out of a cancel-safe queue.</summary>
    Dequeue,

    /// <summary>StartIo is about to be called.</summary>
    StartIo,

    /// <summary>It has returned.</summary>
    StartIoReturn,

    /// <summary>Completion has passed all stack locations; results are about to be told.</summary>
    Finish,

    /// <summary>It was freed, or begins anew, without that.</summary>
    Free,
}

/// <summary>One step in the life of an IRP: which routine of which device, and the status that came of it.</summary>
public readonly record struct IrpEvent(IrpEventKind Kind, Va Device, Va Routine, IrpMajor Major, NtStatus Status);

/// <summary>The same, with when and where it happened.</summary>
/// <param name="Depth">How many stack locations are above the one that is meant; 0 at the top.</param>
/// <param name="Time">In ns of the machine's time since boot; an instruction takes one.</param>
/// <param name="Context">The thread's id, or the complement of the processor's number for its DPCs: <see
/// cref="NtKernel.CurrentContext"/>.</param>
/// <param name="Dpc">The routine of the DPC that did it; null if a thread did.</param>
public readonly record struct IrpStep(
    IrpEvent Event, Va Irp, int Depth, long Time, int Processor, Irql Irql, ulong Context, Va Dpc);

/// <summary>What became of an IRP so far; kept outside it, where no driver can change it.</summary>
public sealed class IrpRecord(Va address, int stackCount)
{
    /// <summary>The history has its first and its last events: half of this many each.</summary>
    const int MaximumEvents = 64;

    // Many exist at once, so what only some of them have is made when it is needed.
    List<IrpEvent>? _events;
    PassedLocation[]? _passed;

    public Va Address { get; } = address;

    /// <summary>What happened, if an observer wants histories; of a long life its beginning and its end.</summary>
    public IReadOnlyList<IrpEvent> Events => _events ?? (IReadOnlyList<IrpEvent>)[];

    /// <summary>The request that it carries, if it came from the user's side or a Zw service.</summary>
    internal IoRequest? Request { get; set; }

    public IrpOrigin Origin { get; internal set; }

    /// <summary>Its current location when it was last sent by who has it; 0: never sent.</summary>
    internal int SentFrom { get; set; }

    /// <summary>Some driver has had it.</summary>
    public bool WasSent { get; internal set; }

    /// <summary>The thread on whose list it is.</summary>
    internal NtThread? Thread { get; set; }

    /// <summary>Its thread has ended without it: nobody hears of its completion.</summary>
    internal bool IsAbandoned { get; set; }

    /// <summary>It is complete, and lies in a completion port until somebody takes it.</summary>
    internal bool IsInPort { get; set; }

    /// <summary>The list of extra parameters of a create; null for none.</summary>
    internal Va EcpList { get; set; }

    /// <summary>It was sent, and has not come back to who sent it.</summary>
    public bool IsInUse(Irp irp) => SentFrom != 0 && irp.CurrentLocation < SentFrom;

    internal void Add(IrpEvent happened)
    {
        _events ??= [];
        if (_events.Count == MaximumEvents) _events.RemoveAt(MaximumEvents / 2);
        _events.Add(happened);
    }

    internal void CompleteAt(int location, bool markedPending, NtStatus status)
    {
        _passed ??= new PassedLocation[Math.Max(0, stackCount) + 2];
        if (location >= 0 && location < _passed.Length)
            _passed[location] = _passed[location] with { Is = true, MarkedPending = markedPending, Status = status };
    }

    /// <summary>The driver of a location has passed the IRP down, and the lower driver's dispatch routine has returned
    /// STATUS_PENDING.</summary>
    internal void LowerPended(int location)
    {
        _passed ??= new PassedLocation[Math.Max(0, stackCount) + 2];
        if (location >= 0 && location < _passed.Length)
            _passed[location] = _passed[location] with { LowerPended = true };
    }

    internal bool HasLowerPended(int location) => At(location).LowerPended;

    /// <summary>The status with which completion passed a location; null if it did not.</summary>
    internal NtStatus? StatusAt(int location) => At(location) is { Is: true } passed ? passed.Status : null;

    /// <summary>Completion has passed a stack location (1 is the lowest driver's).</summary>
    internal bool IsCompletedAt(int location) => At(location).Is;

    internal bool WasMarkedPending(int location) => At(location).MarkedPending;

    PassedLocation At(int location) =>
        _passed is not null && location >= 0 && location < _passed.Length ? _passed[location] : default;

    readonly record struct PassedLocation(bool Is, bool MarkedPending, NtStatus Status, bool LowerPended);
}

/// <summary>A dispatch routine has returned.</summary>
/// <param name="MarkedPending">IoMarkIrpPending was called for its stack location.</param>
/// <param name="Completed">The status with which the IRP was completed past its stack location; null if it was
/// not.</param>
/// <param name="LowerPended">It has passed the IRP down, and the next lower one has returned STATUS_PENDING.</param>
/// <param name="IrqlBefore">The IRQL at which it was called.</param>
public readonly record struct Dispatched(
    DeviceObject Device, Va Irp, IrpMajor Major, Va Routine, NtStatus Status, bool MarkedPending, NtStatus? Completed,
    bool LowerPended, Irql IrqlBefore);
