using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Pool against a dictionary.</summary>
public sealed class PoolPropertyTests
{
    const uint Tag = 0x6C6F_6F50;

    static readonly Config s_config = Config.QuickThrowOnFailure.WithMaxTest(40).WithReplay(20260101, 7);

    [Fact]
    public void Blocks_keep_their_bytes_never_overlap_and_what_is_counted_is_what_is_there() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(ushort Bytes, byte Choice)[]>(), steps =>
        {
            using var m = new TestMachine();
            var live = new SortedDictionary<Va, (int Bytes, byte Mark, bool Paged)>();
            HashSet<ulong> pagesEver = [];
            byte mark = 0;
            foreach ((ushort bytes, byte choice) in steps)
            {
                if (choice % 3 == 0 && live.Count > 0) Free(m, live, live.Keys.ElementAt(choice % live.Count));
                else Allocate(m, live, pagesEver, bytes % 9000, choice % 2 == 0, ++mark);
            }
            ulong expected = (ulong)live.Values.Sum(b => Math.Max(16, (b.Bytes + 15) & ~15));
            PoolTagUsage? usage = m.Nt.PoolTags().SingleOrDefault(t => t.Tag == "Pool");
            Assert.Equal(expected, (usage?.NonPaged.Bytes ?? 0) + (usage?.Paged.Bytes ?? 0));
            Assert.Equal(live.Keys, m.Nt.Mm.Pool.Blocks.Where(b => b.Tag == Tag).Select(b => b.Address));
            foreach (Va block in live.Keys.ToArray()) Free(m, live, block);
        }).Check(s_config);

    static void Allocate(TestMachine m, SortedDictionary<Va, (int, byte, bool)> live, HashSet<ulong> pagesEver,
        int bytes, bool paged, byte mark)
    {
        Va block = m.Nt.ExAllocatePoolWithTag(paged ? 1u : 0x200, (ulong)bytes, Tag);
        for (ulong page = block.Page; page <= (block + Math.Max(1, bytes) - 1).Page; page++)
            Assert.True(pagesEver.Add(page), "a page was used twice");
        m.Nt.Memory.Fill(block, (ulong)bytes, mark);
        live.Add(block, (bytes, mark, paged));
    }

    static void Free(TestMachine m, SortedDictionary<Va, (int Bytes, byte Mark, bool Paged)> live, Va block)
    {
        (int bytes, byte mark, _) = live[block];
        Assert.True(m.Nt.Memory.ReadBytes(block, bytes).All(b => b == mark));
        m.Nt.ExFreePoolWithTag(block, Tag);
        Assert.False(m.Nt.Memory.IsMapped(block));
        live.Remove(block);
    }
}
