using System.Buffers.Binary;
using System.Globalization;

namespace Ringdown.Kernel;

/// <summary>LogConfig: the resources of a device, each section an alternative.</summary>
static class InfLogConfig
{
    const int ListBytes = 0x20, DescriptorBytes = 0x20, MostDescriptors = 1000;
    const byte Port = 1, Interrupt = 2, Memory = 3, Dma = 4, Alternative = 8, Exclusive = 1, Shared = 3;
    const ushort PortIo = 1, Decode10Bits = 4, Decode12Bits = 8, Decode16Bits = 0x10, Latched = 1;

    /// <summary>An IO_RESOURCE_REQUIREMENTS_LIST; null where no line says any.</summary>
    public static byte[]? Read(InfSections sections, IReadOnlyList<InfLine> lines)
    {
        List<byte[]> lists = [];
        foreach (InfLine line in lines.Where(l => l.IsKey("LogConfig")))
            foreach (string name in line.Fields.Where(f => f.Length > 0))
            {
                if (sections.Inf.Find(name) is not { } found) throw line.Wrong($"There is no section [{name}].");
                if (lists.Count >= 64) throw line.Wrong("So many alternatives no device has.");
                lists.Add(List(sections, found));
            }
        if (lists.Count == 0) return null;
        byte[] made = new byte[ListBytes + lists.Sum(l => l.Length)];
        BinaryPrimitives.WriteInt32LittleEndian(made, made.Length);
        // InterfaceTypeUndefined: the bus says it.
        BinaryPrimitives.WriteInt32LittleEndian(made.AsSpan(4), -1);
        BinaryPrimitives.WriteInt32LittleEndian(made.AsSpan(0x1C), lists.Count);
        int at = ListBytes;
        foreach (byte[] list in lists)
        {
            list.CopyTo(made, at);
            at += list.Length;
        }
        return made;
    }

    static byte[] List(InfSections sections, IReadOnlyList<InfLine> lines)
    {
        List<byte[]> all = [];
        foreach (InfLine line in lines)
        {
            switch ((line.Key ?? "").ToUpperInvariant())
            {
                case "IOCONFIG":
                    Add(all, line, text => Range(line, text, Port));
                    break;
                case "MEMCONFIG":
                    Add(all, line, text => Range(line, text, Memory));
                    break;
                case "IRQCONFIG":
                    Vectors(all, line, Interrupt, "LS", Latched, Shared);
                    break;
                case "DMACONFIG":
                    Vectors(all, line, Dma, "DWN", 0, Exclusive);
                    break;
                default:
                    sections.Tell(line.Note($"{line.Key ?? line.Field(0)} of a LogConfig has no effect here."));
                    break;
            }
            if (all.Count > MostDescriptors) throw line.Wrong("So many resources no device has.");
        }
        byte[] made = new byte[8 + all.Count * DescriptorBytes];
        (made[0], made[2]) = (1, 1);
        BinaryPrimitives.WriteInt32LittleEndian(made.AsSpan(4), all.Count);
        for (int i = 0; i < all.Count; i++) all[i].CopyTo(made, 8 + i * DescriptorBytes);
        return made;
    }

    // The first of a line is wanted, the others stand for it.
    static void Add(List<byte[]> all, InfLine line, Func<string, byte[]> read)
    {
        bool isFirst = true;
        foreach (string field in line.Fields.Where(f => f.Length > 0))
        {
            byte[] made = read(field);
            if (!isFirst) made[0] = Alternative;
            isFirst = false;
            all.Add(made);
        }
    }

    // start-end, or size@lowest-highest%alignment; ports may have (10-bit decode...) behind.
    static byte[] Range(InfLine line, string text, byte type)
    {
        string plain = text;
        ushort flags = type == Port ? (ushort)(PortIo | Decode16Bits) : (ushort)0;
        int open = plain.IndexOf('(');
        if (open >= 0)
        {
            string decode = plain[(open + 1)..].Split(':')[0].TrimEnd(')').Trim();
            flags = (ushort)(PortIo | (decode.ToUpperInvariant() switch
            {
                "3FF" => Decode10Bits,
                "FFF" => Decode12Bits,
                _ => Decode16Bits,
            }));
            plain = plain[..open];
        }
        ulong alignment = 1;
        if (plain.Split('%') is [var before, var align])
        {
            // A mask of the bits that may be set: FFF0 is a multiple of 16.
            ulong mask = Hex(line, align);
            alignment = mask == 0 ? 1 : mask & (~mask + 1);
            plain = before;
        }
        ulong length, first, last;
        if (plain.Split('@') is [var size, var range])
        {
            length = Hex(line, size);
            (first, last) = Bounds(line, range);
        }
        else
        {
            (first, last) = Bounds(line, plain);
            length = last - first + 1;
        }
        if (length == 0 || last - first + 1 < length && last - first != ulong.MaxValue || length > uint.MaxValue)
            throw line.Wrong($"\"{text}\" is no range of so many bytes.");
        byte[] made = Descriptor(type, Exclusive, flags);
        BinaryPrimitives.WriteUInt32LittleEndian(made.AsSpan(8), (uint)length);
        BinaryPrimitives.WriteUInt32LittleEndian(made.AsSpan(0xC), (uint)Math.Min(alignment, uint.MaxValue));
        BinaryPrimitives.WriteUInt64LittleEndian(made.AsSpan(0x10), first);
        BinaryPrimitives.WriteUInt64LittleEndian(made.AsSpan(0x18), last);
        return made;
    }

    static (ulong First, ulong Last) Bounds(InfLine line, string text)
    {
        if (text.Split('-') is not [var first, var last]) throw line.Wrong($"\"{text}\" is no range: first-last.");
        (ulong from, ulong to) = (Hex(line, first), Hex(line, last));
        return from <= to ? (from, to) : throw line.Wrong($"\"{text}\" ends before it begins.");
    }

    static ulong Hex(InfLine line, string text)
    {
        text = text.Trim();
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)) text = text[2..];
        return ulong.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong value)
            ? value : throw line.Wrong($"\"{text}\" is no hexadecimal number.");
    }

    // IRQConfig = [LS:]5,7: level, shared; numbers are decimal.
    static void Vectors(List<byte[]> all, InfLine line, byte type, string letters, ushort otherwise, byte shared)
    {
        bool isLevel = false, isShared = false;
        Add(all, line, text =>
        {
            int colon = text.IndexOf(':');
            if (colon >= 0)
            {
                string attributes = text[..colon].Trim().ToUpperInvariant();
                if (attributes.Any(c => !letters.Contains(c))) throw line.Wrong($"\"{text}\" has other attributes.");
                (isLevel, isShared) = (attributes.Contains('L'), attributes.Contains('S'));
                text = text[(colon + 1)..];
            }
            if (!byte.TryParse(text.Trim(), NumberStyles.None, null, out byte number))
                throw line.Wrong($"\"{text}\" is no number of a line.");
            byte[] made = Descriptor(type, isShared ? shared : Exclusive, isLevel ? (ushort)0 : otherwise);
            (made[8], made[0xC]) = (number, number);
            return made;
        });
    }

    static byte[] Descriptor(byte type, byte share, ushort flags)
    {
        byte[] made = new byte[DescriptorBytes];
        (made[1], made[2]) = (type, share);
        BinaryPrimitives.WriteUInt16LittleEndian(made.AsSpan(4), flags);
        return made;
    }
}
