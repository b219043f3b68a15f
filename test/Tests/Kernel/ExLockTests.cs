using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Fast and guarded mutexes, push locks, shared spin locks, rundown protection.</summary>
public sealed class ExLockTests
{
    static ulong Value(TestMachine m, Va address) => m.Nt.Memory.Read<ulong>(address);

    static FastMutex NewMutex(TestMachine m)
    {
        FastMutex mutex = FastMutex.At(m.Nt.Memory, m.Block(FastMutex.Size));
        m.Nt.KeInitializeGuardedMutex(mutex);
        return mutex;
    }

    [Fact]
    [Rule("10.7")]
    public void A_fast_mutex_raises_to_APC_LEVEL_and_is_its_owners_to_release()
    {
        using var m = new TestMachine();
        FastMutex mutex = NewMutex(m);
        m.Nt.ExAcquireFastMutex(mutex);
        Assert.Equal((Irql.APC_LEVEL, 0), (m.Nt.CurrentIrql, mutex.Count));
        Assert.False(m.Nt.ExTryToAcquireFastMutex(mutex));
        m.Nt.ExReleaseFastMutex(mutex);
        Assert.Equal((Irql.PASSIVE_LEVEL, 1), (m.Nt.CurrentIrql, mutex.Count));
        Assert.True(m.Nt.ExTryToAcquireFastMutex(mutex));
        m.Nt.ExReleaseFastMutex(mutex);
        m.Nt.ExAcquireFastMutexUnsafe(mutex);
        m.Nt.ExReleaseFastMutexUnsafe(mutex);
        Assert.Equal(BugCheckCode.THREAD_NOT_MUTEX_OWNER,
            Assert.Throws<BugCheck>(() => m.Nt.ExReleaseFastMutexUnsafe(mutex)).Code);
    }

    [Fact]
    public void A_guarded_mutex_keeps_special_APCs_off_and_lets_one_thread_in()
    {
        using var m = new TestMachine();
        FastMutex mutex = NewMutex(m);
        List<string> log = [];
        m.Nt.KeAcquireGuardedMutex(mutex);
        Assert.Equal(-1, m.Nt.Ke.CurrentThread.SpecialApcDisable);
        Assert.False(m.Nt.KeTryToAcquireGuardedMutex(mutex));
        m.Thread(() =>
        {
            m.Nt.KeAcquireGuardedMutex(mutex);
            log.Add("other");
            m.Nt.KeReleaseGuardedMutex(mutex);
        });
        m.RunOthers();
        log.Add("owner");
        m.Nt.KeReleaseGuardedMutex(mutex);
        m.RunOthers();
        Assert.Equal(["owner", "other"], log);
        Assert.Equal((0, 1, 1u), (m.Nt.Ke.CurrentThread.SpecialApcDisable, mutex.Count, mutex.Contention));
        Assert.True(m.Nt.KeTryToAcquireGuardedMutex(mutex));
        m.Nt.KeReleaseGuardedMutex(mutex);
        m.Nt.KeAcquireGuardedMutexUnsafe(mutex);
        m.Nt.KeReleaseGuardedMutexUnsafe(mutex);
    }

    [Fact]
    public void A_push_lock_counts_those_that_share_it_from_bit_4_on()
    {
        using var m = new TestMachine();
        Va pushLock = m.Block(8);
        m.Nt.ExInitializePushLock(pushLock);
        m.Nt.ExfAcquirePushLockShared(pushLock);
        m.Nt.ExAcquirePushLockSharedEx(pushLock, 0);
        Assert.Equal(0x21UL, Value(m, pushLock));
        Assert.True(m.Nt.ExTryAcquirePushLockSharedEx(pushLock, 0));
        Assert.True(m.Nt.ExfTryAcquirePushLockShared(pushLock));
        Assert.False(m.Nt.ExTryAcquirePushLockExclusiveEx(pushLock, 0));
        m.Nt.ExfReleasePushLockShared(pushLock);
        m.Nt.ExReleasePushLockSharedEx(pushLock, 0);
        m.Nt.ExReleasePushLockEx(pushLock, 0);
        m.Nt.ExfReleasePushLock(pushLock);
        Assert.Equal(0UL, Value(m, pushLock));
        Assert.True(m.Nt.ExTryAcquirePushLockExclusiveEx(pushLock, 0));
        Assert.False(m.Nt.ExTryAcquirePushLockSharedEx(pushLock, 0));
        m.Nt.ExReleasePushLockExclusiveEx(pushLock, 0);
        m.Nt.ExAcquirePushLockExclusiveEx(pushLock, 1);
        m.Nt.ExfReleasePushLockExclusive(pushLock);
        Assert.Equal(BugCheckCode.INVALID_PUSH_LOCK_FLAGS,
            Assert.Throws<BugCheck>(() => m.Nt.ExAcquirePushLockExclusiveEx(pushLock, 0x100)).Code);
        Assert.Throws<BugCheck>(() => m.Nt.ExfReleasePushLock(pushLock));
    }

    [Theory, InlineData(false), InlineData(true)]
    [Rule("10.9")]
    public void A_push_lock_goes_on_to_who_waited_first(bool releasedInline)
    {
        using var m = new TestMachine();
        Va pushLock = m.Block(8);
        List<string> log = [];
        void Wait(string name, bool exclusive) => m.Thread(() =>
        {
            if (exclusive) m.Nt.ExfAcquirePushLockExclusive(pushLock);
            else m.Nt.ExfAcquirePushLockShared(pushLock);
            log.Add(name);
            m.Pause();
            m.Nt.ExfReleasePushLock(pushLock);
        });
        m.Nt.ExfAcquirePushLockExclusive(pushLock);
        foreach (string name in (string[])["a", "b", "C", "d"])
        {
            Wait(name, exclusive: name == "C");
            m.RunOthers();
        }
        Assert.Equal(3UL, Value(m, pushLock));
        if (releasedInline)
        {
            m.Nt.Memory.Write(pushLock, 2UL);
            m.Nt.ExfTryToWakePushLock(pushLock);
        }
        else m.Nt.ExfReleasePushLockExclusive(pushLock);
        Assert.Equal(0x23UL, Value(m, pushLock));
        m.RunOthers();
        Assert.Equal(["a", "b", "C", "d"], log);
        Assert.Equal(0UL, Value(m, pushLock));
    }

    [Fact]
    public void A_push_lock_that_its_own_thread_wants_again_is_a_deadlock()
    {
        using var m = new TestMachine();
        Va pushLock = m.Block(8);
        m.Nt.ExfAcquirePushLockExclusive(pushLock);
        Assert.Equal(HangKind.Deadlock, Assert.Throws<Hang>(() => m.Nt.ExfAcquirePushLockShared(pushLock)).Kind);
    }

    [Fact]
    [Rule("10.5")]
    public void A_shared_spin_lock_is_many_readers_or_one_writer()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va spinLock = m.Block(4);
        Irql old = nt.ExAcquireSpinLockShared(spinLock);
        nt.ExAcquireSpinLockSharedAtDpcLevel(spinLock);
        Assert.Equal((Irql.PASSIVE_LEVEL, 2u), (old, nt.Memory.Read<uint>(spinLock)));
        Assert.False(nt.ExTryConvertSharedSpinLockExclusive(spinLock));
        Assert.False(nt.ExTryAcquireSpinLockExclusiveAtDpcLevel(spinLock));
        nt.ExReleaseSpinLockSharedFromDpcLevel(spinLock);
        Assert.True(nt.ExTryConvertSharedSpinLockExclusive(spinLock));
        Assert.False(nt.ExTryAcquireSpinLockSharedAtDpcLevel(spinLock));
        Assert.Equal(BugCheckCode.SPIN_LOCK_ALREADY_OWNED,
            Assert.Throws<BugCheck>(() => nt.ExAcquireSpinLockExclusiveAtDpcLevel(spinLock)).Code);
        nt.ExReleaseSpinLockExclusiveFromDpcLevel(spinLock);
        Assert.True(nt.ExTryAcquireSpinLockSharedAtDpcLevel(spinLock));
        nt.ExReleaseSpinLockShared(spinLock, old);
        old = nt.ExAcquireSpinLockExclusive(spinLock);
        nt.ExReleaseSpinLockExclusive(spinLock, old);
        Assert.Equal((Irql.PASSIVE_LEVEL, 0u), (nt.CurrentIrql, nt.Memory.Read<uint>(spinLock)));
        nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        Assert.True(nt.ExTryAcquireSpinLockExclusiveAtDpcLevel(spinLock));
        nt.ExReleaseSpinLockExclusiveFromDpcLevel(spinLock);
        Assert.Throws<BugCheck>(() => nt.ExReleaseSpinLockSharedFromDpcLevel(spinLock));
    }

    [Fact]
    public void Rundown_waits_for_those_inside_and_lets_nobody_in_meanwhile()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va run = m.Block(8);
        bool done = false;
        nt.ExInitializeRundownProtection(run);
        Assert.True(nt.ExAcquireRundownProtection(run));
        Assert.True(nt.ExAcquireRundownProtectionEx(run, 2));
        Assert.Equal(6UL, Value(m, run));
        m.Thread(() =>
        {
            nt.ExWaitForRundownProtectionRelease(run);
            done = true;
        });
        m.RunOthers();
        Assert.Equal(1UL, Value(m, run) & 1);
        Assert.False(nt.ExAcquireRundownProtection(run));
        nt.ExReleaseRundownProtection(run);
        m.RunOthers();
        Assert.False(done);
        nt.ExReleaseRundownProtectionEx(run, 2);
        m.RunOthers();
        Assert.True(done);
        nt.ExRundownCompleted(run);
        Assert.Equal(1UL, Value(m, run));
        nt.ExReInitializeRundownProtection(run);
        Assert.True(nt.ExAcquireRundownProtection(run));
        nt.ExReleaseRundownProtection(run);
        Assert.Throws<BugCheck>(() => nt.ExReleaseRundownProtection(run));
    }

    [Fact]
    public void The_cache_aware_form_does_the_same()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va given = m.Block((int)nt.ExSizeOfRundownProtectionCacheAware());
        nt.ExInitializeRundownProtectionCacheAware(given, nt.ExSizeOfRundownProtectionCacheAware());
        Va made = nt.ExAllocateCacheAwareRundownProtection(0x200, 0x61626364);
        foreach (Va run in (Va[])[given, made])
        {
            Assert.True(nt.ExAcquireRundownProtectionCacheAware(run));
            Assert.True(nt.ExAcquireRundownProtectionCacheAwareEx(run, 3));
            nt.ExReleaseRundownProtectionCacheAwareEx(run, 3);
            nt.ExReleaseRundownProtectionCacheAware(run);
            nt.ExWaitForRundownProtectionReleaseCacheAware(run);
            Assert.False(nt.ExAcquireRundownProtectionCacheAware(run));
            nt.ExRundownCompletedCacheAware(run);
            nt.ExReInitializeRundownProtectionCacheAware(run);
            Assert.True(nt.ExAcquireRundownProtectionCacheAware(run));
        }
        nt.ExFreeCacheAwareRundownProtection(made);
        Assert.Throws<PageFault>(() => nt.ExAcquireRundownProtectionCacheAware(made));
    }
}
