using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Services on events and timers, and waiting for handles.</summary>
sealed partial class Zw
{
    const uint EVENT_MODIFY_STATE = 2, TIMER_MODIFY_STATE = 2;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCreateEvent(
        Va eventHandle, uint desiredAccess, ObjectAttributes objectAttributes, uint eventType, bool initialState) =>
        CreateEvent(
            eventHandle, desiredAccess, objectAttributes, eventType, initialState, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtCreateEvent(
        Va eventHandle, uint desiredAccess, ObjectAttributes objectAttributes, uint eventType, bool initialState) =>
        Service(mode => CreateEvent(eventHandle, desiredAccess, objectAttributes, eventType, initialState, mode));

    NtStatus CreateEvent(Va handle, uint access, ObjectAttributes attributes, uint type, bool state,
        ProcessorMode mode)
    {
        if (type > 1) return STATUS_INVALID_PARAMETER;
        return CreateObject(handle, nt.Ob.EventType, access, attributes, mode, () => MakeEvent(type, state));
    }

    NtObject MakeEvent(uint type, bool state)
    {
        NtObject made = nt.Ob.Create(nt.Ob.EventType, KEvent.Size);
        nt.Ke.KeInitializeEvent(KEvent.At(nt.Memory, made.Body), type, state);
        return made;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenEvent(Va eventHandle, uint desiredAccess, ObjectAttributes objectAttributes) =>
        OpenObject(eventHandle, nt.Ob.EventType, desiredAccess, objectAttributes, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetEvent(Handle eventHandle, Va previousState) =>
        OnEvent(eventHandle, previousState, ProcessorMode.KernelMode, e => nt.Ke.KeSetEvent(e, 1, false));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtSetEvent(Handle eventHandle, Va previousState) =>
        Service(mode => OnEvent(eventHandle, previousState, mode, e => nt.Ke.KeSetEvent(e, 1, false)));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwResetEvent(Handle eventHandle, Va previousState) =>
        OnEvent(eventHandle, previousState, ProcessorMode.KernelMode, nt.Ke.KeResetEvent);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwClearEvent(Handle eventHandle) =>
        OnEvent(eventHandle, Va.Null, ProcessorMode.KernelMode, nt.Ke.KeResetEvent);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwPulseEvent(Handle eventHandle, Va previousState) =>
        OnEvent(eventHandle, previousState, ProcessorMode.KernelMode, e => nt.Ke.KePulseEvent(e, 1, false));

    NtStatus OnEvent(Handle handle, Va previousState, ProcessorMode mode, Func<KEvent, int> change)
    {
        NtStatus status = nt.Ob.Resolve(handle, EVENT_MODIFY_STATE, nt.Ob.EventType, mode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        if (!previousState.IsNull) nt.Ob.Probe(previousState, 4, mode);
        int before = change(KEvent.At(nt.Memory, entry!.Object.Body));
        if (!previousState.IsNull) nt.Memory.Write(previousState, before);
        return STATUS_SUCCESS;
    }

    /// <summary>Opens the event of this name, or makes it signalled. The pointer is good as long as the handle
    /// is.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public KEvent IoCreateNotificationEvent(UnicodeString eventName, Va eventHandle) =>
        OpenOrCreateEvent(eventName, eventHandle, 0);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public KEvent IoCreateSynchronizationEvent(UnicodeString eventName, Va eventHandle) =>
        OpenOrCreateEvent(eventName, eventHandle, 1);

    KEvent OpenOrCreateEvent(UnicodeString name, Va handle, uint type)
    {
        var request = new ObjectRequest(null, name.Text, ObjectRequest.OBJ_OPENIF | ObjectRequest.OBJ_KERNEL_HANDLE,
            null, ProcessorMode.KernelMode);
        NtStatus status = nt.Ob.CreateNamed(request, nt.Ob.EventType, nt.Ob.EventType.Mapping.All,
            () => MakeEvent(type, state: true), out Handle opened, out NtObject? found);
        if (!status.IsSuccess) return KEvent.At(nt.Memory, Va.Null);
        nt.Memory.Write(handle, opened);
        return KEvent.At(nt.Memory, found!.Body);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCreateTimer(
        Va timerHandle, uint desiredAccess, ObjectAttributes objectAttributes, uint timerType)
    {
        if (timerType > 1) return STATUS_INVALID_PARAMETER;
        return CreateObject(timerHandle, nt.Ob.TimerType, desiredAccess, objectAttributes, ProcessorMode.KernelMode,
            () =>
            {
                NtObject made = nt.Ob.Create(nt.Ob.TimerType, KTimer.Size);
                nt.Ke.KeInitializeTimerEx(KTimer.At(nt.Memory, made.Body), timerType);
                return made;
            });
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenTimer(Va timerHandle, uint desiredAccess, ObjectAttributes objectAttributes) =>
        OpenObject(timerHandle, nt.Ob.TimerType, desiredAccess, objectAttributes, ProcessorMode.KernelMode);

    [Export(Support.Partial, "No APC routine: with one the call fails with STATUS_NOT_SUPPORTED.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetTimer(
        Handle timerHandle, Va dueTime, Va timerApcRoutine, Va timerContext, bool resumeTimer, int period,
        Va previousState)
    {
        if (period < 0) return STATUS_INVALID_PARAMETER;
        NtStatus status = nt.Ob.Resolve(
            timerHandle, TIMER_MODIFY_STATE, nt.Ob.TimerType, ProcessorMode.KernelMode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        if (!timerApcRoutine.IsNull) return STATUS_NOT_SUPPORTED;
        var timer = KTimer.At(nt.Memory, entry!.Object.Body);
        bool wasSignalled = nt.Ke.KeReadStateTimer(timer);
        nt.Ke.KeSetTimerEx(timer, nt.Memory.Read<long>(dueTime), (uint)period, KDpc.At(nt.Memory, Va.Null));
        if (resumeTimer) nt.Ke.Timers.SetWaking(timer);
        if (!previousState.IsNull) nt.Memory.Write(previousState, (byte)(wasSignalled ? 1 : 0));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCancelTimer(Handle timerHandle, Va currentState)
    {
        NtStatus status = nt.Ob.Resolve(
            timerHandle, TIMER_MODIFY_STATE, nt.Ob.TimerType, ProcessorMode.KernelMode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        var timer = KTimer.At(nt.Memory, entry!.Object.Body);
        nt.Ke.KeCancelTimer(timer);
        if (!currentState.IsNull) nt.Memory.Write(currentState, (byte)(nt.Ke.KeReadStateTimer(timer) ? 1 : 0));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwWaitForSingleObject(Handle handle, bool alertable, Va timeout) =>
        WaitFor([handle], all: false, timeout, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtWaitForSingleObject(Handle handle, bool alertable, Va timeout) =>
        Service(mode => WaitFor([handle], all: false, timeout, mode));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwWaitForMultipleObjects(uint count, Va handles, uint waitType, bool alertable, Va timeout)
    {
        if (count is 0 or > 64) return STATUS_INVALID_PARAMETER_1;
        if (waitType > 1) return STATUS_INVALID_PARAMETER_3;
        var all = new Handle[count];
        for (int i = 0; i < all.Length; i++) all[i] = nt.Memory.Read<Handle>(handles + i * 8);
        return WaitFor(all, waitType == 0, timeout, ProcessorMode.KernelMode);
    }

    NtStatus WaitFor(Handle[] handles, bool all, Va timeout, ProcessorMode mode)
    {
        if (!timeout.IsNull) nt.Ob.Probe(timeout, 8, mode);
        var targets = new List<NtObject>();
        var headers = new List<DispatcherHeader>();
        foreach (Handle handle in handles)
        {
            NtStatus found = nt.Ob.Resolve(handle, SYNCHRONIZE, null, mode, out HandleEntry? entry);
            if (!found.IsSuccess) return found;
            if (entry!.Object.Type.WaitOffset is not { } offset) return STATUS_OBJECT_TYPE_MISMATCH;
            targets.Add(entry.Object);
            headers.Add(DispatcherHeader.At(nt.Memory, entry.Object.Body + offset));
        }
        if (all && headers.Distinct().Count() != headers.Count) return STATUS_INVALID_PARAMETER_MIX;
        long? deadline = nt.Ke.DeadlineOf(timeout);
        // Another thread may close the handles meanwhile.
        foreach (NtObject target in targets) nt.Ob.Reference(target);
        NtStatus status = nt.Ke.WaitFor([.. headers], all, deadline);
        foreach (NtObject target in targets) nt.Ob.Dereference(target);
        return status;
    }
}
