using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Pool as drivers ask for it.</summary>
public sealed class PoolTests
{
    const uint Tag = 0x6C6F_6F50;     // 'Pool'
    const uint NonPagedNx = 0x200, Paged = 1;

    static PoolUsage Usage(TestMachine m, bool paged = false)
    {
        PoolTagUsage tag = m.Nt.PoolTags().Single(t => t.Tag == "Pool");
        return paged ? tag.Paged : tag.NonPaged;
    }

    [Fact]
    public void Blocks_are_counted_by_tag_and_pool_with_their_peak()
    {
        using var m = new TestMachine();
        Va a = m.Nt.ExAllocatePoolWithTag(NonPagedNx, 100, Tag), b = m.Nt.ExAllocatePoolWithTag(NonPagedNx, 20, Tag);
        m.Nt.ExAllocatePoolWithTag(Paged, 5000, Tag);
        m.Nt.ExFreePoolWithTag(a, Tag);
        m.Nt.ExFreePool2(b, Tag, Va.Null, 0);
        Assert.Equal(new PoolUsage(2, 2, 0, 112 + 32), Usage(m));
        Assert.Equal(new PoolUsage(1, 0, 5008, 5008), Usage(m, paged: true));
        Assert.Equal(1, Usage(m, paged: true).Live);
    }

    [Theory, InlineData(0x200u, 16), InlineData(0x204u, 64), InlineData(5u, 64)]
    public void A_small_block_is_aligned_and_still_guarded(uint type, int alignment)
    {
        using var m = new TestMachine();
        for (int bytes = 1; bytes < 300; bytes += 37)
        {
            Va block = m.Nt.ExAllocatePoolWithTag(type, (ulong)bytes, Tag);
            Assert.Equal(0UL, block.Value % (ulong)alignment);
            Assert.InRange(0x1000 - block.PageOffset, (uint)bytes, (uint)(bytes + alignment - 1));
            m.Nt.ExFreePoolWithTag(block, Tag);
        }
    }

    [Theory, InlineData(4096), InlineData(4097), InlineData(10000)]
    [Rule("13.7")]
    public void A_block_of_a_page_or_more_begins_a_page_and_what_is_left_of_its_last_is_guarded(int bytes)
    {
        using var m = new TestMachine();
        Va block = m.Nt.ExAllocatePoolWithTag(NonPagedNx, (ulong)bytes, Tag);
        Assert.Equal(0u, block.PageOffset);
        Va end = block + (((ulong)bytes + 0xFFF) & ~0xFFFUL);
        Assert.Throws<PageFault>(() => m.Nt.Memory.Read<byte>(end));
        if (bytes % 4096 == 0) return;
        m.Nt.Memory.Write<byte>(end - 1, 1);
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.ExFreePoolWithTag(block, Tag));
        Assert.Equal(BugCheckCode.SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, stop.Code);
    }

    [Fact]
    public void Only_the_executable_types_give_memory_that_can_run()
    {
        using var m = new TestMachine();
        bool Runs(Va block) => m.Nt.Memory.CanAccess(block, 1, Access.Execute);
        Assert.True(Runs(m.Nt.ExAllocatePool(0, 16)));
        Assert.False(Runs(m.Nt.ExAllocatePoolWithTag(NonPagedNx, 16, Tag)));
        Assert.True(Runs(m.Nt.ExAllocatePool2(PoolRequest.POOL_FLAG_NON_PAGED_EXECUTE, 16, Tag)));
        Assert.False(Runs(m.Nt.ExAllocatePool2(PoolRequest.POOL_FLAG_NON_PAGED, 16, Tag)));
    }

    [Fact]
    [Rule("13.8")]
    public void Memory_is_zero_where_that_was_asked_for_and_else_is_not()
    {
        using var m = new TestMachine();
        byte First(Va block) => m.Nt.Memory.Read<byte>(block);
        Assert.Equal(0xCD, First(m.Nt.ExAllocatePoolWithTag(NonPagedNx, 16, Tag)));
        Assert.Equal(0, First(m.Nt.ExAllocatePoolWithTag(NonPagedNx | 0x400, 16, Tag)));
        Assert.Equal(0, First(m.Nt.ExAllocatePool2(PoolRequest.POOL_FLAG_PAGED, 16, Tag)));
        Assert.Equal(0xCD, First(m.Nt.ExAllocatePool2(
            PoolRequest.POOL_FLAG_PAGED | PoolRequest.POOL_FLAG_UNINITIALIZED, 16, Tag)));
    }

    [Theory, InlineData(0UL, 16UL, Tag), InlineData(0x140UL, 16UL, Tag), InlineData(0x210UL, 16UL, Tag),
        InlineData(0x40UL, 0UL, Tag), InlineData(0x40UL, 16UL, 0u)]
    public void ExAllocatePool2_gives_nothing_for_no_pool_two_pools_unknown_flags_no_length_and_no_tag(
        ulong flags, ulong bytes, uint tag)
    {
        using var m = new TestMachine();
        Assert.True(m.Nt.ExAllocatePool2(flags, bytes, tag).IsNull);
        GuestException raised = Assert.Throws<GuestException>(() =>
            m.Nt.ExAllocatePool2(flags | PoolRequest.POOL_FLAG_RAISE_ON_FAILURE, bytes, tag));
        Assert.Equal(STATUS_INVALID_PARAMETER.Value, raised.Record.Code);
    }

    [Theory, InlineData(1UL, 16u, true), InlineData(3UL, 0u, true), InlineData(3UL, 5u, false),
        InlineData(2UL, 0u, false),
        InlineData(0x102UL, 0u, true)]
    public void ExAllocatePool3_takes_priority_and_node_and_refuses_a_secure_pool_unless_it_is_optional(
        ulong head, uint value, bool given)
    {
        using var m = new TestMachine();
        Va parameter = m.Block(16);
        m.Nt.Memory.Write(parameter, head);
        m.Nt.Memory.Write(parameter + 8, (ulong)value);
        Assert.Equal(given, !m.Nt.ExAllocatePool3(PoolRequest.POOL_FLAG_NON_PAGED, 16, Tag, parameter, 1).IsNull);
    }

    [Theory, InlineData(2u, Tag, 0x9AUL), InlineData(0x200u, 0u, 0x9BUL), InlineData(0x200u, 0x2047_4942u, 0x9CUL)]
    public void Must_succeed_no_tag_and_the_tag_BIG_end_the_machine(uint type, uint tag, ulong subcode)
    {
        using var m = new TestMachine();
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.ExAllocatePoolWithTag(type, 16, tag));
        Assert.Equal((BugCheckCode.BAD_POOL_CALLER, subcode), (stop.Code, stop.Parameters[0]));
    }

    [Fact]
    public void Paged_pool_at_DISPATCH_LEVEL_ends_the_machine_when_it_is_allocated_and_when_it_is_freed()
    {
        using var m = new TestMachine();
        Va paged = m.Nt.ExAllocatePoolWithTag(Paged, 16, Tag);
        m.Nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        Assert.Equal(8UL, Assert.Throws<BugCheck>(() => m.Nt.ExAllocatePoolWithTag(Paged, 16, Tag)).Parameters[0]);
        Assert.Equal(9UL, Assert.Throws<BugCheck>(() => m.Nt.ExFreePool(paged)).Parameters[0]);
    }

    [Fact]
    [Rule("13.7")]
    public void A_block_is_freed_with_its_tag_or_none_and_one_with_a_protected_tag_only_with_that()
    {
        using var m = new TestMachine();
        Va plain = m.Nt.ExAllocatePoolWithTag(NonPagedNx, 16, Tag);
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.ExFreePoolWithTag(plain, 0x61616161));
        Assert.Equal((0x0AUL, (ulong)Tag), (stop.Parameters[0], stop.Parameters[2]));
        m.Nt.ExFreePoolWithTag(plain, 0);
        Va guarded = m.Nt.ExAllocatePoolWithTag(NonPagedNx, 16, Tag | 0x8000_0000);
        Assert.Equal(0x0AUL, Assert.Throws<BugCheck>(() => m.Nt.ExFreePool(guarded)).Parameters[0]);
        m.Nt.ExFreePoolWithTag(guarded, Tag);
    }

    [Fact]
    public void Quota_is_the_processs_to_pay_and_comes_back_with_the_block()
    {
        using var m = new TestMachine();
        Va process = m.Nt.Ps.UserProcess.Address, charged = m.Block(1);
        ulong Used() => m.Nt.Mm.Quota.Used(process, PoolKind.NonPaged);
        Va block = m.Nt.ExAllocatePoolWithQuotaTag(NonPagedNx, 100, Tag);
        Assert.Equal(112UL, Used());
        Assert.Equal(100UL, m.Nt.ExQueryPoolBlockSize(block, charged));
        Assert.Equal(1, m.Nt.Memory.Read<byte>(charged));
        m.Nt.ExFreePool(block);
        Assert.Equal(0UL, Used());
        m.Nt.Mm.Quota.Limit = 64;
        Assert.Equal(STATUS_QUOTA_EXCEEDED.Value,
            Assert.Throws<GuestException>(() => m.Nt.ExAllocatePoolWithQuota(NonPagedNx, 100)).Record.Code);
        Assert.True(m.Nt.ExAllocatePoolWithQuotaTag(NonPagedNx | 8, 100, Tag).IsNull);
        Assert.Equal(0UL, Used());
    }

    [Fact]
    public void More_than_half_of_the_machines_memory_is_not_to_be_had_from_a_pool()
    {
        using var m = new TestMachine();
        List<Va> blocks = [];
        while (m.Nt.ExAllocatePoolWithTag(NonPagedNx, 128 << 20, Tag) is { IsNull: false } block) blocks.Add(block);
        Assert.Equal(7, blocks.Count);
        Assert.False(m.Nt.ExAllocatePoolWithTag(Paged, 128 << 20, Tag).IsNull);
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES.Value, Assert.Throws<GuestException>(
            () => m.Nt.ExAllocatePoolWithTag(NonPagedNx | 16, 128 << 20, Tag)).Record.Code);
        m.Nt.ExFreePool(blocks[0]);
        Assert.False(m.Nt.ExAllocatePoolWithTag(NonPagedNx, 64 << 20, Tag).IsNull);
    }

    [Fact]
    public void A_low_priority_fails_before_a_normal_one_and_that_before_a_high_one()
    {
        using var m = new TestMachine();
        bool Given(uint priority) => !m.Nt.ExAllocatePoolWithTagPriority(NonPagedNx, 16, Tag, priority).IsNull;
        m.Nt.Mm.Commit(m.Nt.Mm.AvailablePages - Mm.MemoryPages / 8);
        Assert.Equal((false, true, true), (Given(0), Given(16), Given(32)));
        m.Nt.Mm.Commit(m.Nt.Mm.AvailablePages - 100);
        Assert.Equal((false, false, true), (Given(0), Given(16), Given(32)));
    }

    [Fact]
    [Rule("13.9")]
    public void Pool_that_still_holds_a_resource_or_a_lookaside_list_must_not_be_freed()
    {
        using var m = new TestMachine();
        Va block = m.Nt.ExAllocatePoolWithTag(NonPagedNx, 0x200, Tag);
        EResource resource = EResource.At(m.Nt.Memory, block + 0x40);
        m.Nt.ExInitializeResourceLite(resource);
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.ExFreePool(block));
        Assert.Equal((0xD2UL, resource.Address.Value), (stop.Parameters[0], stop.Parameters[1]));
        m.Nt.ExDeleteResourceLite(resource);
        LookasideList list = LookasideList.At(m.Nt.Memory, block + 0x100);
        m.Nt.ExInitializeNPagedLookasideList(list, Va.Null, Va.Null, NonPagedNx, 32, Tag, 0);
        Assert.Equal(0xCCUL, Assert.Throws<BugCheck>(() => m.Nt.ExFreePool(block)).Parameters[0]);
        m.Nt.ExDeleteNPagedLookasideList(list);
        m.Nt.ExFreePool(block);
    }

    [Fact]
    public void A_loop_over_huge_blocks_is_a_hang_of_the_request_and_not_of_the_host()
    {
        using var m = new TestMachine();
        m.Nt.BeginRequest();
        Assert.ThrowsAny<MachineStop>(() =>
        {
            for (int i = 0; i < 100_000; i++) m.Nt.ExFreePool(m.Nt.ExAllocatePoolWithTag(NonPagedNx, 256 << 20, Tag));
        });
    }

    [Fact]
    public void A_pointer_of_the_users_half_is_no_pool()
    {
        using var m = new TestMachine();
        Va user = m.Nt.Mm.AllocateUser(16);
        Assert.Equal(0x40UL, Assert.Throws<BugCheck>(() => m.Nt.ExFreePool(user)).Parameters[0]);
    }
}
