using System.Buffers.Binary;

namespace Ringdown.Kernel;

/// <summary>A partition as PARTITION_INFORMATION has it.</summary>
sealed record Partition(byte Type, bool IsBootable, ulong Start, ulong Length, uint HiddenSectors)
{
    public const byte Unused = 0, Extended = 5, ExtendedLba = 0x0F;

    public bool IsExtended => Type is Extended or ExtendedLba;

    /// <summary>IsRecognizedPartition: FAT, NTFS, and such with the bit of a set that is spread over disks.</summary>
    public bool IsRecognized => Type is 0x01 or 0x04 or 0x06 or 0x07 or 0x0B or 0x0C or 0x0E
        || (Type & 0x80) != 0 && (Type & 0x7F) is 0x01 or 0x04 or 0x06 or 0x07 or 0x0B or 0x0C or 0x0E;
}

/// <summary>A master boot record and the extended ones behind it, as bytes of sectors.</summary>
sealed class PartitionTable
{
    const int EntriesOffset = 0x1BE, EntryBytes = 16, EntriesPerSector = 4, SignatureOffset = 0x1B8,
        MarkOffset = 0x1FE, MostSectors = 64;
    public const int LeastSectorBytes = 512;
    const ushort Mark = 0xAA55;

    /// <summary>Four a sector, in the order of the chain: the numbers of IoSetPartitionInformation follow it.</summary>
    public List<Partition> Partitions { get; } = [];
    public uint Signature { get; private set; }

    /// <summary>Where the entries of each partition lie: a byte offset on the disk.</summary>
    public List<ulong> Places { get; } = [];

    public static bool IsMarked(ReadOnlySpan<byte> sector) =>
        BinaryPrimitives.ReadUInt16LittleEndian(sector[MarkOffset..]) == Mark;

    /// <param name="read">A sector by its byte offset; null if it cannot be read.</param>
    public static PartitionTable? Read(uint sectorBytes, Func<ulong, byte[]?> read)
    {
        var table = new PartitionTable();
        ulong at = 0, firstExtended = 0;
        for (int i = 0; i < MostSectors; i++)
        {
            if (read(at) is not { } sector) return null;
            if (!IsMarked(sector)) return table;
            if (i == 0) table.Signature = BinaryPrimitives.ReadUInt32LittleEndian(sector.AsSpan(SignatureOffset));
            Partition? next = table.Add(sector, sectorBytes, at, firstExtended);
            if (next is null) return table;
            at = next.Start;
            if (firstExtended == 0) firstExtended = at;
        }
        return table;
    }

    // What starts an extended partition counts from the first of them; all else from its own sector.
    Partition? Add(byte[] sector, uint sectorBytes, ulong at, ulong firstExtended)
    {
        Partition? next = null;
        for (int i = 0; i < EntriesPerSector; i++)
        {
            ReadOnlySpan<byte> entry = sector.AsSpan(EntriesOffset + i * EntryBytes, EntryBytes);
            uint start = BinaryPrimitives.ReadUInt32LittleEndian(entry[8..]);
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(entry[12..]);
            byte type = entry[4];
            bool isExtended = type is Partition.Extended or Partition.ExtendedLba;
            ulong first = (isExtended ? firstExtended : at) + (ulong)start * sectorBytes;
            var found = new Partition(type, (entry[0] & 0x80) != 0, type == Partition.Unused ? 0 : first,
                (ulong)length * sectorBytes, type == Partition.Unused ? 0 : start);
            Partitions.Add(found);
            Places.Add(at + (ulong)(EntriesOffset + i * EntryBytes));
            if (isExtended && next is null && length != 0 && first > at) next = found;
        }
        return next;
    }

    /// <summary>Puts up to four partitions into a master boot record that is there, or a new one.</summary>
    public static void Write(Span<byte> sector, uint signature, IReadOnlyList<Partition> partitions, uint sectorBytes)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(sector[SignatureOffset..], signature);
        BinaryPrimitives.WriteUInt16LittleEndian(sector[MarkOffset..], Mark);
        for (int i = 0; i < EntriesPerSector && i < partitions.Count; i++)
        {
            Partition partition = partitions[i];
            Span<byte> entry = sector.Slice(EntriesOffset + i * EntryBytes, EntryBytes);
            entry.Clear();
            if (partition.Type == Partition.Unused) continue;
            entry[0] = partition.IsBootable ? (byte)0x80 : (byte)0;
            entry[4] = partition.Type;
            // Cylinders, heads and sectors that say nothing: past the last cylinder.
            (entry[1], entry[2], entry[3]) = (entry[5], entry[6], entry[7]) = (0xFE, 0xFF, 0xFF);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], (uint)(partition.Start / sectorBytes));
            BinaryPrimitives.WriteUInt32LittleEndian(entry[12..], (uint)(partition.Length / sectorBytes));
        }
    }
}
