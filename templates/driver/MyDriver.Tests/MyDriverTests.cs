using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace MyDriver.Tests;

public sealed class MyDriverTests
{
    [Fact]
    public void What_is_written_can_be_read_again()
    {
        using var machine = new TestMachine();
        Driver driver = machine.Load(new MyDriver());
        UserFile file = machine.Open(@"\\.\MyDriver");
        Assert.Equal(STATUS_SUCCESS, file.Write("Hello"u8).Status);
        Assert.Equal("Hello"u8.ToArray(), file.Read(64).Output);
        file.Close();
        machine.Unload(driver);
        // What the rules found: contracts, completion, locks, what is left behind.
        Assert.Empty(machine.Findings);
    }

    [Fact]
    public void More_than_fits_is_refused()
    {
        using var machine = new TestMachine();
        machine.Load(new MyDriver());
        UserFile file = machine.Open(@"\\.\MyDriver");
        Assert.Equal(STATUS_INVALID_BUFFER_SIZE, file.Write(new byte[257]).Status);
        file.Close();
        Assert.Empty(machine.Findings);
    }
}
