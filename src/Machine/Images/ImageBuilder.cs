using System.Buffers.Binary;
using System.Text;

namespace Ringdown.Machine;

/// <summary>Makes an image out of names: the kernel's own <c>ntoskrnl.exe</c>, whose export directory drivers
/// walk.</summary>
/// <remarks>Functions become stubs at a fixed spacing in pages of their own, so that these can be mapped as entries
/// of host routines; variables become room in a section that can be written.</remarks>
public sealed class ImageBuilder(string name, ulong imageBase)
{
    /// <summary>Bytes from one function's stub to the next.</summary>
    public const int StubSpacing = 16;

    const int Page = 0x1000, HeaderOffset = 0x80, OptionalSize = 240, SectionCount = 3;

    readonly List<string> _functions = [];
    readonly List<(string Name, int Size, byte[] Initial)> _data = [];
    readonly List<(string Name, string Target)> _forwarders = [];
    readonly HashSet<string> _names = new(StringComparer.Ordinal);

    public ImageBuilder AddFunction(string function)
    {
        Claim(function);
        _functions.Add(function);
        return this;
    }

    /// <summary>A variable: it begins with <paramref name="initial"/> and is zero past it.</summary>
    public ImageBuilder AddData(string variable, int size, ReadOnlySpan<byte> initial = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(initial.Length, size);
        Claim(variable);
        _data.Add((variable, size, initial.ToArray()));
        return this;
    }

    /// <summary>An export that is elsewhere: <c>"hal.KeStallExecutionProcessor"</c>.</summary>
    public ImageBuilder AddForwarder(string function, string target)
    {
        Claim(function);
        _forwarders.Add((function, target));
        return this;
    }

    public SyntheticImage Build()
    {
        uint stubs = Page, stubSize = Pages(Math.Max(_functions.Count * StubSpacing, 1));
        uint data = stubs + stubSize, at = data;
        Dictionary<string, uint> rvas = new(_names.Count, StringComparer.Ordinal);
        for (int i = 0; i < _functions.Count; i++) rvas[_functions[i]] = stubs + (uint)(i * StubSpacing);
        foreach ((string variable, int size, _) in _data)
        {
            rvas[variable] = at;
            at += (uint)(size + 15) & ~15u;
        }
        uint dataSize = Pages((int)Math.Max(at - data, 1));
        uint exports = data + dataSize;
        byte[] directory = ExportDirectory(exports, rvas);
        uint exportSize = Pages(directory.Length);
        byte[] image = new byte[exports + exportSize];
        WriteHeaders(image, (uint)directory.Length, exports);
        WriteSection(image, 0, ".text", stubs, stubSize, 0x6000_0020);
        WriteSection(image, 1, ".data", data, dataSize, 0xC000_0040);
        WriteSection(image, 2, ".edata", exports, exportSize, 0x4000_0040);
        image.AsSpan((int)stubs, (int)stubSize).Fill(0xCC);
        foreach ((string variable, _, byte[] initial) in _data) initial.CopyTo(image.AsSpan((int)rvas[variable]));
        directory.CopyTo(image.AsSpan((int)exports));
        foreach ((string forwarder, _) in _forwarders) rvas.Remove(forwarder);
        return new SyntheticImage(name, imageBase, image, rvas, stubs, stubSize, [.. _functions]);
    }

    void Claim(string export)
    {
        if (!_names.Add(export)) throw new ArgumentException($"{name} has {export} already.", nameof(export));
    }

    static uint Pages(int bytes) => (uint)(bytes + Page - 1) & ~(uint)(Page - 1);

    byte[] ExportDirectory(uint rva, Dictionary<string, uint> rvas)
    {
        string[] names = [.. _names];
        Array.Sort(names, StringComparer.Ordinal);
        int count = names.Length, functions = 40, pointers = functions + count * 4, ordinals = pointers + count * 4;
        int text = ordinals + ((count * 2 + 3) & ~3);
        using MemoryStream strings = new();
        uint Put(string s)
        {
            uint at = rva + (uint)text + (uint)strings.Position;
            strings.Write(Encoding.Latin1.GetBytes(s));
            strings.WriteByte(0);
            return at;
        }
        byte[] head = new byte[text];
        Write(head, 12, Put(name));
        Write(head, 16, 1);
        Write(head, 20, (uint)count);
        Write(head, 24, (uint)count);
        Write(head, 28, rva + (uint)functions);
        Write(head, 32, rva + (uint)pointers);
        Write(head, 36, rva + (uint)ordinals);
        foreach ((string forwarder, string target) in _forwarders) rvas[forwarder] = Put(target);
        for (int i = 0; i < count; i++)
        {
            Write(head, functions + i * 4, rvas[names[i]]);
            Write(head, pointers + i * 4, Put(names[i]));
            BinaryPrimitives.WriteUInt16LittleEndian(head.AsSpan(ordinals + i * 2), (ushort)i);
        }
        return [.. head, .. strings.ToArray()];
    }

    void WriteHeaders(byte[] image, uint exportSize, uint exports)
    {
        image[0] = (byte)'M';
        image[1] = (byte)'Z';
        Write(image, 0x3C, HeaderOffset);
        Write(image, HeaderOffset, 0x4550);
        Write(image, HeaderOffset + 4, 0x8664 | SectionCount << 16);
        Write(image, HeaderOffset + 20, OptionalSize | 0x2022 << 16);
        int o = HeaderOffset + 24;
        Write(image, o, 0x20B);
        BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan(o + 24), imageBase);
        Write(image, o + 32, Page);
        Write(image, o + 36, Page);
        Write(image, o + 40, 10);
        Write(image, o + 48, 10);
        Write(image, o + 56, (uint)image.Length);
        Write(image, o + 60, Page);
        Write(image, o + 68, 1);
        Write(image, o + 108, 16);
        Write(image, o + 112, exports);
        Write(image, o + 116, exportSize);
    }

    static void WriteSection(byte[] image, int index, string section, uint rva, uint size, uint flags)
    {
        int at = HeaderOffset + 24 + OptionalSize + index * 40;
        Encoding.Latin1.GetBytes(section).CopyTo(image.AsSpan(at));
        Write(image, at + 8, size);
        Write(image, at + 12, rva);
        Write(image, at + 16, size);
        Write(image, at + 20, rva);
        Write(image, at + 36, flags);
    }

    static void Write(byte[] image, int at, uint value) =>
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(at), value);
}

/// <summary>An image made by <see cref="ImageBuilder"/>. Its file and its memory are the same bytes.</summary>
/// <param name="Rvas">Where each function's stub and each variable is; a forwarder is not here.</param>
/// <param name="StubsRva">The first page of the stubs: nothing else is in these pages.</param>
/// <param name="StubsSize">Bytes of the stubs' pages, a multiple of the page's size.</param>
/// <param name="Functions">The functions in the order of their stubs.</param>
public sealed record SyntheticImage(
    string Name, ulong Base, byte[] Bytes, IReadOnlyDictionary<string, uint> Rvas, uint StubsRva, uint StubsSize,
    IReadOnlyList<string> Functions)
{
    public Va AddressOf(string export) => new Va(Base) + (ulong)Rvas[export];

    /// <summary>The index in <see cref="Functions"/> of the stub at an address; -1 when none begins there.</summary>
    public int FunctionAt(Va address)
    {
        ulong offset = address - new Va(Base + StubsRva);
        ulong index = offset / ImageBuilder.StubSpacing;
        return offset % ImageBuilder.StubSpacing == 0 && index < (ulong)Functions.Count ? (int)index : -1;
    }
}
