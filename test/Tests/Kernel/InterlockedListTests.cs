using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Interlocked and lookaside lists.</summary>
public sealed class InterlockedListTests
{
    static SListHeader Header(TestMachine m)
    {
        SListHeader header = SListHeader.At(m.Nt.Memory, m.Block(16));
        m.Nt.InitializeSListHead(header);
        return header;
    }

    [Fact]
    public void A_sequenced_list_is_a_stack() =>
        Prop.ForAll(ArbMap.Default.ArbFor<byte[]>(), steps =>
        {
            using var m = new TestMachine();
            SListHeader header = Header(m);
            Stack<Va> model = new();
            foreach (byte step in steps)
            {
                switch (step % 5)
                {
                    case 0 or 1 or 2:
                        Va entry = m.Block(16);
                        Assert.Equal(model.TryPeek(out Va top) ? top : Va.Null,
                            step % 5 == 0 ? m.Nt.ExInterlockedPushEntrySList(header, entry, Va.Null)
                                : m.Nt.ExpInterlockedPushEntrySList(header, entry));
                        model.Push(entry);
                        break;
                    case 3:
                        Assert.Equal(model.TryPop(out Va popped) ? popped : Va.Null,
                            step < 128 ? m.Nt.ExpInterlockedPopEntrySList(header)
                                : m.Nt.ExInterlockedPopEntrySList(header, Va.Null));
                        break;
                    default:
                        Assert.Equal(model.TryPeek(out Va first) ? first : Va.Null,
                            step < 128 ? m.Nt.ExpInterlockedFlushSList(header) : m.Nt.ExInterlockedFlushSList(header));
                        model.Clear();
                        break;
                }
                Assert.Equal(model.Count, m.Nt.ExQueryDepthSList(header));
                Assert.Equal(model.TryPeek(out Va now) ? now : Va.Null, m.Nt.FirstEntrySList(header));
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(30).WithReplay(20260101, 7));

    [Fact]
    public void A_chain_is_pushed_at_once_and_a_header_off_16_bytes_is_misaligned()
    {
        using var m = new TestMachine();
        SListHeader header = Header(m);
        Va a = m.Block(16), b = m.Block(16), old = m.Block(16);
        m.Nt.ExpInterlockedPushEntrySList(header, old);
        m.Nt.Memory.Write(a, b);
        Assert.Equal(old, m.Nt.InterlockedPushListSList(header, a, b, 2));
        Assert.Equal(3, m.Nt.ExQueryDepthSList(header));
        foreach (Va entry in (Va[])[a, b, old, Va.Null])
            Assert.Equal(entry, m.Nt.ExpInterlockedPopEntrySList(header));
        Assert.Throws<GuestException>(() => m.Nt.InitializeSListHead(SListHeader.At(m.Nt.Memory, m.Block(32) + 8)));
    }

    [Fact]
    public void Lists_under_a_lock_return_who_was_first_or_last_before()
    {
        using var m = new TestMachine();
        ListEntry At(Va address) => ListEntry.At(m.Nt.Memory, address);
        ListEntry head = At(m.Block(16)), a = At(m.Block(16)), b = At(m.Block(16)), c = At(m.Block(16));
        Va spinLock = m.Block(8);
        head.Initialize();
        Assert.True(m.Nt.ExInterlockedInsertTailList(head, a, spinLock).IsNull);
        Assert.Equal(a, m.Nt.ExInterlockedInsertTailList(head, b, spinLock));
        Assert.Equal(a, m.Nt.ExInterlockedInsertHeadList(head, c, spinLock));
        foreach (ListEntry entry in (ListEntry[])[c, a, b])
            Assert.Equal(entry, m.Nt.ExInterlockedRemoveHeadList(head, spinLock));
        Assert.True(m.Nt.ExInterlockedRemoveHeadList(head, spinLock).IsNull);
        m.Nt.Memory.Write(spinLock, 1UL);
        Assert.Equal(BugCheckCode.SPIN_LOCK_ALREADY_OWNED,
            Assert.Throws<BugCheck>(() => m.Nt.ExInterlockedRemoveHeadList(head, spinLock)).Code);
    }

    [Fact]
    public void Single_lists_and_numbers_under_a_lock_return_the_old_value()
    {
        using var m = new TestMachine();
        Va head = m.Block(8), a = m.Block(8), b = m.Block(8), spinLock = m.Block(8), number = m.Variable(uint.MaxValue);
        Assert.True(m.Nt.ExInterlockedPushEntryList(head, a, spinLock).IsNull);
        Assert.Equal(a, m.Nt.ExInterlockedPushEntryList(head, b, spinLock));
        Assert.Equal(b, m.Nt.ExInterlockedPopEntryList(head, spinLock));
        Assert.Equal(a, m.Nt.ExInterlockedPopEntryList(head, spinLock));
        Assert.True(m.Nt.ExInterlockedPopEntryList(head, spinLock).IsNull);
        Assert.Equal(uint.MaxValue, m.Nt.ExInterlockedAddUlong(number, 3, spinLock));
        Assert.Equal(2u, m.Nt.ExInterlockedExchangeUlong(number, 9, spinLock));
        Assert.Equal(9UL, m.Nt.ExInterlockedAddLargeInteger(number, 1UL << 40, spinLock));
        Assert.Equal((1UL << 40) + 9, m.Nt.Memory.Read<ulong>(number));
    }

    [Fact]
    public void A_lookaside_lists_entries_go_back_by_its_own_routine()
    {
        using var m = new TestMachine();
        List<ulong> freed = [];
        Va free = m.Nt.Routines.Add("free", (_, call) => freed.Add(call.Argument(0)));
        LookasideList list = LookasideList.At(m.Nt.Memory, m.Block(LookasideList.Size));
        m.Nt.ExInitializePagedLookasideList(list, Va.Null, free, 0, 48, 0x61626364, 0);
        Assert.Equal((1u, 48u, 0x61626364u), (list.Type, list.EntrySize, list.Tag));
        Va a = m.Block(48), b = m.Block(48);
        m.Nt.ExpInterlockedPushEntrySList(list.ListHead, a);
        m.Nt.ExpInterlockedPushEntrySList(list.ListHead, b);
        m.Nt.ExDeletePagedLookasideList(list);
        Assert.Equal([b.Value, a.Value], freed);
    }

    [Fact]
    public void The_extended_list_has_its_flags_in_the_type_and_refuses_what_contradicts()
    {
        using var m = new TestMachine();
        LookasideList list = LookasideList.At(m.Nt.Memory, m.Block(0x60));
        NtStatus Initialize(uint flags, ushort depth = 0) =>
            m.Nt.ExInitializeLookasideListEx(list, Va.Null, Va.Null, 0x200, flags, 16, 0x61626364, depth);
        Assert.Equal(Status.STATUS_INVALID_PARAMETER_4, Initialize(3));
        Assert.Equal(Status.STATUS_INVALID_PARAMETER_7, Initialize(0, 2000));
        Assert.Equal(Status.STATUS_SUCCESS, Initialize(1));
        Assert.Equal(0x210u, list.Type);
        Va entry = m.Nt.ExAllocatePoolWithTag(list.Type, 16, list.Tag);
        m.Nt.ExpInterlockedPushEntrySList(list.ListHead, entry);
        m.Nt.ExFlushLookasideListEx(list);
        Assert.False(m.Nt.Mm.Pool.TryFind(entry, out _));
        m.Nt.ExDeleteLookasideListEx(list);
    }

    [Fact]
    public void A_zone_gives_the_blocks_of_its_segments()
    {
        using var m = new TestMachine();
        ZoneHeader zone = ZoneHeader.At(m.Nt.Memory, m.Block(ZoneHeader.Size));
        Va segment = m.Block(0x10 + 3 * 32), more = m.Block(0x10 + 32), last = m.Block(0x10 + 32);
        Assert.Equal(Status.STATUS_INVALID_PARAMETER, m.Nt.ExInitializeZone(zone, 30, segment, 112));
        Assert.Equal(Status.STATUS_SUCCESS, m.Nt.ExInitializeZone(zone, 32, segment, 112));
        Assert.Equal(Status.STATUS_SUCCESS, m.Nt.ExExtendZone(zone, more, 48));
        Assert.Equal(Status.STATUS_SUCCESS, m.Nt.ExInterlockedExtendZone(zone, last, 48, m.Block(8)));
        int blocks = 0;
        for (Va block = zone.FreeList; !block.IsNull; block = m.Nt.Memory.Read<Va>(block)) blocks++;
        Assert.Equal((5, 208u), (blocks, zone.TotalSegmentSize));
    }
}
