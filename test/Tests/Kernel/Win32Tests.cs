using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The user's side as a program of Windows sees it.</summary>
public sealed class Win32Tests
{
    const uint Overlap = Win32.FILE_FLAG_OVERLAPPED;

    /// <summary>A device whose controls answer with the status in their input, and 4 bytes.</summary>
    static Win32 WithAnswering(TestMachine m)
    {
        m.Dispatching("Answer", (_, irp) =>
        {
            if (irp.CurrentStackLocation.MajorFunction != IRP_MJ_DEVICE_CONTROL)
                return m.Complete(irp, STATUS_SUCCESS);
            return m.Complete(irp, new NtStatus(m.U32(irp.SystemBuffer)), 4);
        });
        return m.Nt.User.Win32;
    }

    [Theory, Rule("17.1"), Rule("17.2"), Rule("17.3"), Rule("17.4"), Rule("17.6", Hypothesis = true)]
    [InlineData(0x0000_0000u, 0), InlineData(0xC000_0022u, 5), InlineData(0xC000_0023u, 122)]
    [InlineData(0x8000_0005u, 234), InlineData(0xC000_0120u, 995), InlineData(0xC000_000Du, 87)]
    [InlineData(0xD000_0022u, 5), InlineData(0xC007_0005u, 5), InlineData(0xC001_0005u, 5)]
    [InlineData(0x8007_0057u, 87), InlineData(0xE000_1234u, unchecked((int)0xE000_1234)), InlineData(0xC0FF_FFFFu, 317)]
    public void A_status_is_the_error_code_that_Windows_gives(uint status, int error)
    {
        using var m = new TestMachine();
        Win32 win = WithAnswering(m);
        Handle file = win.CreateFile(@"\Device\Answer").Handle;
        Va buffer = win.VirtualAlloc(8);
        m.Nt.Memory.Write(buffer, status);
        Win32Result result = win.DeviceIoControl(file, 0x22_2000, buffer, 4, buffer, 4);
        Assert.Equal((error, error == 0), (result.Error, result.Succeeded));
        // A warning fails, and its bytes are valid.
        Assert.Equal(status < 0xC000_0000 ? 4u : 0, result.Bytes);
    }

    [Fact, Rule("17.6", Hypothesis = true)]
    public void Pending_is_997_and_the_result_comes_from_the_overlapped_structure()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path, flags: Overlap).Handle, done = win.CreateEvent(true, false);
        Win32Overlapped overlapped = win.NewOverlapped(done, offset: 0x1_0000_0004);
        Va buffer = win.VirtualAlloc(8);
        Assert.Equal(Win32.ERROR_IO_PENDING, win.ReadFile(file, buffer, 8, overlapped).Error);
        Assert.Equal(0x1_0000_0004UL, keeper.Kept[0].CurrentStackLocation.Parameter3);
        Assert.Equal(Win32.ERROR_IO_INCOMPLETE, win.GetOverlappedResult(file, overlapped, wait: false).Error);
        Assert.Equal(Win32.WAIT_TIMEOUT, win.GetOverlappedResultEx(file, overlapped, 5, alertable: false).Error);
        Assert.Equal(Win32.WAIT_TIMEOUT, win.WaitForSingleObjectEx(done, 0, alertable: false));
        keeper.CompleteInThread(information: 5, fill: 3);
        Win32Result result = win.GetOverlappedResult(file, overlapped, wait: true);
        Assert.Equal((0, 5u, 0x03_0303_0303UL), (result.Error, result.Bytes, m.U64(buffer)));
        Assert.Equal(0, win.WaitForSingleObjectEx(done, 0, alertable: false));
        Assert.Equal(Win32.ERROR_IO_PENDING, win.DeviceIoControl(
            file, 0x22_2000, Va.Null, 0, Va.Null, 0, overlapped).Error);
        Assert.Equal(Win32.ERROR_IO_PENDING, win.WriteFile(file, buffer, 4, win.NewOverlapped()).Error);
        Assert.Equal(0, win.CancelIoEx(file).Error);
        Assert.Equal(Win32.ERROR_OPERATION_ABORTED, win.GetOverlappedResult(file, overlapped, wait: true).Error);
    }

    [Fact]
    public void Completion_routines_run_in_alertable_waits()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path, flags: Overlap).Handle;
        var calls = new List<(int, uint)>();
        Va buffer = win.VirtualAlloc(8);
        Assert.Equal(0, win.ReadFileEx(file, buffer, 8, win.NewOverlapped(), (e, n, _) => calls.Add((e, n))).Error);
        Assert.Equal(0, win.WriteFileEx(file, buffer, 8, win.NewOverlapped(), (e, n, _) => calls.Add((e, n))).Error);
        keeper.CompleteInThread(information: 8);
        keeper.CompleteInThread(STATUS_NO_SUCH_DEVICE);
        Assert.Equal(0, win.SleepEx(1, alertable: false));
        Assert.Empty(calls);
        Assert.Equal(Win32.WAIT_IO_COMPLETION, win.SleepEx(1, alertable: true));
        Assert.Equal([(0, 8u), (Win32Of(STATUS_NO_SUCH_DEVICE), 0u)], calls);
    }

    [Fact]
    public void Files_are_opened_closed_and_flushed_and_what_is_wrong_has_its_code()
    {
        using var m = new TestMachine();
        var seen = new List<IrpMajor>();
        m.Noting("Disk", seen);
        Win32 win = m.Nt.User.Win32;
        Assert.Equal(Win32.ERROR_FILE_NOT_FOUND, win.CreateFile(@"\\.\Nothing").Error);
        Assert.Equal(Win32.ERROR_INVALID_PARAMETER, win.CreateFile(@"\Device\Disk", disposition: 9).Error);
        Assert.Equal(Win32.ERROR_FILENAME_EXCED_RANGE, win.CreateFile(new string('a', 3000)).Error);
        Handle file = win.CreateFile(@"\Device\Disk").Handle;
        Assert.Equal(0, win.FlushFileBuffers(file).Error);
        Assert.Equal(0, win.WriteFile(file, win.VirtualAlloc(4), 4).Error);
        Assert.Equal(0, win.DeviceIoControl(file, 0x9_0000, Va.Null, 0, Va.Null, 0).Error);
        Assert.Equal(0, win.CloseHandle(file).Error);
        Assert.Equal(Win32.ERROR_INVALID_HANDLE, win.CloseHandle(file).Error);
        Assert.Equal(Win32.ERROR_INVALID_HANDLE, win.ReadFile(file, win.VirtualAlloc(4), 4).Error);
        Handle readOnly = win.CreateFile(@"\Device\Disk", access: 0x8000_0000).Handle;
        Assert.Equal(5, win.WriteFile(readOnly, win.VirtualAlloc(4), 4).Error);
        Assert.Equal(
        [
            IRP_MJ_CREATE, IRP_MJ_FLUSH_BUFFERS, IRP_MJ_WRITE, IRP_MJ_FILE_SYSTEM_CONTROL, IRP_MJ_CLEANUP, IRP_MJ_CLOSE,
            IRP_MJ_CREATE,
        ], seen);
    }

    [Fact]
    public void A_synchronous_call_waits_for_its_request_in_any_thread()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(keeper.Path).Handle;
        var results = new List<Win32Result>();
        keeper.CompleteInThread(information: 2);
        results.Add(win.ReadFile(file, win.VirtualAlloc(8), 8));
        m.Nt.User.Concurrently(
            [() => results.Add(win.WriteFile(file, win.VirtualAlloc(8), 8)),
                () => keeper.Complete(information: 8)]);
        Assert.Equal([new Win32Result(0, 2), new Win32Result(0, 8)], results);
    }

    [Fact]
    public void The_end_of_a_file_is_no_error_for_a_synchronous_read_and_one_for_an_overlapped_one()
    {
        using var m = new TestMachine();
        m.Dispatching("Empty", (_, irp) => m.Complete(irp,
            irp.CurrentStackLocation.MajorFunction == IRP_MJ_READ ? STATUS_END_OF_FILE : STATUS_SUCCESS));
        Win32 win = m.Nt.User.Win32;
        Va buffer = win.VirtualAlloc(8);
        Assert.Equal(new Win32Result(0), win.ReadFile(win.CreateFile(@"\Device\Empty").Handle, buffer, 8));
        Handle file = win.CreateFile(@"\Device\Empty", flags: Overlap).Handle;
        Assert.Equal(Win32.ERROR_HANDLE_EOF, win.ReadFile(file, buffer, 8, win.NewOverlapped()).Error);
    }

    [Theory, InlineData(0UL), InlineData(1UL), InlineData(0x7FFF_FFFF_0000UL), InlineData(0xFFFF_8000_0000_0000UL)]
    public void Wild_pointers_are_errors_of_the_caller(ulong pointer)
    {
        using var m = new TestMachine();
        Win32 win = WithAnswering(m);
        Handle file = win.CreateFile(@"\Device\Answer", flags: Overlap).Handle;
        Win32Overlapped overlapped = win.NewOverlapped();
        Assert.Equal(998, win.DeviceIoControl(
            file, 0x22_2000, new Va(pointer), 64, new Va(pointer), 64, overlapped).Error);
        var wild = new Va(pointer);
        Assert.NotEqual(STATUS_SUCCESS, m.AsUser(() =>
            m.Nt.NtReadFile(file, default, Va.Null, Va.Null, wild, wild, 8, wild, Va.Null)));
        Assert.NotEqual(STATUS_SUCCESS, m.AsUser(() => m.Nt.Zw.NtCancelIoFileEx(file, wild, wild)));
        Assert.NotEqual(STATUS_SUCCESS, m.AsUser(() => m.Nt.Zw.NtCreateIoCompletion(
            wild, 0x1F_0003, ObjectAttributes.At(m.Nt.Memory, wild), 0)));
    }
}
