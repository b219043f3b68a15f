using System.Numerics;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Bit maps.</summary>
sealed partial class Rtl
{
    const int BitRunBytes = 8;

    [Export]
    public void RtlInitializeBitMap(RtlBitMap bitMapHeader, Va bitMapBuffer, uint sizeOfBitMap) =>
        (bitMapHeader.SizeOfBitMap, bitMapHeader.Buffer) = (sizeOfBitMap, bitMapBuffer);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlClearBit(RtlBitMap bitMapHeader, uint bitNumber) => bitMapHeader.Bits(nt).Fill(bitNumber, 1, false);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlSetBit(RtlBitMap bitMapHeader, uint bitNumber) => bitMapHeader.Bits(nt).Fill(bitNumber, 1, true);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlTestBit(RtlBitMap bitMapHeader, uint bitNumber) => bitMapHeader.Bits(nt)[bitNumber];

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlClearAllBits(RtlBitMap bitMapHeader) => bitMapHeader.Bits(nt).FillAll(false);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlSetAllBits(RtlBitMap bitMapHeader) => bitMapHeader.Bits(nt).FillAll(true);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlClearBits(RtlBitMap bitMapHeader, uint startingIndex, uint numberToClear) =>
        bitMapHeader.Bits(nt).Fill(startingIndex, numberToClear, false);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlSetBits(RtlBitMap bitMapHeader, uint startingIndex, uint numberToSet) =>
        bitMapHeader.Bits(nt).Fill(startingIndex, numberToSet, true);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlAreBitsClear(RtlBitMap bitMapHeader, uint startingIndex, uint length) =>
        bitMapHeader.Bits(nt).AreAll(startingIndex, length, false);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlAreBitsSet(RtlBitMap bitMapHeader, uint startingIndex, uint length) =>
        bitMapHeader.Bits(nt).AreAll(startingIndex, length, true);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlNumberOfSetBits(RtlBitMap bitMapHeader) => bitMapHeader.Bits(nt).CountSet();

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlNumberOfClearBits(RtlBitMap bitMapHeader) =>
        bitMapHeader.SizeOfBitMap - bitMapHeader.Bits(nt).CountSet();

    [Export]
    public uint RtlNumberOfSetBitsUlongPtr(ulong target) => (uint)BitOperations.PopCount(target);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlFindClearBits(RtlBitMap bitMapHeader, uint numberToFind, uint hintIndex) =>
        bitMapHeader.Bits(nt).Find(numberToFind, hintIndex, false);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlFindSetBits(RtlBitMap bitMapHeader, uint numberToFind, uint hintIndex) =>
        bitMapHeader.Bits(nt).Find(numberToFind, hintIndex, true);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlFindClearBitsAndSet(RtlBitMap bitMapHeader, uint numberToFind, uint hintIndex) =>
        FindAndFlip(bitMapHeader.Bits(nt), numberToFind, hintIndex, false);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlFindSetBitsAndClear(RtlBitMap bitMapHeader, uint numberToFind, uint hintIndex) =>
        FindAndFlip(bitMapHeader.Bits(nt), numberToFind, hintIndex, true);

    static uint FindAndFlip(BitMap bits, uint count, uint hint, bool value)
    {
        uint found = bits.Find(count, hint, value);
        if (found != BitMap.NotFound) bits.Fill(found, count, !value);
        return found;
    }

    /// <summary>The clear runs in order, or the longest of them, longest first; how many were found.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlFindClearRuns(RtlBitMap bitMapHeader, Va runArray, uint sizeOfRunArray, bool locateLongestRuns)
    {
        BitMap bits = bitMapHeader.Bits(nt);
        uint count = 0;
        for (BitRun run = bits.NextRun(0, false); run.Length > 0; run = bits.NextRun(run.Start + run.Length, false))
        {
            if (count == sizeOfRunArray && !locateLongestRuns) break;
            count = locateLongestRuns ? InsertRun(runArray, count, sizeOfRunArray, run) : count + 1;
            if (!locateLongestRuns) nt.Memory.Write(runArray + (count - 1) * (ulong)BitRunBytes, run);
        }
        return count;
    }

    // Into a list that is sorted by length: shorter ones move down, the last one out when the array is full.
    uint InsertRun(Va runs, uint count, uint room, BitRun run)
    {
        uint at = count;
        for (; at > 0 && nt.Memory.Read<BitRun>(At(at - 1)) is var above && above.Length < run.Length; at--)
        {
            if (at < room) nt.Memory.Write(At(at), above);
            nt.Ke.Clock.Spend();
        }
        if (at < room) nt.Memory.Write(At(at), run);
        return Math.Min(count + 1, room);

        Va At(uint n) => runs + n * (ulong)BitRunBytes;
    }

    /// <summary>The first clear bits in a row from an index on: how many, and where.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlFindNextForwardRunClear(RtlBitMap bitMapHeader, uint fromIndex, Va startingRunIndex)
    {
        BitMap bits = bitMapHeader.Bits(nt);
        BitRun run = fromIndex >= bits.Size ? new BitRun(fromIndex, 0) : bits.NextRun(fromIndex, false);
        nt.Memory.Write(startingRunIndex, run.Start);
        return run.Length;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlFindFirstRunClear(RtlBitMap bitMapHeader, Va startingIndex) =>
        RtlFindNextForwardRunClear(bitMapHeader, 0, startingIndex);

    /// <summary>The nearest clear bits in a row at or below an index: how many, and where the row begins.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlFindLastBackwardRunClear(RtlBitMap bitMapHeader, uint fromIndex, Va startingRunIndex)
    {
        BitMap bits = bitMapHeader.Bits(nt);
        uint end = bits.Size == 0 ? BitMap.NotFound : bits.Previous(Math.Min(fromIndex, bits.Size - 1), false);
        uint start = end == BitMap.NotFound ? fromIndex : unchecked(bits.Previous(end, true) + 1);
        nt.Memory.Write(startingRunIndex, start);
        return end == BitMap.NotFound ? 0 : end - start + 1;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlFindLongestRunClear(RtlBitMap bitMapHeader, Va startingIndex)
    {
        BitRun longest = bitMapHeader.Bits(nt).LongestClear();
        nt.Memory.Write(startingIndex, longest.Start);
        return longest.Length;
    }

    /// <summary>The index of the lowest bit that is set; -1 for zero.</summary>
    [Export]
    public sbyte RtlFindLeastSignificantBit(ulong set) =>
        set == 0 ? (sbyte)-1 : (sbyte)BitOperations.TrailingZeroCount(set);

    [Export]
    public sbyte RtlFindMostSignificantBit(ulong set) => set == 0 ? (sbyte)-1 : (sbyte)BitOperations.Log2(set);
}
