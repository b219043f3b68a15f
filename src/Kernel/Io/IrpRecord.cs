using Ringdown.Machine;

namespace Ringdown.Kernel;

public enum IrpEventKind { Dispatch, Return, Complete, Completion, Cancel }

/// <summary>One step in the life of an IRP: which routine of which device, and the status that came of it.</summary>
public readonly record struct IrpEvent(IrpEventKind Kind, Va Device, Va Routine, IrpMajor Major, NtStatus Status);

/// <summary>What became of an IRP so far; kept outside it, where no driver can change it.</summary>
public sealed class IrpRecord(Va address, int stackCount)
{
    readonly List<IrpEvent> _events = [];
    readonly bool?[] _markedPending = new bool?[Math.Max(0, stackCount) + 2];
    readonly NtStatus[] _status = new NtStatus[Math.Max(0, stackCount) + 2];

    public Va Address { get; } = address;
    public IReadOnlyList<IrpEvent> Events => _events;

    /// <summary>The request that it carries, if it came from the user's side or a Zw service.</summary>
    internal IoRequest? Request { get; set; }

    /// <summary>The thread on whose list it is.</summary>
    internal NtThread? Thread { get; set; }

    /// <summary>Its thread has ended without it: nobody hears of its completion.</summary>
    internal bool IsAbandoned { get; set; }

    /// <summary>It is complete, and lies in a completion port until somebody takes it.</summary>
    internal bool IsInPort { get; set; }

    /// <summary>The list of extra parameters of a create; null for none.</summary>
    internal Va EcpList { get; set; }

    internal void Add(IrpEvent happened) => _events.Add(happened);

    internal void CompleteAt(int location, bool markedPending, NtStatus status)
    {
        if (location < 0 || location >= _markedPending.Length) return;
        (_markedPending[location], _status[location]) = (markedPending, status);
    }

    /// <summary>The status with which completion passed a location; null if it did not.</summary>
    internal NtStatus? StatusAt(int location) => IsCompletedAt(location) ? _status[location] : null;

    /// <summary>Completion has passed a stack location (1 is the lowest driver's).</summary>
    internal bool IsCompletedAt(int location) =>
        location >= 0 && location < _markedPending.Length && _markedPending[location] is not null;

    internal bool WasMarkedPending(int location) => _markedPending[location] == true;
}

/// <summary>A dispatch routine has returned.</summary>
/// <param name="MarkedPending">IoMarkIrpPending was called for its stack location.</param>
/// <param name="Completed">The status with which the IRP was completed past its stack location; null if it was
/// not.</param>
/// <param name="IrqlBefore">The IRQL at which it was called.</param>
public readonly record struct Dispatched(
    DeviceObject Device, Va Irp, IrpMajor Major, Va Routine, NtStatus Status, bool MarkedPending, NtStatus? Completed,
    Irql IrqlBefore);
