using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Bit maps against an array of bools.</summary>
public sealed class RtlBitMapTests
{
    static RtlBitMap Map(TestMachine m, bool[] bits)
    {
        var map = RtlBitMap.At(m.Nt.Memory, m.Block(16));
        m.Nt.RtlInitializeBitMap(map, m.Block((bits.Length + 31) / 32 * 4 + 4), (uint)bits.Length);
        for (uint i = 0; i < bits.Length; i++) if (bits[i]) m.Nt.RtlSetBit(map, i);
        return map;
    }

    static bool[] Read(TestMachine m, RtlBitMap map) =>
        [.. Enumerable.Range(0, (int)map.SizeOfBitMap).Select(i => m.Nt.RtlTestBit(map, (uint)i))];

    // Long runs, so that words are skipped whole.
    static Gen<bool[]> Bits => from size in Gen.Choose(1, 300)
                               from runs in Gen.ListOf(Gen.Choose(1, 80))
                               select Runs(size, [.. runs]);

    static bool[] Runs(int size, int[] runs)
    {
        bool[] bits = new bool[size];
        int at = 0;
        for (int k = 0; k < runs.Length; k++)
            for (int i = 0; i < runs[k] && at < size; i++) bits[at++] = (k & 1) == 0;
        return bits;
    }

    static uint FindModel(bool[] bits, uint count, uint hint, bool value)
    {
        if (hint >= bits.Length) hint = 0;
        foreach (uint start in (uint[])[hint, 0])
            for (uint i = start; i + count <= bits.Length; i++)
                if (bits.Skip((int)i).Take((int)count).All(b => b == value)) return i;
        return uint.MaxValue;
    }

    static List<(uint Start, uint Length)> ClearRuns(bool[] bits)
    {
        List<(uint, uint)> runs = [];
        for (int i = 0; i < bits.Length; i++)
        {
            int start = i;
            while (i < bits.Length && !bits[i]) i++;
            if (i > start) runs.Add(((uint)start, (uint)(i - start)));
        }
        return runs;
    }

    [Fact]
    public void Counts_and_searches_say_what_an_array_of_bools_says()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va at = m.Block(4), runs = m.Block(8 * 8);
        Prop.ForAll(Bits.ToArbitrary(), Gen.Choose(1, 70).ToArbitrary(), Gen.Choose(0, 320).ToArbitrary(),
            (bits, count, hint) =>
        {
            RtlBitMap map = Map(m, bits);
            Assert.Equal((uint)bits.Count(b => b), nt.RtlNumberOfSetBits(map));
            Assert.Equal((uint)bits.Count(b => !b), nt.RtlNumberOfClearBits(map));
            Assert.Equal(FindModel(bits, (uint)count, (uint)hint, false), nt.RtlFindClearBits(map, (uint)count,
                (uint)hint));
            Assert.Equal(FindModel(bits, (uint)count, (uint)hint, true), nt.RtlFindSetBits(map, (uint)count,
                (uint)hint));
            List<(uint Start, uint Length)> clear = ClearRuns(bits);
            bool[] part = [.. bits.Skip(hint).Take(count)];
            Assert.Equal(part.Length == count && part.All(b => !b), nt.RtlAreBitsClear(map, (uint)hint, (uint)count));
            Assert.Equal(part.Length == count && part.All(b => b), nt.RtlAreBitsSet(map, (uint)hint, (uint)count));
            (uint Start, uint Length) longest = clear.OrderByDescending(r => r.Length).FirstOrDefault();
            Assert.Equal(longest.Length, nt.RtlFindLongestRunClear(map, at));
            Assert.Equal(longest.Start, m.U32(at));
            Assert.Equal(clear.FirstOrDefault().Length, nt.RtlFindFirstRunClear(map, at));
            uint found = nt.RtlFindClearRuns(map, runs, 8, false);
            Assert.Equal(clear.Take(8), ReadRuns(m, runs, found));
            found = nt.RtlFindClearRuns(map, runs, 8, true);
            Assert.Equal(clear.OrderByDescending(r => r.Length).Take(8), ReadRuns(m, runs, found));
            CheckNeighbours(m, map, bits, (uint)Math.Min(hint, bits.Length - 1), at);
        }).Check(GuestText.Properties(150));
    }

    static IEnumerable<(uint, uint)> ReadRuns(TestMachine m, Va runs, uint count) =>
        Enumerable.Range(0, (int)count).Select(i => (m.U32(runs + i * 8), m.U32(runs + i * 8 + 4)));

    static void CheckNeighbours(TestMachine m, RtlBitMap map, bool[] bits, uint from, Va at)
    {
        int next = Array.FindIndex(bits, (int)from, b => !b), last = Array.FindLastIndex(bits, (int)from, b => !b);
        uint length = m.Nt.RtlFindNextForwardRunClear(map, from, at);
        Assert.Equal(next < 0 ? 0 : bits.Skip(next).TakeWhile(b => !b).Count(), (int)length);
        if (next >= 0) Assert.Equal((uint)next, m.U32(at));
        length = m.Nt.RtlFindLastBackwardRunClear(map, from, at);
        Assert.Equal(last < 0 ? 0 : bits.Take(last + 1).Reverse().TakeWhile(b => !b).Count(), (int)length);
        if (last >= 0) Assert.Equal((uint)last + 1 - length, m.U32(at));
    }

    [Fact]
    public void Changes_change_what_they_name_and_nothing_else()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Prop.ForAll(Bits.ToArbitrary(), Gen.Choose(0, 299).ToArbitrary(), Gen.Choose(0, 100).ToArbitrary(),
            (bits, start, count) =>
        {
            start %= bits.Length;
            count = Math.Min(count, bits.Length - start);
            RtlBitMap map = Map(m, bits);
            bool[] model = [.. bits];
            nt.RtlSetBits(map, (uint)start, (uint)count);
            Array.Fill(model, true, start, count);
            Assert.Equal(model, Read(m, map));
            nt.RtlClearBits(map, (uint)start / 2, (uint)count);
            Array.Fill(model, false, start / 2, count);
            nt.RtlClearBit(map, (uint)start);
            model[start] = false;
            Assert.Equal(model, Read(m, map));
            uint found = nt.RtlFindClearBitsAndSet(map, 3, (uint)start);
            Assert.Equal(FindModel(model, 3, (uint)start, false), found);
            if (found != uint.MaxValue) Array.Fill(model, true, (int)found, 3);
            found = nt.RtlFindSetBitsAndClear(map, 2, 0);
            if (found != uint.MaxValue) Array.Fill(model, false, (int)found, 2);
            Assert.Equal(model, Read(m, map));
        }).Check(GuestText.Properties(150));
    }

    [Fact]
    public void All_bits_change_at_once()
    {
        using var m = new TestMachine();
        RtlBitMap map = Map(m, new bool[70]);
        m.Nt.RtlSetAllBits(map);
        Assert.Equal(70u, m.Nt.RtlNumberOfSetBits(map));
        m.Nt.RtlClearAllBits(map);
        Assert.Equal(70u, m.Nt.RtlNumberOfClearBits(map));
        Assert.Equal(3u, m.Nt.RtlNumberOfSetBitsUlongPtr(0x8000_0000_0000_0101));
        Assert.Equal((8, 63), (m.Nt.RtlFindLeastSignificantBit(0x8000_0000_0000_0100),
            m.Nt.RtlFindMostSignificantBit(0x8000_0000_0000_0100)));
        Assert.Equal((-1, -1), (m.Nt.RtlFindLeastSignificantBit(0), m.Nt.RtlFindMostSignificantBit(0)));
    }
}
