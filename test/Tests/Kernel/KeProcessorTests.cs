using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Processors, IRQL, spin locks, stacks, registers and bug check callbacks, called from C#.</summary>
public sealed class KeProcessorTests
{
    static TestMachine Machine(int processors) => new(new KernelOptions { Processors = processors });

    static Va Block(TestMachine m, int bytes) =>
        m.Nt.Mm.Pool.Allocate((ulong)bytes, PoolKind.NonPaged, 0x74736574, Va.Null, zero: true);

    [Theory, InlineData(1), InlineData(6), InlineData(64)]
    public void All_that_counts_processors_agrees(int count)
    {
        using TestMachine m = Machine(count);
        NtKernel nt = m.Nt;
        ulong mask = ulong.MaxValue >> (64 - count);
        Va affinity = Block(m, 16), number = Block(m, 4), nodes = Block(m, 2);
        Assert.Equal(mask, nt.KeQueryActiveProcessors());
        Assert.Equal(mask, nt.KeQueryGroupAffinity(0));
        Assert.Equal(0UL, nt.KeQueryGroupAffinity(1));
        uint[] counts = [nt.KeQueryMaximumProcessorCount(), nt.KeQueryMaximumProcessorCountEx(0xFFFF),
            nt.KeQueryActiveProcessorCountEx(0), nt.KeQueryNodeMaximumProcessorCount(0)];
        Assert.All(counts, n => Assert.Equal((uint)count, n));
        Assert.Equal((1, 1, 0, 0), (nt.KeQueryActiveGroupCount(), nt.KeQueryMaximumGroupCount(),
            nt.KeQueryHighestNodeNumber(), nt.KeGetCurrentNodeNumber()));
        nt.KeQueryNodeActiveAffinity(0, affinity, nodes);
        Assert.Equal((mask, (ushort)count), (nt.Memory.Read<ulong>(affinity), nt.Memory.Read<ushort>(nodes)));
        Assert.Equal(STATUS_SUCCESS, nt.KeGetProcessorNumberFromIndex((uint)count - 1, number));
        Assert.Equal((uint)count - 1, nt.KeGetProcessorIndexFromNumber(number));
        Assert.Equal(STATUS_INVALID_PARAMETER, nt.KeGetProcessorNumberFromIndex((uint)count, number));
    }

    [Fact]
    public void The_topology_has_a_core_for_each_processor()
    {
        using TestMachine m = Machine(4);
        Va length = Block(m, 4), area = Block(m, 1024), none = Va.Null;
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, m.Nt.KeQueryLogicalProcessorRelationship(none, 0xFFFF, area, length));
        m.Nt.Memory.Write(length, 1024);
        Assert.Equal(STATUS_SUCCESS, m.Nt.KeQueryLogicalProcessorRelationship(none, 0xFFFF, area, length));
        int bytes = m.Nt.Memory.Read<int>(length), cores = 0;
        for (int at = 0; at < bytes; at += m.Nt.Memory.Read<int>(area + at + 4))
            if (m.Nt.Memory.Read<int>(area + at) == 0) cores++;
        Assert.Equal(4, cores);
    }

    [Fact]
    public void A_thread_moves_to_the_processors_that_its_affinity_names()
    {
        using TestMachine m = Machine(4);
        NtKernel nt = m.Nt;
        Va affinity = Block(m, 16), before = Block(m, 16);
        Assert.Equal(0UL, nt.KeSetSystemAffinityThreadEx(4));
        Assert.Equal(2u, nt.KeGetCurrentProcessorNumberEx(Va.Null));
        Assert.Equal(4UL, nt.KeSetSystemAffinityThreadEx(8));
        Assert.Equal(3u, nt.KeGetCurrentProcessorNumberEx(Va.Null));
        nt.KeRevertToUserAffinityThreadEx(0);
        nt.Memory.Write(affinity, 2UL);
        nt.KeSetSystemGroupAffinityThread(affinity, before);
        Assert.Equal(1u, nt.KeGetCurrentProcessorNumberEx(Va.Null));
        nt.KeRevertToUserGroupAffinityThread(before);
        nt.KeSetSystemAffinityThread(1);
        Assert.Equal(0u, nt.KeGetCurrentProcessorNumberEx(Va.Null));
        nt.KeRevertToUserAffinityThread();
        Assert.Equal(0UL, nt.KeSetSystemAffinityThreadEx(1));
    }

    [Fact]
    public void Base_priorities_stay_in_their_range()
    {
        using TestMachine m = Machine(1);
        KThread thread = m.Nt.KeGetCurrentThread();
        Assert.Equal(0, m.Nt.KeSetBasePriorityThread(thread, 3));
        Assert.Equal(11, m.Nt.KeQueryPriorityThread(thread));
        Assert.Equal(3, m.Nt.KeSetBasePriorityThread(thread, 1000));
        Assert.Equal(15, m.Nt.KeQueryPriorityThread(thread));
    }

    [Fact]
    [Rule("9.2")]
    public void A_targeted_DPC_runs_on_its_processor()
    {
        using TestMachine m = Machine(3);
        NtKernel nt = m.Nt;
        uint ran = 99, inDpc = 0;
        KDpc dpc = KDpc.At(nt.Memory, Block(m, KDpc.Size));
        Va number = Block(m, 4);
        nt.KeInitializeDpc(dpc, nt.Routines.Add("dpc", (n, _) =>
            (ran, inDpc) = (n.KeGetCurrentProcessorNumberEx(Va.Null), n.KeIsExecutingDpc())), Va.Null);
        nt.Memory.Write(number, 2u << 16);
        Assert.Equal(STATUS_SUCCESS, nt.KeSetTargetProcessorDpcEx(dpc, number));
        nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null);
        nt.KeFlushQueuedDpcs();
        Assert.Equal((2u, 1u, 0u), (ran, inDpc, nt.KeIsExecutingDpc()));
        nt.Memory.Write(number, 3u << 16);
        Assert.Equal(STATUS_INVALID_PARAMETER, nt.KeSetTargetProcessorDpcEx(dpc, number));
    }

    [Fact]
    [Rule("10.1")]
    public void Every_way_of_taking_a_spin_lock_raises_and_gives_back()
    {
        using TestMachine m = Machine(1);
        NtKernel nt = m.Nt;
        Va spinLock = Block(m, 8), handle = Block(m, 0x18);
        nt.KeInitializeSpinLock(spinLock);
        Irql old = nt.KeAcquireSpinLockForDpc(spinLock);
        Assert.Equal((PASSIVE_LEVEL, DISPATCH_LEVEL, false), (old, nt.CurrentIrql, nt.KeTestSpinLock(spinLock)));
        Assert.False(nt.KeTryToAcquireSpinLockAtDpcLevel(spinLock));
        nt.KeReleaseSpinLockForDpc(spinLock, old);
        nt.KeAcquireInStackQueuedSpinLockForDpc(spinLock, handle);
        nt.KeReleaseInStackQueuedSpinLockForDpc(handle);
        Assert.Equal(PASSIVE_LEVEL, nt.CurrentIrql);
        old = nt.KeAcquireSpinLockRaiseToDpc(spinLock);
        nt.KeReleaseSpinLockFromDpcLevel(spinLock);
        nt.KeAcquireInStackQueuedSpinLockAtDpcLevel(spinLock, handle);
        nt.KeReleaseInStackQueuedSpinLockFromDpcLevel(handle);
        Assert.True(nt.KeTryToAcquireSpinLockAtDpcLevel(spinLock));
        nt.KeReleaseSpinLockFromDpcLevel(spinLock);
        nt.KfLowerIrql(old);
        Assert.Equal(PASSIVE_LEVEL, nt.CurrentIrql);
        Assert.Empty(m.Findings);
    }

    [Fact]
    [Rule("10.6")]
    public void An_interrupt_object_synchronizes_at_its_level()
    {
        using TestMachine m = Machine(1);
        NtKernel nt = m.Nt;
        Va made = Block(m, 8);
        Irql seen = default;
        Va routine = nt.Routines.Add("synchronize", (n, call) =>
        {
            seen = n.CurrentIrql;
            call.Return(1);
        });
        Assert.Equal(STATUS_SUCCESS, nt.IoConnectInterrupt(made, routine, Va.Null, Va.Null, 0x51, (Irql)5, (Irql)7, 0,
            true, 1, false));
        KInterrupt interrupt = KInterrupt.At(nt.Memory, nt.Memory.Read<Va>(made));
        Assert.True(nt.KeSynchronizeExecution(interrupt, routine, Va.Null));
        Assert.Equal((Irql)7, seen);
        Irql old = nt.KeAcquireInterruptSpinLock(interrupt);
        Assert.Equal((Irql)7, nt.CurrentIrql);
        nt.KeReleaseInterruptSpinLock(interrupt, old);
        nt.IoDisconnectInterrupt(interrupt);
    }

    [Fact]
    public void The_stack_is_as_large_as_it_says_and_an_expansion_is_larger()
    {
        using TestMachine m = Machine(1);
        NtKernel nt = m.Nt;
        Va low = Block(m, 8), high = Block(m, 8);
        nt.IoGetStackLimits(low, high);
        Va start = nt.Memory.Read<Va>(low), end = nt.Memory.Read<Va>(high);
        Assert.Equal(0x6000UL, end - start);
        Assert.InRange(nt.IoGetRemainingStackSize(), 0x1000UL, 0x6000UL);
        Assert.True(nt.IoWithinStackLimits(start, 0x6000));
        Assert.False(nt.IoWithinStackLimits(start, 0x6001));
        ulong inside = 0;
        Va callout = nt.Routines.Add("callout", (n, _) => inside = n.IoGetRemainingStackSize());
        Assert.Equal(STATUS_SUCCESS, nt.KeExpandKernelStackAndCalloutEx(callout, Va.Null, 0x8000, false, Va.Null));
        Assert.InRange(inside, 0x8000UL, 0x12000UL);
        Assert.True(nt.KeSetKernelStackSwapEnable(false));
        Assert.False(nt.KeSetKernelStackSwapEnable(true));
    }

    [Fact]
    public unsafe void Saved_registers_come_back()
    {
        using TestMachine m = Machine(1);
        NtKernel nt = m.Nt;
        Va area = Block(m, 0x30), control = Block(m, 4);
        var vector = new Span<byte>(nt.Cpu.State->Vector, 512);
        vector.Fill(0x5A);
        Assert.Equal(STATUS_SUCCESS, nt.KeSaveExtendedProcessorState(4, area));
        Assert.Equal(STATUS_SUCCESS, nt.KeSaveFloatingPointState(control));
        vector.Clear();
        nt.Cpu.State->Mxcsr = 0;
        Assert.Equal(STATUS_SUCCESS, nt.KeRestoreFloatingPointState(control));
        Assert.Equal(0x1F80u, nt.Cpu.State->Mxcsr);
        nt.KeRestoreExtendedProcessorState(area);
        Assert.True(vector.IndexOfAnyExcept((byte)0x5A) < 0);
        Assert.Throws<BugCheck>(() => nt.KeRestoreExtendedProcessorState(area));
        Assert.True(nt.KeInvalidateAllCaches());
        nt.KeInvalidateRangeAllCaches(area, 16);
        Assert.Equal(64u, nt.KeGetRecommendedSharedDataAlignment());
    }

    [Fact]
    public void Processor_callbacks_are_told_of_those_that_are_there_and_may_refuse()
    {
        using TestMachine m = Machine(2);
        var seen = new List<(uint State, uint Number)>();
        Va routine = m.Nt.Routines.Add("change", (n, call) => seen.Add(
            (n.Memory.Read<uint>(new Va(call.Argument(1))), n.Memory.Read<uint>(new Va(call.Argument(1)) + 4))));
        Va handle = m.Nt.KeRegisterProcessorChangeCallback(routine, Va.Null, 1);
        Assert.Equal([(0u, 0u), (0u, 1u), (1u, 0u), (1u, 1u)], seen);
        m.Nt.KeDeregisterProcessorChangeCallback(handle);
        Va refuse = m.Nt.Routines.Add("refuse", (n, call) =>
            n.Memory.Write(new Va(call.Argument(2)), STATUS_UNSUCCESSFUL.Value));
        Assert.True(m.Nt.KeRegisterProcessorChangeCallback(refuse, Va.Null, 1).IsNull);
        Va nmi = m.Nt.KeRegisterNmiCallback(routine, Va.Null);
        Assert.Equal(STATUS_SUCCESS, m.Nt.KeDeregisterNmiCallback(nmi));
        Assert.Equal(STATUS_INVALID_HANDLE, m.Nt.KeDeregisterNmiCallback(nmi));
    }

    [Fact]
    public void Bug_check_callbacks_say_their_last_words_in_the_report()
    {
        using TestMachine m = Machine(1);
        NtKernel nt = m.Nt;
        Va record = Block(m, 0x40), reason = Block(m, 0x30), buffer = Block(m, 16), name = Block(m, 16);
        nt.Memory.Write(name, "Tester\0"u8);
        Va say = nt.Routines.Add("say", (n, call) => n.Memory.Write(new Va(call.Argument(0)), 0x1122_3344));
        Va dump = nt.Routines.Add("dump", (n, call) =>
        {
            n.Memory.Write(new Va(call.Argument(2)) + 0x20, buffer);
            n.Memory.Write(new Va(call.Argument(2)) + 0x28, 4u);
        });
        var first = KBugCheckCallbackRecord.At(nt.Memory, record);
        var second = KBugCheckReasonCallbackRecord.At(nt.Memory, reason);
        Assert.True(nt.KeRegisterBugCheckCallback(first, say, buffer, 16, name));
        Assert.False(nt.KeRegisterBugCheckCallback(first, say, buffer, 16, name));
        Assert.True(nt.KeRegisterBugCheckReasonCallback(second, dump, 2, name));
        Assert.True(nt.KeDeregisterBugCheckReasonCallback(second));
        Assert.True(nt.KeRegisterBugCheckReasonCallback(second, dump, 2, name));
        BugCheck stop = Assert.Throws<BugCheck>(() => nt.User.AsUser(() =>
        {
            nt.KeBugCheck(0xE2);
            return STATUS_SUCCESS;
        }));
        Assert.Equal(2, stop.Report!.Callbacks.Count);
        Assert.All(stop.Report.Callbacks, c => Assert.Equal("Tester", c.Component));
        Assert.Equal(0x1122_3344, BitConverter.ToInt32(stop.Report.Callbacks[1].Data));
        Assert.Equal(0xE2UL, nt.Memory.Read<ulong>(nt.Loader.FindExport("KiBugCheckData")));
        Assert.False(nt.KeDeregisterBugCheckCallback(first));
    }

    [Fact]
    public void A_spin_lock_that_another_processor_never_gives_back_is_a_deadlock_that_names_both()
    {
        using TestMachine m = Machine(2);
        NtKernel nt = m.Nt;
        Va a = Block(m, 8), b = Block(m, 8);
        void TakeBoth(string name, Va first, Va second) => nt.Ps.StartThread(name, nt.Routines.Add(name, (_, _) =>
        {
            nt.KeAcquireSpinLockRaiseToDpc(first);
            nt.Ke.Scheduler.SpinUntil(() => !nt.KeTestSpinLock(second), () => "the other to begin");
            nt.KeAcquireSpinLockAtDpcLevel(second);
        }), Va.Null);
        TakeBoth("one", a, b);
        TakeBoth("two", b, a);
        Hang hang = Assert.Throws<Hang>(nt.User.RunUntilIdle);
        Assert.Equal(HangKind.Deadlock, hang.Kind);
        Assert.Contains("(one) spins on the lock", hang.Message);
        Assert.Contains("(two) spins on the lock", hang.Message);
    }

    [Fact]
    public void A_dump_header_has_its_signature_and_the_stop()
    {
        using TestMachine m = Machine(2);
        Va area = Block(m, 0x2000), needed = Block(m, 4);
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.KeInitializeCrashDumpHeader(1, 0, area, 0x1000, needed));
        Assert.Equal(0x2000, m.Nt.Memory.Read<int>(needed));
        Assert.Equal(STATUS_SUCCESS, m.Nt.KeInitializeCrashDumpHeader(1, 0, area, 0x2000, needed));
        Assert.Equal("PAGEDU64"u8.ToArray(), m.Nt.Memory.ReadBytes(area, 8));
        Assert.Equal(2, m.Nt.Memory.Read<int>(area + 0x34));
        ContextView none = ContextView.At(m.Nt.Memory, Va.Null);
        Assert.Equal(0x2000u, m.Nt.KeCapturePersistentThreadState(
            none, m.Nt.KeGetCurrentThread(), 0xE2, 1, 2, 3, 4, area));
        Assert.Equal((0xE2, 4UL), (m.Nt.Memory.Read<int>(area + 0x38), m.Nt.Memory.Read<ulong>(area + 0x58)));
    }
}
