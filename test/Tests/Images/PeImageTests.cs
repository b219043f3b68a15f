using System.Buffers.Binary;
using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

public sealed class PeImageTests
{
    static byte[] Driver(string name) => Drivers.Read(name);

    static PeSection Section(PeImage image, string name) => image.FindSection(name)!;

    [Fact]
    public void A_driver_of_gcc_has_sections_imports_and_an_entry_point()
    {
        PeImage image = PeImage.Parse(Driver("misbehave.sys"));
        Assert.Equal(0x140000000UL, image.PreferredBase);
        Assert.True(Section(image, ".text").Contains(image.EntryPointRva));
        Assert.True(Section(image, ".text").IsExecutable);
        Assert.False(Section(image, ".text").IsWritable);
        Assert.True(Section(image, ".bss").IsWritable);
        Assert.NotNull(image.FindSection(".debug_line"));
        Assert.Contains(image.Imports, i => i is { Library: "ntoskrnl.exe", Name: "IoCreateDevice" });
        Assert.Equal(image.StoredChecksum, image.ComputeChecksum());
        Assert.False(image.IsDll);
        Assert.False(image.HasCertificate);
    }

    [Fact]
    public void An_import_by_ordinal_has_no_name()
    {
        PeImage image = PeImage.Parse(Driver("missing.sys"));
        Assert.Contains(image.Imports, i => i.Name is null && i.Ordinal == 4711);
        Assert.Contains(image.Imports, i => i.Name == "RingdownNoSuchFunction");
    }

    [Fact]
    public void Layout_elsewhere_moves_every_relocated_address_and_nothing_but_the_base_besides()
    {
        PeImage image = PeImage.Parse(Driver("selftest.sys"));
        const ulong Base = 0xFFFFF80012340000;
        byte[] there = image.Layout(image.PreferredBase), here = image.Layout(Base);
        Assert.NotEmpty(image.Relocations);
        foreach (uint rva in image.Relocations)
        {
            ulong before = BinaryPrimitives.ReadUInt64LittleEndian(there.AsSpan((int)rva));
            ulong after = BinaryPrimitives.ReadUInt64LittleEndian(here.AsSpan((int)rva));
            Assert.Equal(before - image.PreferredBase, after - Base);
            Assert.True(Section(image, ".text").Contains((uint)(after - Base)));
            there.AsSpan((int)rva, 8).CopyTo(here.AsSpan((int)rva));
        }
        Assert.True(here.AsSpan(0x1000).SequenceEqual(there.AsSpan(0x1000)));
    }

    [Fact]
    public void An_image_of_another_machine_is_refused_by_its_name()
    {
        byte[] bytes = Driver("quiet.sys");
        int header = BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(0x3C));
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(header + 4), 0x14C);
        BadImageException e = Assert.Throws<BadImageException>(() => PeImage.Parse(bytes));
        Assert.Contains("32-bit x86", e.Message);
    }

    [Fact]
    public void A_program_is_refused_by_its_subsystem()
    {
        byte[] bytes = Driver("quiet.sys");
        int header = BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(0x3C));
        bytes[header + 24 + 68] = 3;
        Assert.Contains("console", Assert.Throws<BadImageException>(() => PeImage.Parse(bytes)).Message);
    }

    [Theory]
    [InlineData("seh.sys"), InlineData("missing.sys"), InlineData("selftest.sys")]
    public void A_truncated_driver_is_refused_or_read_but_never_anything_else(string name)
    {
        byte[] bytes = Driver(name);
        int refused = 0;
        for (int length = 0; length < bytes.Length; length += length < 0x800 ? 1 : 97)
            if (!Survives(bytes.AsMemory(0, length))) refused++;
        Assert.True(refused > 0x400);
    }

    [Theory]
    [InlineData("echo.sys"), InlineData("seh.sys"), InlineData("missing.sys"), InlineData("quiet.sys")]
    [InlineData("selftest.sys")]
    public void A_mutated_driver_is_refused_or_read_but_never_anything_else(string name)
    {
        byte[] original = Driver(name);
        Chance chance = new(20);
        int refused = 0;
        for (int round = 0; round < 1500; round++)
        {
            byte[] bytes = (byte[])original.Clone();
            // Headers and tables are small beside code and debug data, so most changes are made where it hurts.
            int range = round % 3 == 0 ? bytes.Length : round % 3 == 1 ? 0x400 : Math.Min(0x2800, bytes.Length);
            for (int n = chance.Next(4); n >= 0; n--)
                if (chance.OneIn(3)) chance.Fill(bytes.AsSpan(chance.Next(range - 8), 4));
                else bytes[chance.Next(range)] = (byte)chance.Next();
            if (!Survives(bytes)) refused++;
        }
        Assert.InRange(refused, 100, 1499);
    }

    static bool Survives(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            PeImage image = PeImage.Parse(bytes);
            Assert.Equal((int)image.SizeOfImage, image.Layout(image.PreferredBase).Length);
            if (!image.IsFixed) image.Layout(0xFFFFF80000000000);
            image.ComputeChecksum();
            new Symbols(image, null).FunctionAt(image.EntryPointRva);
            return true;
        }
        catch (BadImageException e)
        {
            Assert.NotEmpty(e.Message);
            return false;
        }
    }
}
