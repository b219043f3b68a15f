using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>IRQLs, DPCs, APCs, timers and spin locks, as the rules of the documents have them.</summary>
public sealed class IrqlRuleTests
{
    static KDpc Dpc(TestMachine m, Action action, bool isThreaded = true)
    {
        KDpc dpc = KDpc.At(m.Nt.Memory, m.Block(KDpc.Size));
        Va routine = m.Routine(_ =>
        {
            action();
            return 0;
        });
        if (isThreaded) m.Nt.KeInitializeThreadedDpc(dpc, routine, Va.Null);
        else m.Nt.KeInitializeDpc(dpc, routine, Va.Null);
        return dpc;
    }

    [Fact, Rule("9.4")]
    public void A_threaded_DPC_runs_at_PASSIVE_LEVEL_in_a_thread_and_an_important_one_first()
    {
        using var m = new TestMachine();
        var order = new List<int>();
        KThread me = m.Nt.KeGetCurrentThread();
        for (int i = 0; i < 3; i++)
        {
            int which = i;
            KDpc dpc = Dpc(m, () =>
            {
                Assert.Equal(Irql.PASSIVE_LEVEL, m.Nt.Ke.Irql);
                Assert.NotEqual(me, m.Nt.KeGetCurrentThread());
                order.Add(which);
            });
            if (which == 2) m.Nt.KeSetImportanceDpc(dpc, 2);
            Assert.True(m.Nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null));
        }
        Assert.Empty(order);
        m.RunOthers();
        Assert.Equal([2, 0, 1], order);
    }

    [Fact, Rule("9.7")]
    public void A_timer_is_set_once_at_a_time_fires_when_due_and_calls_its_DPC()
    {
        using var m = new TestMachine();
        var fired = new List<long>();
        KTimer timer = KTimer.At(m.Nt.Memory, m.Block(KTimer.Size));
        m.Nt.KeInitializeTimer(timer);
        KDpc dpc = Dpc(m, () => fired.Add(m.Nt.Ke.Clock.Now), isThreaded: false);
        long start = m.Nt.Ke.Clock.Now;
        Assert.False(m.Nt.KeSetTimer(timer, -1_000_000, dpc));
        // Set anew, the time before is forgotten.
        Assert.True(m.Nt.KeSetTimer(timer, -100_000, dpc));
        Assert.False(m.Nt.KeReadStateTimer(timer));
        m.RunOthers();
        Assert.True(m.Nt.KeReadStateTimer(timer));
        Assert.InRange(Assert.Single(fired) - start, 100_000, 300_000);
        Assert.False(m.Nt.KeCancelTimer(timer));
        // Not negative is a time since 1601: one that is over fires at once.
        Assert.False(m.Nt.KeSetTimer(timer, 1, dpc));
        m.RunOthers();
        Assert.Equal(2, fired.Count);
        Assert.False(m.Nt.KeSetTimer(timer, m.Nt.Ke.Clock.SystemTime + 200_000, dpc));
        start = m.Nt.Ke.Clock.Now;
        m.RunOthers();
        Assert.InRange(fired[2] - start, 200_000, 400_000);
        Assert.False(m.Nt.KeSetTimer(timer, -100_000, dpc));
        Assert.True(m.Nt.KeCancelTimer(timer));
        m.RunOthers();
        Assert.Equal(3, fired.Count);
    }

    [Fact, Rule("9.7")]
    public void A_periodic_timer_fires_each_period_of_milliseconds()
    {
        using var m = new TestMachine();
        int fired = 0;
        KTimer timer = KTimer.At(m.Nt.Memory, m.Block(KTimer.Size));
        m.Nt.KeInitializeTimer(timer);
        m.Nt.KeSetTimerEx(timer, -10_000, 20, Dpc(m, () => fired++, isThreaded: false));
        m.Nt.KeDelayExecutionThread(0, false, m.Variable(unchecked((ulong)-1_100_000L)));
        Assert.InRange(fired, 5, 6);
        Assert.True(m.Nt.KeCancelTimer(timer));
    }

    [Theory, Rule("9.7"), InlineData(0u, 3), InlineData(1u, 1)]
    public void A_notification_timer_wakes_all_and_a_synchronization_timer_one(uint type, int woken)
    {
        using var m = new TestMachine();
        KTimer timer = KTimer.At(m.Nt.Memory, m.Block(KTimer.Size));
        m.Nt.KeInitializeTimerEx(timer, type);
        int through = 0;
        for (int i = 0; i < 3; i++)
            m.Thread(() =>
            {
                m.Nt.KeWaitForSingleObject(timer.Header, 0, 0, false, Va.Null);
                through++;
            });
        m.Nt.KeSetTimer(timer, -100_000, KDpc.At(m.Nt.Memory, Va.Null));
        m.RunOthers();
        Assert.Equal((woken, type == 0), (through, m.Nt.KeReadStateTimer(timer)));
    }

    enum Kind { Special, Normal, User }

    /// <summary>Queues an APC of each kind to the current thread; returns what has run.</summary>
    static List<string> QueueAll(TestMachine m)
    {
        var ran = new List<string>();
        foreach (Kind kind in (Kind[])[Kind.Special, Kind.Normal, Kind.User])
        {
            KApc apc = KApc.At(m.Nt.Memory, m.Block(KApc.Size));
            Va kernel = m.Routine(_ =>
            {
                ran.Add($"{kind} {m.Nt.Ke.Irql}");
                return 0;
            }), normal = kind == Kind.Special ? Va.Null : m.Routine(_ =>
            {
                ran.Add($"{kind} {m.Nt.Ke.Irql}");
                return 0;
            });
            m.Nt.KeInitializeApc(
                apc, m.Nt.KeGetCurrentThread(), 0, kernel, Va.Null, normal, (byte)(kind == Kind.User ? 1 : 0), Va.Null);
            Assert.True(m.Nt.KeInsertQueueApc(apc, Va.Null, Va.Null, 0));
        }
        return ran;
    }

    static readonly string[] s_special = ["Special APC_LEVEL"],
        s_normal = ["Normal APC_LEVEL", "Normal PASSIVE_LEVEL"], s_user = ["User APC_LEVEL", "User PASSIVE_LEVEL"];

    [Fact, Rule("9.9")]
    public void Kernel_APCs_run_at_once_and_user_APCs_in_alertable_waits_of_user_mode()
    {
        using var m = new TestMachine();
        List<string> ran = QueueAll(m);
        Assert.Equal([.. s_special, .. s_normal], ran);
        ran.Clear();
        Va brief = m.Variable(unchecked((ulong)-10_000L));
        Assert.Equal(STATUS_SUCCESS, m.Nt.KeDelayExecutionThread(1, false, brief));
        Assert.Empty(ran);
        // Alertable in kernel mode, the wait ends, and the APC does not run.
        m.Nt.KeDelayExecutionThread(0, true, brief);
        Assert.Empty(ran);
        Assert.Equal(STATUS_USER_APC, m.AsUser(() => m.Nt.KeDelayExecutionThread(1, true, brief)));
        Assert.Equal(s_user, ran);
    }

    [Fact, Rule("9.9"), Rule("9.10")]
    public void Regions_mutexes_and_the_IRQL_keep_APCs_away_and_nest()
    {
        using var m = new TestMachine();
        KMutant mutex = KMutant.At(m.Nt.Memory, m.Block(KMutant.Size));
        m.Nt.KeInitializeMutex(mutex, 0);
        (Action Enter, Action Leave, bool AllAreOff)[] ways =
        [
            (m.Nt.KeEnterCriticalRegion, m.Nt.KeLeaveCriticalRegion, false),
            (m.Nt.KeEnterGuardedRegion, m.Nt.KeLeaveGuardedRegion, true),
            (() => m.Nt.KeWaitForSingleObject(mutex.Header, 0, 0, false, Va.Null),
                () => m.Nt.KeReleaseMutex(mutex, false), false),
        ];
        foreach ((Action enter, Action leave, bool allAreOff) in ways)
        {
            enter();
            enter();
            List<string> ran = QueueAll(m);
            string[] inside = allAreOff ? [] : s_special;
            Assert.Equal(inside, ran);
            Assert.Equal((true, allAreOff), (m.Nt.KeAreApcsDisabled(), m.Nt.KeAreAllApcsDisabled()));
            leave();
            Assert.Equal(inside, ran);
            leave();
            Assert.Equal([.. s_special, .. s_normal], ran);
            Assert.False(m.Nt.KeAreApcsDisabled());
        }
        Irql old = m.Nt.KfRaiseIrql(Irql.APC_LEVEL);
        List<string> raised = QueueAll(m);
        Assert.Equal((0, true), (raised.Count, m.Nt.KeAreAllApcsDisabled()));
        m.Nt.KeLowerIrql(old);
        Assert.Equal([.. s_special, .. s_normal], raised);
    }

    [Fact, Rule("9.10")]
    public void A_region_that_is_not_left_stops_the_machine_at_the_end_of_the_service_or_the_thread()
    {
        using var m = new TestMachine();
        m.Dispatching("Region", (_, irp) =>
        {
            if (irp.CurrentStackLocation.MajorFunction == IrpMajor.IRP_MJ_READ) m.Nt.KeEnterCriticalRegion();
            return m.Complete(irp, STATUS_SUCCESS);
        });
        UserFile file = m.Open(@"\Device\Region");
        var stop = Assert.Throws<BugCheck>(() => file.Read(8));
        Assert.Equal(BugCheckCode.APC_INDEX_MISMATCH, stop.Code);
        using var n = new TestMachine();
        n.Thread(n.Nt.KeEnterCriticalRegion);
        stop = Assert.Throws<BugCheck>(n.RunOthers);
        Assert.Equal(BugCheckCode.KERNEL_APC_PENDING_DURING_EXIT, stop.Code);
    }

    [Fact, Rule("9.12")]
    public void The_IRQL_is_not_raised_down_nor_lowered_up()
    {
        using var m = new TestMachine();
        Irql old = m.Nt.KfRaiseIrql(Irql.DISPATCH_LEVEL);
        Assert.Equal(Irql.DISPATCH_LEVEL, m.Nt.KfRaiseIrql(Irql.DISPATCH_LEVEL));
        var stop = Assert.Throws<BugCheck>(() => m.Nt.KfRaiseIrql(Irql.APC_LEVEL));
        Assert.Equal(BugCheckCode.IRQL_NOT_GREATER_OR_EQUAL, stop.Code);
        using var n = new TestMachine();
        stop = Assert.Throws<BugCheck>(() => n.Nt.KeLowerIrql(Irql.APC_LEVEL));
        Assert.Equal((BugCheckCode.IRQL_NOT_LESS_OR_EQUAL, Irql.PASSIVE_LEVEL), (stop.Code, old));
    }

    [Fact, Rule("9.13")]
    public void Who_signals_and_waits_next_is_at_a_raised_IRQL_until_it_waits()
    {
        using var m = new TestMachine();
        KEvent first = m.NewEvent(), second = m.NewEvent();
        KSemaphore semaphore = KSemaphore.At(m.Nt.Memory, m.Block(KSemaphore.Size));
        m.Nt.KeInitializeSemaphore(semaphore, 0, 9);
        KMutant mutex = KMutant.At(m.Nt.Memory, m.Block(KMutant.Size));
        m.Nt.KeInitializeMutex(mutex, 0);
        int woken = 0;
        m.Thread(() =>
        {
            m.WaitFor(first);
            woken++;
            m.Nt.KeSetEvent(second, 0, false);
        });
        m.RunOthers();
        Action[] signals =
        [
            () => m.Nt.KeSetEvent(first, 0, true), () => m.Nt.KeReleaseSemaphore(semaphore, 0, 1, true),
            () => m.Nt.KeReleaseMutex(mutex, true), () => m.Nt.KePulseEvent(first, 0, true),
        ];
        foreach (Action signal in signals)
        {
            m.Nt.KeWaitForSingleObject(mutex.Header, 0, 0, false, Va.Null);
            signal();
            Assert.Equal(Irql.DISPATCH_LEVEL, m.Nt.Ke.Irql);
            // Nobody has run in between.
            if (signal == signals[0]) Assert.Equal(0, woken);
            Assert.Equal(STATUS_SUCCESS, m.WaitFor(second));
            Assert.Equal((Irql.PASSIVE_LEVEL, 1), (m.Nt.Ke.Irql, woken));
            if (mutex.Header.SignalState < 1) m.Nt.KeReleaseMutex(mutex, false);
        }
        Assert.Empty(m.Findings);
    }

    [Fact, Rule("10.3")]
    public void Spin_locks_for_DPCs_work_in_both_kinds_and_those_at_DPC_level_in_one()
    {
        using var m = new TestMachine();
        Va spinLock = m.Block(8), handle = m.Block(0x18);
        var seen = new List<(Irql, Irql)>();
        void Use()
        {
            Irql before = m.Nt.Ke.Irql, old = m.Nt.KeAcquireSpinLockForDpc(spinLock);
            Assert.Equal(before, old);
            seen.Add((before, m.Nt.Ke.Irql));
            m.Nt.KeReleaseSpinLockForDpc(spinLock, old);
            m.Nt.KeAcquireInStackQueuedSpinLockForDpc(spinLock, handle);
            Assert.False(m.Nt.KeTestSpinLock(spinLock));
            m.Nt.KeReleaseInStackQueuedSpinLockForDpc(handle);
            Assert.Equal(before, m.Nt.Ke.Irql);
        }
        m.Nt.KeInsertQueueDpc(Dpc(m, Use, isThreaded: false), Va.Null, Va.Null);
        m.Nt.KeInsertQueueDpc(Dpc(m, Use), Va.Null, Va.Null);
        m.RunOthers();
        Assert.Equal([(Irql.DISPATCH_LEVEL, Irql.DISPATCH_LEVEL), (Irql.PASSIVE_LEVEL, Irql.DISPATCH_LEVEL)], seen);
        Assert.Empty(m.Findings);
        m.Nt.KeInsertQueueDpc(Dpc(m, () =>
        {
            m.Nt.KeAcquireSpinLockAtDpcLevel(spinLock);
            m.Nt.KeReleaseSpinLockFromDpcLevel(spinLock);
        }), Va.Null, Va.Null);
        m.RunOthers();
        Assert.Contains(m.Findings, f => f.Message.Contains("KeAcquireSpinLockAtDpcLevel was called at IRQL PASSIVE"));
    }

    [Fact, Rule("10.4")]
    public void A_list_under_a_lock_that_its_own_processor_holds_is_a_deadlock()
    {
        using var m = new TestMachine();
        Va spinLock = m.Block(8);
        ListEntry head = ListEntry.At(m.Nt.Memory, m.Block(16)), entry = ListEntry.At(m.Nt.Memory, m.Block(16));
        head.Initialize();
        m.Nt.KeAcquireSpinLockRaiseToDpc(spinLock);
        Assert.ThrowsAny<MachineStop>(() => m.Nt.ExInterlockedInsertHeadList(head, entry, spinLock));
        Assert.True(head.IsEmpty);
    }
}
