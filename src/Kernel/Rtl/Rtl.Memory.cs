using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Memory: compared, filled, copied, summed up; chance.</summary>
sealed partial class Rtl
{
    const uint RandomModulus = 0x7FFF_FFFF;

    /// <summary>How many bytes are equal before the first that are not.</summary>
    [Export]
    public ulong RtlCompareMemory(Va source1, Va source2, ulong length)
    {
        for (ulong i = 0; i < length; i++)
        {
            if (nt.Memory.Read<byte>(source1 + i) != nt.Memory.Read<byte>(source2 + i)) return i;
            SpendAt(i);
        }
        return length;
    }

    /// <summary>How many bytes repeat a pattern of four, whole patterns only.</summary>
    [Export]
    public ulong RtlCompareMemoryUlong(Va source, ulong length, uint pattern)
    {
        for (ulong done = 0; done < length / 4 * 4; done += 4)
        {
            if (nt.Memory.Read<uint>(source + done) != pattern) return done;
            SpendAt(done);
        }
        return length / 4 * 4;
    }

    // Long work counts as instructions too.
    void SpendAt(ulong done)
    {
        if ((done & 0x3FF) == 0) nt.Ke.Clock.Spend();
    }

    [Export] public void RtlZeroMemory(Va destination, ulong length) => nt.Memory.Fill(destination, length, 0);

    [Export]
    public void RtlFillMemory(Va destination, ulong length, byte fill) => nt.Memory.Fill(destination, length, fill);

    [Export]
    public void RtlCopyMemory(Va destination, Va source, ulong length) =>
        nt.Crt.memmove(destination, source, length);

    [Export]
    public void RtlMoveMemory(Va destination, Va source, ulong length) =>
        nt.Crt.memmove(destination, source, length);

    [Export]
    public void RtlCopyMemoryNonTemporal(Va destination, Va source, ulong length) =>
        nt.Crt.memmove(destination, source, length);

    [Export]
    public void RtlFillMemoryNonTemporal(Va destination, ulong length, byte value) =>
        nt.Memory.Fill(destination, length, value);

    /// <summary>Only a processor with a cache would notice.</summary>
    [Export]
    public void RtlPrefetchMemoryNonTemporal(Va source, ulong length)
    {
    }

    [Export]
    public uint RtlComputeCrc32(uint initialCrc, Va buffer, uint length) =>
        RtlCrc32(buffer, length, initialCrc);

    /// <summary>The CRC of Ethernet and zip.</summary>
    [Export]
    public uint RtlCrc32(Va buffer, ulong size, uint initialCrc)
    {
        uint crc = ~initialCrc;
        for (ulong i = 0; i < size; i++)
        {
            crc ^= nt.Memory.Read<byte>(buffer + i);
            for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1;
            SpendAt(i);
        }
        return ~crc;
    }

    /// <summary>The CRC with ECMA 182's polynomial, lowest bit first.</summary>
    [Export]
    public ulong RtlCrc64(Va buffer, ulong size, ulong initialCrc)
    {
        ulong crc = ~initialCrc;
        for (ulong i = 0; i < size; i++)
        {
            crc ^= nt.Memory.Read<byte>(buffer + i);
            for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xC96C_5795_D787_0F42 : crc >> 1;
            SpendAt(i);
        }
        return ~crc;
    }

    /// <summary>The next of a row of numbers below 2^31 - 1, which the caller's seed decides alone.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlRandomEx(Va seed)
    {
        uint next = (uint)((nt.Memory.Read<uint>(seed) * 0x7FFF_FFEDUL + 0x7FFF_FFC3) % RandomModulus);
        nt.Memory.Write(seed, next);
        return next;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlRandom(Va seed) => RtlRandomEx(seed);

    [Export]
    public void RtlCopyLuid(Va destinationLuid, Va sourceLuid) =>
        nt.Memory.Write(destinationLuid, nt.Memory.Read<ulong>(sourceLuid));

    [Export]
    public bool RtlEqualLuid(Va luid1, Va luid2) => nt.Memory.Read<ulong>(luid1) == nt.Memory.Read<ulong>(luid2);
}
