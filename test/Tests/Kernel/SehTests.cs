using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>seh.sys: each control code is one shape of structured exception handling.</summary>
public sealed class SehTests
{
    const uint Unhandled = 0x222000 + 4 * 9;

    static UserFile Open(TestMachine m)
    {
        m.Load(Repository.Driver("seh"));
        return m.Open(@"\\.\Seh");
    }

    [Theory]
    [InlineData(0, 0xC0000005, 134)]        // a bad user pointer is caught
    [InlineData(1, 0xC000003E, 12435)]      // filter, then finally, then handler
    [InlineData(2, 77, 123)]                // finally without an exception
    [InlineData(3, 0xC000003F, 123)]        // an exception in a handler
    [InlineData(4, 0xC000009A, 1)]          // ExRaiseStatus
    [InlineData(5, 0x1230, 27)]             // the record's parameters
    [InlineData(6, 0xC000003E, 1234)]       // the inner filter declines
    [InlineData(7, 0xC0000005, 1)]          // ProbeForRead of a kernel address
    [InlineData(8, 0x80000002, 1)]          // ProbeForWrite of a misaligned one
    [InlineData(10, 55, 12)]                // the filter repairs the context
    [InlineData(11, 0xC0000094, 1)]         // division by zero
    [InlineData(12, 12, 12)]                // return out of a guarded block
    public void An_exception_takes_the_way_that_the_language_says(uint shape, uint result, uint trail)
    {
        using var m = new TestMachine();
        UserFile file = Open(m);
        for (int i = 0; i < 2; i++)
        {
            UserRequest answer = file.DeviceIoControl(0x222000 + 4 * shape, [], 8);
            Assert.Equal(STATUS_SUCCESS, answer.Status);
            Assert.Equal((result, trail),
                (BitConverter.ToUInt32(answer.Output), BitConverter.ToUInt32(answer.Output, 4)));
        }
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void An_exception_that_nobody_handles_in_a_system_service_stops_the_machine()
    {
        using var m = new TestMachine();
        UserFile file = Open(m);
        BugCheck stop = Assert.Throws<BugCheck>(() => file.DeviceIoControl(Unhandled, [], 8));
        Assert.Equal(BugCheckCode.SYSTEM_SERVICE_EXCEPTION, stop.Code);
        Assert.Equal(STATUS_DATA_ERROR.Value, stop.Parameters[0]);
        Assert.Equal(["nt", "seh", "seh"], stop.Report!.Stack.Select(f => f.Module));
        Assert.Equal("nt!ExRaiseStatus", stop.Report.Stack[0].Text);
        Assert.Equal("seh", stop.Report.Driver);
    }
}
