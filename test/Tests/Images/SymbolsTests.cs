using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

public sealed class SymbolsTests
{
    [Fact]
    public void The_entry_point_of_a_driver_of_gcc_has_its_name()
    {
        PeImage image = PeImage.Parse(Drivers.Read("misbehave.sys"));
        Symbol entry = Assert.NotNull(new Symbols(image, null).FunctionAt(image.EntryPointRva + 5));
        Assert.Equal(new Symbol("DriverEntry", image.EntryPointRva), entry);
    }

    [Fact]
    public void A_driver_without_symbols_has_the_functions_of_its_unwind_table()
    {
        PeImage image = PeImage.Parse(Drivers.Read("seh.sys"));
        Symbol entry = Assert.NotNull(new Symbols(image, null).FunctionAt(image.EntryPointRva + 5));
        Assert.Equal(new Symbol($"sub_{image.EntryPointRva:x}", image.EntryPointRva), entry);
    }

    [Fact]
    public void Data_and_wild_addresses_have_no_function()
    {
        PeImage image = PeImage.Parse(Drivers.Read("misbehave.sys"));
        Symbols symbols = new(image, null);
        Assert.Null(symbols.FunctionAt(image.FindSection(".bss")!.Rva));
        Assert.Null(symbols.FunctionAt(0xFFFF_FFF0));
        Assert.Null(Symbols.None.FunctionAt(0x1000));
    }
}
