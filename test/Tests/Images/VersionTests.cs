using System.Buffers.Binary;
using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

public sealed class VersionTests
{
    [Fact]
    public void The_version_of_a_driver_is_what_its_resource_script_says()
    {
        ImageVersion version = Assert.IsType<ImageVersion>(PeImage.Parse(Drivers.Read("quiet.sys")).Version);
        Assert.Equal((new Version(1, 2, 3, 4), new Version(1, 2, 0, 0)), (version.FileVersion, version.ProductVersion));
        Assert.Equal(
            [
                ("CompanyName", "Ringdown"), ("FileDescription", "A small driver without a mistake"),
                ("FileVersion", "1.2.3.4"), ("OriginalFilename", "quiet.sys"), ("ProductVersion", "1.2"),
            ],
            version.Strings);
        Assert.Equal("Ringdown", version.Find("CompanyName"));
        Assert.Null(version.Find("LegalCopyright"));
        Assert.Null(PeImage.Parse(Drivers.Read("echo.sys")).Version);
    }

    [Fact]
    public void A_damaged_version_resource_is_none_or_less_but_never_an_exception()
    {
        byte[] original = Drivers.Read("quiet.sys");
        PeSection resources = PeImage.Parse(original).FindSection(".rsrc")!;
        Chance chance = new(3);
        int none = 0;
        for (int round = 0; round < 2000; round++)
        {
            byte[] bytes = (byte[])original.Clone();
            for (int n = chance.Next(3); n >= 0; n--)
                bytes[(int)resources.RawOffset + chance.Next(round % 2 == 0 ? 0x80 : (int)resources.RawSize)] =
                    chance.OneIn(4) ? (byte)0xFF : (byte)chance.Next();
            if (PeImage.Parse(bytes).Version is not { } version) none++;
            else Assert.DoesNotContain(version.Strings, s => s.Name.Length == 0);
        }
        Assert.InRange(none, 200, 1800);
    }

    const ulong Base = 0xFFFFF80000000000;

    /// <summary>An image with a load configuration of which only a part may be used.</summary>
    static PeImage WithLoadConfig(uint size, Action<byte[], SyntheticImage>? change = null)
    {
        SyntheticImage built = new ImageBuilder("guard.sys", Base).AddFunction("F").AddData("Cookie", 8)
            .AddData("Check", 8).AddData("Dispatch", 8).AddData("Config", 0x100).Build();
        byte[] bytes = (byte[])built.Bytes.Clone();
        int config = (int)built.Rvas["Config"], directory = 0x80 + 24 + 112 + 10 * 8;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(directory), (uint)config);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(directory + 4), 64);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(config), size);
        void Point(int field, string to) =>
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(config + field), built.AddressOf(to).Value);
        Point(0x58, "Cookie");
        Point(0x70, "Check");
        Point(0x78, "Dispatch");
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(config + 0x90), 0x10017500);
        change?.Invoke(bytes, built);
        return PeImage.Parse(bytes);
    }

    [Fact]
    public void The_load_configuration_has_the_cookie_and_the_guard_as_far_as_it_reaches()
    {
        PeImage image = WithLoadConfig(0x94);
        uint cookie = image.FindExport("Cookie")!.Rva, check = image.FindExport("Check")!.Rva;
        uint dispatch = image.FindExport("Dispatch")!.Rva;
        Assert.Equal(new LoadConfig(cookie, 0x10017500, check, dispatch), image.LoadConfig);
        Assert.Equal(new LoadConfig(cookie, 0, check, 0), WithLoadConfig(0x7F).LoadConfig);
        Assert.Equal(new LoadConfig(0, 0, 0, 0), WithLoadConfig(0x58).LoadConfig);
    }

    [Fact]
    public void A_wild_load_configuration_is_none_and_a_wild_pointer_in_it_is_zero()
    {
        Assert.Null(WithLoadConfig(0xFFFF_FFF0).LoadConfig);
        Assert.Null(PeImage.Parse(Drivers.Read("seh.sys")).LoadConfig);
        PeImage wild = WithLoadConfig(0x94, (bytes, built) =>
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan((int)built.Rvas["Config"] + 0x58), Base - 4));
        Assert.Equal(0u, wild.LoadConfig!.SecurityCookieRva);
        Assert.NotEqual(0u, wild.LoadConfig.GuardCheckPointerRva);
    }
}
