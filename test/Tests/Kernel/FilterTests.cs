using System.Runtime.InteropServices;
using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>filter.sys above echo.sys.</summary>
public sealed class FilterTests
{
    const uint Counts = 0x222000, EchoBuffered = 0x222004;
    const int Up = 28, Failed = 29;

    static (TestMachine Machine, Driver Echo, Driver Filter) Stack()
    {
        var machine = new TestMachine();
        Driver echo = machine.Load(Repository.Driver("echo")), filter = machine.Load(Repository.Driver("filter"));
        Assert.Equal((STATUS_SUCCESS, STATUS_SUCCESS), (echo.EntryStatus, filter.EntryStatus));
        return (machine, echo, filter);
    }

    static uint[] Count(UserFile control)
    {
        UserRequest counts = control.DeviceIoControl(Counts, [], 120);
        Assert.Equal((STATUS_SUCCESS, 120UL), (counts.Status, counts.Information));
        return MemoryMarshal.Cast<byte, uint>(counts.Output).ToArray();
    }

    [Fact]
    public void Requests_pass_down_and_come_up_and_are_counted()
    {
        (TestMachine m, _, _) = Stack();
        using (m)
        {
            UserFile control = m.Open(@"\\.\EchoFilter");
            uint[] before = Count(control);
            UserFile file = m.Open(@"\\.\Echo");
            Assert.Equal(5UL, file.Write("Hello"u8).Information);
            Assert.Equal("Hello"u8.ToArray(), file.Read(64).Output);
            Assert.Equal([1, 2, 3], file.DeviceIoControl(EchoBuffered, [1, 2, 3], 8).Output);
            Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, file.DeviceIoControl(0x223FFC, [], 0).Status);
            file.Close();
            uint[] after = Count(control);
            uint[] delta = [.. after.Select((n, i) => n - before[i])];
            Assert.Equal([1, 1, 1, 1, 2, 1], ((IrpMajor[])
                [IRP_MJ_CREATE, IRP_MJ_CLOSE, IRP_MJ_READ, IRP_MJ_WRITE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_CLEANUP])
                .Select(major => (int)delta[(int)major]));
            Assert.Equal((7U, 1U), (delta[Up], delta[Failed]));
            Assert.Empty(m.Findings);
        }
    }

    [Fact]
    public void The_filters_device_needs_one_stack_location_more_than_the_one_below_it()
    {
        (TestMachine m, Driver echo, Driver filter) = Stack();
        using (m)
        {
            DeviceInfo lower = m.Nt.DevicesOf(echo).Single(d => d.Name == @"\Device\Echo");
            DeviceInfo upper = m.Nt.DevicesOf(filter).Single(d => d.Name == "");
            Assert.Equal(lower.StackSize + 1, upper.StackSize);
            Assert.Equal(upper.Address, DeviceObject.At(m.Nt.Memory, lower.Address).AttachedDevice.Address);
        }
    }

    [Fact]
    public void The_stack_in_a_completion_routine_reaches_from_the_filter_into_the_driver_that_completes()
    {
        var seen = new StackAtRelease();
        using var m = new TestMachine(1, seen);
        m.Load(Repository.Driver("echo"));
        m.Load(Repository.Driver("filter"));
        m.Open(@"\\.\Echo").Write("Hello"u8);
        Assert.Equal(["nt!IoReleaseRemoveLockEx", "filter!Completed", "nt!IofCompleteRequest", "echo!Transfer",
            "echo!Write",
            "nt!IofCallDriver"], seen.Last.Select(f => f.Split('+')[0]));
    }

    sealed class StackAtRelease : IObserver
    {
        public List<string> Last { get; private set; } = [];

        public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
        {
            if (export.Name == "IoReleaseRemoveLockEx") Last = [.. nt.Stack().Select(f => f.Text)];
        }
    }

    [Fact]
    public void Unload_detaches_and_requests_go_straight_to_the_lower_driver()
    {
        (TestMachine m, Driver echo, Driver filter) = Stack();
        using (m)
        {
            UserFile file = m.Open(@"\\.\Echo");
            file.Write("Hello"u8);
            Assert.True(m.Nt.Loader.Unload(filter));
            Assert.Empty(m.Nt.DevicesOf(filter));
            Assert.Equal("Hello"u8.ToArray(), file.Read(64).Output);
            file.Close();
            Assert.DoesNotContain(m.Nt.Links(), l => l.Link.Contains("Filter"));
            Assert.True(m.Nt.Loader.Unload(echo));
            Assert.Empty(m.Findings);
        }
    }

    [Fact]
    public void A_filter_without_its_target_does_not_load_and_leaves_nothing()
    {
        using var m = new TestMachine();
        Driver filter = m.Load(Repository.Driver("filter"));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, filter.EntryStatus);
        Assert.False(filter.IsLoaded);
        Assert.False(m.Nt.Loader.Unload(filter));
        Leftovers left = m.Nt.LeftBy(filter);
        Assert.Empty(left.Devices);
        Assert.Empty(left.Links);
        Assert.Empty(left.Pool);
        Assert.Empty(m.Findings);
    }
}
