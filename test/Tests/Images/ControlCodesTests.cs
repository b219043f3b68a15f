using Iced.Intel;
using Ringdown.Check;
using Ringdown.Machine;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Ringdown.Tests;

public sealed class ControlCodesTests
{
    const ulong Base = 0xFFFFF80000000000;

    static IReadOnlyList<uint> Find(Action<Assembler> code)
    {
        var builder = new ImageBuilder("switch.sys", Base);
        for (int i = 0; i < 64; i++) builder.AddFunction($"F{i}");
        SyntheticImage image = builder.Build();
        byte[] assembled = GuestCode.Assemble(new Va(Base + image.StubsRva), code);
        Assert.True(assembled.Length <= image.StubsSize);
        assembled.CopyTo(image.Bytes, image.StubsRva);
        return ControlCodes.Find(PeImage.Parse(image.Bytes));
    }

    // Microsoft's compiler makes this of a few codes: the distances from one to the next.
    [Fact]
    public void A_chain_of_subtractions_may_end_in_a_comparison_with_one_value() =>
        Assert.Equal([0x222004u, 0x222010, 0x222110], Find(a =>
        {
            Label other = a.CreateLabel();
            a.mov(eax, __dword_ptr[rdx + 0x18]);
            a.sub(eax, 0x222004);
            a.je(other);
            a.sub(eax, 0xC);
            a.je(other);
            a.cmp(eax, 0x100);
            a.jne(other);
            a.nop();
            a.Label(ref other);
            a.ret();
        }));

    [Fact]
    public void A_comparison_with_the_last_of_a_table_that_cannot_be_read_stands_for_all() =>
        Assert.Equal([0x222000u, 0x222001, 0x222002], Find(a =>
        {
            Label other = a.CreateLabel();
            a.sub(eax, 0x222000);
            a.cmp(eax, 2);
            a.ja(other);
            a.nop();
            a.Label(ref other);
            a.ret();
        }));

    [Fact]
    public void Three_of_the_systems_codes_of_one_device_type_count_and_fewer_are_other_numbers() =>
        Assert.Equal([0x1B0004u, 0x1B0008, 0x1B0050, 0x222000], ControlCodes.Among(
            [0x10000, 0x100000, 0x1B0050, 0x1B0004, 0x70000, 0x74004, 0x222000, 0xC0000010, 0x1B0008, 0x103]));

    [Theory]
    [InlineData(new uint[] { }, "")]
    [InlineData(new uint[] { 0x222000, 0x222004, 0x222008 }, "0x222000, 0x222004, 0x222008")]
    [InlineData(new uint[] { 0x222000, 0x222004, 0x222008, 0x22200C, 0x222018 }, "0x222000 to 0x22200C by 4, 0x222018")]
    [InlineData(new uint[] { 0x222000, 0x222004, 0x222005, 0x222006, 0x222007 }, "0x222000, 0x222004 to 0x222007")]
    [InlineData(new uint[] { 0x222000, 0x223000, 0x224000, 0x225000 }, "0x222000, 0x223000, 0x224000, 0x225000")]
    public void Codes_in_a_row_are_one_entry_of_the_list(uint[] codes, string text) =>
        Assert.Equal(text, ControlCodes.List(codes));
}
