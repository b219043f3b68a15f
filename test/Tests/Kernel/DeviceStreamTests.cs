using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The user's side as .NET code sees it.</summary>
public sealed class DeviceStreamTests
{
    /// <summary>A disk of 16 bytes.</summary>
    static DeviceStream Disk(TestMachine m)
    {
        byte[] data = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        long length = 16;
        m.Dispatching("Disk", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            int offset = (int)at.Parameter3, count = (int)Math.Min((long)at.Parameter1, Math.Max(0, length - offset));
            switch (at.MajorFunction)
            {
                case IRP_MJ_READ when count == 0:
                    return m.Complete(irp, STATUS_END_OF_FILE);
                case IRP_MJ_READ:
                    m.Nt.Memory.Write(irp.SystemBuffer, data.AsSpan(offset, count));
                    return m.Complete(irp, STATUS_SUCCESS, (ulong)count);
                case IRP_MJ_WRITE:
                    m.Nt.Memory.ReadBytes(irp.SystemBuffer, count).CopyTo(data, offset);
                    return m.Complete(irp, STATUS_SUCCESS, (ulong)count);
                case IRP_MJ_QUERY_INFORMATION:
                    m.Nt.Memory.Write(irp.SystemBuffer + 8, length);
                    return m.Complete(irp, STATUS_SUCCESS, 0x18);
                case IRP_MJ_SET_INFORMATION:
                    length = m.Nt.Memory.Read<long>(irp.SystemBuffer);
                    return m.Complete(irp, STATUS_SUCCESS);
                default:
                    return m.Complete(irp, STATUS_SUCCESS);
            }
        }, type: 8, flags: Io.DO_BUFFERED_IO);
        return m.Open(@"\Device\Disk").AsStream();
    }

    [Fact]
    public async Task A_disk_is_read_written_and_sought_like_any_stream()
    {
        using var m = new TestMachine(new KernelOptions { UserIsAdministrator = true });
        using DeviceStream disk = Disk(m);
        byte[] buffer = new byte[8];
        Assert.Equal((true, 16L), (disk.CanSeek, disk.Length));
        Assert.Equal(8, disk.Read(buffer, 0, 8));
        Assert.Equal([0, 1, 2, 3, 4, 5, 6, 7], buffer);
        Assert.Equal(10, disk.Seek(-6, SeekOrigin.End));
        Assert.Equal(6, await disk.ReadAsync(buffer));
        Assert.Equal(0, await disk.ReadAsync(buffer));
        disk.Position = 2;
        await disk.WriteAsync(new byte[] { 99, 98 });
        disk.Write([97], 0, 1);
        Assert.Equal(5, disk.Position);
        disk.Seek(0, SeekOrigin.Begin);
        disk.ReadExactly(buffer);
        Assert.Equal([0, 1, 99, 98, 97, 5, 6, 7], buffer);
        disk.SetLength(4);
        Assert.Equal(4, disk.Length);
        disk.Flush();
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_device_without_positions_cannot_be_sought()
    {
        using var m = new TestMachine();
        m.Noting("Port", []);
        DeviceStream stream = m.Open(@"\Device\Port").AsStream();
        Assert.False(stream.CanSeek);
        Assert.Throws<NotSupportedException>(() => stream.Position);
        Assert.Equal(0, stream.Read(new byte[4]));
    }

    [Fact]
    public async Task A_pending_request_is_a_task_that_a_later_call_into_the_machine_completes()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        DeviceStream stream = m.Open(keeper.Path).AsStream();
        Task<byte[]> answer = stream.DeviceControlAsync(0x22_2000, new byte[] { 1, 2, 3 }, 8);
        var order = new List<string>();
        Task<int> after = Continue();
        Assert.False(answer.IsCompleted);
        keeper.CompleteInThread(information: 4, fill: 9);
        m.Nt.User.RunUntilIdle();
        // The continuation has run, on this thread, and not inside of the machine.
        Assert.True(after.IsCompleted);
        Assert.Equal([9, 9, 9, 9], await answer);
        Assert.Equal(4, await after);

        async Task<int> Continue()
        {
            int thread = Environment.CurrentManagedThreadId;
            byte[] got = await answer;
            Assert.Equal(thread, Environment.CurrentManagedThreadId);
            // It may use the machine again.
            Task<int> read = stream.ReadAsync(new byte[8]).AsTask();
            keeper.CompleteInThread(information: 4);
            m.Nt.User.RunUntilIdle();
            return await read;
        }
    }

    [Fact]
    public async Task A_canceled_token_cancels_the_IRP()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        DeviceStream stream = m.Open(keeper.Path).AsStream();
        using var source = new CancellationTokenSource();
        Task<byte[]> control = stream.DeviceControlAsync(0x22_2000, default, 8, source.Token);
        Task<int> read = stream.ReadAsync(new byte[8]).AsTask();
        source.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => control);
        Assert.False(read.IsCompleted);
        Assert.Single(keeper.Kept);
        // Canceled before: nothing is sent.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => stream.DeviceControlAsync(0x22_2000, default, 8, source.Token));
        Assert.Single(keeper.Kept);
        // Without a token it is an error like any other.
        stream.File.Cancel();
        IOException failed = await Assert.ThrowsAsync<IOException>(() => read);
        Assert.Equal(995, failed.HResult & 0xFFFF);
    }

    [Fact]
    public void A_token_that_another_thread_cancels_is_seen_by_the_next_call()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        DeviceStream stream = m.Open(keeper.Path).AsStream();
        using var source = new CancellationTokenSource();
        Task<byte[]> control = stream.DeviceControlAsync(0x22_2000, default, 8, source.Token);
        var other = new Thread(source.Cancel);
        other.Start();
        other.Join();
        Assert.Single(keeper.Kept);
        m.Nt.User.RunUntilIdle();
        Assert.True(control.IsCanceled);
    }

    [Fact]
    public void Errors_carry_the_Win32_code_and_a_synchronous_call_does_not_wait_for_ever()
    {
        using var m = new TestMachine();
        m.Dispatching("Broken", (_, irp) => m.Complete(irp,
            irp.CurrentStackLocation.MajorFunction == IRP_MJ_DEVICE_CONTROL ? STATUS_ACCESS_DENIED : STATUS_SUCCESS));
        DeviceStream broken = m.Open(@"\Device\Broken").AsStream();
        Assert.Equal(unchecked((int)0x8007_0005),
            Assert.Throws<IOException>(() => broken.DeviceControl(0x22_2000, [], 4)).HResult);
        var keeper = new Keeper(m);
        DeviceStream stuck = m.Open(keeper.Path).AsStream();
        Assert.Equal(997, Assert.Throws<IOException>(() => stuck.Read(new byte[4])).HResult & 0xFFFF);
        Assert.Empty(keeper.Kept);
    }

    [Fact]
    public async Task A_machine_that_stops_ends_its_tasks()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        DeviceStream stream = m.Open(keeper.Path).AsStream();
        Task<byte[]> control = stream.DeviceControlAsync(0x22_2000, default, 8);
        m.Thread(() => m.Nt.KeBugCheck(0xE2));
        Assert.ThrowsAny<MachineStop>(m.Nt.User.RunUntilIdle);
        await Assert.ThrowsAnyAsync<MachineStop>(() => control);
    }
}
