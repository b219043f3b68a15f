using System.Text;

namespace Ringdown.Machine;

/// <summary>DWARF's line programs, versions 2 to 5, of the section .debug_line. A broken unit has no lines from where
/// it breaks.</summary>
ref struct DwarfLines
{
    const int LongestName = 512;

    readonly PeImage _image;
    readonly LineTable.Builder _lines;
    readonly ReadOnlySpan<byte> _strings, _lineStrings;
    readonly List<int> _files = [];
    bool _is64;

    DwarfLines(PeImage image, LineTable.Builder lines)
    {
        _image = image;
        _lines = lines;
        _strings = Section(image, ".debug_str");
        _lineStrings = Section(image, ".debug_line_str");
    }

    /// <summary>Adds the lines of an image, if it has some.</summary>
    public static void Read(PeImage image, LineTable.Builder lines)
    {
        DwarfLines reader = new(image, lines);
        ByteCursor units = new(Section(image, ".debug_line"));
        while (!units.AtEnd)
        {
            ulong length = units.U32();
            bool is64 = length == 0xFFFF_FFFF;
            if (is64) length = units.U64();
            reader._is64 = is64;
            reader.ReadUnit(units.Take(length));
            lines.DropSequence();
        }
    }

    static ReadOnlySpan<byte> Section(PeImage image, string name) =>
        image.FindSection(name) is { } s ? image.Mapped.Span(s.Rva, s.VirtualSize, name) : default;

    ulong Offset(ref ByteCursor from) => _is64 ? from.U64() : from.U32();

    void ReadUnit(ReadOnlySpan<byte> unit)
    {
        ByteCursor cursor = new(unit);
        int version = cursor.U16();
        if (version is < 2 or > 5) return;
        if (version == 5) cursor.Skip(2);
        ulong headerLength = Offset(ref cursor);
        ByteCursor header = new(cursor.Take(headerLength));
        Program program = new() { Code = cursor.Rest(), MinimumLength = header.U8() };
        if (version >= 4) header.Skip(1);
        header.Skip(1);
        program.LineBase = (sbyte)header.U8();
        program.LineRange = header.U8();
        program.OpcodeBase = header.U8();
        if (program.LineRange == 0 || program.OpcodeBase == 0) return;
        program.OperandCounts = header.Take((ulong)program.OpcodeBase - 1);
        _files.Clear();
        if (version == 5) ReadTables(ref header);
        else ReadOldTables(ref header);
        if (!header.Failed) Run(program);
    }

    void ReadOldTables(ref ByteCursor header)
    {
        while (!header.AtEnd && header.Text(Encoding.UTF8).Length > 0) { }
        // Files are counted from one.
        _files.Add(_lines.File("?"));
        while (!header.AtEnd)
        {
            string name = header.Text(Encoding.UTF8);
            if (name.Length == 0) break;
            _files.Add(_lines.File(name));
            for (int i = 0; i < 3; i++) header.Uleb();
        }
    }

    void ReadTables(ref ByteCursor header)
    {
        ReadTable(ref header, isFiles: false);
        ReadTable(ref header, isFiles: true);
    }

    void ReadTable(ref ByteCursor header, bool isFiles)
    {
        const ulong Path = 1;
        Span<(ulong Content, ulong Form)> formats = stackalloc (ulong, ulong)[header.U8()];
        foreach (ref (ulong Content, ulong Form) format in formats) format = (header.Uleb(), header.Uleb());
        ulong count = header.Uleb();
        // Every entry has a byte at least, as every form that is read here has.
        if (count > 0 && (formats.Length == 0 || count > (ulong)header.Left)) header.Fail();
        for (ulong i = 0; i < count && !header.Failed; i++)
        {
            string name = "?";
            foreach ((ulong content, ulong form) in formats)
            {
                string? text = ReadForm(ref header, form);
                if (content == Path && text is not null) name = text;
            }
            if (isFiles) _files.Add(_lines.File(name));
        }
    }

    /// <summary>Passes a value of DW_FORM_*, and says its text when it is one.</summary>
    string? ReadForm(ref ByteCursor header, ulong form)
    {
        switch (form)
        {
            case 0x08: return header.Text(Encoding.UTF8);
            case 0x0E: return TextAt(_strings, Offset(ref header));
            case 0x1F: return TextAt(_lineStrings, Offset(ref header));
            case 0x0B: header.Skip(1); break;
            case 0x05: header.Skip(2); break;
            case 0x06: header.Skip(4); break;
            case 0x07: header.Skip(8); break;
            case 0x1E: header.Skip(16); break;
            case 0x0F or 0x0D: header.Uleb(); break;
            case 0x09: header.Skip(header.Uleb()); break;
            case 0x0A: header.Skip(header.U8()); break;
            case 0x03: header.Skip(header.U16()); break;
            case 0x04: header.Skip(header.U32()); break;
            default: header.Fail(); break;
        }
        return null;
    }

    static string? TextAt(ReadOnlySpan<byte> strings, ulong offset)
    {
        if (offset >= (ulong)strings.Length) return null;
        ReadOnlySpan<byte> text = strings[(int)offset..];
        if (text.Length > LongestName) text = text[..LongestName];
        int end = text.IndexOf((byte)0);
        return end < 0 ? null : Encoding.UTF8.GetString(text[..end]);
    }

    ref struct Program
    {
        public ReadOnlySpan<byte> Code, OperandCounts;
        public int MinimumLength, LineBase, LineRange, OpcodeBase;
    }

    struct State
    {
        public ulong Address;
        public long Line;
        public ulong File;

        public static State Start => new() { Line = 1, File = 1 };
    }

    readonly void Run(Program program)
    {
        ByteCursor code = new(program.Code);
        State state = State.Start;
        while (!code.AtEnd)
        {
            int opcode = code.U8();
            if (opcode >= program.OpcodeBase)
            {
                int adjusted = opcode - program.OpcodeBase;
                state.Address += (ulong)(adjusted / program.LineRange * program.MinimumLength);
                state.Line += program.LineBase + adjusted % program.LineRange;
                Emit(state);
            }
            else if (opcode == 0) Extended(new ByteCursor(code.Take(code.Uleb())), ref state);
            else Standard(opcode, ref code, ref state, program);
        }
    }

    readonly void Standard(int opcode, ref ByteCursor code, ref State state, in Program program)
    {
        switch (opcode)
        {
            case 1: Emit(state); break;
            case 2: state.Address += code.Uleb() * (ulong)program.MinimumLength; break;
            case 3: state.Line += code.Sleb(); break;
            case 4: state.File = code.Uleb(); break;
            case 8:
                state.Address += (ulong)((255 - program.OpcodeBase) / program.LineRange * program.MinimumLength);
                break;
            case 9: state.Address += code.U16(); break;
            default:
                // Columns and marks; or an opcode of later days, of which the header says how many operands it has.
                for (int i = program.OperandCounts[opcode - 1]; i > 0; i--) code.Uleb();
                break;
        }
    }

    readonly void Extended(ByteCursor body, ref State state)
    {
        switch (body.U8())
        {
            case 1:
                if (Rva(state.Address) is { } end) _lines.EndSequence(end);
                else _lines.DropSequence();
                state = State.Start;
                break;
            case 2: state.Address = body.Left >= 8 ? body.U64() : body.U32(); break;
            case 3: _files.Add(_lines.File(body.Text(Encoding.UTF8))); break;
        }
    }

    readonly void Emit(in State state)
    {
        if (Rva(state.Address) is not { } rva) return;
        bool isKnown = state.File < (ulong)_files.Count && state.Line is > 0 and <= int.MaxValue;
        _lines.Add(rva, isKnown ? _files[(int)state.File] : 0, isKnown ? (int)state.Line : 0);
    }

    /// <summary>Addresses are for the preferred base, of some linkers from the image's start; null when it is
    /// neither.</summary>
    readonly uint? Rva(ulong address)
    {
        if (address - _image.PreferredBase <= _image.SizeOfImage) return (uint)(address - _image.PreferredBase);
        return address <= _image.SizeOfImage ? (uint)address : null;
    }
}
