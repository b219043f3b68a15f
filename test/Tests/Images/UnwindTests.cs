using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

public sealed class UnwindTests
{
    [Theory, InlineData("seh.sys"), InlineData("misbehave.sys"), InlineData("echo.sys")]
    public void Every_function_of_a_driver_has_unwind_data_that_reads(string name)
    {
        PeImage image = PeImage.Parse(Drivers.Read(name));
        RuntimeFunction entry = Assert.NotNull(image.FindFunction(image.EntryPointRva));
        Assert.Equal(image.EntryPointRva, entry.Begin);
        PeSection text = image.FindSection(".text")!;
        int found = 0;
        for (uint rva = text.Rva; rva < text.Rva + text.VirtualSize; rva++)
            if (image.FindFunction(rva) is { } f && f.Begin == rva)
            {
                Assert.NotNull(image.ReadUnwindInfo(f.UnwindInfo));
                found++;
            }
        Assert.Equal(image.Directory(PeDirectoryKind.Exception).Size / 12, (uint)found);
    }

    [Fact]
    public void Scope_tables_of_the_exception_driver_lie_in_their_functions()
    {
        PeImage image = PeImage.Parse(Drivers.Read("seh.sys"));
        PeSection text = image.FindSection(".text")!;
        int scopes = 0, finallys = 0;
        for (uint rva = text.Rva; rva < text.Rva + text.VirtualSize; rva++)
        {
            if (image.FindFunction(rva) is not { } f || f.Begin != rva) continue;
            UnwindInfo info = image.ReadUnwindInfo(f.UnwindInfo)!;
            if (info.HandlerRva == 0) continue;
            foreach (ScopeEntry scope in Assert.IsType<ScopeEntry[]>(image.ReadScopeTable(info.HandlerDataRva)))
            {
                Assert.InRange(scope.Begin, f.Begin, scope.End);
                Assert.InRange(scope.End, scope.Begin, f.End + 1);
                scopes++;
                if (scope.Target == 0) finallys++;
            }
        }
        Assert.True(scopes >= 13, $"{scopes}");
        Assert.True(finallys >= 3, $"{finallys}");
    }
}
