using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>DPCs and dispatcher objects, as the rules of the documents have them.</summary>
public sealed class KeRuleTests
{
    [Fact, Rule("9.1"), Rule("9.6")]
    public void A_DPC_is_queued_once_keeps_its_first_arguments_and_can_be_taken_back()
    {
        using var m = new TestMachine();
        var seen = new List<ulong>();
        KDpc dpc = KDpc.At(m.Nt.Memory, m.Block(KDpc.Size));
        m.Nt.KeInitializeDpc(dpc, m.Routine(call =>
        {
            seen.Add(call.Argument(2));
            return 0;
        }), Va.Null);
        Irql old = m.Nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        Assert.True(m.Nt.KeInsertQueueDpc(dpc, new(1), Va.Null));
        Assert.False(m.Nt.KeInsertQueueDpc(dpc, new(2), Va.Null));
        Assert.True(m.Nt.KeRemoveQueueDpc(dpc));
        Assert.False(m.Nt.KeRemoveQueueDpc(dpc));
        Assert.True(m.Nt.KeInsertQueueDpc(dpc, new(3), Va.Null));
        Assert.False(m.Nt.KeInsertQueueDpc(dpc, new(4), Va.Null));
        m.Nt.Ke.Lower(old);
        m.RunOthers();
        Assert.Equal([3UL], seen);
    }

    [Fact, Rule("9.5")]
    public void Flushing_waits_for_the_DPCs_that_are_queued()
    {
        using var m = new TestMachine();
        bool ran = false;
        KDpc dpc = KDpc.At(m.Nt.Memory, m.Block(KDpc.Size));
        m.Nt.KeInitializeDpc(dpc, m.Routine(_ =>
        {
            ran = true;
            return 0;
        }), Va.Null);
        m.Nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null);
        m.Nt.KeFlushQueuedDpcs();
        Assert.True(ran);
    }

    [Fact, Rule("11.8")]
    public void A_notification_event_stays_signaled_and_a_synchronization_event_lets_one_through()
    {
        using var m = new TestMachine();
        foreach (uint type in (uint[])[0, 1])
        {
            KEvent made = KEvent.At(m.Nt.Memory, m.Block(KEvent.Size));
            m.Nt.KeInitializeEvent(made, type, false);
            int through = 0;
            for (int i = 0; i < 3; i++)
                m.Thread(() =>
                {
                    m.WaitFor(made);
                    through++;
                });
            m.RunOthers();
            m.Nt.KeSetEvent(made, 0, false);
            m.RunOthers();
            Assert.Equal(type == 0 ? (3, 1) : (1, 0), (through, made.SignalState));
            if (type == 0) continue;
            m.Nt.KePulseEvent(made, 0, false);
            m.RunOthers();
            Assert.Equal((2, 0), (through, made.SignalState));
        }
    }

    [Fact, Rule("11.9")]
    public void A_semaphore_counts_up_to_its_limit()
    {
        using var m = new TestMachine();
        KSemaphore made = KSemaphore.At(m.Nt.Memory, m.Block(KSemaphore.Size));
        m.Nt.KeInitializeSemaphore(made, 1, 2);
        Assert.Equal(1, m.Nt.KeReleaseSemaphore(made, 0, 1, false));
        Assert.Equal(STATUS_SEMAPHORE_LIMIT_EXCEEDED.Value,
            Assert.Throws<GuestException>(() => m.Nt.KeReleaseSemaphore(made, 0, 1, false)).Record.Code);
        Va poll = m.Variable(0);
        NtStatus Wait() => m.Nt.KeWaitForSingleObject(made.Header, 0, 0, false, poll);
        Assert.Equal([STATUS_SUCCESS, STATUS_SUCCESS, STATUS_TIMEOUT], [Wait(), Wait(), Wait()]);
    }
}
