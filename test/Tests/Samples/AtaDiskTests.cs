using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The disk driver of samples, with an ATA channel.</summary>
public sealed class AtaDiskTests
{
    const int Sector = 512;

    sealed class Rig : IDisposable
    {
        public Rig(bool dma, long sectors = 0x1_0000, long seekTicks = 1000)
        {
            Machine = new TestMachine(new KernelOptions
            {
                UserIsAdministrator = true,
                Board = computer =>
                {
                    Channel = new AtaChannel(computer.Memory, computer.Clock, computer.Interrupts.Line(14));
                    computer.Ports.Devices.Add(0x1F0, 8, Channel.Registers);
                    computer.Ports.Devices.Add(0x3F6, 1, Channel.Control);
                    computer.Ports.Devices.Add(0xC000, 8, Channel.BusMaster);
                    Channel.Connect(0, new AtaDrive(new MemoryDisk(sectors), "SERIAL", seekTicks));
                },
            });
            Driver = Machine.Load(Repository.Sample("atadisk"));
            string[] ports = ["ports 1F0-1F7", "ports 3F6-3F6"];
            Node = Machine.Nt.User.Devices.AddRootDevice(@"Root\Ata", "atadisk", RequirementText.Parse(
                dma ? [.. ports, "ports C000-C007", "line 14-14"] : [.. ports, "line 14-14"]));
            Assert.Equal((DeviceProblem.None, STATUS_SUCCESS), (Node.Problem, Node.ProblemStatus));
            File = Machine.Open(@"\\.\AtaDisk0");
        }

        public TestMachine Machine { get; }
        public AtaChannel Channel { get; private set; } = null!;
        public Driver Driver { get; }
        public DeviceNode Node { get; }
        public UserFile File { get; }

        public void SetPower(uint state)
        {
            Machine.Nt.PoRequestPowerIrp(Node.PhysicalDevice, 2, state, Va.Null, Va.Null, Va.Null);
            Machine.Nt.User.RunUntilIdle();
        }

        // Everything goes in the end, and nothing is left.
        public void End()
        {
            File.Close();
            if (Node.State != DeviceNodeState.Deleted) Machine.Nt.User.Devices.PullOut(Node);
            Machine.Nt.User.RunUntilIdle();
            Assert.True(Machine.Unload(Driver));
            Assert.Empty(Machine.Findings);
        }

        public void Dispose() => Machine.Dispose();
    }

    static byte[] Bytes(int count, int seed) => [.. Enumerable.Range(0, count).Select(i => (byte)(i * 13 + (i >> 8) + seed))];

    [Theory, InlineData(true), InlineData(false)]
    public void What_is_written_is_read_back_in_one_piece_and_in_many(bool dma)
    {
        using var rig = new Rig(dma);
        byte[] bytes = Bytes(300_032, 1);
        UserRequest written = rig.File.Write(bytes, 7 * Sector);
        Assert.Equal((STATUS_SUCCESS, 300_032UL), (written.Status, written.Information));
        Assert.Equal(bytes, rig.File.Read(300_032, 7 * Sector).Output);
        Assert.Equal(bytes[Sector..(3 * Sector)], rig.File.Read(2 * Sector, 8 * Sector).Output);
        foreach ((uint length, long offset) in ((uint, long)[])[(513, 0), (512, 1), (1024, 0xFFFF * Sector)])
            Assert.Equal(STATUS_INVALID_PARAMETER, rig.File.Read(length, offset).Status);
        rig.End();
    }

    [Fact]
    public void It_tells_its_size_and_what_it_is()
    {
        using var rig = new Rig(dma: true);
        byte[] geometry = rig.File.DeviceIoControl(0x70000, [], 24).Output.ToArray();
        Assert.Equal((4L, 12u, 255u, 63u, 512u), (BitConverter.ToInt64(geometry), BitConverter.ToUInt32(geometry, 8),
            BitConverter.ToUInt32(geometry, 12), BitConverter.ToUInt32(geometry, 16),
            BitConverter.ToUInt32(geometry, 20)));
        Assert.Equal(0x200_0000L, BitConverter.ToInt64(rig.File.DeviceIoControl(0x700A0, [], 64).Output, 24));
        Assert.Equal(0x200_0000L, BitConverter.ToInt64(rig.File.DeviceIoControl(0x7405C, [], 8).Output));
        byte[] property = rig.File.DeviceIoControl(0x2D1400, new byte[12], 100).Output.ToArray();
        Assert.Equal((3u, "RINGDOWN ATA DISK"), (BitConverter.ToUInt32(property, 28), System.Text.Encoding.ASCII.GetString(
            property, BitConverter.ToInt32(property, 16), 17)));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, rig.File.DeviceIoControl(0x70000, [], 23).Status);
        rig.End();
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_bad_sector_fails_a_read_after_some_tries_and_a_verify_finds_it(bool dma)
    {
        using var rig = new Rig(dma);
        rig.Channel.Drive(0)!.Spoil(50);
        Assert.Equal(STATUS_DEVICE_DATA_ERROR, rig.File.Read(8 * Sector, 48 * Sector).Status);
        byte[] range = [.. BitConverter.GetBytes(40L * Sector), .. BitConverter.GetBytes(20L * Sector)];
        Assert.Equal(STATUS_DEVICE_DATA_ERROR, rig.File.DeviceIoControl(0x70014, range, 0).Status);
        Assert.Equal(STATUS_SUCCESS, rig.File.Write(Bytes(Sector, 1), 50 * Sector).Status);
        Assert.Equal(STATUS_SUCCESS, rig.File.DeviceIoControl(0x70014, range, 0).Status);
        rig.End();
    }

    [Fact]
    public void What_was_flushed_outlives_power_cycles_and_random_work_is_read_back()
    {
        // 64 MiB, written and read here and there; power is lost between.
        using var rig = new Rig(dma: true, sectors: 0x2_0000);
        var chance = new Chance(5);
        var model = new Dictionary<long, byte>();
        for (int round = 0; round < 8; round++)
        {
            for (int i = 0; i < 40; i++)
            {
                long block = chance.Next(0x2_0000 / 64);
                byte value = (byte)chance.Next(256);
                Assert.Equal(STATUS_SUCCESS,
                    rig.File.Write([.. Enumerable.Repeat(value, 0x8000)], block * 0x8000).Status);
                model[block] = value;
            }
            Assert.Equal(STATUS_SUCCESS, rig.File.Flush().Status);
            Assert.Equal(0, rig.Channel.Drive(0)!.Unflushed);
            rig.SetPower(4);
            rig.Channel.PowerOff();
            rig.Channel.PowerOn();
            rig.SetPower(1);
            foreach ((long block, byte value) in model.OrderBy(b => b.Key).Take(20))
                Assert.All(rig.File.Read(0x8000, block * 0x8000).Output.ToArray(), b => Assert.Equal(value, b));
        }
        rig.End();
    }

    [Fact]
    public void Power_down_holds_the_queue_and_puts_the_cache_on_the_disk()
    {
        using var rig = new Rig(dma: true);
        Assert.Equal(STATUS_SUCCESS, rig.File.Write(Bytes(Sector, 3)).Status);
        Assert.Equal(1, rig.Channel.Drive(0)!.Unflushed);
        rig.SetPower(4);
        Assert.Equal((0, true), (rig.Channel.Drive(0)!.Unflushed, rig.Channel.Drive(0)!.IsDown));
        UserRequest read = rig.File.Read(Sector), second = rig.File.Read(Sector, Sector);
        Assert.Equal((STATUS_PENDING, STATUS_PENDING), (read.Status, second.Status));
        // One that waits in the queue can be canceled.
        rig.File.Cancel(second);
        Assert.Equal(STATUS_CANCELLED, second.Status);
        rig.SetPower(1);
        rig.Machine.Nt.User.RunUntilIdle();
        Assert.Equal(STATUS_SUCCESS, read.Status);
        Assert.Equal(Bytes(Sector, 3), read.Output);
        rig.End();
    }

    [Fact]
    public void A_drive_that_does_not_answer_is_reset_and_asked_again()
    {
        using var rig = new Rig(dma: true);
        Assert.Equal(STATUS_SUCCESS, rig.File.Write(Bytes(Sector, 4)).Status);
        // Somebody has switched its interrupts off.
        rig.Channel.Control.Write(0, 1, 2);
        long before = rig.Machine.Nt.Ke.Clock.Now;
        UserRequest read = rig.File.Read(Sector);
        rig.Machine.Nt.User.RunUntilIdle();
        Assert.Equal(STATUS_SUCCESS, read.Status);
        Assert.InRange(rig.Machine.Nt.Ke.Clock.Now - before, 100_000_000, 250_000_000);
        rig.End();
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_drive_that_is_pulled_out_ends_what_is_under_way(bool dma)
    {
        using var rig = new Rig(dma);
        rig.SetPower(4);
        UserRequest[] reads = [.. Enumerable.Range(0, 50).Select(i => rig.File.Read(Sector, i * Sector))];
        rig.Channel.Connect(0, null);
        Assert.Equal(STATUS_SUCCESS, rig.Machine.Nt.User.Devices.PullOut(rig.Node));
        Assert.All(reads, r => Assert.Equal(STATUS_DEVICE_REMOVED, r.Status));
        Assert.Equal(STATUS_DEVICE_REMOVED, rig.File.Read(Sector).Status);
        rig.End();
    }
}
