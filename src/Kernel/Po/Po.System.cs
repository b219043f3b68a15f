using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The state of the whole system.</summary>
sealed partial class Po
{
    const uint EventTag = 0x7645_6F50;

    public SystemPower System { get; } = new(nt);

    /// <summary>Has a system worker bring the system into another state, and waits until that is done: until it is
    /// awake again. At PASSIVE_LEVEL.</summary>
    public NtStatus SetSystemState(SystemState state, PowerAction? action = null, long? wakeAfter = null)
    {
        NtStatus result = STATUS_PENDING;
        KEvent done = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, EventTag));
        done.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        nt.Ex.PoolOf(Wdm.CriticalWorkQueue).Queue(() =>
        {
            result = System.Change(state, action ?? UsualAction(state), wakeAfter);
            nt.Ke.KeSetEvent(done, 0, false);
        });
        nt.Ke.WaitFor([done.Header], all: false, deadline: null);
        nt.Mm.Pool.Free(done.Address);
        return result;
    }

    static PowerAction UsualAction(SystemState state) => state switch
    {
        SystemState.Hibernate => PowerAction.Hibernate,
        SystemState.Shutdown => PowerAction.ShutdownOff,
        _ => PowerAction.Sleep,
    };
}
