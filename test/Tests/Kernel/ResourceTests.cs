using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Executive resources.</summary>
public sealed class ResourceTests
{
    static EResource New(TestMachine m)
    {
        EResource resource = EResource.At(m.Nt.Memory, m.Block(EResource.Size));
        m.Nt.ExInitializeResourceLite(resource);
        return resource;
    }

    [Fact]
    public void What_holds_a_resource_stands_in_its_structure()
    {
        using var m = new TestMachine();
        EResource resource = New(m);
        Va me = m.Nt.Ke.CurrentThread.Address;
        Assert.True(m.Nt.ExAcquireResourceExclusiveLite(resource, true));
        Assert.True(m.Nt.ExAcquireResourceSharedLite(resource, true));
        Assert.Equal((1, 1u, me, 2u), (resource.ActiveCount, resource.ActiveEntries, resource.OwnerEntry.OwnerThread,
            resource.OwnerEntry.OwnerCount));
        Assert.True(m.Nt.ExIsResourceAcquiredExclusiveLite(resource));
        m.Nt.ExReleaseResourceLite(resource);
        m.Nt.ExConvertExclusiveToSharedLite(resource);
        Assert.False(m.Nt.ExIsResourceAcquiredExclusiveLite(resource));
        Assert.Equal(1u, m.Nt.ExIsResourceAcquiredSharedLite(resource));
        Assert.False(m.Nt.ExTryToAcquireResourceExclusiveLite(resource));
        m.Nt.ExReleaseResourceForThreadLite(resource, me);
        Assert.Equal((0, 0u, 0), (resource.ActiveCount, resource.ActiveEntries, resource.Flag));
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.ExReleaseResourceLite(resource));
        Assert.Equal((BugCheckCode.RESOURCE_NOT_OWNED, resource.Address.Value), (stop.Code, stop.Parameters[0]));
        m.Nt.ExDisableResourceBoostLite(resource);
        Assert.Equal(EResource.ResourceDisableBoost, resource.Flag);
    }

    [Fact]
    public void One_that_was_not_initialized_cannot_be_deleted_and_one_that_was_only_once()
    {
        using var m = new TestMachine();
        Assert.ThrowsAny<Exception>(
            () => m.Nt.ExDeleteResourceLite(EResource.At(m.Nt.Memory, m.Block(EResource.Size))));
        EResource resource = New(m);
        m.Nt.ExDeleteResourceLite(resource);
        Assert.ThrowsAny<Exception>(() => m.Nt.ExDeleteResourceLite(resource));
    }

    // Threads write down what they get, in order.
    static List<string> Log(TestMachine m, EResource resource, params (string Name, Func<bool> Acquire)[] threads)
    {
        List<string> log = [];
        foreach ((string name, Func<bool> acquire) in threads)
        {
            m.Thread(() =>
            {
                log.Add($"{name} {acquire()}");
                m.Pause();
                m.Nt.ExReleaseResourceLite(resource);
            });
            m.RunOthers();
        }
        return log;
    }

    [Fact]
    public void Those_who_share_wait_behind_one_who_wants_it_alone_and_those_who_starve_do_not()
    {
        using var m = new TestMachine();
        EResource resource = New(m);
        m.Nt.ExAcquireResourceSharedLite(resource, true);
        List<string> log = Log(m, resource,
            ("exclusive", () => m.Nt.ExAcquireResourceExclusiveLite(resource, true)),
            ("shared", () => m.Nt.ExAcquireResourceSharedLite(resource, true)),
            ("starving", () => m.Nt.ExAcquireSharedStarveExclusive(resource, true)),
            ("polite", () => m.Nt.ExAcquireSharedWaitForExclusive(resource, true)));
        Assert.Equal(["starving True"], log);
        Assert.Equal((1u, 2u), (m.Nt.ExGetExclusiveWaiterCount(resource), m.Nt.ExGetSharedWaiterCount(resource)));
        Assert.Equal(3u, resource.ContentionCount);
        Assert.True(m.Nt.ExAcquireResourceSharedLite(resource, true));      // an owner may go on
        Assert.False(m.Nt.ExAcquireSharedWaitForExclusive(resource, false));
        m.Nt.ExReleaseResourceLite(resource);
        m.Nt.ExReleaseResourceLite(resource);
        m.RunOthers();
        Assert.Equal(["starving True", "exclusive True", "shared True", "polite True"], log);
        Assert.Equal((0, 0u), (resource.ActiveCount, m.Nt.ExGetSharedWaiterCount(resource)));
    }

    [Fact]
    public void After_an_exclusive_owner_all_who_want_to_share_come_together()
    {
        using var m = new TestMachine();
        EResource resource = New(m);
        m.Nt.ExAcquireResourceExclusiveLite(resource, true);
        List<string> log = Log(m, resource,
            ("second", () => m.Nt.ExAcquireResourceExclusiveLite(resource, true)),
            ("a", () => m.Nt.ExAcquireResourceSharedLite(resource, true)),
            ("b", () => m.Nt.ExAcquireResourceSharedLite(resource, true)));
        m.Nt.ExReleaseResourceLite(resource);
        Assert.Equal(2u, resource.ActiveEntries);
        m.RunOthers();
        Assert.Equal(["a True", "b True", "second True"], log);
    }

    [Fact]
    public void The_forms_with_a_critical_region_enter_and_leave_it()
    {
        using var m = new TestMachine();
        EResource resource = New(m);
        KThread thread = m.Nt.Ke.CurrentThread;
        Func<EResource, KThread>[] forms = [m.Nt.ExEnterCriticalRegionAndAcquireResourceExclusive,
            m.Nt.ExEnterCriticalRegionAndAcquireResourceShared,
            m.Nt.ExEnterCriticalRegionAndAcquireSharedWaitForExclusive];
        foreach (Func<EResource, KThread> form in forms)
        {
            Assert.Equal(thread, form(resource));
            Assert.Equal(-1, thread.KernelApcDisable);
            m.Nt.ExReleaseResourceAndLeaveCriticalRegion(resource);
            Assert.Equal(0, thread.KernelApcDisable);
        }
    }

    [Fact]
    public void A_pointer_can_own_instead_of_the_thread()
    {
        using var m = new TestMachine();
        EResource resource = New(m);
        Va pointer = m.Block(16) + 3;
        m.Nt.ExAcquireResourceSharedLite(resource, true);
        m.Nt.ExSetResourceOwnerPointer(resource, pointer);
        Assert.Throws<BugCheck>(() => m.Nt.ExReleaseResourceLite(resource));
        m.Nt.ExAcquireResourceSharedLite(resource, true);
        m.Nt.ExSetResourceOwnerPointerEx(resource, pointer, 0);
        Assert.Equal(1u, resource.ActiveEntries);
        m.Nt.ExReleaseResourceForThreadLite(resource, pointer);
        m.Nt.ExReleaseResourceForThreadLite(resource, pointer);
        Assert.Equal(0, resource.ActiveCount);
        m.Nt.ExAcquireResourceExclusiveLite(resource, true);
        m.Nt.ExReinitializeResourceLite(resource);
        Assert.Equal(0u, m.Nt.ExIsResourceAcquiredSharedLite(resource));
        m.Nt.ExDeleteResourceLite(resource);
    }

    [Fact]
    public void Of_many_threads_that_share_each_has_its_count()
    {
        using var m = new TestMachine();
        EResource resource = New(m);
        for (int i = 0; i < 12; i++)
        {
            m.Thread(() =>
            {
                for (int n = 0; n < 3; n++) m.Nt.ExAcquireResourceSharedLite(resource, true);
                m.Pause();
                for (int n = 0; n < 3; n++) m.Nt.ExReleaseResourceLite(resource);
            });
        }
        m.Thread(() =>
        {
            m.Nt.ExAcquireResourceSharedLite(resource, true);
            Assert.Equal(13u, resource.ActiveEntries);
            m.Nt.ExReleaseResourceLite(resource);
        });
        m.RunOthers();
        Assert.Equal(0u, resource.ActiveEntries);
    }

    [Fact]
    [Rule("10.8")]
    public void One_thread_gets_and_counts_as_the_rules_say() =>
        Prop.ForAll(ArbMap.Default.ArbFor<byte[]>(), steps =>
        {
            using var m = new TestMachine();
            EResource resource = New(m);
            (bool exclusive, int count) = (false, 0);
            foreach (byte step in steps)
            {
                switch (step % 6)
                {
                    case 0:
                        bool may = count == 0 || exclusive;
                        Assert.Equal(may, m.Nt.ExAcquireResourceExclusiveLite(resource, false));
                        if (may) (exclusive, count) = (true, count + 1);
                        break;
                    case 1 or 2 or 3:
                        Assert.True(step % 6 == 1 ? m.Nt.ExAcquireResourceSharedLite(resource, false)
                            : step % 6 == 2 ? m.Nt.ExAcquireSharedStarveExclusive(resource, false)
                            : m.Nt.ExAcquireSharedWaitForExclusive(resource, false));
                        count++;
                        break;
                    case 4 when count > 0:
                        m.Nt.ExReleaseResourceLite(resource);
                        exclusive &= --count > 0;
                        break;
                    case 5 when exclusive:
                        m.Nt.ExConvertExclusiveToSharedLite(resource);
                        exclusive = false;
                        break;
                }
                Assert.Equal((uint)count, m.Nt.ExIsResourceAcquiredSharedLite(resource));
                Assert.Equal(exclusive, m.Nt.ExIsResourceAcquiredExclusiveLite(resource));
                Assert.Equal(count > 0 ? 1 : 0, resource.ActiveCount);
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(30).WithReplay(20260101, 7));
}
