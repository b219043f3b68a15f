using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>echo.sys: every way of passing buffers.</summary>
public sealed class EchoTests
{
    const uint Version = 0x222000, Buffered = 0x222004, InDirect = 0x222005, OutDirect = 0x222006, Neither = 0x222007;
    const uint GENERIC_READ = 0x8000_0000, GENERIC_WRITE = 0x4000_0000, SYNCHRONIZE = 0x10_0000;

    static readonly byte[] s_hello = "Hello"u8.ToArray();

    static TestMachine WithEcho()
    {
        var machine = new TestMachine();
        Assert.Equal(STATUS_SUCCESS, machine.Load(Repository.Driver("echo")).EntryStatus);
        return machine;
    }

    [Fact]
    public void The_version_is_four_bytes_and_needs_room_for_them()
    {
        using TestMachine m = WithEcho();
        UserFile file = m.Open(@"\\.\Echo");
        UserRequest version = file.DeviceIoControl(Version, [], 4);
        Assert.Equal(STATUS_SUCCESS, version.Status);
        Assert.Equal([2, 0, 1, 0], version.Output);
        UserRequest small = file.DeviceIoControl(Version, [], 3);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, small.Status);
        Assert.Equal(122, small.Win32Error);
        Assert.Empty(small.Output);
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData(Buffered), InlineData(OutDirect), InlineData(Neither)]
    public void What_goes_in_comes_out_as_far_as_both_buffers_reach(uint code)
    {
        using TestMachine m = WithEcho();
        UserFile file = m.Open(@"\\.\Echo");
        foreach ((int given, uint room) in ((int, uint)[])[(5, 5), (5, 64), (5, 2), (0, 8), (8, 0), (4096, 4096)])
        {
            byte[] data = [.. Enumerable.Range(0, given).Select(i => (byte)(i * 7 + 1))];
            UserRequest echoed = file.DeviceIoControl(code, data, room);
            Assert.Equal(STATUS_SUCCESS, echoed.Status);
            Assert.Equal(data[..(int)Math.Min((uint)given, room)], echoed.Output);
        }
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void The_driver_reads_the_output_buffer_of_METHOD_IN_DIRECT()
    {
        using TestMachine m = WithEcho();
        UserFile file = m.Open(@"\\.\EchoDirect");
        Va input = m.Nt.Mm.AllocateUser(16), data = m.Nt.Mm.AllocateUser(16);
        m.Nt.Memory.Write(data, s_hello);
        UserRequest stored = file.DeviceIoControl(InDirect, input, 8, data, 5);
        Assert.Equal((STATUS_SUCCESS, 5UL), (stored.Status, stored.Information));
        Assert.Equal(s_hello, file.Read(64).Output);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_buffer_that_may_only_be_read_is_enough_for_METHOD_IN_DIRECT_but_not_for_METHOD_OUT_DIRECT()
    {
        using TestMachine m = WithEcho();
        UserFile file = m.Open(@"\\.\EchoDirect");
        Va input = m.Nt.Mm.AllocateUser(16), constant = m.Nt.Mm.AllocateUser(16, Protection.Read);
        Assert.Equal(STATUS_SUCCESS, file.DeviceIoControl(InDirect, input, 8, constant, 8).Status);
        Assert.Equal(STATUS_ACCESS_VIOLATION, file.DeviceIoControl(OutDirect, input, 8, constant, 8).Status);
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData("Echo"), InlineData("EchoDirect"), InlineData("EchoNeither")]
    public void What_is_written_is_read_back_on_each_device(string device)
    {
        using TestMachine m = WithEcho();
        UserFile file = m.Open(@"\\.\" + device);
        UserRequest written = file.Write(s_hello);
        Assert.Equal((STATUS_SUCCESS, 5UL), (written.Status, written.Information));
        Assert.Equal(s_hello, file.Read(64).Output);
        Assert.Equal(s_hello[..2], file.Read(2).Output);
        byte[] longest = [.. Enumerable.Range(0, 4096).Select(i => (byte)i)];
        Assert.Equal(4096UL, file.Write([.. longest, 1, 2, 3]).Information);
        Assert.Equal(longest, file.Read(8000).Output);
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData("Echo"), InlineData("EchoDirect"), InlineData("EchoNeither")]
    public void Nothing_is_transferred_by_a_request_of_size_zero(string device)
    {
        using TestMachine m = WithEcho();
        UserFile file = m.Open(@"\\.\" + device);
        file.Write(s_hello);
        UserRequest written = file.Write([]), read = file.Read(0);
        Assert.Equal((STATUS_SUCCESS, 0UL), (written.Status, written.Information));
        Assert.Equal((STATUS_SUCCESS, 0UL), (read.Status, read.Information));
        Assert.Equal(s_hello, file.Read(8).Output);
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData("Echo"), InlineData("EchoDirect"), InlineData("EchoNeither")]
    public void A_bad_pointer_fails_the_request_and_nothing_else(string device)
    {
        using TestMachine m = WithEcho();
        UserFile file = m.Open(@"\\.\" + device);
        file.Write(s_hello);
        foreach (ulong bad in (ulong[])[0, 0x10000, 0xFFFF_F780_0000_0000, 0x8000_0000_0000_0000, ulong.MaxValue - 3])
        {
            Assert.Equal(STATUS_ACCESS_VIOLATION, file.ReadTo(new Va(bad), 64).Status);
            Assert.Equal(STATUS_ACCESS_VIOLATION, file.WriteFrom(new Va(bad), 64).Status);
            foreach (uint code in (uint[])[Buffered, InDirect, OutDirect, Neither])
            {
                UserRequest control = file.DeviceIoControl(code, new Va(bad), 64, new Va(bad), 64);
                Assert.Equal(STATUS_ACCESS_VIOLATION, control.Status);
            }
        }
        Assert.Equal(s_hello, file.Read(64).Output);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void An_unknown_control_code_is_an_invalid_request()
    {
        using TestMachine m = WithEcho();
        UserRequest unknown = m.Open(@"\\.\Echo").DeviceIoControl(0x223FFC, s_hello, 8);
        Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, unknown.Status);
        Assert.Equal(1, unknown.Win32Error);
    }

    [Fact]
    public void A_handle_without_the_right_is_refused_before_the_driver_sees_the_request()
    {
        using TestMachine m = WithEcho();
        m.Nt.User.CreateFile(@"\\.\Echo", out UserFile? reader, new OpenOptions(GENERIC_READ | SYNCHRONIZE));
        m.Nt.User.CreateFile(@"\\.\Echo", out UserFile? writer, new OpenOptions(GENERIC_WRITE | SYNCHRONIZE));
        int before = m.Trace.Lines.Count;
        Assert.Equal(STATUS_ACCESS_DENIED, reader!.Write(s_hello).Status);
        Assert.Equal(STATUS_ACCESS_DENIED, writer!.Read(8).Status);
        // FILE_WRITE_ACCESS stands in the code itself.
        Assert.Equal(STATUS_ACCESS_DENIED, reader.DeviceIoControl(0x22A000, [], 8).Status);
        Assert.Equal(before, m.Trace.Lines.Count);
        Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, writer.DeviceIoControl(0x22A000, [], 8).Status);
    }

    [Fact]
    public void A_name_that_is_not_there_is_not_found()
    {
        using TestMachine m = WithEcho();
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Nt.User.CreateFile(@"\\.\NoSuchDevice", out UserFile? file));
        Assert.Null(file);
        Assert.Equal(2, Status.Win32Of(STATUS_OBJECT_NAME_NOT_FOUND));
    }

    [Fact]
    public void Unload_takes_devices_and_links_away()
    {
        using TestMachine m = WithEcho();
        Driver echo = m.Nt.Loader.Drivers[0];
        Assert.Equal([@"\Device\Echo", @"\Device\EchoDirect", @"\Device\EchoNeither"],
            m.Nt.DevicesOf(echo).Select(d => d.Name));
        m.Open(@"\\.\Echo").Close();
        Assert.True(m.Nt.Loader.Unload(echo));
        Assert.Empty(m.Nt.DevicesOf(echo));
        Assert.Empty(m.Nt.Links());
        Assert.Empty(m.Nt.LeftBy(echo).Pool);
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Nt.User.CreateFile(@"\\.\Echo", out _));
        Assert.Empty(m.Findings);
    }
}
