using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Puts the system to sleep and wakes it: everybody is asked and told, children before their parents; waking
/// goes the other way.</summary>
/// <remarks>All of it is done by one system worker, one state after the other, at PASSIVE_LEVEL.</remarks>
sealed partial class SystemPower(NtKernel nt)
{
    const string CallbackName = @"\Callback\PowerState";
    const ulong LockCallback = 3;       // PO_CB_SYSTEM_STATE_LOCK
    const uint EventTag = 0x7653_6F50;

    bool _isChanging;

    public SystemState State { get; private set; } = SystemState.Working;

    /// <summary>Why it changes now.</summary>
    public uint Action { get; private set; }

    /// <summary>SYSTEM_POWER_STATE_CONTEXT: the state that is the target, the one that is in effect, the present
    /// one.</summary>
    public uint Context { get; private set; } = ContextOf(SystemState.Working, SystemState.Working);

    /// <summary>When somebody said last that the system is in use.</summary>
    public long LastUsed { get; set; }

    /// <summary>Interrupt time when it last went to sleep, and when it was awake again.</summary>
    public long LastSleepTime { get; private set; }
    public long LastWakeTime { get; private set; }

    static uint ContextOf(SystemState target, SystemState current) =>
        (uint)target << 8 | (uint)target << 12 | (uint)current << 16;

    /// <summary>Goes into a state. From a state of sleep it is back in S0 when this returns.</summary>
    /// <param name="wakeAfter">In 100 ns: the user wakes it then. Null: if nothing else does, after an hour.</param>
    /// <returns>What a driver said that refused, or success.</returns>
    public NtStatus Change(SystemState target, PowerAction action, long? wakeAfter)
    {
        if (target is <= SystemState.Working or > SystemState.Shutdown) return STATUS_INVALID_PARAMETER;
        if (_isChanging || State != SystemState.Working) return STATUS_ALREADY_COMMITTED;
        _isChanging = true;
        try
        {
            (Action, Context) = ((uint)action, ContextOf(target, State));
            return target == SystemState.Shutdown ? TurnOff() : Sleep(target, wakeAfter);
        }
        finally
        {
            (Action, Context) = (0, ContextOf(State, State));
            _isChanging = false;
        }
    }

    NtStatus TurnOff()
    {
        nt.Io.Shutdown();
        TellAll(nt.Pnp.PowerLevels(), SystemState.Shutdown, childrenFirst: true);
        State = SystemState.Shutdown;
        nt.Computer.LosePower();
        return STATUS_SUCCESS;
    }

    NtStatus Sleep(SystemState target, long? wakeAfter)
    {
        Notify(isWorking: false);
        IReadOnlyList<IReadOnlyList<DeviceNode>> levels = nt.Pnp.PowerLevels();
        NtStatus status = AskAll(levels, target);
        if (status.IsSuccess)
        {
            nt.Po.Settings.Set(PowerSettings.Display, 0);
            nt.Po.Settings.Set(PowerSettings.MonitorOn, 0);
            TellAll(levels, target, childrenFirst: true);
            (State, LastSleepTime) = (target, nt.Ke.Clock.Now);
            StayAsleep(target, wakeAfter);
            (State, LastWakeTime) = (SystemState.Working, nt.Ke.Clock.Now);
            LastUsed = nt.Ke.Clock.Now;
            Context = ContextOf(SystemState.Working, target);
            TellAll(levels, SystemState.Working, childrenFirst: false);
            nt.Po.Settings.Set(PowerSettings.Display, 1);
            nt.Po.Settings.Set(PowerSettings.MonitorOn, 1);
        }
        Notify(isWorking: true);
        return status;
    }

    // Drivers that lock code in memory for the time without disks listen to it.
    void Notify(bool isWorking)
    {
        if (nt.Ob.Lookup(CallbackName, out NtObject? found, out _).IsSuccess && found is not null)
            nt.Ex.ExNotifyCallback(found.Body, new Va(LockCallback), new Va(isWorking ? 1UL : 0));
    }

    /// <summary>Asks each device in turn. If one refuses, all who were asked hear that the system stays in
    /// S0.</summary>
    NtStatus AskAll(IReadOnlyList<IReadOnlyList<DeviceNode>> levels, SystemState target)
    {
        List<DeviceNode> asked = [];
        NtStatus result = STATUS_SUCCESS;
        foreach (IReadOnlyList<DeviceNode> level in levels.Reverse())
        {
            foreach (DeviceNode node in level)
            {
                asked.Add(node);
                result = Send([node], PowerRequest.QueryPower, target);
                if (!result.IsSuccess) break;
            }
            if (!result.IsSuccess) break;
        }
        if (result.IsSuccess) return result;
        asked.Reverse();
        foreach (DeviceNode node in asked) Send([node], PowerRequest.SetPower, SystemState.Working);
        return result;
    }

    // What a driver says to this is not heard: it is told, not asked.
    void TellAll(IReadOnlyList<IReadOnlyList<DeviceNode>> levels, SystemState state, bool childrenFirst)
    {
        foreach (IReadOnlyList<DeviceNode> level in childrenFirst ? levels.Reverse() : levels)
            Send(level, PowerRequest.SetPower, state);
    }

    /// <summary>Sends an IRP to several devices at once, and waits until all are complete.</summary>
    /// <returns>The first failure.</returns>
    NtStatus Send(IReadOnlyList<DeviceNode> nodes, byte minor, SystemState state)
    {
        nodes = [.. nodes.Where(n => n.IsStarted)];
        if (nodes.Count == 0) return STATUS_SUCCESS;
        KEvent done = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, EventTag));
        done.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        int left = nodes.Count;
        NtStatus result = STATUS_SUCCESS;
        var request = new PowerRequest(minor, IsDevice: false, (uint)state, Context, Action, (status, _) =>
        {
            if (result.IsSuccess && !status.Status.IsSuccess) result = status.Status;
            if (--left == 0) nt.Ke.KeSetEvent(done, 0, false);
        });
        foreach (PowerIrp irp in nodes.Select(n => nt.Po.Irps.Make(n.PhysicalDevice, request)).ToArray())
            nt.Po.Irps.Submit(irp);
        nt.Ke.WaitFor([done.Header], all: false, deadline: null);
        nt.Mm.Pool.Free(done.Address);
        return result;
    }
}
