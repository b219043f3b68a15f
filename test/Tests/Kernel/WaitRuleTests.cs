using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Waits for dispatcher objects, and work items, as the rules of the documents have them.</summary>
public sealed class WaitRuleTests
{
    static KEvent Event(TestMachine m, bool state, uint type = 1)
    {
        KEvent made = KEvent.At(m.Nt.Memory, m.Block(KEvent.Size));
        m.Nt.KeInitializeEvent(made, type, state);
        return made;
    }

    static NtStatus Wait(TestMachine m, bool all, bool hasBlocks, params ReadOnlySpan<Va> objects)
    {
        Va list = m.Block(objects.Length * 8), blocks = hasBlocks ? m.Block(objects.Length * KWaitBlock.Size) : Va.Null;
        for (int i = 0; i < objects.Length; i++) m.Nt.Memory.Write(list + i * 8, objects[i]);
        return m.Nt.KeWaitForMultipleObjects(
            (uint)objects.Length, list, all ? 0u : 1, 0, 0, false, m.Variable(0), blocks);
    }

    [Fact, Rule("11.1"), Rule("11.3")]
    public void A_wait_says_which_object_ended_it_the_lowest_first()
    {
        using var m = new TestMachine();
        KEvent a = Event(m, false), b = Event(m, true), c = Event(m, true);
        Assert.Equal(STATUS_TIMEOUT, Wait(m, all: false, false, a.Address));
        for (uint expected = 1; expected <= 2; expected++)
            Assert.Equal(expected, Wait(m, all: false, false, a.Address, b.Address, c.Address).Value);
        Assert.Equal(STATUS_TIMEOUT, Wait(m, all: false, false, a.Address, b.Address, c.Address));
        m.Nt.KeSetEvent(a, 0, false);
        Assert.Equal(STATUS_SUCCESS, m.Nt.KeWaitForSingleObject(a.Header, 0, 0, false, m.Variable(0)));
    }

    [Fact, Rule("11.3")]
    public void A_wait_for_all_takes_all_at_once_or_nothing()
    {
        using var m = new TestMachine();
        KEvent a = Event(m, true), b = Event(m, false);
        Assert.Equal(STATUS_TIMEOUT, Wait(m, all: true, false, a.Address, b.Address));
        Assert.Equal((1, 0), (a.SignalState, b.SignalState));
        m.Nt.KeSetEvent(b, 0, false);
        Assert.Equal(STATUS_SUCCESS, Wait(m, all: true, false, a.Address, b.Address));
        Assert.Equal((0, 0), (a.SignalState, b.SignalState));
    }

    [Fact, Rule("11.1")]
    public void An_abandoned_mutex_is_told_from_0x80_on()
    {
        using var m = new TestMachine();
        KMutant mutant = KMutant.At(m.Nt.Memory, m.Block(KMutant.Size));
        foreach (bool all in (bool[])[false, true])
        {
            m.Nt.KeInitializeMutant(mutant, false);
            m.Thread(() => m.Nt.KeWaitForSingleObject(mutant.Header, 0, 0, false, Va.Null));
            m.RunOthers();
            KEvent other = Event(m, all);
            Assert.Equal(all ? 0x80u : 0x81, Wait(m, all, false, other.Address, mutant.Address).Value);
            // The second time it is a mutex as any other.
            Assert.Equal(0u, Wait(m, all: false, false, mutant.Address).Value);
            m.Nt.KeReleaseMutant(mutant, 0, false, false);
            m.Nt.KeReleaseMutant(mutant, 0, false, false);
        }
    }

    [Fact, Rule("11.1")]
    public void Alerts_and_user_APCs_have_codes_of_their_own()
    {
        using var m = new TestMachine();
        KEvent never = Event(m, false);
        m.Nt.KeAlertThread(m.Nt.KeGetCurrentThread(), 0);
        Assert.Equal(0x101u, m.Nt.KeWaitForSingleObject(never.Header, 0, 0, true, Va.Null).Value);
        KApc apc = KApc.At(m.Nt.Memory, m.Block(KApc.Size));
        m.Nt.KeInitializeApc(
            apc, m.Nt.KeGetCurrentThread(), 0, m.Routine(_ => 0), Va.Null, m.Routine(_ => 0), 1, Va.Null);
        m.Nt.KeInsertQueueApc(apc, Va.Null, Va.Null, 0);
        Assert.Equal(0xC0u, m.AsUser(() => m.Nt.KeWaitForSingleObject(never.Header, 0, 1, true, Va.Null)).Value);
    }

    [Theory, Rule("11.4")]
    [InlineData(3, false, true), InlineData(4, false, false), InlineData(4, true, true), InlineData(64, true, true)]
    [InlineData(65, true, false)]
    public void Three_objects_need_no_array_of_wait_blocks_and_more_than_64_are_never_allowed(
        int count, bool hasBlocks, bool may)
    {
        using var m = new TestMachine();
        Va[] objects = [.. Enumerable.Range(0, count).Select(i => Event(m, i == count - 1).Address)];
        if (may) Assert.Equal((uint)count - 1, Wait(m, all: false, hasBlocks, objects).Value);
        else
            Assert.Equal(BugCheckCode.MAXIMUM_WAIT_OBJECTS_EXCEEDED,
                Assert.Throws<BugCheck>(() => Wait(m, all: false, hasBlocks, objects)).Code);
    }

    [Theory, Rule("11.6"), InlineData((byte)0, false), InlineData((byte)1, true)]
    public void A_kernel_mutex_is_waited_for_in_kernel_mode(byte mode, bool isFound)
    {
        using var m = new TestMachine();
        KMutant mutex = KMutant.At(m.Nt.Memory, m.Block(KMutant.Size));
        m.Nt.KeInitializeMutex(mutex, 0);
        Va list = m.Block(16);
        m.Nt.Memory.Write(list, Event(m, true).Address);
        m.Nt.Memory.Write(list + 8, mutex.Address);
        m.Nt.KeWaitForMultipleObjects(2, list, 0, 0, mode, false, Va.Null, Va.Null);
        m.Nt.KeReleaseMutex(mutex, false);
        if (isFound) m.Found("mutex of KeInitializeMutex");
        else Assert.Empty(m.Findings);
    }

    /// <summary>Waits for an event on its stack.</summary>
    sealed class Waiter(byte mode) : NtDriver
    {
        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            KEvent local = Local<KEvent>();
            Nt.KeInitializeEvent(local, 0, true);
            return Nt.KeWaitForSingleObject(local.Header, 0, mode, false, Va.Null);
        }
    }

    [Theory, Rule("11.7"), InlineData((byte)0, false), InlineData((byte)1, true)]
    public void An_object_on_the_stack_is_waited_for_in_kernel_mode(byte mode, bool isFound)
    {
        using var m = new TestMachine();
        Assert.Equal(STATUS_SUCCESS, m.Load(new Waiter(mode)).EntryStatus);
        if (isFound) m.Found("0xC4/0x123");
        else Assert.Empty(m.Findings);
    }

    [Fact, Rule("11.10")]
    public void Threads_processes_timers_and_files_are_signaled_when_they_are_done()
    {
        using var m = new TestMachine();
        bool ended = false;
        KEvent go = Event(m, false);
        KThread thread = m.Nt.Ps.StartThread("test", m.Nt.Routines.Add("test", (_, _) =>
        {
            m.WaitFor(go);
            ended = true;
        }), Va.Null).Object;
        m.Nt.Ob.Reference(m.Nt.Ob.At(thread.Address));
        NtStatus Poll(DispatcherHeader header) => m.Nt.KeWaitForSingleObject(header, 0, 0, false, m.Variable(0));
        m.RunOthers();
        Assert.Equal(STATUS_TIMEOUT, Poll(thread.Header));
        m.Nt.KeSetEvent(go, 0, false);
        Assert.Equal(STATUS_SUCCESS, m.Nt.KeWaitForSingleObject(thread.Header, 0, 0, false, Va.Null));
        Assert.True(ended);
        Assert.Equal(STATUS_SUCCESS, Poll(thread.Header));

        Assert.Equal(STATUS_SUCCESS, m.Nt.Ps.CreateUserProcess("ends", out NtProcess? process));
        Handle handle = m.Nt.Ob.Open(m.Nt.Ob.At(process!.Object.Address), 0x1F_FFFF, kernelHandle: true);
        Assert.Equal(STATUS_TIMEOUT, m.Nt.ZwWaitForSingleObject(handle, false, m.Variable(0)));
        m.Nt.ZwTerminateProcess(handle, STATUS_SUCCESS);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwWaitForSingleObject(handle, false, m.Variable(0)));

        var keeper = new Keeper(m);
        Handle file = m.OpenFile(keeper.Path, options: 0);
        m.Nt.ZwReadFile(file, default, Va.Null, Va.Null, m.Block(16), m.Block(8), 8, m.Variable(0), Va.Null);
        Assert.Equal(STATUS_TIMEOUT, m.Nt.ZwWaitForSingleObject(file, false, m.Variable(0)));
        keeper.Complete();
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwWaitForSingleObject(file, false, m.Variable(0)));
    }

    [Theory, Rule("12.2"), InlineData(false), InlineData(true)]
    public void A_work_item_lies_in_memory_that_is_not_paged_out(bool isPaged)
    {
        using var m = new TestMachine();
        int ran = 0;
        WorkQueueItem item = WorkQueueItem.At(m.Nt.Memory, m.Nt.Mm.Pool.Allocate((ulong)WorkQueueItem.Size,
            isPaged ? PoolKind.Paged : PoolKind.NonPaged, GuestBlocks.Tag, Va.Null, zero: true));
        item.WorkerRoutine = m.Routine(_ => (ulong)++ran);
        m.Nt.ExQueueWorkItem(item, 1);
        m.RunOthers();
        Assert.Equal(1, ran);
        if (isPaged) m.Found("0xC4/0x130");
        else Assert.Empty(m.Findings);
    }
}
