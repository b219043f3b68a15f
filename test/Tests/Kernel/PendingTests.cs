using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>pending.sys: requests that end later.</summary>
public sealed class PendingTests
{
    const uint WorkItem = 0x222000, Thread = 0x222004;
    const long IntervalTicks = 100_000;     // 10 ms

    static TestMachine WithPending()
    {
        var machine = new TestMachine();
        Assert.Equal(STATUS_SUCCESS, machine.Load(Repository.Driver("pending")).EntryStatus);
        return machine;
    }

    /// <summary>A read that is sent, but not waited for.</summary>
    static IoRequest StartRead(TestMachine m, UserFile file)
    {
        var request = new IoRequest(IRP_MJ_READ, file.Object)
        {
            OutputBuffer = m.Nt.Mm.AllocateUser(8),
            OutputLength = 8,
            Mode = ProcessorMode.UserMode,
        };
        Assert.Equal(STATUS_PENDING, m.Nt.User.AsUser(() => m.Nt.Io.Send(request)));
        Assert.False(request.IsComplete);
        return request;
    }

    [Fact]
    public void A_read_is_completed_by_the_drivers_timer_after_its_interval()
    {
        using TestMachine m = WithPending();
        UserFile file = m.Open(@"\\.\Pending");
        long before = m.Nt.Ke.Clock.Now;
        UserRequest read = file.Read(4);
        Assert.Equal(STATUS_SUCCESS, read.Status);
        Assert.Equal([0x5A, 0x5A, 0x5A, 0x5A], read.Output);
        Assert.InRange(m.Nt.Ke.Clock.Now - before, IntervalTicks, 2 * IntervalTicks);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Cancel_completes_the_pending_reads_of_the_file_and_no_others()
    {
        using TestMachine m = WithPending();
        UserFile file = m.Open(@"\\.\Pending"), other = m.Open(@"\\.\Pending");
        IoRequest first = StartRead(m, file), second = StartRead(m, file), foreign = StartRead(m, other);
        Assert.Equal(2, file.Cancel());
        Assert.Equal((STATUS_CANCELLED, STATUS_CANCELLED), (first.Status, second.Status));
        m.Nt.User.RunUntilIdle();
        Assert.Equal(STATUS_SUCCESS, foreign.Status);
        Assert.Equal(0, file.Cancel());
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Close_cancels_what_is_pending_before_the_file_goes()
    {
        using TestMachine m = WithPending();
        UserFile file = m.Open(@"\\.\Pending");
        IoRequest read = StartRead(m, file);
        Assert.Equal(STATUS_SUCCESS, file.Close());
        Assert.Equal(STATUS_CANCELLED, read.Status);
        Assert.Equal(STATUS_INVALID_HANDLE, file.Close());
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData(WorkItem, 1), InlineData(Thread, 2)]
    public void A_request_is_completed_in_another_thread(uint code, byte answer)
    {
        using TestMachine m = WithPending();
        UserFile file = m.Open(@"\\.\Pending");
        for (int i = 0; i < 3; i++) Assert.Equal([answer, 0, 0, 0], file.DeviceIoControl(code, [], 4).Output);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, file.DeviceIoControl(code, [], 3).Status);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Unload_waits_for_the_drivers_thread_and_leaves_nothing()
    {
        using TestMachine m = WithPending();
        Driver driver = m.Nt.Loader.Drivers[0];
        UserFile file = m.Open(@"\\.\Pending");
        file.Read(8);
        file.DeviceIoControl(WorkItem, [], 4);
        file.DeviceIoControl(Thread, [], 4);
        StartRead(m, file);
        file.Close();
        Assert.True(m.Nt.Loader.Unload(driver));
        m.Nt.User.RunUntilIdle();
        Leftovers left = m.Nt.LeftBy(driver);
        Assert.Empty(left.Pool);
        Assert.Empty(left.Devices);
        Assert.Empty(left.Links);
        Assert.Empty(left.Threads);
        Assert.Empty(left.Timers);
        Assert.Empty(left.Irps);
        Assert.Empty(m.Findings);
    }
}
