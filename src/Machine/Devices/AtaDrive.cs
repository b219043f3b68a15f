using System.Buffers.Binary;
using System.Text;

namespace Ringdown.Machine;

/// <summary>The inside of an ATA disk drive: medium, write cache, bad sectors, and how long everything takes.</summary>
/// <remarks>What is written stays in the cache until it is flushed, the drive spins down or there is no more room; loss
/// of power loses it.</remarks>
public sealed class AtaDrive : IChipState
{
    public const int SectorBytes = 512;

    /// <summary>The most sectors that READ and WRITE MULTIPLE take at once.</summary>
    public const int MostMultiple = 16;

    /// <summary>How long a disk's heads move across all of it, in 100 ns: 8 ms.</summary>
    public const long OrdinarySeekTicks = 80_000;

    const int CacheSectors = 0x4000, Heads = 16, SectorsPerTrack = 63;
    const long SectorTicks = 51, SettleTicks = 5_000, SpinUpTicks = 20_000_000, MostSectors28 = 0xFFF_FFFF;

    readonly SortedDictionary<long, byte[]> _cache = [];
    readonly List<long> _bad = [];
    readonly long _seekTicks;
    readonly string _serial;
    long _head;
    bool _caches = true, _isDown;
    byte _transferMode = 0x45;

    /// <param name="seekTicks">How long it takes across the whole medium, in 100 ns.</param>
    public AtaDrive(IDisk disk, string serial, long seekTicks = OrdinarySeekTicks) =>
        (Disk, _serial, _seekTicks) = (disk, serial, seekTicks);

    public IDisk Disk { get; }

    /// <summary>Sectors of a block of READ and WRITE MULTIPLE; 0: it was not set.</summary>
    public byte Multiple { get; set; } = MostMultiple;

    /// <summary>Sectors that only the cache has.</summary>
    public int Unflushed => _cache.Count;

    /// <summary>It spins down: the next access waits until it is up again.</summary>
    public bool IsDown => _isDown;

    /// <summary>A sector cannot be read until it is written again.</summary>
    public void Spoil(long sector) => _bad.Add(sector);

    /// <summary>The first bad sector of some; null if all are good.</summary>
    public long? FirstBad(long sector, long count)
    {
        long? first = null;
        foreach (long bad in _bad)
            if (bad - sector is var offset && offset >= 0 && offset < count && (first is null || bad < first))
                first = bad;
        return first;
    }

    public void Read(long sector, Span<byte> bytes)
    {
        Disk.Read(sector, bytes);
        if (_cache.Count == 0) return;
        for (int i = 0; i < bytes.Length / SectorBytes; i++)
            if (_cache.TryGetValue(sector + i, out byte[]? cached)) cached.CopyTo(bytes[(i * SectorBytes)..]);
    }

    /// <param name="through">To the medium, whatever the cache.</param>
    public void Write(long sector, ReadOnlySpan<byte> bytes, bool through)
    {
        long count = bytes.Length / SectorBytes;
        // A sector that is written is put elsewhere.
        if (_bad.Count > 0) _bad.RemoveAll(b => b >= sector && b < sector + count);
        if (_caches && !through)
        {
            for (int i = 0; i < count; i++)
                _cache[sector + i] = bytes.Slice(i * SectorBytes, SectorBytes).ToArray();
            if (_cache.Count > CacheSectors) Flush();
            return;
        }
        for (int i = 0; i < count && _cache.Count > 0; i++) _cache.Remove(sector + i);
        Disk.Write(sector, bytes);
    }

    public void Flush()
    {
        foreach ((long sector, byte[] bytes) in _cache) Disk.Write(sector, bytes);
        _cache.Clear();
    }

    /// <summary>How long it takes until the heads are there and the sectors have passed, in 100 ns.</summary>
    public long AccessTicks(long sector, long count)
    {
        long ticks = WakeTicks() + SeekTicks(sector) + count * SectorTicks;
        _head = sector + count;
        return ticks;
    }

    public long WriteTicks(long sector, long count, bool through) =>
        _caches && !through ? WakeTicks() + 100 + count * SectorTicks : AccessTicks(sector, count);

    /// <summary>How long a flush takes: as long as the writes that it does.</summary>
    public long FlushTicks()
    {
        long ticks = 100;
        if (_cache.Count > 0) ticks += WakeTicks();
        foreach (long sector in _cache.Keys)
        {
            ticks += SeekTicks(sector) + SectorTicks;
            _head = sector + 1;
        }
        return ticks;
    }

    // Settling, and in proportion to the distance; none if the sectors follow.
    long SeekTicks(long sector)
    {
        long distance = Math.Abs(sector - _head);
        return distance == 0 || _seekTicks == 0 ? 0
            : SettleTicks + (long)((Int128)distance * _seekTicks / Math.Max(1, Disk.Sectors));
    }

    long WakeTicks()
    {
        if (!_isDown) return 0;
        _isDown = false;
        return SpinUpTicks;
    }

    public void SpinDown()
    {
        Flush();
        _isDown = true;
    }

    /// <summary>Power goes: what was not flushed is lost.</summary>
    public void LosePower()
    {
        _cache.Clear();
        Reset();
        (_isDown, _head, _caches) = (true, 0, true);
    }

    public void Reset() => Multiple = MostMultiple;

    /// <summary>SET FEATURES.</summary>
    /// <returns>False: it has no such feature.</returns>
    public bool SetFeature(byte feature, byte parameter)
    {
        switch (feature)
        {
            case 0x02:
                _caches = true;
                return true;
            case 0x82:
                Flush();
                _caches = false;
                return true;
            // PIO up to mode 4, multiword DMA up to 2, Ultra DMA up to 5.
            case 0x03 when parameter is <= 1 or >= 8 and <= 12 or >= 0x20 and <= 0x22 or >= 0x40 and <= 0x45:
                _transferMode = parameter;
                return true;
            // Looking ahead changes no data here, and no time.
            case 0x55 or 0xAA:
                return true;
            default:
                return false;
        }
    }

    /// <summary>The sector of a cylinder, head and sector; null if there is none.</summary>
    public static long? SectorAt(int cylinder, int head, int sector) =>
        sector is 0 or > SectorsPerTrack ? null : ((long)cylinder * Heads + head) * SectorsPerTrack + sector - 1;

    /// <summary>What IDENTIFY DEVICE tells.</summary>
    public byte[] Identify()
    {
        var words = new ushort[256];
        long sectors = Disk.Sectors, cylinders = Math.Min(16383, sectors / (Heads * SectorsPerTrack));
        words[0] = 0x40;
        (words[1], words[3], words[6]) = ((ushort)cylinders, Heads, SectorsPerTrack);
        Text(words, 10, 10, _serial.PadLeft(20));
        Text(words, 23, 4, "1.0");
        Text(words, 27, 20, "RINGDOWN ATA DISK");
        words[47] = 0x8000 | MostMultiple;
        words[49] = 0x2F00;
        words[53] = 7;
        (words[54], words[55], words[56]) = (words[1], words[3], words[6]);
        Number(words, 57, cylinders * Heads * SectorsPerTrack, 2);
        words[59] = (ushort)(Multiple == 0 ? 0 : 0x100 | Multiple);
        Number(words, 60, Math.Min(sectors, MostSectors28), 2);
        words[63] = (ushort)(7 | Selected(0x20) << 8);
        words[64] = 3;
        (words[65], words[66], words[67], words[68]) = (120, 120, 120, 120);
        words[80] = 0x7E;
        words[82] = 0x4060;
        words[83] = 0x7400;
        words[84] = 0x4040;
        words[85] = (ushort)(words[82] & ~0x20 | (_caches ? 0x20 : 0));
        (words[86], words[87]) = (0x3400, words[84]);
        words[88] = (ushort)(0x3F | Selected(0x40) << 8);
        words[93] = 0x6001;
        Number(words, 100, sectors, 4);
        var bytes = new byte[SectorBytes];
        for (int i = 0; i < 256; i++) BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2 * i), words[i]);
        (bytes[510], bytes[511]) = (0xA5, 0);
        bytes[511] = (byte)-bytes.Sum(b => b);
        return bytes;
    }

    int Selected(int kind) => (_transferMode & 0xF8) == kind ? 1 << (_transferMode & 7) : 0;

    // Two characters a word, the first one above.
    static void Text(ushort[] words, int first, int count, string text)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(text.PadRight(2 * count));
        for (int i = 0; i < count; i++) words[first + i] = (ushort)(bytes[2 * i] << 8 | bytes[2 * i + 1]);
    }

    static void Number(ushort[] words, int first, long number, int count)
    {
        for (int i = 0; i < count; i++) words[first + i] = (ushort)(number >> (16 * i));
    }

    public void Exchange(ChipState state)
    {
        state.Blocks(_cache, SectorBytes);
        state.Items(_bad);
        state.Value(ref _head);
        state.Value(ref _caches);
        state.Value(ref _isDown);
        state.Value(ref _transferMode);
        byte multiple = Multiple;
        state.Value(ref multiple);
        Multiple = multiple;
        (Disk as IChipState)?.Exchange(state);
    }
}
