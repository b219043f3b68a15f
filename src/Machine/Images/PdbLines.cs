using System.Text;

namespace Ringdown.Machine;

/// <summary>The lines of one object file in a .pdb, in the form of C13 compilers.</summary>
static class PdbLines
{
    const uint Lines = 0xF2, Files = 0xF4;

    // Numbers that mean: no line, or hidden from whoever steps.
    const uint NoLine = 0xFEEFEE, HiddenLine = 0xF00F00;

    /// <summary>Adds the lines of a module's subsections.</summary>
    /// <param name="names">The texts that the table of files refers to.</param>
    /// <param name="rvaOf">Of a section's number and an offset in it; null when there is no such place.</param>
    public static void Read(
        ReadOnlySpan<byte> subsections, ReadOnlySpan<byte> names, Func<ushort, uint, uint?> rvaOf,
        LineTable.Builder lines)
    {
        ReadOnlySpan<byte> files = default;
        for (ByteCursor cursor = new(subsections); !cursor.AtEnd; cursor.Align(4))
        {
            uint kind = cursor.U32();
            ReadOnlySpan<byte> body = cursor.Take(cursor.U32());
            if (kind == Files) files = body;
        }
        Dictionary<uint, int> known = [];
        for (ByteCursor cursor = new(subsections); !cursor.AtEnd; cursor.Align(4))
        {
            uint kind = cursor.U32();
            ReadOnlySpan<byte> body = cursor.Take(cursor.U32());
            if (kind == Lines) ReadFunction(body, files, names, known, rvaOf, lines);
        }
    }

    static void ReadFunction(
        ReadOnlySpan<byte> body, ReadOnlySpan<byte> files, ReadOnlySpan<byte> names, Dictionary<uint, int> known,
        Func<ushort, uint, uint?> rvaOf, LineTable.Builder lines)
    {
        ByteCursor cursor = new(body);
        uint offset = cursor.U32();
        ushort section = cursor.U16();
        cursor.Skip(2);
        uint size = cursor.U32();
        if (cursor.Failed || rvaOf(section, offset) is not { } start || size > uint.MaxValue - start) return;
        // One block for each file: what stands in a header that is included has its own.
        while (!cursor.AtEnd)
        {
            uint fileOffset = cursor.U32(), count = cursor.U32(), blockSize = cursor.U32();
            if (blockSize < 12) break;
            ByteCursor block = new(cursor.Take(blockSize - 12UL));
            if (count > block.Left / 8) break;
            if (!known.TryGetValue(fileOffset, out int file))
                known.Add(fileOffset, file = lines.File(FileName(files, names, fileOffset)));
            for (; count > 0; count--)
            {
                uint at = block.U32(), number = block.U32() & 0xFF_FFFF;
                if (at <= size) lines.Add(start + at, file, number is NoLine or HiddenLine ? 0 : (int)number);
            }
        }
        lines.EndSequence(start + size);
    }

    static string FileName(ReadOnlySpan<byte> files, ReadOnlySpan<byte> names, uint offset)
    {
        ByteCursor entry = new(files);
        entry.Skip(offset);
        uint at = entry.U32();
        if (entry.Failed || at >= names.Length) return "?";
        ByteCursor text = new(names[(int)at..]);
        return text.Text(Encoding.UTF8);
    }
}
