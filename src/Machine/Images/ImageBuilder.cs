using System.Buffers.Binary;
using System.Text;

namespace Ringdown.Machine;

/// <summary>An image that <see cref="ImageBuilder"/> made, as it lies in memory.</summary>
public sealed class BuiltImage
{
    readonly Dictionary<string, uint> _rvas;

    internal BuiltImage(byte[] image, uint stubsSize, uint dataRva, uint dataSize, Dictionary<string, uint> rvas) =>
        (Image, StubsSize, DataRva, DataSize, _rvas) = (image, stubsSize, dataRva, dataSize, rvas);

    public byte[] Image { get; }

    /// <summary>The pages of function stubs: nothing else is on them.</summary>
    public uint StubsRva => ImageBuilder.PageSize;
    public uint StubsSize { get; }
    public uint DataRva { get; }
    public uint DataSize { get; }

    public uint RvaOf(string name) => _rvas[name];
}

/// <summary>Makes an image with a real export directory in memory: the kernel's own modules, whose code is C#.</summary>
public sealed class ImageBuilder(string name, ulong imageBase)
{
    internal const uint PageSize = 0x1000;
    const uint StubSpacing = 16;

    readonly List<string> _functions = [];
    readonly List<(string Name, int Bytes)> _data = [];

    public void AddFunction(string function) => _functions.Add(function);

    public void AddData(string variable, int bytes) => _data.Add((variable, bytes));

    public BuiltImage Build()
    {
        var rvas = new Dictionary<string, uint>();
        uint stubs = Pages((uint)_functions.Count * StubSpacing);
        for (int i = 0; i < _functions.Count; i++) rvas.Add(_functions[i], PageSize + (uint)i * StubSpacing);
        uint dataRva = PageSize + stubs, at = dataRva;
        foreach ((string variable, int bytes) in _data)
        {
            rvas.Add(variable, at);
            at += ((uint)bytes + 15) & ~15u;
        }
        uint data = Pages(at - dataRva), exportsRva = dataRva + data;
        byte[] exports = BuildExports(exportsRva, rvas);
        byte[] image = new byte[exportsRva + Pages((uint)exports.Length)];
        image.AsSpan((int)PageSize, (int)stubs).Fill(0xCC);
        exports.CopyTo(image, exportsRva);
        WriteHeaders(image, stubs, dataRva, data, exportsRva, (uint)exports.Length);
        return new BuiltImage(image, stubs, dataRva, data, rvas);
    }

    static uint Pages(uint bytes) => Math.Max(PageSize, (bytes + PageSize - 1) & ~(PageSize - 1));

    byte[] BuildExports(uint rva, Dictionary<string, uint> rvas)
    {
        string[] sorted = [.. rvas.Keys.Order(StringComparer.Ordinal)];
        uint functions = 40, names = functions + (uint)sorted.Length * 4, ordinals = names + (uint)sorted.Length * 4;
        uint text = ordinals + (uint)sorted.Length * 2;
        int total = (int)text + name.Length + 1 + sorted.Sum(s => s.Length + 1);
        byte[] bytes = new byte[total];
        uint next = text + Put(bytes, text, name);
        W32(bytes, 12, rva + text);
        W32(bytes, 16, 1);
        W32(bytes, 20, (uint)sorted.Length);
        W32(bytes, 24, (uint)sorted.Length);
        W32(bytes, 28, rva + functions);
        W32(bytes, 32, rva + names);
        W32(bytes, 36, rva + ordinals);
        for (int i = 0; i < sorted.Length; i++)
        {
            W32(bytes, functions + (uint)i * 4, rvas[sorted[i]]);
            W32(bytes, names + (uint)i * 4, rva + next);
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan((int)ordinals + i * 2), (ushort)i);
            next += Put(bytes, next, sorted[i]);
        }
        return bytes;
    }

    static uint Put(byte[] bytes, uint at, string text)
    {
        Encoding.Latin1.GetBytes(text, bytes.AsSpan((int)at));
        return (uint)text.Length + 1;
    }

    void WriteHeaders(byte[] image, uint stubs, uint dataRva, uint data, uint exportsRva, uint exports)
    {
        const uint pe = 0x80, optional = pe + 24, sections = optional + 240;
        W32(image, 0, 0x5A4D);
        W32(image, 0x3C, pe);
        W32(image, pe, 0x4550);
        W32(image, pe + 4, 0x8664 | 3u << 16);
        W32(image, pe + 20, 240 | 0x0022u << 16);
        W32(image, optional, 0x20B);
        W32(image, optional + 16, PageSize);
        BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan((int)optional + 24), imageBase);
        W32(image, optional + 32, PageSize);
        W32(image, optional + 36, PageSize);
        W32(image, optional + 56, (uint)image.Length);
        W32(image, optional + 60, 0x400);
        W32(image, optional + 68, PeImage.SubsystemNative);
        W32(image, optional + 108, 16);
        W32(image, optional + 112, exportsRva);
        W32(image, optional + 116, exports);
        WriteSection(image, sections, ".text", PageSize, stubs, 0x6000_0020);
        WriteSection(image, sections + 40, ".data", dataRva, data, 0xC000_0040);
        WriteSection(image, sections + 80, ".edata", exportsRva, Pages(exports), 0x4000_0040);
    }

    static void WriteSection(byte[] image, uint at, string name, uint rva, uint size, uint characteristics)
    {
        Put(image, at, name);
        W32(image, at + 8, size);
        W32(image, at + 12, rva);
        W32(image, at + 16, size);
        W32(image, at + 20, rva);
        W32(image, at + 36, characteristics);
    }

    static void W32(byte[] bytes, uint at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan((int)at), value);
}
