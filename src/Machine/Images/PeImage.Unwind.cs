namespace Ringdown.Machine;

/// <summary>RUNTIME_FUNCTION: a range of code and where its UNWIND_INFO is.</summary>
public readonly record struct RuntimeFunction(uint Begin, uint End, uint UnwindInfo);

/// <summary>One UNWIND_CODE with the slots that belong to it.</summary>
/// <param name="PrologOffset">Where in the prolog the instruction ends.</param>
/// <param name="Operation">UWOP_*, 0 to 10.</param>
/// <param name="Info">The four bits beside the operation: a register, or the kind of it.</param>
/// <param name="Operand">The bytes that it allocates or the offset of what it saves, scaled; zero when it has
/// none.</param>
public readonly record struct UnwindCode(byte PrologOffset, byte Operation, byte Info, uint Operand);

/// <summary>UNWIND_INFO as data. Epilog codes of version 2 are in <see cref="Codes"/> as operation 6.</summary>
/// <param name="Flags">1 an exception handler, 2 a termination handler, 4 chained.</param>
/// <param name="FrameOffset">In bytes.</param>
/// <param name="HandlerRva">The language's handler; zero without one.</param>
/// <param name="HandlerDataRva">What is behind the handler's RVA, such as its scope table; zero without a
/// handler.</param>
/// <param name="Chained">The function whose unwind data continues this one's.</param>
public sealed record UnwindInfo(
    byte Version, byte Flags, byte PrologSize, byte FrameRegister, uint FrameOffset, IReadOnlyList<UnwindCode> Codes,
    uint HandlerRva, uint HandlerDataRva, RuntimeFunction? Chained);

/// <summary>One __try of __C_specific_handler's scope table.</summary>
/// <param name="Handler">The filter's RVA, 1 for "always", or the __finally when <paramref name="Target"/> is
/// zero.</param>
public readonly record struct ScopeEntry(uint Begin, uint End, uint Handler, uint Target);

public sealed partial class PeImage
{
    const uint MostScopes = 4096;

    /// <summary>The entry of .pdata for an RVA; null in a leaf function, or when the table is broken.</summary>
    public RuntimeFunction? FindFunction(uint rva)
    {
        PeDirectory table = Directory(PeDirectoryKind.Exception);
        if (!table.IsPresent) return null;
        uint low = 0, high = table.Size / 12;
        while (low < high)
        {
            uint middle = (low + high) / 2;
            RuntimeFunction f = FunctionEntry(table.Rva + middle * 12UL);
            if (rva < f.Begin) high = middle;
            else if (rva >= f.End) low = middle + 1;
            else return f;
        }
        return null;
    }

    /// <summary>The UNWIND_INFO at an RVA; null when it is broken or of another version than 1 and 2.</summary>
    public UnwindInfo? ReadUnwindInfo(uint rva)
    {
        if (!_mapped.Has(rva, 4)) return null;
        ReadOnlySpan<byte> head = _mapped.Span(rva, 4, "");
        int version = head[0] & 7, flags = head[0] >> 3, count = head[2];
        // The codes are padded to an even number.
        ulong codes = rva + 4UL, tail = codes + ((ulong)count + 1 & ~1UL) * 2;
        if (version is not (1 or 2) || !_mapped.Has(codes, tail - codes)) return null;
        if (ReadCodes(codes, count, version) is not { } list) return null;
        uint handler = 0, data = 0;
        RuntimeFunction? chained = null;
        if ((flags & 4) != 0)
        {
            if (!_mapped.Has(tail, 12)) return null;
            chained = FunctionEntry(tail);
        }
        else if ((flags & 3) != 0)
        {
            if (!_mapped.Has(tail, 4)) return null;
            (handler, data) = (_mapped.U32(tail, ""), (uint)tail + 4);
        }
        return new UnwindInfo((byte)version, (byte)flags, head[1], (byte)(head[3] & 15), (uint)(head[3] >> 4) * 16,
            list, handler, data, chained);
    }

    /// <summary>The scope table of __C_specific_handler at an RVA; null when it is broken.</summary>
    public IReadOnlyList<ScopeEntry>? ReadScopeTable(uint rva)
    {
        if (!_mapped.Has(rva, 4)) return null;
        uint count = _mapped.U32(rva, "");
        if (count > MostScopes || !_mapped.Has(rva + 4UL, count * 16UL)) return null;
        ScopeEntry[] all = new ScopeEntry[count];
        for (uint i = 0; i < count; i++)
        {
            ulong at = rva + 4UL + i * 16UL;
            all[i] = new ScopeEntry(
                _mapped.U32(at, ""), _mapped.U32(at + 4, ""), _mapped.U32(at + 8, ""), _mapped.U32(at + 12, ""));
        }
        return all;
    }

    RuntimeFunction FunctionEntry(ulong at) =>
        new(_mapped.U32(at, ""), _mapped.U32(at + 4, ""), _mapped.U32(at + 8, ""));

    List<UnwindCode>? ReadCodes(ulong at, int count, int version)
    {
        List<UnwindCode> codes = new(count);
        for (int i = 0; i < count;)
        {
            byte offset = _mapped.U8(at + (ulong)i * 2, ""), both = _mapped.U8(at + (ulong)i * 2 + 1, "");
            int operation = both & 15, info = both >> 4;
            int slots = operation switch
            {
                0 or 2 or 3 or 10 => 1,
                1 => info switch { 0 => 2, 1 => 3, _ => 0 },
                4 or 8 => 2,
                5 or 9 => 3,
                6 when version == 2 => 1,
                _ => 0,
            };
            if (slots == 0 || i + slots > count) return null;
            ulong operand = at + (ulong)i * 2 + 2;
            uint value = slots switch
            {
                3 => _mapped.U32(operand, ""),
                2 => _mapped.U16(operand, "") * (operation == 8 ? 16u : 8u),
                _ => operation == 2 ? (uint)info * 8 + 8 : 0,
            };
            codes.Add(new UnwindCode(offset, (byte)operation, (byte)info, value));
            i += slots;
        }
        return codes;
    }
}
