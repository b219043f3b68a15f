using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Who runs, what interrupts whom, and what ends where: the dispatcher's corners.</summary>
public sealed class SchedulerTests
{
    const uint Tag = 0x74736574;

    static TestMachine Machine(int processors) => new(new KernelOptions { Processors = processors });

    static Va Block(TestMachine m, int bytes, PoolKind kind = PoolKind.NonPaged) =>
        m.Nt.Mm.Pool.Allocate((ulong)bytes, kind, Tag, Va.Null, zero: true);

    static Va Routine(TestMachine m, Action action) => m.Nt.Routines.Add("test", (_, _) => action());

    static Va Time(TestMachine m, long ticks)
    {
        Va at = Block(m, 8);
        m.Nt.Memory.Write(at, ticks);
        return at;
    }

    static void Sleep(TestMachine m, long ticks) => m.Nt.KeDelayExecutionThread(0, false, Time(m, -ticks));

    static KEvent Event(TestMachine m)
    {
        KEvent made = KEvent.At(m.Nt.Memory, Block(m, KEvent.Size));
        m.Nt.KeInitializeEvent(made, 1, false);
        return made;
    }

    static KDpc Dpc(TestMachine m, Action action, bool threaded = false)
    {
        KDpc dpc = KDpc.At(m.Nt.Memory, Block(m, KDpc.Size));
        if (threaded) m.Nt.KeInitializeThreadedDpc(dpc, Routine(m, action), Va.Null);
        else m.Nt.KeInitializeDpc(dpc, Routine(m, action), Va.Null);
        return dpc;
    }

    static NtStatus Wait(TestMachine m, DispatcherHeader header) =>
        m.Nt.KeWaitForSingleObject(header, 0, 0, false, Va.Null);

    static KThread Start(TestMachine m, Action action, ulong affinity = ulong.MaxValue)
    {
        NtThread thread = m.Nt.Ps.StartThread("test", Routine(m, action), Va.Null);
        m.Nt.Ke.Scheduler.Change(thread, () => thread.Affinity = affinity);
        m.Nt.Ob.Reference(m.Nt.Ob.At(thread.Object.Address));
        return thread.Object;
    }

    static Va Code(TestMachine m, params byte[] code)
    {
        Va at = new(0xFFFF_F8A0_0000_0000);
        m.Nt.Memory.Map(at, Va.PageSize, Protection.ReadWrite | Protection.Execute);
        m.Nt.Memory.Write(at, code);
        return at;
    }

    [Theory, InlineData(1), InlineData(2)]
    public void Flushing_DPCs_waits_for_threaded_ones_of_the_same_processor(int processors)
    {
        using TestMachine m = Machine(processors);
        bool ran = false;
        m.Nt.KeInsertQueueDpc(Dpc(m, () => ran = true, threaded: true),
            Va.Null, Va.Null);
        m.Nt.KeFlushQueuedDpcs();
        Assert.True(ran);
    }

    [Theory, InlineData(0), InlineData(1)]
    [Rule("9.11")]
    public void A_DPC_that_waits_stops_the_machine_even_at_a_low_IRQL(byte processor)
    {
        using TestMachine m = Machine(2);
        KEvent never = Event(m);
        KDpc dpc = Dpc(m, () =>
        {
            m.Nt.KeLowerIrql(PASSIVE_LEVEL);
            Wait(m, never.Header);
        });
        m.Nt.KeSetTargetProcessorDpc(dpc, processor);
        BugCheck stop = Assert.Throws<BugCheck>(() =>
        {
            m.Nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null);
            Sleep(m, 1000);
        });
        Assert.Equal(BugCheckCode.ATTEMPTED_SWITCH_FROM_DPC, stop.Code);
    }

    [Fact]
    public void A_DPC_that_ends_its_thread_stops_the_machine()
    {
        using TestMachine m = Machine(1);
        KDpc dpc = Dpc(m, () =>
        {
            m.Nt.KeLowerIrql(PASSIVE_LEVEL);
            m.Nt.PsTerminateSystemThread(STATUS_SUCCESS);
        });
        KThread thread = Start(m, () => m.Nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null));
        BugCheck stop = Assert.Throws<BugCheck>(() => { Wait(m, thread.Header); });
        Assert.Equal(BugCheckCode.ATTEMPTED_SWITCH_FROM_DPC, stop.Code);
    }

    [Theory, InlineData(2), InlineData(4)]
    public void Broadcasts_of_several_processors_follow_each_other(int processors)
    {
        using TestMachine m = Machine(processors);
        int calls = 0;
        Va broadcast = Routine(m, () => calls++);
        KThread[] threads = [.. Enumerable.Range(0, processors)
            .Select(i => Start(m, () => m.Nt.KeIpiGenericCall(broadcast, 0), 1UL << i))];
        foreach (KThread thread in threads) Wait(m, thread.Header);
        Assert.Equal(processors * processors, calls);
    }

    [Fact]
    public void A_thread_that_ends_leaves_its_place_in_a_queue()
    {
        using TestMachine m = Machine(1);
        KQueue queue = KQueue.At(m.Nt.Memory, Block(m, KQueue.Size));
        m.Nt.KeInitializeQueue(queue, 1);
        for (int i = 0; i < 2; i++) m.Nt.KeInsertQueue(queue, ListEntry.At(m.Nt.Memory, Block(m, 16)));
        for (int i = 0; i < 2; i++) Wait(m, Start(m, () => m.Nt.KeRemoveQueue(queue, 0, Va.Null)).Header);
        Assert.Equal((0u, 0), (queue.CurrentCount, m.Nt.KeReadStateQueue(queue)));
    }

    [Fact]
    public void The_last_thread_that_came_to_a_queue_is_the_first_to_get_an_entry()
    {
        using TestMachine m = Machine(1);
        KQueue queue = KQueue.At(m.Nt.Memory, Block(m, KQueue.Size));
        m.Nt.KeInitializeQueue(queue, 4);
        var order = new List<int>();
        KThread[] threads = [.. Enumerable.Range(0, 3).Select(i => Start(m, () =>
        {
            m.Nt.KeRemoveQueue(queue, 0, Va.Null);
            order.Add(i);
        }))];
        Sleep(m, 1000);
        for (int i = 0; i < 3; i++)
        {
            m.Nt.KeInsertQueue(queue, ListEntry.At(m.Nt.Memory, Block(m, 16)));
            Sleep(m, 1000);
        }
        Assert.Equal([2, 1, 0], order);
    }

    [Fact]
    public void A_timer_fires_while_a_processor_stalls()
    {
        using TestMachine m = Machine(1);
        bool fired = false;
        KTimer timer = KTimer.At(m.Nt.Memory, Block(m, KTimer.Size));
        m.Nt.KeInitializeTimer(timer);
        m.Nt.KeSetTimer(timer, -10_000, Dpc(m, () => fired = true));
        int stalls = 0;
        for (; !fired && stalls < 1000; stalls++) m.Nt.KeStallExecutionProcessor(10);
        Assert.InRange(stalls, 99, 101);
    }

    [Fact]
    public void A_work_item_that_ends_its_worker_does_not_end_the_queue()
    {
        using TestMachine m = Machine(1);
        KEvent done = Event(m);
        Va[] routines = [Routine(m, () => m.Nt.PsTerminateSystemThread(STATUS_SUCCESS)),
            Routine(m, () => m.Nt.KeSetEvent(done, 0, false))];
        foreach (Va routine in routines)
        {
            WorkQueueItem item = WorkQueueItem.At(m.Nt.Memory, Block(m, WorkQueueItem.Size));
            item.WorkerRoutine = routine;
            m.Nt.ExQueueWorkItem(item, 1);
        }
        Assert.Equal(STATUS_SUCCESS, Wait(m, done.Header));
    }

    [Fact]
    public void An_APC_for_an_idle_thread_is_refused()
    {
        using TestMachine m = Machine(2);
        bool? inserted = null;
        KApc apc = KApc.At(m.Nt.Memory, Block(m, KApc.Size));
        Va nothing = Routine(m, () => { });
        KDpc dpc = Dpc(m, () =>
        {
            m.Nt.KeInitializeApc(apc, m.Nt.KeGetCurrentThread(), 0, nothing, Va.Null, Va.Null, 0, Va.Null);
            inserted = m.Nt.KeInsertQueueApc(apc, Va.Null, Va.Null, 0);
        });
        m.Nt.KeSetTargetProcessorDpc(dpc, 1);
        m.Nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null);
        m.Nt.KeFlushQueuedDpcs();
        Assert.False(inserted);
    }

    [Fact]
    public void A_machine_that_another_thread_has_stopped_stays_stopped()
    {
        using TestMachine m = Machine(1);
        KThread thread = Start(m, () => m.Nt.KeBugCheck(0x1234));
        for (int i = 0; i < 2; i++)
            Assert.Equal(0x1234, (int)Assert.Throws<BugCheck>(() => { Wait(m, thread.Header); }).Code);
    }

    /// <summary>The thread's start routine is the export itself: it waits without a stack of the host's.</summary>
    [Fact]
    public void A_parked_wait_whose_object_an_APC_frees_ends_in_the_drivers_bug_check()
    {
        using TestMachine m = Machine(1);
        Va freed = Block(m, KEvent.Size);
        m.Nt.KeInitializeEvent(KEvent.At(m.Nt.Memory, freed), 1, false);
        KThread thread = m.Nt.Ps.StartThread(
            "parked", m.Nt.Loader.FindExport("KeWaitForSingleObject"), freed).Object;
        Sleep(m, 1000);
        KApc apc = KApc.At(m.Nt.Memory, Block(m, KApc.Size));
        Va free = Routine(m, () => m.Nt.ExFreePoolWithTag(freed, Tag));
        m.Nt.KeInitializeApc(apc, thread, 0, free, Va.Null, Va.Null, 0, Va.Null);
        Assert.True(m.Nt.KeInsertQueueApc(apc, Va.Null, Va.Null, 0));
        BugCheck stop = Assert.Throws<BugCheck>(() => Sleep(m, 1000));
        Assert.Equal(BugCheckCode.PAGE_FAULT_IN_FREED_SPECIAL_POOL, stop.Code);
    }

    [Fact]
    public void A_DPC_for_another_processor_comes_before_more_of_its_threads_code()
    {
        using TestMachine m = Machine(2);
        // inc qword [rcx]; jmp
        Va loop = Code(m, 0x48, 0xFF, 0x01, 0xEB, 0xFB), count = Block(m, 8);
        NtThread spins = m.Nt.Ps.StartThread("spins", loop, count);
        m.Nt.Ke.Scheduler.Change(spins, () => spins.Affinity = 2);
        m.Nt.KeSetSystemAffinityThread(1);
        Sleep(m, 10_000);
        long before = m.Nt.Memory.Read<long>(count), at = 0;
        KDpc dpc = Dpc(m, () => at = m.Nt.Memory.Read<long>(count));
        m.Nt.KeSetTargetProcessorDpc(dpc, 1);
        m.Nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null);
        Sleep(m, 10_000);
        Assert.Equal((true, before), (before > 0, at));
        Assert.True(m.Nt.Memory.Read<long>(count) > at);
    }

    [Fact]
    public void A_timer_in_the_far_future_does_not_cut_slices_short()
    {
        RecordingSchedule? recorded = null;
        using var m = new TestMachine(new KernelOptions
        {
            Schedule = _ => recorded = new RecordingSchedule(new RoundRobinSchedule()),
        });
        KTimer timer = KTimer.At(m.Nt.Memory, Block(m, KTimer.Size));
        m.Nt.KeInitializeTimer(timer);
        m.Nt.KeSetTimer(timer, -(1L << 58), KDpc.At(m.Nt.Memory, Va.Null));
        // mov ecx, 500000; dec ecx; jnz; ret
        m.Nt.Routines.Call(Code(m, 0xB9, 0x20, 0xA1, 7, 0, 0xFF, 0xC9, 0x75, 0xFC, 0xC3));
        Assert.InRange(recorded!.Decisions.Count, 5, 100);
    }

    [Fact]
    public void Nothing_interrupts_code_that_has_cleared_the_interrupt_flag()
    {
        using TestMachine m = Machine(1);
        bool ran = false, early = false;
        KDpc dpc = Dpc(m, () => ran = true);
        Va inside = Routine(m, () =>
        {
            m.Nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null);
            early = ran;
        });
        // sub rsp, 28h; cli; call rcx; sti; add rsp, 28h; ret
        m.Nt.Routines.Call(
            Code(m, 0x48, 0x83, 0xEC, 0x28, 0xFA, 0xFF, 0xD1, 0xFB, 0x48, 0x83, 0xC4, 0x28, 0xC3), inside.Value);
        Assert.Equal((true, false), (ran, early));
    }

    [Fact]
    public void Raising_the_IRQL_by_CR8_takes_paged_memory_away()
    {
        using TestMachine m = Machine(1);
        Va paged = Block(m, 8, PoolKind.Paged);
        // mov rax, [rcx]; mov rdx, 2; mov cr8, rdx; mov rax, [rcx]; ret
        Va code = Code(m, 0x48, 0x8B, 1, 0x48, 0xC7, 0xC2, 2, 0, 0, 0, 0x44, 0x0F, 0x22, 0xC2, 0x48, 0x8B, 1, 0xC3);
        BugCheck stop = Assert.Throws<BugCheck>(() => { m.Nt.Routines.Call(code, paged.Value); });
        Assert.Equal(BugCheckCode.DRIVER_IRQL_NOT_LESS_OR_EQUAL, stop.Code);
    }

    [Fact]
    public void A_ring_of_threaded_DPCs_ends_in_time()
    {
        using TestMachine m = Machine(1);
        KDpc dpc = Dpc(m, () => { }, threaded: true);
        m.Nt.BeginRequest();
        Irql old = m.Nt.KeRaiseIrqlToDpcLevel();
        for (int i = 0; i < 2; i++)
        {
            m.Nt.KeInitializeThreadedDpc(dpc, dpc.DeferredRoutine, Va.Null);
            m.Nt.KeSetImportanceDpc(dpc, 2);
            m.Nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null);
        }
        Assert.Throws<BugCheck>(() => m.Nt.KeLowerIrql(old));
    }

    [Fact]
    public void A_mutex_may_be_taken_so_often_and_not_more()
    {
        using TestMachine m = Machine(1);
        KMutant mutex = KMutant.At(m.Nt.Memory, Block(m, KMutant.Size));
        m.Nt.KeInitializeMutex(mutex, 0);
        Wait(m, mutex.Header);
        mutex.SignalState = int.MinValue + 1;
        Assert.Equal(STATUS_SUCCESS, Wait(m, mutex.Header));
        Assert.Throws<GuestException>(() => { Wait(m, mutex.Header); });
        Assert.Equal(int.MinValue, mutex.Header.SignalState);
    }
}
