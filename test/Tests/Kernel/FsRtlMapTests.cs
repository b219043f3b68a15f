using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using UnicodeString = Ringdown.Kernel.UnicodeString;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Maps of runs, and tunnel caches.</summary>
public sealed class FsRtlMapTests
{
    static LargeMcb Map(TestMachine m)
    {
        LargeMcb made = LargeMcb.At(m.Nt.Memory, m.Block(LargeMcb.Size));
        m.Nt.FsRtlInitializeLargeMcb(made, 1);
        return made;
    }

    [Fact]
    public void A_map_of_runs_counts_its_holes()
    {
        using var m = new TestMachine();
        LargeMcb mcb = Map(m);
        Va vbn = m.Block(8), lbn = m.Block(8), count = m.Block(8), index = m.Block(8), all = m.Block(8);
        Assert.True(m.Nt.FsRtlAddLargeMcbEntry(mcb, 10, 1000, 5));
        Assert.False(m.Nt.FsRtlAddLargeMcbEntry(mcb, 12, 7, 1));
        Assert.True(m.Nt.FsRtlAddLargeMcbEntry(mcb, 15, 1005, 5));
        Assert.Equal(2u, m.Nt.FsRtlNumberOfRunsInLargeMcb(mcb));
        Assert.True(m.Nt.FsRtlLookupLargeMcbEntry(mcb, 12, lbn, count, vbn, all, index));
        Assert.Equal((1002L, 8L, 1000L, 10L, 1),
            (m.Read<long>(lbn), m.Read<long>(count), m.Read<long>(vbn), m.Read<long>(all), m.Read<int>(index)));
        Assert.True(m.Nt.FsRtlGetNextLargeMcbEntry(mcb, 0, vbn, lbn, count));
        Assert.Equal((0L, -1L, 10L), (m.Read<long>(vbn), m.Read<long>(lbn), m.Read<long>(count)));
        Assert.False(m.Nt.FsRtlGetNextLargeMcbEntry(mcb, 2, vbn, lbn, count));
        Assert.True(m.Nt.FsRtlLookupLastLargeMcbEntryAndIndex(mcb, vbn, lbn, index));
        Assert.Equal((19L, 1009L), (m.Read<long>(vbn), m.Read<long>(lbn)));
        m.Nt.FsRtlRemoveLargeMcbEntry(mcb, 12, 1);
        Assert.True(m.Nt.FsRtlSplitLargeMcb(mcb, 16, 4));
        Assert.Equal(6u, m.Nt.FsRtlNumberOfRunsInLargeMcb(mcb));
        m.Nt.FsRtlTruncateLargeMcb(mcb, 12);
        Assert.True(m.Nt.FsRtlLookupLastLargeMcbEntry(mcb, vbn, lbn));
        Assert.Equal(11L, m.Read<long>(vbn));
        m.Nt.FsRtlResetLargeMcb(mcb, false);
        Assert.Equal(0u, mcb.BaseMcb.PairCount);
        m.Nt.FsRtlUninitializeLargeMcb(mcb);
    }

    [Fact]
    public void A_base_map_works_the_same_without_a_lock()
    {
        using var m = new TestMachine();
        BaseMcb mcb = BaseMcb.At(m.Nt.Memory, m.Block(BaseMcb.Size));
        Assert.True(m.Nt.FsRtlInitializeBaseMcbEx(mcb, 1, 0));
        m.Nt.FsRtlUninitializeBaseMcb(mcb);
        m.Nt.FsRtlInitializeBaseMcb(mcb, 1);
        Va vbn = m.Block(8), lbn = m.Block(8), count = m.Block(8);
        Assert.False(m.Nt.FsRtlLookupLastBaseMcbEntry(mcb, vbn, lbn));
        Assert.True(m.Nt.FsRtlAddBaseMcbEntry(mcb, 0, 50, 10));
        Assert.True(m.Nt.FsRtlRemoveBaseMcbEntry(mcb, 3, 2));
        Assert.Equal(3u, m.Nt.FsRtlNumberOfRunsInBaseMcb(mcb));
        Assert.True(m.Nt.FsRtlSplitBaseMcb(mcb, 0, 5));
        Assert.True(m.Nt.FsRtlLookupBaseMcbEntry(mcb, 5, lbn, default, default, default, default));
        Assert.Equal(50L, m.Read<long>(lbn));
        Assert.True(m.Nt.FsRtlGetNextBaseMcbEntry(mcb, 1, vbn, lbn, count));
        Assert.True(m.Nt.FsRtlLookupLastBaseMcbEntryAndIndex(mcb, vbn, lbn, default));
        Assert.Equal((14L, 59L), (m.Read<long>(vbn), m.Read<long>(lbn)));
        m.Nt.FsRtlTruncateBaseMcb(mcb, 6);
        m.Nt.FsRtlResetBaseMcb(mcb);
        Assert.Equal(0u, mcb.PairCount);
    }

    [Fact]
    public void Runs_are_those_of_a_list_of_blocks()
    {
        var one = from what in Gen.Choose(0, 3)
                  from vbn in Gen.Choose(0, 30)
                  from count in Gen.Choose(1, 8)
                  from lbn in Gen.Choose(0, 3)
                  select (what, vbn, count, lbn: lbn * 100L + vbn);
        Prop.ForAll(one.ArrayOf().ToArbitrary(), steps =>
        {
            var map = new RunMap();
            var model = new List<long>();
            foreach ((int what, int vbn, int count, long lbn) in steps) Step(map, model, what, vbn, count, lbn);
            for (int i = 0; i < map.Count; i++)
            {
                (long start, long first, long length) = map[i];
                for (int b = 0; b < length; b++)
                    if (model[(int)start + b] != (first < 0 ? -1 : first + b)) return false;
                // No two parts that could be one.
                if (i > 0 && map[i - 1] is var p && (p.Lbn < 0 ? first < 0 : first == p.Lbn + p.Count)) return false;
            }
            long end = map.Count == 0 ? 0 : map[map.Count - 1].Vbn + map[map.Count - 1].Count;
            return end == model.Count && map.IndexOf(end) < 0;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(500).WithReplay(1, 3));
    }

    static void Step(RunMap map, List<long> model, int what, int vbn, int count, long lbn)
    {
        if (what <= 1)
        {
            bool free = Enumerable.Range(0, count).All(
                i => vbn + i >= model.Count || model[vbn + i] < 0 || model[vbn + i] == lbn + i);
            Assert.Equal(free, map.TryAdd(vbn, lbn, count));
            if (!free) return;
            while (model.Count < vbn + count) model.Add(-1);
            for (int i = 0; i < count; i++) model[vbn + i] = lbn + i;
        }
        else if (what == 2)
        {
            map.Remove(vbn, count);
            for (int i = vbn; i < Math.Min(vbn + count, model.Count); i++) model[i] = -1;
        }
        else
        {
            map.TrySplit(vbn, count);
            if (vbn < model.Count) model.InsertRange(vbn, Enumerable.Repeat(-1L, count));
        }
        while (model.Count > 0 && model[^1] < 0) model.RemoveAt(model.Count - 1);
    }

    [Fact]
    public void A_tunnel_remembers_a_name_for_fifteen_seconds()
    {
        using var m = new TestMachine();
        Tunnel tunnel = Tunnel.At(m.Nt.Memory, m.Block(Tunnel.Size));
        m.Nt.FsRtlInitializeTunnelCache(tunnel);
        m.Nt.FsRtlAddToTunnelCache(tunnel, 5, m.Text("LONGNA~1.TXT"), m.Text("longname.text"), false, 8,
            m.Variable(77));
        UnicodeString shortName = m.Room(24), longName = m.Room(8);
        Va length = m.Variable(8), data = m.Block(8);
        bool Find(ulong key) => m.Nt.FsRtlFindInTunnelCache(
            tunnel, key, m.Text("LongName.Text"), shortName, longName, length, data);
        Assert.False(Find(6));
        Assert.True(Find(5));
        Assert.Equal(("LONGNA~1.TXT", "longname.text", 77UL), (shortName.Text, longName.Text, m.Read<ulong>(data)));
        m.Nt.Ke.Clock.AdvanceTo(m.Nt.Ke.Clock.Now + 16 * 10_000_000);
        Assert.False(Find(5));
        m.Nt.FsRtlAddToTunnelCache(tunnel, 5, m.Text("A"), m.Text("longname.text"), false, 8, m.Variable(77));
        m.Nt.FsRtlDeleteKeyFromTunnelCache(tunnel, 5);
        Assert.Equal(0, tunnel.NumEntries);
        m.Nt.FsRtlDeleteTunnelCache(tunnel);
    }
}
