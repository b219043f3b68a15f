using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Dispatcher objects, timers, queues and APCs, called from C#.</summary>
public sealed class KeObjectTests
{
    static Va Block(TestMachine m, int bytes) =>
        m.Nt.Mm.Pool.Allocate((ulong)bytes, PoolKind.NonPaged, 0x74736574, Va.Null, zero: true);

    static Va Time(TestMachine m, long ticks)
    {
        Va at = Block(m, 8);
        m.Nt.Memory.Write(at, ticks);
        return at;
    }

    /// <summary>A thread of C#, ended when the action returns.</summary>
    static KThread Start(TestMachine m, Action action) =>
        m.Nt.Ps.StartThread("test", m.Nt.Routines.Add("test", (_, _) => action()), Va.Null).Object;

    static void Join(TestMachine m, KThread thread) =>
        Assert.Equal(STATUS_SUCCESS, m.Nt.KeWaitForSingleObject(thread.Header, 0, 0, false, Va.Null));

    [Fact]
    [Rule("11.11", Hypothesis = true)]
    public void A_mutant_that_its_thread_leaves_behind_is_abandoned()
    {
        using var m = new TestMachine();
        KMutant mutant = KMutant.At(m.Nt.Memory, Block(m, KMutant.Size));
        m.Nt.KeInitializeMutant(mutant, false);
        KThread thread = Start(m, () => m.Nt.KeWaitForSingleObject(mutant.Header, 0, 0, false, Va.Null));
        m.Nt.Ob.Reference(m.Nt.Ob.At(thread.Address));
        Join(m, thread);
        Assert.Equal(STATUS_ABANDONED, m.Nt.KeWaitForMutexObject(mutant.Header, 0, 0, false, Va.Null));
        Assert.Equal(0, m.Nt.KeReadStateMutex(mutant));
        Assert.Equal(0, m.Nt.KeReleaseMutant(mutant, 0, false, false));
    }

    [Fact]
    public void A_mutant_belongs_to_its_owner_alone()
    {
        using var m = new TestMachine();
        KMutant mutant = KMutant.At(m.Nt.Memory, Block(m, KMutant.Size));
        m.Nt.KeInitializeMutant(mutant, true);
        KThread thread = Start(m, () =>
        {
            var refused = Assert.Throws<GuestException>(() => m.Nt.KeReleaseMutant(mutant, 0, false, false));
            Assert.Equal(STATUS_MUTANT_NOT_OWNED.Value, refused.Record.Code);
        });
        m.Nt.Ob.Reference(m.Nt.Ob.At(thread.Address));
        Join(m, thread);
    }

    [Fact]
    public void A_thread_that_ends_with_a_kernel_mutex_stops_the_machine()
    {
        using var m = new TestMachine();
        KMutant mutex = KMutant.At(m.Nt.Memory, Block(m, KMutant.Size));
        m.Nt.KeInitializeMutex(mutex, 0);
        Start(m, () => m.Nt.KeWaitForSingleObject(mutex.Header, 0, 0, false, Va.Null));
        BugCheck stop = Assert.Throws<BugCheck>(m.Nt.User.RunUntilIdle);
        Assert.Equal(BugCheckCode.THREAD_TERMINATE_HELD_MUTEX, stop.Code);
    }

    [Fact]
    public void An_object_that_is_freed_while_a_thread_waits_for_it_is_found_when_the_wait_ends()
    {
        using var m = new TestMachine();
        KEvent never = KEvent.At(m.Nt.Memory, Block(m, KEvent.Size));
        m.Nt.KeInitializeEvent(never, 0, false);
        Va timeout = Time(m, -10_000);
        Start(m, () => m.Nt.KeWaitForSingleObject(never.Header, 0, 0, false, timeout));
        Start(m, () => m.Nt.ExFreePoolWithTag(never.Address, 0));
        BugCheck stop = Assert.Throws<BugCheck>(m.Nt.User.RunUntilIdle);
        Assert.Equal(BugCheckCode.PAGE_FAULT_IN_FREED_SPECIAL_POOL, stop.Code);
    }

    [Fact]
    [Rule("9.8")]
    public void A_timer_that_is_freed_while_it_is_set_is_found_when_it_is_due()
    {
        using var m = new TestMachine();
        KTimer timer = KTimer.At(m.Nt.Memory, Block(m, KTimer.Size));
        m.Nt.KeInitializeTimer(timer);
        m.Nt.KeSetCoalescableTimer(timer, -10_000, 0, 5, KDpc.At(m.Nt.Memory, Va.Null));
        m.Nt.ExFreePoolWithTag(timer.Address, 0);
        BugCheck stop = Assert.Throws<BugCheck>(m.Nt.User.RunUntilIdle);
        Assert.Equal(BugCheckCode.PAGE_FAULT_IN_FREED_SPECIAL_POOL, stop.Code);
    }

    [Fact]
    public void A_DPC_that_is_freed_while_it_is_queued_is_found_when_its_turn_comes()
    {
        using var m = new TestMachine();
        KDpc dpc = KDpc.At(m.Nt.Memory, Block(m, KDpc.Size));
        m.Nt.KeInitializeDpc(dpc, m.Nt.Routines.Add("dpc", (_, _) => { }), Va.Null);
        m.Nt.KeSetImportanceDpc(dpc, 0);
        Assert.True(m.Nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null));
        m.Nt.ExFreePoolWithTag(dpc.Address, 0);
        BugCheck stop = Assert.Throws<BugCheck>(m.Nt.User.RunUntilIdle);
        Assert.Equal(BugCheckCode.PAGE_FAULT_IN_FREED_SPECIAL_POOL, stop.Code);
    }

    [Fact]
    public void A_queue_gives_entries_in_order_and_several_at_once()
    {
        using var m = new TestMachine();
        KQueue queue = KQueue.At(m.Nt.Memory, Block(m, KQueue.Size));
        ListEntry[] entries = [.. Enumerable.Range(0, 4).Select(_ => ListEntry.At(m.Nt.Memory, Block(m, 16)))];
        m.Nt.KeInitializeQueue(queue, 0);
        Assert.Equal(0, m.Nt.KeInsertQueue(queue, entries[0]));
        Assert.Equal(1, m.Nt.KeInsertQueue(queue, entries[1]));
        Assert.Equal(2, m.Nt.KeInsertHeadQueue(queue, entries[2]));
        Assert.Equal(3, m.Nt.KeReadStateQueue(queue));
        Assert.Equal(entries[2].Address, m.Nt.KeRemoveQueue(queue, 0, Va.Null));
        Va array = Block(m, 64);
        Assert.Equal(2u, m.Nt.KeRemoveQueueEx(queue, 0, false, Va.Null, array, 8));
        Assert.Equal(entries[0].Address, m.Nt.Memory.Read<Va>(array));
        Assert.Equal(entries[1].Address, m.Nt.Memory.Read<Va>(array + 8));
        Assert.Equal(STATUS_TIMEOUT.Value, m.Nt.KeRemoveQueueEx(queue, 0, false, Time(m, -100), array, 8));
        m.Nt.KeInsertQueue(queue, entries[3]);
        Assert.Equal(entries[3], m.Nt.KeRundownQueue(queue));
    }

    [Fact]
    [Rule("11.5")]
    public void A_user_APC_ends_an_alertable_wait_and_runs_on_the_way_back()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        var ran = new List<string>();
        KApc apc = KApc.At(nt.Memory, Block(m, KApc.Size));
        Va kernelRoutine = nt.Routines.Add("kernel", (n, _) => ran.Add($"kernel at {n.CurrentIrql}"));
        Va normalRoutine = nt.Routines.Add("normal", (n, c) => ran.Add($"normal {c.Argument(0)} at {n.CurrentIrql}"));
        KThread me = nt.KeGetCurrentThread();
        nt.KeInitializeApc(apc, me, 0, kernelRoutine, Va.Null, normalRoutine, 1, new Va(42));
        Start(m, () => Assert.True(nt.KeInsertQueueApc(apc, Va.Null, Va.Null, 0)));
        NtStatus status = nt.User.AsUser(() => nt.KeDelayExecutionThread(1, true, Time(m, -1_000_000)));
        Assert.Equal(STATUS_USER_APC, status);
        Assert.Equal(["kernel at APC_LEVEL", "normal 42 at PASSIVE_LEVEL"], ran);
    }

    [Fact]
    public void A_queued_APC_can_be_taken_back()
    {
        using var m = new TestMachine();
        KApc apc = KApc.At(m.Nt.Memory, Block(m, KApc.Size));
        m.Nt.KeInitializeApc(apc, m.Nt.KeGetCurrentThread(), 0, Va.Null, Va.Null, new Va(0x1000), 1, Va.Null);
        Assert.False(m.Nt.KeRemoveQueueApc(apc));
        Assert.True(m.Nt.KeInsertQueueApc(apc, Va.Null, Va.Null, 0));
        Assert.False(m.Nt.KeInsertQueueApc(apc, Va.Null, Va.Null, 0));
        Assert.True(m.Nt.KeRemoveQueueApc(apc));
    }

    [Fact]
    public void An_EX_timer_calls_back_each_period_and_can_be_waited_for()
    {
        using var m = new TestMachine();
        int calls = 0;
        Va callback = m.Nt.Routines.Add("callback", (_, call) => calls += (int)call.Argument(1));
        ExTimer timer = m.Nt.ExAllocateTimer(callback, new Va(1), 0);
        Assert.False(m.Nt.ExSetTimer(timer, -5_000, 2_500, Va.Null));
        m.Nt.KeDelayExecutionThread(0, false, Time(m, -10_100));
        Assert.Equal(3, calls);
        Assert.True(m.Nt.ExCancelTimer(timer, Va.Null));
        m.Nt.ExSetTimer(timer, -500, 0, Va.Null);
        Assert.Equal(STATUS_SUCCESS, m.Nt.KeWaitForSingleObject(timer.Timer.Header, 0, 0, false, Va.Null));
        Assert.False(m.Nt.ExDeleteTimer(timer, true, true, Va.Null));
        Assert.Throws<BugCheck>(() => m.Nt.ExSetTimer(timer, -500, 0, Va.Null));
    }

    [Fact]
    public void Clocks_agree_and_advance_with_a_stall()
    {
        using var m = new TestMachine();
        Va frequency = Block(m, 8), time = Block(m, 8), stamp = Block(m, 8);
        long before = m.Nt.KeQueryPerformanceCounter(frequency);
        Assert.Equal(10_000_000, m.Nt.Memory.Read<long>(frequency));
        m.Nt.KeStallExecutionProcessor(100);
        Assert.InRange(m.Nt.KeQueryPerformanceCounter(Va.Null) - before, 1000, 1100);
        Assert.Equal(156_250u, m.Nt.KeQueryTimeIncrement());
        ulong interrupt = m.Nt.KeQueryInterruptTimePrecise(stamp);
        Assert.Equal(interrupt, m.Nt.KeQueryUnbiasedInterruptTime());
        Assert.Equal(interrupt, m.Nt.KeQueryUnbiasedInterruptTimePrecise(stamp));
        Assert.Equal(interrupt, m.Nt.Memory.Read<ulong>(stamp));
        m.Nt.KeQuerySystemTimePrecise(time);
        DateTime now = DateTime.FromFileTimeUtc(m.Nt.Memory.Read<long>(time));
        Assert.Equal((2024, 1), (now.Year, now.Month));
    }

    [Fact]
    public void Work_queued_twice_is_found_and_workers_keep_their_level()
    {
        using var m = new TestMachine();
        WorkQueueItem item = WorkQueueItem.At(m.Nt.Memory, Block(m, WorkQueueItem.Size));
        int ran = 0;
        item.WorkerRoutine = m.Nt.Routines.Add("work", (_, _) => ran++);
        m.Nt.ExQueueWorkItem(item, 0);
        BugCheck twice = Assert.Throws<BugCheck>(() => m.Nt.ExQueueWorkItem(item, 0));
        Assert.Equal(BugCheckCode.WORKER_INVALID, twice.Code);
        m.Nt.User.RunUntilIdle();
        m.Nt.ExQueueWorkItem(item, 33);
        m.Nt.User.RunUntilIdle();
        Assert.Equal(2, ran);
        Assert.Throws<BugCheck>(() => m.Nt.ExQueueWorkItem(item, 1000));
        item.WorkerRoutine = m.Nt.Routines.Add("raise", (nt, _) => nt.KeRaiseIrqlToDpcLevel());
        m.Nt.ExQueueWorkItem(item, 1);
        BugCheck level = Assert.Throws<BugCheck>(m.Nt.User.RunUntilIdle);
        Assert.Equal(BugCheckCode.WORKER_THREAD_RETURNED_AT_BAD_IRQL, level.Code);
    }

    [Fact]
    public void A_work_item_in_the_drivers_own_memory_works_like_one_of_the_systems()
    {
        using var m = new TestMachine();
        Va item = Block(m, (int)m.Nt.IoSizeofWorkItem()), device = m.Device(m.Driver(), "").Address;
        var seen = new List<ulong>();
        Va routine = m.Nt.Routines.Add(
            "work", (_, call) => seen.AddRange([call.Argument(0), call.Argument(1), call.Argument(2)]));
        m.Nt.IoInitializeWorkItem(device, item);
        m.Nt.IoQueueWorkItemEx(item, routine, 1, new Va(7));
        m.Nt.User.RunUntilIdle();
        Assert.Equal([device.Value, 7, item.Value], seen);
        m.Nt.IoUninitializeWorkItem(item);
        Assert.Throws<BugCheck>(() => m.Nt.IoQueueWorkItemEx(item, routine, 1, Va.Null));
    }

    [Fact]
    public void An_alert_ends_an_alertable_wait_or_the_next_one()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        KThread me = nt.KeGetCurrentThread();
        Va second = Time(m, -10_000_000);
        Start(m, () => Assert.False(nt.KeAlertThread(me, 0)));
        Assert.Equal(STATUS_ALERTED, nt.KeDelayExecutionThread(0, true, second));
        Assert.False(nt.KeAlertThread(me, 1));
        Assert.True(nt.KeAlertThread(me, 1));
        Assert.Equal(STATUS_SUCCESS, nt.KeDelayExecutionThread(0, true, Time(m, -10)));
        Assert.Equal(STATUS_ALERTED, nt.KeDelayExecutionThread(1, true, second));
        Assert.False(nt.KeTestAlertThread(1));
        nt.KeAlertThread(me, 0);
        Assert.True(nt.KeTestAlertThread(0));
    }

    [Fact]
    public void A_gate_lets_one_through_at_a_time()
    {
        using var m = new TestMachine();
        KGate gate = KGate.At(m.Nt.Memory, Block(m, KGate.Size));
        int passed = 0;
        m.Nt.KeInitializeGate(gate);
        for (int i = 0; i < 3; i++)
        {
            Start(m, () =>
            {
                m.Nt.KeWaitForGate(gate, 0, 0);
                passed++;
            });
        }
        m.Nt.User.RunUntilIdle();
        Assert.Equal(0, passed);
        for (int i = 1; i <= 3; i++)
        {
            m.Nt.KeSignalGateBoostPriority(gate);
            m.Nt.User.RunUntilIdle();
            Assert.Equal(i, passed);
        }
    }

    [Fact]
    public void Queued_spin_locks_are_known_by_their_numbers()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va old = Block(m, 1), handle = Block(m, 0x18), own = Block(m, 8);
        Irql before = nt.KeAcquireQueuedSpinLock(1);
        Assert.Equal(0u, nt.KeTryToAcquireQueuedSpinLock(1, old));
        Assert.Equal(1u, nt.KeTryToAcquireQueuedSpinLock(2, old));
        nt.KeReleaseQueuedSpinLock(2, Irql.DISPATCH_LEVEL);
        nt.KeReleaseQueuedSpinLock(1, before);
        before = nt.KeAcquireQueuedSpinLockRaiseToSynch(7);
        Assert.Equal((Irql)12, nt.CurrentIrql);
        nt.KeReleaseQueuedSpinLock(7, before);
        Assert.Equal(1u, nt.KeTryToAcquireQueuedSpinLockRaiseToSynch(3, old));
        nt.KeReleaseQueuedSpinLock(3, Irql.PASSIVE_LEVEL);
        nt.KeAcquireInStackQueuedSpinLockRaiseToSynch(own, handle);
        nt.KeReleaseInStackQueuedSpinLockFromDpcLevel(handle);
        nt.KeLowerIrql(Irql.PASSIVE_LEVEL);
        Assert.Throws<BugCheck>(() => nt.KeAcquireQueuedSpinLock(17));
    }
}
