using System.Buffers.Binary;
using Iced.Intel;
using Ringdown.Machine;
using Decoder = Iced.Intel.Decoder;

namespace Ringdown.Tests;

/// <summary>Makes broken drivers of a good one: single instructions are left out, turned round, sent elsewhere, given
/// other numbers, or are others; imports are exchanged.</summary>
sealed class CodeMutator
{
    const int MostChanges = 4;

    // What no driver has, or has in one place only.
    static readonly byte[][] s_strange =
    [
        [0xCC], [0xF4], [0xFA], [0xFB], [0xCF], [0x0F, 0x0B], [0x0F, 0x05], [0x0F, 0x30], [0x0F, 0x32], [0xCD, 0x29],
        [0xEB, 0xFE], [0xF3, 0xAA], [0xF3, 0x48, 0xAB], [0xFD], [0x0F, 0x01, 0xF8], [0x48, 0x89, 0xCC], [0xC9], [0xC3],
        [0x44, 0x0F, 0x22, 0xC0], [0x0F, 0x22, 0xD8], [0x0F, 0x20, 0xD8], [0xEC], [0xEE], [0x9D], [0x5C], [0x0F, 0xA2],
        [0xF3, 0x90], [0xF0, 0x48, 0x0F, 0xC7, 0x09], [0xDB, 0xE3], [0x0F, 0xAE, 0x09], [0xFF, 0xE1], [0xFF, 0xD0],
    ];

    readonly byte[] _file;
    readonly List<(int Offset, Instruction Code, ConstantOffsets Constants)> _code = [];
    readonly int[] _imports;

    public CodeMutator(byte[] file)
    {
        _file = file;
        PeImage image = PeImage.Parse(file);
        foreach (PeSection section in image.Sections.Where(s => s.IsExecutable)) Decode(section);
        _imports = [.. image.Imports.Where(i => !i.IsDelayed).Select(i => OffsetOf(image, i.SlotRva))];
    }

    void Decode(PeSection section)
    {
        var decoder = Decoder.Create(64,
            new ByteArrayCodeReader(_file, (int)section.RawOffset, (int)section.RawSize), section.Rva);
        while (decoder.IP < section.Rva + section.RawSize)
        {
            int offset = (int)(section.RawOffset + (uint)decoder.IP - section.Rva);
            Instruction next = decoder.Decode();
            if (!next.IsInvalid && next.Mnemonic is not (Mnemonic.Int3 or Mnemonic.Nop))
                _code.Add((offset, next, decoder.GetConstantOffsets(next)));
        }
    }

    static int OffsetOf(PeImage image, uint rva)
    {
        PeSection section = image.SectionAt(rva)!;
        return (int)(rva - section.Rva + section.RawOffset);
    }

    public byte[] Mutate(Chance chance)
    {
        byte[] bytes = (byte[])_file.Clone();
        for (int n = 1 + chance.Next(MostChanges); n > 0; n--) Change(bytes, chance);
        return bytes;
    }

    void Change(byte[] bytes, Chance chance)
    {
        (int offset, Instruction code, ConstantOffsets constants) = _code[chance.Next(_code.Count)];
        Span<byte> at = bytes.AsSpan(offset, code.Length);
        switch (chance.Next(8))
        {
            case 0:
                at[chance.Next(at.Length)] ^= (byte)(1 << chance.Next(8));
                break;
            case 1:
                at.Fill(0x90);
                break;
            case 2:
                s_strange[chance.Next(s_strange.Length)].CopyTo(bytes.AsSpan(offset));
                break;
            case 3:
                SwapImports(bytes, chance);
                break;
            case 4 or 5:
                TurnRound(bytes, chance);
                break;
            default:
                OtherNumber(at, constants, chance);
                break;
        }
    }

    // The slots of the table name the functions until it is bound. Where a table of names is apart from it, both name
    // them, and the call is sent elsewhere instead.
    void SwapImports(byte[] bytes, Chance chance)
    {
        (int Offset, Instruction Code, ConstantOffsets Constants)[] calls =
            [.. _code.Where(c => c.Code.IsCallNearIndirect && c.Code.IsIPRelativeMemoryOperand)];
        if (_imports.Length == 0 || calls.Length == 0) return;
        (int offset, Instruction code, ConstantOffsets constants) = calls[chance.Next(calls.Length)];
        (_, Instruction other, _) = calls[chance.Next(calls.Length)];
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(offset + constants.DisplacementOffset),
            (int)(other.IPRelativeMemoryAddress - code.NextIP));
        int one = _imports[chance.Next(_imports.Length)], two = _imports[chance.Next(_imports.Length)];
        for (int i = 0; i < 8; i++) (bytes[one + i], bytes[two + i]) = (bytes[two + i], bytes[one + i]);
    }

    void TurnRound(byte[] bytes, Chance chance)
    {
        (int Offset, Instruction Code, ConstantOffsets Constants)[] jumps =
            [.. _code.Where(c => c.Code.IsJccShortOrNear)];
        if (jumps.Length == 0) return;
        (int offset, Instruction code, _) = jumps[chance.Next(jumps.Length)];
        bytes[offset + (code.IsJccShort ? code.Length - 2 : code.Length - 5)] ^= 1;
    }

    static void OtherNumber(Span<byte> at, ConstantOffsets constants, Chance chance)
    {
        (int start, int size) = constants.HasImmediate ? (constants.ImmediateOffset, constants.ImmediateSize)
            : constants.HasDisplacement ? (constants.DisplacementOffset, constants.DisplacementSize) : (0, 0);
        if (size == 0) return;
        Span<byte> number = at.Slice(start, size);
        switch (chance.Next(4))
        {
            case 0:
                number.Fill(0xFF);
                break;
            case 1:
                number.Clear();
                break;
            case 2:
                number[0] = (byte)(number[0] + (chance.OneIn(2) ? 1 : -1) * (1 << chance.Next(4)));
                break;
            default:
                chance.Fill(number);
                break;
        }
    }
}
