using FsCheck;
using FsCheck.Fluent;
using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Page tables against a dictionary; frames within limits.</summary>
public sealed class FrameTests
{
    static readonly Config s_config = Config.QuickThrowOnFailure.WithMaxTest(100).WithReplay(20260101, 7);

    [Fact]
    public void A_page_table_is_a_dictionary_of_what_is_mapped() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(ushort Page, bool Map)[]>(), steps =>
        {
            var table = new PageTable();
            SortedDictionary<ulong, PageEntry> model = [];
            int pfn = 0;
            foreach ((ushort low, bool map) in steps)
            {
                // Few pages, far apart, so that tables come and go.
                ulong page = (low & 3UL) << 40 | low & 0xF8UL;
                PageEntry entry = map ? new PageEntry(++pfn, Protection.Read, null, 0) : default;
                table.Set(page, entry);
                if (map) model[page] = entry;
                else model.Remove(page);
                bool expected = model.TryGetValue(page, out PageEntry known);
                Assert.Equal(expected, table.TryGetValue(page, out PageEntry found));
                Assert.Equal(known, found);
            }
            foreach ((ulong page, PageEntry entry) in model)
            {
                Assert.True(table.TryGetValue(page, out PageEntry found));
                Assert.Equal(entry, found);
                Assert.Equal(page, table.FindFrame(entry.Pfn));
            }
            Assert.Null(table.FindFrame(int.MaxValue));
        }).Check(s_config);

    [Fact]
    public void Frames_in_one_piece_lie_between_their_limits_and_never_twice() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(byte Count, ushort Low, ushort High, byte Boundary)[]>(), requests =>
        {
            using var physical = new PhysicalMemory();
            HashSet<int> taken = [];
            foreach ((byte byCount, ushort low, ushort high, byte byBoundary) in requests)
            {
                int count = 1 + byCount % 8, boundary = byBoundary % 3 == 0 ? 0 : 1 << byBoundary % 6;
                int first = physical.AllocateContiguous(count, low % 0x2000, high % 0x2000, boundary);
                if (first == 0) continue;
                Assert.InRange(first, Math.Max(low % 0x2000, PhysicalMemory.FirstFrame), high % 0x2000 - count + 1);
                if (boundary != 0) Assert.Equal(first / boundary, (first + count - 1) / boundary);
                for (int i = first; i < first + count; i++) Assert.True(taken.Add(i) && physical.Contains(i));
                int single = physical.Allocate(low % 0x2000, high % 0x2000);
                if (single != 0) Assert.True(taken.Add(single) && single >= low % 0x2000 && single <= high % 0x2000);
            }
            Assert.Equal(taken.Count, physical.InUse);
        }).Check(s_config);

    [Fact]
    public void A_restore_gives_low_frames_back_as_well()
    {
        using var memory = new Memory();
        int before = memory.Physical.AllocateContiguous(1, 0, PhysicalMemory.LowEnd - 1, 0);
        MemorySnapshot snapshot = memory.Snapshot();
        int first = memory.Physical.AllocateContiguous(4, 0, PhysicalMemory.LowEnd - 1, 0);
        Assert.Equal(before + 1, first);
        memory.Restore(snapshot);
        Assert.Equal(1, memory.Physical.InUse);
        Assert.False(memory.Physical.Contains(first));
        Assert.Equal(first, memory.Physical.AllocateContiguous(4, 0, PhysicalMemory.LowEnd - 1, 0));
    }

    [Fact]
    public void Code_that_is_paged_out_is_found_out_only_while_it_is()
    {
        using var memory = new Memory();
        bool isOut = false;
        memory.PagedIsOut = () => isOut;
        memory.Map(new Va(0xFFFF_8000_0000_0000), Va.PageSize, Protection.ReadExecute | Protection.Paged);
        memory.Map(new Va(0xFFFF_8000_0000_2000), Va.PageSize, Protection.ReadExecute);
        byte[] spin = [0xEB, 0xFE];
        memory.Poke(new Va(0xFFFF_8000_0000_0000), spin);
        memory.Poke(new Va(0xFFFF_8000_0000_2000), spin);
        using var cpu = new Processor(memory, new CodeCache());
        StopKind Run(ulong at)
        {
            cpu.Rip = at;
            unsafe
            {
                cpu.State->Budget = 10;
            }
            return cpu.Run().Kind;
        }
        Assert.Equal(StopKind.Budget, Run(0xFFFF_8000_0000_0000));
        isOut = true;
        memory.PageOut();
        Assert.Equal(StopKind.Exception, Run(0xFFFF_8000_0000_0000));
        Assert.Equal(StopKind.Budget, Run(0xFFFF_8000_0000_2000));
        isOut = false;
        Assert.Equal(StopKind.Budget, Run(0xFFFF_8000_0000_0000));
        isOut = true;
        memory.PageOut();
        Assert.Equal(StopKind.Exception, Run(0xFFFF_8000_0000_0000));
    }
}
