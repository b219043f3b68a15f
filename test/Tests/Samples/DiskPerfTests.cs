using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The disk filter of samples above the disk driver of samples, in both languages.</summary>
public sealed class DiskPerfTests
{
    const int Sector = 512;

    static void Compare(Action<SampleScript, DeviceNode, UserFile> script) => SampleScript.Compare([],
        [new("atadisk", () => new AtaDisk()), new("diskperf", () => new DiskPerf())], s =>
        {
            DeviceTree devices = s.Machine.Nt.User.Devices;
            s.Machine.Nt.ApplyRegistry(RegistryDocument.Parse("""
                Windows Registry Editor Version 5.00

                [HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Enum\ROOT\Ata\0000]
                "UpperFilters"=hex(7):64,00,69,00,73,00,6b,00,70,00,65,00,72,00,66,00,00,00,00,00
                """));
            DeviceNode node = devices.AddRootDevice(@"Root\Ata", "atadisk", RequirementText.Parse(
                "ports 1F0-1F7", "ports 3F6-3F6", "ports C000-C007", "line 14-14"));
            Assert.True(node.IsStarted);
            script(s, node, s.Open("AtaDisk0"));
            s.CloseAll();
            if (node.State != DeviceNodeState.Deleted) devices.PullOut(node);
            s.Machine.Nt.User.RunUntilIdle();
        }, BuildIn, isAdministrator: true);

    static void BuildIn(Computer computer)
    {
        var channel = new AtaChannel(computer.Memory, computer.Clock, computer.Interrupts.Line(14));
        computer.Ports.Devices.Add(0x1F0, 8, channel.Registers);
        computer.Ports.Devices.Add(0x3F6, 1, channel.Control);
        computer.Ports.Devices.Add(0xC000, 8, channel.BusMaster);
        channel.Connect(0, new AtaDrive(new MemoryDisk(0x1_0000), "SERIAL", 1000));
    }

    // Times differ with the language: a result has only whether there are any.
    static (long BytesRead, long BytesWritten, uint Reads, uint Writes, uint Depth) Counters(
        SampleScript s, UserFile disk)
    {
        UserRequest done = disk.DeviceIoControl(DiskPerf.PerformanceCode, [], DiskPerf.PerformanceSize);
        Assert.Equal((STATUS_SUCCESS, (ulong)DiskPerf.PerformanceSize), (done.Status, done.Information));
        byte[] all = [.. done.Output];
        long Long(int at) => BitConverter.ToInt64(all, at);
        uint Number(int at) => BitConverter.ToUInt32(all, at);
        Assert.Equal("DISKPERF", System.Text.Encoding.Unicode.GetString(all, 0x44, 16));
        Assert.True(Long(0x38) > 0);
        s.Note($"read {Long(0x10) > 0}, write {Long(0x18) > 0}, idle {Long(0x20) > 0}");
        return (Long(0), Long(8), Number(0x28), Number(0x2C), Number(0x30));
    }

    [Fact]
    public void Reads_writes_bytes_and_times_are_counted_and_all_else_passes() => Compare((s, node, disk) =>
    {
        Assert.Equal((0, 0, 0u, 0u, 0u), Counters(s, disk));
        Assert.Equal(STATUS_SUCCESS, s.Write(disk, new byte[300_032]).Status);
        s.Read(disk, 2 * Sector, Sector);
        s.Read(disk, 4 * Sector);
        Assert.Equal((6L * Sector, 300_032, 2u, 1u, 0u), Counters(s, disk));
        // One that fails counts as a request, and has no bytes.
        Assert.Equal(STATUS_INVALID_PARAMETER, s.Read(disk, 511).Status);
        Assert.Equal((6L * Sector, 300_032, 3u, 1u, 0u), Counters(s, disk));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, s.Control(disk, DiskPerf.PerformanceCode, [], 0x57).Status);
        Assert.Equal(STATUS_SUCCESS, s.Control(disk, 0x70000, [], 24).Status);
        Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, s.Control(disk, 0x70FFC, [], 24).Status);
        Assert.Equal(STATUS_SUCCESS, disk.Flush().Status);
    });

    [Fact]
    public void It_has_the_flags_of_the_disk_and_sleeps_stops_and_goes_with_it() => Compare((s, node, disk) =>
    {
        const uint direct = 0x10, pagable = 0x2000, initializing = 0x80;
        DeviceObject top = s.Machine.Nt.IoGetAttachedDevice(node.PhysicalDevice);
        DeviceObject function = node.PhysicalDevice.AttachedDevice;
        Assert.Equal(top, function.AttachedDevice);
        Assert.Equal((function.Flags & (direct | pagable), 0u),
            (top.Flags & (direct | pagable), top.Flags & initializing));
        Assert.Equal((direct, function.DeviceType), (top.Flags & direct, top.DeviceType));
        s.Machine.Nt.PoRequestPowerIrp(node.PhysicalDevice, 2, 4, Va.Null, Va.Null, Va.Null);
        s.Machine.Nt.User.RunUntilIdle();
        IoRequest read = s.Start(disk, Sector);
        Assert.Equal(1u, Counters(s, disk).Depth);
        s.Machine.Nt.PoRequestPowerIrp(node.PhysicalDevice, 2, 1, Va.Null, Va.Null, Va.Null);
        s.Finish();
        Assert.Equal((STATUS_SUCCESS, 0u), (read.Status, Counters(s, disk).Depth));
        s.Note($"{s.Machine.Nt.SetSystemState(SystemState.Sleeping3)}");
        s.Read(disk, Sector);
        s.Note($"{s.Machine.Nt.User.Devices.Rebalance(node)}");
        s.Machine.Nt.PoRequestPowerIrp(node.PhysicalDevice, 2, 4, Va.Null, Va.Null, Va.Null);
        s.Machine.Nt.User.RunUntilIdle();
        IoRequest lost = s.Start(disk, Sector);
        s.Machine.Nt.User.Devices.PullOut(node);
        Assert.Equal(STATUS_DEVICE_REMOVED, lost.Status);
        s.Read(disk, Sector);
    });
}
