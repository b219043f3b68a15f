using System.Buffers.Binary;
using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

public sealed class LineTests
{
    static (PeImage Image, Symbols Symbols) Load(string name)
    {
        PeImage image = PeImage.Parse(Drivers.Read(name));
        return (image, new Symbols(image, null));
    }

    /// <summary>The first byte of a function of .text.</summary>
    static uint Start(PeImage image, Symbols symbols, string function)
    {
        PeSection text = image.FindSection(".text")!;
        for (uint rva = text.Rva; rva < text.Rva + text.VirtualSize; rva++)
            if (symbols.FunctionAt(rva) is { } f && f.Rva == rva && f.Name == function) return rva;
        throw new ArgumentException($"There is no function {function}.", nameof(function));
    }

    [Theory]
    [InlineData("misbehave", "NullWrite", "void NullWrite(", 0, true)]
    [InlineData("misbehave", "CorruptReturn", "void CorruptReturn(", 5, true)]
    [InlineData("misbehave", "DoubleFree", "void DoubleFree(", 6, true)]
    [InlineData("misbehave", "UseAfterFree", "void UseAfterFree(", 6, true)]
    [InlineData("misbehave", "WaitAtDispatch", "void WaitAtDispatch(", 6, true)]
    [InlineData("echo", "DriverEntry", "NTAPI DriverEntry(", 16, false)]
    public void A_function_begins_in_its_own_lines(
        string driver, string function, string marker, int lines, bool isAlone)
    {
        (PeImage image, Symbols symbols) = Load(driver + ".sys");
        uint start = Start(image, symbols, function);
        int first = SourceText.LineOf(driver + ".c", marker);
        SourceLine line = Assert.IsType<SourceLine>(symbols.LineAt(start));
        Assert.Equal(driver + ".c", line.File);
        // Without a prolog the code of the first statement comes first.
        Assert.InRange(line.Line, first, first + 2);
        // Up to its end nothing but its own lines, those of what was inlined, and code that is of no line.
        RuntimeFunction whole = Assert.NotNull(image.FindFunction(start));
        SourceLine[] own = [.. Enumerable.Range((int)start, (int)(whole.End - start))
            .Select(rva => symbols.LineAt((uint)rva)).OfType<SourceLine>().Where(l => l.File == driver + ".c")];
        Assert.Contains(own, l => l.Line == first + lines);
        if (isAlone) Assert.All(own, l => Assert.InRange(l.Line, first, first + lines));
    }

    [Fact]
    public void The_instruction_that_faults_is_in_the_line_of_the_mistake()
    {
        (PeImage image, Symbols symbols) = Load("misbehave.sys");
        uint start = Start(image, symbols, "UnknownMsr");
        ReadOnlySpan<byte> code = image.Layout(image.PreferredBase).AsSpan((int)start, 64);
        uint rdmsr = start + (uint)code.IndexOf<byte>([0x0F, 0x32]);
        Assert.Equal(new SourceLine("misbehave.c", SourceText.LineOf("misbehave.c", "rdmsr")), symbols.LineAt(rdmsr));
    }

    [Theory, InlineData("misbehave.sys", 0.9), InlineData("echo.sys", 0.8), InlineData("pending.sys", 0.9)]
    public void Most_code_has_a_line_and_nothing_else_has_one(string driver, double part)
    {
        (PeImage image, Symbols symbols) = Load(driver);
        PeSection text = image.FindSection(".text")!;
        int known = 0, code = 0;
        for (uint rva = 0; rva < image.SizeOfImage; rva++)
        {
            bool isFunction = image.FindFunction(rva) is not null;
            SourceLine? line = symbols.LineAt(rva);
            if (isFunction) code++;
            if (isFunction && line is not null) known++;
            Assert.True(line is null || text.Contains(rva), $"{rva:x}");
        }
        Assert.InRange(known, (int)(code * part), code);
    }

    [Fact]
    public void An_image_without_line_data_has_no_lines()
    {
        (PeImage image, Symbols symbols) = Load("seh.sys");
        Assert.Null(symbols.LineAt(image.EntryPointRva));
        Assert.Null(Symbols.None.LineAt(0x1000));
    }

    /// <summary>A unit of an old version, written here: its table of files counts from one, its program has every
    /// kind of opcode.</summary>
    static byte[] HandWritten(ushort version, ulong codeAddress, params byte[] program)
    {
        List<byte> header = [1];
        if (version >= 4) header.Add(1);
        header.AddRange([1, 0xFB, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]);
        header.AddRange([.. "folder\0\0"u8, .. "a.c\0"u8, 1, 0, 0, .. "deep/b.h\0"u8, 0, 0, 0, 0]);
        byte[] address = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(address, codeAddress);
        byte[] body = [(byte)version, 0, (byte)header.Count, 0, 0, 0, .. header, 0, 9, 2, .. address, .. program];
        return [(byte)body.Length, 0, 0, 0, .. body];
    }

    static Symbols WithLines(byte[] section)
    {
        byte[] bytes = Drivers.Read("misbehave.sys");
        PeSection lines = PeImage.Parse(bytes).FindSection(".debug_line")!;
        Span<byte> at = bytes.AsSpan((int)lines.RawOffset, (int)lines.RawSize);
        at.Clear();
        section.CopyTo(at);
        return new Symbols(PeImage.Parse(bytes), null);
    }

    [Theory, InlineData(2, true), InlineData(3, false), InlineData(4, true)]
    public void Every_opcode_of_the_old_versions_does_what_the_standard_says(ushort version, bool isAbsolute)
    {
        ulong code = isAbsolute ? 0x140001000UL : 0x1000UL;
        Symbols symbols = WithLines(HandWritten(version, code,
            3, 0xE4, 0x00, 1,       // advance_line 100, copy: a.c 101 at 0
            2, 16, 5, 7, 4, 2, 1,   // advance_pc 16, set_column 7, set_file 2, copy: b.h 101 at 10
            3, 0x7F, 8, 1,          // advance_line -1, const_add_pc (17), copy: b.h 100 at 21
            9, 0x00, 0x01, 6, 7, 10, 11, 12, 0, 1, // fixed_advance_pc 100, marks, copy: the same line at 121
            13 + 14 * 2 + 5 + 3,    // special: address + 2, line + 3: b.h 103 at 123
            2, 4, 0, 1, 1));        // advance_pc 4, end_sequence
        (uint Rva, string? File, int Line)[] expected =
        [
            (0xFFF, null, 0), (0x1000, "a.c", 101), (0x100F, "a.c", 101), (0x1010, "b.h", 101), (0x1020, "b.h", 101),
            (0x1021, "b.h", 100), (0x1122, "b.h", 100), (0x1123, "b.h", 103), (0x1126, "b.h", 103), (0x1127, null, 0),
        ];
        foreach ((uint rva, string? file, int line) in expected)
            Assert.Equal(file is null ? null : new SourceLine(file, line), symbols.LineAt(rva));
    }

    [Fact]
    public void What_the_linker_threw_away_and_what_never_ends_has_no_lines()
    {
        Assert.Null(WithLines(HandWritten(4, 0, 1, 2, 16, 0, 1, 1)).LineAt(0));
        Assert.Null(WithLines(HandWritten(4, 0x140001000, 1, 2, 16, 1)).LineAt(0x1000));
        Assert.NotNull(WithLines(HandWritten(4, 0x140001000, 1, 2, 16, 0, 1, 1)).LineAt(0x1000));
        Assert.Null(WithLines(HandWritten(6, 0x140001000, 1, 2, 16, 0, 1, 1)).LineAt(0x1000));
    }

    [Fact]
    public void Broken_line_data_gives_lines_or_none_but_no_exception()
    {
        byte[] original = Drivers.Read("misbehave.sys"), older = Drivers.Read("echo.sys");
        Chance chance = new(5);
        int different = 0;
        for (int round = 0; round < 2000; round++)
        {
            byte[] bytes = (byte[])(round % 2 == 0 ? original : older).Clone();
            PeSection lines = PeImage.Parse(bytes).FindSection(".debug_line")!;
            int range = round % 4 < 2 ? 0xC0 : (int)lines.RawSize;
            for (int n = chance.Next(3); n >= 0; n--)
                bytes[(int)lines.RawOffset + chance.Next(range)] = chance.OneIn(4) ? (byte)0xFF : (byte)chance.Next();
            Symbols symbols = new(PeImage.Parse(bytes), null);
            bool isKnown = false;
            for (uint rva = 0x1000; rva < 0x1800; rva += 0x37) isKnown |= symbols.LineAt(rva) is { Line: > 0 };
            if (!isKnown) different++;
        }
        Assert.InRange(different, 50, 1950);
    }
}
