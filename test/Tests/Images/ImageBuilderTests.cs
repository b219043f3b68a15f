using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

public sealed class ImageBuilderTests
{
    const ulong Base = 0xFFFFF80000000000;

    static SyntheticImage Kernel() => new ImageBuilder("ntoskrnl.exe", Base)
        .AddFunction("ZwClose").AddFunction("IoCreateDevice").AddData("KeTickCount", 4, [7])
        .AddData("IoFileObjectType", 8).AddForwarder("KfRaiseIrql", "hal.KfRaiseIrql").Build();

    [Fact]
    public void A_built_image_reads_back_with_its_exports_where_it_said()
    {
        SyntheticImage kernel = Kernel();
        PeImage image = PeImage.Parse(kernel.Bytes);
        Assert.Equal("ntoskrnl.exe", image.ExportName);
        Assert.Equal(5, image.Exports.Count);
        foreach ((string name, uint rva) in kernel.Rvas) Assert.Equal(rva, image.FindExport(name)!.Rva);
        Assert.Equal("hal.KfRaiseIrql", image.FindExport("KfRaiseIrql")!.Forwarder);
        Assert.Null(image.FindExport("ZwClose")!.Forwarder);
        Assert.Equal("IoCreateDevice", image.FindExport(1)!.Name);
        Assert.Equal(kernel.Bytes, image.Layout(Base));
    }

    [Fact]
    public void Stubs_are_alone_in_executable_pages_and_variables_in_writable_ones()
    {
        SyntheticImage kernel = Kernel();
        PeImage image = PeImage.Parse(kernel.Bytes);
        PeSection text = image.SectionAt(kernel.Rvas["ZwClose"])!, data = image.SectionAt(kernel.Rvas["KeTickCount"])!;
        Assert.Equal((kernel.StubsRva, kernel.StubsSize), (text.Rva, text.VirtualSize));
        Assert.True(text.IsExecutable && !text.IsWritable);
        Assert.True(data.IsWritable && !data.IsExecutable);
        Assert.Equal(7, kernel.Bytes[kernel.Rvas["KeTickCount"]]);
        Assert.Equal(1, kernel.FunctionAt(kernel.AddressOf("IoCreateDevice")));
        Assert.Equal(-1, kernel.FunctionAt(kernel.AddressOf("IoCreateDevice") + 1));
        Assert.Equal(-1, kernel.FunctionAt(kernel.AddressOf("KeTickCount")));
    }

    [Fact]
    public void The_same_name_twice_is_refused() =>
        Assert.Throws<ArgumentException>(() => new ImageBuilder("a", Base).AddFunction("X").AddData("X", 8));
}
