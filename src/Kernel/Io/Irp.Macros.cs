using Ringdown.Machine;
using static Ringdown.Kernel.StackControl;

namespace Ringdown.Kernel;

// What wdm.h has as macros and inline functions on IRPs: members here, without the prefix.

public readonly partial struct Irp
{
    /// <summary>IoGetNextIrpStackLocation: the next lower driver's.</summary>
    public IoStackLocation NextStackLocation => CurrentStackLocation.Below;

    /// <summary>IoMarkIrpPending: the dispatch routine will return STATUS_PENDING.</summary>
    public void MarkPending()
    {
        IoStackLocation location = CurrentStackLocation;
        location.Control |= SL_PENDING_RETURNED;
    }

    /// <summary>IoCopyCurrentIrpStackLocationToNext.</summary>
    public void CopyCurrentStackLocationToNext() => CurrentStackLocation.CopyTo(NextStackLocation);

    /// <summary>IoSkipCurrentIrpStackLocation: the next lower driver gets this driver's own location.</summary>
    public void SkipCurrentStackLocation()
    {
        IoStackLocation above = CurrentStackLocation.Above;
        (CurrentLocation, CurrentStackLocation) = ((sbyte)(CurrentLocation + 1), above);
    }

    /// <summary>IoSetNextIrpStackLocation: a location for the IRP's maker.</summary>
    public void SetNextStackLocation()
    {
        IoStackLocation below = NextStackLocation;
        (CurrentLocation, CurrentStackLocation) = ((sbyte)(CurrentLocation - 1), below);
    }

    /// <summary>IoSetCompletionRoutine: called when the IRP comes back from the next lower driver.</summary>
    /// <param name="routine">An IO_COMPLETION_ROUTINE: device, IRP and context; it returns a status.</param>
    public void SetCompletionRoutine(
        Va routine, Va context, bool onSuccess = true, bool onError = true, bool onCancel = true)
    {
        IoStackLocation next = NextStackLocation;
        (next.CompletionRoutine, next.Context) = (routine, context);
        next.Control = (onSuccess ? SL_INVOKE_ON_SUCCESS : 0) | (onError ? SL_INVOKE_ON_ERROR : 0)
            | (onCancel ? SL_INVOKE_ON_CANCEL : 0);
    }

    /// <summary>IoSetCancelRoutine.</summary>
    /// <returns>The routine of before; null if there was none, or if it is being called.</returns>
    public Va SetCancelRoutine(Va routine)
    {
        Va before = CancelRoutine;
        _memory.Write(Address + CancelRoutineOffset, routine);
        return before;
    }

    const int CancelRoutineOffset = 0x68;

    /// <summary>The IRP whose Tail.Overlay.ListEntry an entry is: CONTAINING_RECORD.</summary>
    public static Irp FromListEntry(Memory memory, ListEntry entry) => At(memory, entry.Address - 0xA8);
}

public readonly partial struct ListEntry
{
    /// <summary>RemoveHeadList. The list must not be empty.</summary>
    public ListEntry RemoveHead()
    {
        ListEntry first = Flink;
        first.Remove();
        return first;
    }

    /// <summary>RemoveTailList. The list must not be empty.</summary>
    public ListEntry RemoveTail()
    {
        ListEntry last = Blink;
        last.Remove();
        return last;
    }
}
