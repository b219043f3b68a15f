using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Callbacks for processors that come, and for NMIs.</summary>
sealed partial class Ke
{
    const uint CallbackTag = 0x6C6C_6143, AddExisting = 1, ProcessorAddStart = 0, ProcessorAddComplete = 1;
    const int ContextBytes = 0x10;

    readonly List<(Va Handle, Va Routine, Va Context)> _processorCallbacks = [], _nmiCallbacks = [];

    /// <summary>Processors do not come later; a driver that asks is told of those that are there.</summary>
    /// <returns>The handle, or null.</returns>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va KeRegisterProcessorChangeCallback(Va callbackFunction, Va callbackContext, uint flags)
    {
        Va handle = _nt.Mm.Pool.Allocate(ContextBytes, CallbackTag);
        _processorCallbacks.Add((handle, callbackFunction, callbackContext));
        if ((flags & AddExisting) == 0) return handle;
        foreach (uint state in (ReadOnlySpan<uint>)[ProcessorAddStart, ProcessorAddComplete])
        {
            foreach (KProcessor processor in Scheduler.Processors)
            {
                if (Announce(processor, state, callbackFunction, callbackContext) is { IsSuccess: true }) continue;
                KeDeregisterProcessorChangeCallback(handle);
                return Va.Null;
            }
        }
        return handle;
    }

    // KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT: state, number, status, PROCESSOR_NUMBER; and a status that can refuse.
    NtStatus Announce(KProcessor processor, uint state, Va routine, Va context)
    {
        Va area = _nt.Mm.Pool.Allocate(2 * ContextBytes, CallbackTag);
        _nt.Memory.Write(area, state);
        _nt.Memory.Write(area + 4, (uint)processor.Number);
        _nt.Memory.Write(area + 12, (uint)processor.Number << 16);
        _nt.Routines.Call(routine, context.Value, area.Value, area.Value + ContextBytes);
        var answer = new NtStatus(_nt.Memory.Read<uint>(area + ContextBytes));
        _nt.Mm.Pool.Free(area);
        return state == ProcessorAddStart ? answer : STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void KeDeregisterProcessorChangeCallback(Va callbackHandle) => Remove(_processorCallbacks, callbackHandle);

    [Export(Support.Partial, "The callback is kept, but nothing raises an NMI."), IrqlRequiresMax(APC_LEVEL)]
    public Va KeRegisterNmiCallback(Va callbackRoutine, Va context)
    {
        Va handle = _nt.Mm.Pool.Allocate(ContextBytes, CallbackTag);
        _nmiCallbacks.Add((handle, callbackRoutine, context));
        return handle;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus KeDeregisterNmiCallback(Va handle) =>
        Remove(_nmiCallbacks, handle) ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;

    bool Remove(List<(Va Handle, Va Routine, Va Context)> callbacks, Va handle)
    {
        if (callbacks.RemoveAll(c => c.Handle == handle) == 0) return false;
        _nt.Mm.Pool.Free(handle);
        return true;
    }
}
