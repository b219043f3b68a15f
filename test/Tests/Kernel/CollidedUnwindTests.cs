using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>seh.sys: exceptions on top of exceptions, in one thread and in two.</summary>
public sealed class CollidedUnwindTests
{
    [Theory]
    [InlineData(13, 0xC000003F, 1234)]      // raised in __finally: the outer __finally runs, the inner one not again
    [InlineData(14, 10, 0)]                 // ten raised by two threads that wait in filters: ten caught
    public void Exceptions_that_meet_keep_their_own_frames(uint shape, uint result, uint trail)
    {
        using var m = new TestMachine();
        m.Load(Path.Combine(Drivers.Folder, "bin", "seh.sys"));
        UserRequest answer = m.Open(@"\\.\Seh").DeviceIoControl(0x222000 + 4 * shape, [], 8);
        Assert.Equal(STATUS_SUCCESS, answer.Status);
        Assert.Equal((result, trail), (BitConverter.ToUInt32(answer.Output), BitConverter.ToUInt32(answer.Output, 4)));
    }
}
