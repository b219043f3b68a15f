using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

public sealed class PdbTests
{
    static PeImage Image() => PeImage.Parse(Drivers.Read("seh.sys"));

    static Symbols WithPdb(PeImage image, byte[] pdb) => new(image, pdb);

    [Fact]
    public void The_debug_directory_names_the_pdb_by_file_guid_and_age()
    {
        CodeView view = Assert.IsType<CodeView>(Image().CodeView);
        Assert.Equal(("seh.pdb", 1u), (view.Path, view.Age));
        PdbReader pdb = Assert.IsType<PdbReader>(PdbReader.Open(Drivers.Read("seh.pdb")));
        Assert.Equal((view.Guid, view.Age), (pdb.Guid, pdb.Age));
        Assert.Null(PeImage.Parse(Drivers.Read("misbehave.sys")).CodeView);
    }

    [Theory]
    [InlineData("DriverEntry", "NTAPI DriverEntry("), InlineData("ReadAt", "ULONG ReadAt(")]
    [InlineData("Divide", "ULONG Divide("), InlineData("BadUserPointer", "void BadUserPointer(")]
    [InlineData("FinallyOrder", "void FinallyOrder("), InlineData("ContinueExecution", "void ContinueExecution(")]
    [InlineData("DeviceControl", "NTAPI DeviceControl(")]
    public void Procedures_even_static_ones_have_names_and_begin_in_their_lines(string function, string marker)
    {
        PeImage image = Image();
        Symbols symbols = WithPdb(image, Drivers.Read("seh.pdb"));
        Assert.True(symbols.HasPdb);
        PeSection text = image.FindSection(".text")!;
        uint start = Enumerable.Range((int)text.Rva, (int)text.VirtualSize).Select(rva => (uint)rva)
            .Single(rva => symbols.FunctionAt(rva) == new Symbol(function, rva));
        int first = SourceText.LineOf("seh.c", marker);
        SourceLine line = Assert.IsType<SourceLine>(symbols.LineAt(start));
        Assert.Equal("seh.c", line.File);
        Assert.InRange(line.Line, first, first + 1);
    }

    [Fact]
    public void Every_address_of_a_function_is_of_a_line_of_its_own()
    {
        PeImage image = Image();
        Symbols symbols = WithPdb(image, Drivers.Read("seh.pdb"));
        int first = SourceText.LineOf("seh.c", "void FinallyQuiet(");
        int last = SourceText.LineOf("seh.c", "Step(a, 3);", SourceText.LineOf("seh.c", "Step(a, AbnormalTermination"));
        PeSection text = image.FindSection(".text")!;
        int found = 0;
        for (uint rva = text.Rva; rva < text.Rva + text.VirtualSize; rva++)
            if (symbols.FunctionAt(rva)?.Name == "FinallyQuiet" && symbols.LineAt(rva) is { } line)
            {
                Assert.Equal("seh.c", line.File);
                Assert.InRange(line.Line, first, last + 1);
                found++;
            }
        Assert.InRange(found, 40, 400);
    }

    [Fact]
    public void Thunks_of_imports_have_their_public_names()
    {
        PeImage image = Image();
        Symbols symbols = WithPdb(image, Drivers.Read("seh.pdb"));
        PeSection text = image.FindSection(".text")!;
        HashSet<string> names = [];
        for (uint rva = text.Rva; rva < text.Rva + text.VirtualSize; rva++)
            if (symbols.FunctionAt(rva) is { } f) names.Add(f.Name);
        Assert.Contains("ExRaiseStatus", names);
        Assert.Contains("__C_specific_handler", names);
        Assert.DoesNotContain("__imp_ExRaiseStatus", names);
    }

    [Fact]
    public void The_pdb_of_another_build_is_ignored()
    {
        PeImage image = Image();
        byte[] pdb = Drivers.Read("seh.pdb");
        int at = pdb.AsSpan().IndexOf(image.CodeView!.Guid.ToByteArray());
        pdb[at] ^= 1;
        Symbols symbols = WithPdb(image, pdb);
        Assert.False(symbols.HasPdb);
        Assert.Null(symbols.LineAt(image.EntryPointRva));
        Assert.Equal($"sub_{image.EntryPointRva:x}", symbols.FunctionAt(image.EntryPointRva)?.Name);
        Assert.False(WithPdb(PeImage.Parse(Drivers.Read("misbehave.sys")), Drivers.Read("seh.pdb")).HasPdb);
    }

    [Fact]
    public void A_truncated_pdb_is_ignored_or_read_but_never_an_exception()
    {
        PeImage image = Image();
        byte[] pdb = Drivers.Read("seh.pdb");
        for (int length = 0; length < pdb.Length; length += length < 0x100 ? 1 : 509)
            Use(image, WithPdb(image, pdb[..length]));
        Assert.False(WithPdb(image, []).HasPdb);
    }

    [Fact]
    public void A_mutated_pdb_gives_fewer_names_but_never_an_exception()
    {
        PeImage image = Image();
        byte[] original = Drivers.Read("seh.pdb");
        int[] blocks = [.. Enumerable.Range(0, original.Length / 4096)
            .Where(b => original.AsSpan(b * 4096, 4096).ContainsAnyExcept((byte)0, (byte)0xFF))];
        Chance chance = new(7);
        int ignored = 0, without = 0;
        for (int round = 0; round < 1500; round++)
        {
            byte[] bytes = (byte[])original.Clone();
            for (int n = chance.Next(12); n >= 0; n--)
            {
                // What is at the beginning of a block is a header more often than not.
                int at = blocks[chance.Next(blocks.Length)] * 4096 + chance.Next(chance.OneIn(2) ? 64 : 4092);
                if (chance.OneIn(3)) chance.Fill(bytes.AsSpan(at, 4));
                else bytes[at] = chance.OneIn(4) ? (byte)0xFF : (byte)chance.Next();
            }
            Symbols symbols = WithPdb(image, bytes);
            if (!symbols.HasPdb) ignored++;
            else if (Use(image, symbols) == 0) without++;
        }
        Assert.InRange(ignored, 50, 1400);
        Assert.InRange(without, 10, 1400);
    }

    /// <summary>Asks for names and lines; how many lines there were.</summary>
    static int Use(PeImage image, Symbols symbols)
    {
        PeSection text = image.FindSection(".text")!;
        int lines = 0;
        for (uint rva = text.Rva; rva < text.Rva + text.VirtualSize; rva += 61)
        {
            Assert.NotEqual("", symbols.FunctionAt(rva)?.Name);
            if (symbols.LineAt(rva) is { Line: > 0 }) lines++;
        }
        return lines;
    }
}
