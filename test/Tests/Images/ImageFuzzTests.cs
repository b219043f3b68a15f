using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Whatever the bytes of a driver are: it is refused, or what can be asked of it has an answer.</summary>
public sealed class ImageFuzzTests
{
    /// <summary>How many answers there were of each kind; null when the image was refused.</summary>
    static (int Functions, int Unwinds, int Lines)? Ask(ReadOnlyMemory<byte> bytes, byte[]? pdb = null, int step = 16)
    {
        PeImage image;
        try
        {
            image = PeImage.Parse(bytes);
        }
        catch (BadImageException)
        {
            return null;
        }
        Symbols symbols = new(image, pdb);
        int functions = 0, unwinds = 0, lines = 0;
        uint end = Math.Min(image.SizeOfImage, 0x3000);
        for (uint rva = 0; rva < end; rva += (uint)step)
        {
            if (symbols.FunctionAt(rva) is not null) functions++;
            if (symbols.LineAt(rva) is not null) lines++;
            if (image.FindFunction(rva) is { } f && Unwinds(image, f)) unwinds++;
        }
        Assert.InRange(image.LoadConfig?.SecurityCookieRva ?? 0, 0u, image.SizeOfImage);
        Assert.NotEqual("", image.Version?.Find("CompanyName"));
        Assert.NotEqual(Guid.Empty, image.CodeView?.Guid);
        return (functions, unwinds, lines);
    }

    static bool Unwinds(PeImage image, RuntimeFunction function)
    {
        if (image.ReadUnwindInfo(function.UnwindInfo) is not { } info) return false;
        if (info.HandlerDataRva != 0) image.ReadScopeTable(info.HandlerDataRva);
        if (info.Chained is { } chained) image.ReadUnwindInfo(chained.UnwindInfo);
        return true;
    }

    /// <summary>Changes a few bytes of a range of a file.</summary>
    static byte[] Mutate(byte[] original, Chance chance, int offset, int length, int most)
    {
        byte[] bytes = (byte[])original.Clone();
        for (int n = chance.Next(most); n >= 0; n--)
            if (chance.OneIn(3)) chance.Fill(bytes.AsSpan(offset + chance.Next(length - 4), 4));
            else bytes[offset + chance.Next(length)] = chance.OneIn(4) ? (byte)0xFF : (byte)chance.Next();
        return bytes;
    }

    [Theory, InlineData("seh.sys", ".pdata")]
    [InlineData("misbehave.sys", ".pdata"), InlineData("misbehave.sys", ".xdata")]
    public void Broken_unwind_data_unwinds_less_but_never_throws(string driver, string section)
    {
        byte[] original = Drivers.Read(driver);
        PeSection broken = PeImage.Parse(original).FindSection(section)!;
        int whole = Ask(original)!.Value.Unwinds, fewer = 0;
        Chance chance = new(11);
        for (int round = 0; round < 700; round++)
        {
            byte[] bytes = Mutate(original, chance, (int)broken.RawOffset, (int)broken.RawSize, 8);
            if (Ask(bytes)!.Value.Unwinds < whole) fewer++;
        }
        Assert.InRange(fewer, 100, 700);
    }

    /// <summary>lld puts unwind data and scope tables in .rdata, between other things.</summary>
    [Fact]
    public void Broken_scope_tables_never_throw()
    {
        byte[] original = Drivers.Read("seh.sys");
        PeSection broken = PeImage.Parse(original).FindSection(".rdata")!;
        Chance chance = new(12);
        int refused = 0, less = 0;
        int whole = Ask(original)!.Value.Unwinds;
        for (int round = 0; round < 700; round++)
        {
            byte[] bytes = Mutate(original, chance, (int)broken.RawOffset, (int)broken.RawSize, 24);
            if (Ask(bytes) is not { } answers) refused++;
            else if (answers.Unwinds < whole) less++;
        }
        Assert.InRange(refused, 0, 500);
        Assert.InRange(less, 50, 700);
    }

    [Fact]
    public void Broken_coff_symbols_give_other_names_but_never_throw()
    {
        byte[] original = Drivers.Read("misbehave.sys");
        PeImage image = PeImage.Parse(original);
        int start = (int)image.SymbolTableOffset, length = original.Length - start;
        Chance chance = new(13);
        int different = 0;
        Symbol? whole = new Symbols(image, null).FunctionAt(image.EntryPointRva);
        for (int round = 0; round < 700; round++)
        {
            byte[] bytes = Mutate(original, chance, start, round % 2 == 0 ? 0x200 : length, 64);
            Assert.NotNull(Ask(bytes, step: 64));
            PeImage broken = PeImage.Parse(bytes);
            if (new Symbols(broken, null).FunctionAt(broken.EntryPointRva) != whole) different++;
        }
        Assert.InRange(different, 10, 690);
    }

    [Fact]
    public void A_driver_truncated_at_every_length_is_refused_or_answers()
    {
        byte[] bytes = Drivers.Read("seh.sys"), pdb = Drivers.Read("seh.pdb");
        int refused = 0;
        for (int length = 0; length < bytes.Length; length++)
            if (Ask(bytes.AsMemory(0, length), length % 512 == 0 ? pdb : null, step: 256) is null) refused++;
        Assert.InRange(refused, 0x400, bytes.Length - 1);
        Assert.True(Ask(bytes, pdb)!.Value is { Functions: > 100, Unwinds: > 100, Lines: > 100 });
    }
}
