using System.Numerics;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>RTL_BITMAP: bits in words of 32, lowest first. The buffer's last word is whole, whatever the
/// size.</summary>
[Layout("_RTL_BITMAP", Size = 0x10)]
public readonly partial struct RtlBitMap
{
    [Field(0x00)] public partial uint SizeOfBitMap { get; set; }
    [Field(0x08)] public partial Va Buffer { get; set; }

    internal BitMap Bits(NtKernel nt) => new(nt, SizeOfBitMap, Buffer);
}

/// <summary>The bits of an RTL_BITMAP, searched and changed word by word. A driver can name more words than there are:
/// then a page fault ends it.</summary>
sealed class BitMap(NtKernel nt, uint size, Va buffer)
{
    const int WordsPerStep = 64;

    /// <summary>What a search returns that finds nothing.</summary>
    public const uint NotFound = uint.MaxValue;

    uint _words;

    public uint Size => size;

    public bool this[uint index] => (Word(index) >> (int)(index & 31) & 1) != 0;

    Va WordAddress(uint index) => buffer + (ulong)(index >> 5) * 4;

    uint Word(uint index)
    {
        if (++_words % WordsPerStep == 0) nt.Ke.Clock.Spend();
        return nt.Memory.Read<uint>(WordAddress(index));
    }

    /// <summary>Gives a range of bits one value. It may reach past the size, as a driver may say so.</summary>
    public void Fill(uint start, uint count, bool value)
    {
        for (ulong at = start, end = (ulong)start + count; at < end;)
        {
            int first = (int)(at & 31), bits = (int)Math.Min((ulong)(32 - first), end - at);
            uint mask = (bits == 32 ? uint.MaxValue : (1u << bits) - 1) << first;
            uint old = mask == uint.MaxValue ? 0 : Word((uint)at);
            nt.Memory.Write(WordAddress((uint)at), value ? old | mask : old & ~mask);
            at += (ulong)bits;
        }
    }

    /// <summary>Gives every word of the map one value, bits past the size with it.</summary>
    public void FillAll(bool value) =>
        nt.Memory.Fill(buffer, ((ulong)size + 31) / 32 * 4, value ? (byte)0xFF : (byte)0);

    /// <summary>The first bit of a value from an index on; the size where there is none.</summary>
    public uint Next(uint from, bool value)
    {
        for (ulong at = from; at < size;)
        {
            uint word = Word((uint)at);
            if (!value) word = ~word;
            word &= uint.MaxValue << (int)(at & 31);
            if (word != 0) return Math.Min(size, (uint)(at & ~31UL) + (uint)BitOperations.TrailingZeroCount(word));
            at = (at | 31) + 1;
        }
        return size;
    }

    /// <summary>The last bit of a value up to an index, which is inside the map; <see cref="NotFound"/> where there is
    /// none.</summary>
    public uint Previous(uint from, bool value)
    {
        for (long at = from; at >= 0; at = (at & ~31L) - 1)
        {
            uint word = Word((uint)at);
            if (!value) word = ~word;
            word &= uint.MaxValue >> (int)(31 - (at & 31));
            if (word != 0) return (uint)(at & ~31L) + (uint)BitOperations.Log2(word);
        }
        return NotFound;
    }

    /// <summary>Whether all bits of a range, which must lie inside the map, have a value.</summary>
    public bool AreAll(uint start, uint count, bool value)
    {
        if (count == 0 || start >= size || count > size - start) return false;
        return Next(start, !value) >= start + count;
    }

    public uint CountSet()
    {
        uint count = 0;
        for (ulong at = 0; at < size; at += 32)
        {
            uint word = Word((uint)at);
            if (size - at < 32) word &= (1u << (int)(size - at)) - 1;
            count += (uint)BitOperations.PopCount(word);
        }
        return count;
    }

    /// <summary>Bits of a value in a row, the first such from an index on; zero bits at the size when there is
    /// none.</summary>
    public BitRun NextRun(uint from, bool value)
    {
        uint start = Next(from, value);
        return start == size ? new BitRun(size, 0) : new BitRun(start, Next(start, !value) - start);
    }

    /// <summary>Where so many bits of a value stand in a row, looking from a hint to the end and then from the
    /// start.</summary>
    public uint Find(uint count, uint hint, bool value)
    {
        if (hint >= size) hint = 0;
        if (count == 0) return hint & ~7u;
        if (count > size) return NotFound;
        uint found = FindFrom(hint, size, count, value);
        return found != NotFound || hint == 0 ? found
            : FindFrom(0, (uint)Math.Min(size, (ulong)hint + count - 1), count, value);
    }

    uint FindFrom(uint from, uint end, uint count, bool value)
    {
        for (uint at = from; at < end;)
        {
            BitRun run = NextRun(at, value);
            if (run.Start >= end) break;
            if (run.Length >= count && run.Start + (ulong)count <= end) return run.Start;
            at = run.Start + run.Length;
        }
        return NotFound;
    }

    /// <summary>The longest run of clear bits, the first of equals.</summary>
    public BitRun LongestClear()
    {
        var longest = new BitRun(0, 0);
        for (BitRun run = NextRun(0, false); run.Length > 0; run = NextRun(run.Start + run.Length, false))
            if (run.Length > longest.Length) longest = run;
        return longest;
    }
}

/// <summary>RTL_BITMAP_RUN: bits in a row.</summary>
readonly record struct BitRun(uint Start, uint Length);
