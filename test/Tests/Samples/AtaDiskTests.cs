using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The disk drivers of samples, in C and in C#, with an ATA channel.</summary>
public sealed class AtaDiskTests
{
    const int Sector = 512;

    sealed class Rig : IDisposable
    {
        readonly string[] _ports;

        public Rig(string language, bool dma, bool isEmpty = false)
        {
            _ports = ["ports 1F0-1F7", "ports 3F6-3F6", .. (ReadOnlySpan<string>)(dma ? ["ports C000-C007"] : []),
                "line 14-14"];
            Machine = new TestMachine(new KernelOptions
            {
                UserIsAdministrator = true,
                Board = computer =>
                {
                    Channel = new AtaChannel(computer.Memory, computer.Clock, computer.Interrupts.Line(14));
                    computer.Ports.Devices.Add(0x1F0, 8, Channel.Registers);
                    computer.Ports.Devices.Add(0x3F6, 1, Channel.Control);
                    computer.Ports.Devices.Add(0xC000, 8, Channel.BusMaster);
                    if (!isEmpty) Channel.Connect(0, new AtaDrive(new MemoryDisk(0x1_0000), "SERIAL", 1000));
                },
            });
            Driver = language == "c" ? Machine.Load(Repository.Sample("atadisk"))
                : Machine.Nt.Loader.Load("atadisk", new Ringdown.Samples.AtaDisk());
            if (isEmpty) return;
            Node = Plug();
            Assert.Equal((DeviceProblem.None, STATUS_SUCCESS), (Node.Problem, Node.ProblemStatus));
            File = Machine.Open(@"\\.\AtaDisk0");
        }

        public TestMachine Machine { get; }
        public AtaChannel Channel { get; private set; } = null!;
        public Driver Driver { get; }
        public DeviceNode Node { get; private set; } = null!;
        public UserFile File { get; } = null!;

        public DeviceNode Plug() =>
            Node = Machine.Nt.User.Devices.AddRootDevice(@"Root\Ata", "atadisk", RequirementText.Parse(_ports));

        public void SetPower(uint state)
        {
            Machine.Nt.PoRequestPowerIrp(Node.PhysicalDevice, 2, state, Va.Null, Va.Null, Va.Null);
            Machine.Nt.User.RunUntilIdle();
        }

        // Everything goes in the end, and nothing is left.
        public void End()
        {
            File?.Close();
            if (Node.State != DeviceNodeState.Deleted) Machine.Nt.User.Devices.PullOut(Node);
            Machine.Nt.User.RunUntilIdle();
            Assert.True(Machine.Unload(Driver));
            Assert.Empty(Machine.Findings);
        }

        public void Dispose() => Machine.Dispose();
    }

    static byte[] Bytes(int count, int seed) =>
        [.. Enumerable.Range(0, count).Select(i => (byte)(i * 13 + (i >> 8) + seed))];

    [Theory, InlineData("c", true), InlineData("c", false), InlineData("c#", true), InlineData("c#", false)]
    public void What_is_written_is_read_back_in_one_piece_and_in_many(string language, bool dma)
    {
        using var rig = new Rig(language, dma);
        byte[] bytes = Bytes(300_032, 1);
        UserRequest written = rig.File.Write(bytes, 7 * Sector);
        Assert.Equal((STATUS_SUCCESS, 300_032UL), (written.Status, written.Information));
        Assert.Equal(bytes, rig.File.Read(300_032, 7 * Sector).Output);
        Assert.Equal(bytes[Sector..(3 * Sector)], rig.File.Read(2 * Sector, 8 * Sector).Output);
        foreach ((uint length, long offset) in ((uint, long)[])[(513, 0), (512, 1), (1024, 0xFFFF * Sector)])
            Assert.Equal(STATUS_INVALID_PARAMETER, rig.File.Read(length, offset).Status);
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void It_tells_its_size_and_what_it_is(string language)
    {
        using var rig = new Rig(language, dma: true);
        byte[] geometry = rig.File.DeviceIoControl(0x70000, [], 24).Output.ToArray();
        Assert.Equal((4L, 12u, 255u, 63u, 512u), (BitConverter.ToInt64(geometry), BitConverter.ToUInt32(geometry, 8),
            BitConverter.ToUInt32(geometry, 12), BitConverter.ToUInt32(geometry, 16),
            BitConverter.ToUInt32(geometry, 20)));
        Assert.Equal(0x200_0000L, BitConverter.ToInt64(rig.File.DeviceIoControl(0x700A0, [], 64).Output, 24));
        Assert.Equal(0x200_0000L, BitConverter.ToInt64(rig.File.DeviceIoControl(0x7405C, [], 8).Output));
        byte[] property = rig.File.DeviceIoControl(0x2D1400, new byte[12], 100).Output.ToArray();
        string model = System.Text.Encoding.ASCII.GetString(property, BitConverter.ToInt32(property, 16), 17);
        Assert.Equal((3u, "RINGDOWN ATA DISK"), (BitConverter.ToUInt32(property, 28), model));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, rig.File.DeviceIoControl(0x70000, [], 23).Status);
        rig.End();
    }

    [Theory, InlineData("c", true), InlineData("c", false), InlineData("c#", true), InlineData("c#", false)]
    public void A_bad_sector_fails_a_read_after_some_tries_and_a_verify_finds_it(string language, bool dma)
    {
        using var rig = new Rig(language, dma);
        rig.Channel.Drive(0)!.Spoil(50);
        Assert.Equal(STATUS_DEVICE_DATA_ERROR, rig.File.Read(8 * Sector, 48 * Sector).Status);
        byte[] range = [.. BitConverter.GetBytes(40L * Sector), .. BitConverter.GetBytes(20L * Sector)];
        Assert.Equal(STATUS_DEVICE_DATA_ERROR, rig.File.DeviceIoControl(0x70014, range, 0).Status);
        Assert.Equal(STATUS_SUCCESS, rig.File.Write(Bytes(Sector, 1), 50 * Sector).Status);
        Assert.Equal(STATUS_SUCCESS, rig.File.DeviceIoControl(0x70014, range, 0).Status);
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void Random_work_outlives_cancels_power_cycles_and_being_pulled_out(string language)
    {
        // The same walk as `bench ata`, on 64 MiB in a file.
        const long bytes = 64 << 20;
        string path = Path.Combine(Path.GetTempPath(), $"walk-{Environment.ProcessId}-{language[^1] == 'c'}.img");
        using (FileStream image = File.Create(path)) image.SetLength(bytes);
        try
        {
            using var medium = new ImageDisk(path, writes: true);
            using var rig = new Rig(language, dma: true, isEmpty: true);
            var walk = new DiskWalk(rig.Machine.Nt, rig.Channel, medium, rig.Plug, seed: 7);
            walk.Begin();
            walk.Run(bytes);
            walk.Verify();
            DiskWalkCounts done = walk.Done;
            Assert.All([done.Failed, done.Flushes, done.Cancels, done.Sleeps, done.PowerDowns, done.PowerLosses,
                done.Removals], count => Assert.True(count > 1, done.ToString()));
            rig.End();
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void Power_down_holds_the_queue_and_puts_the_cache_on_the_disk(string language)
    {
        using var rig = new Rig(language, dma: true);
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

    [Theory, InlineData("c"), InlineData("c#")]
    public void A_drive_that_does_not_answer_is_reset_and_asked_again(string language)
    {
        using var rig = new Rig(language, dma: true);
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

    [Theory, InlineData("c", true), InlineData("c", false), InlineData("c#", true), InlineData("c#", false)]
    public void A_drive_that_is_pulled_out_ends_what_is_under_way(string language, bool dma)
    {
        using var rig = new Rig(language, dma);
        rig.SetPower(4);
        UserRequest[] reads = [.. Enumerable.Range(0, 50).Select(i => rig.File.Read(Sector, i * Sector))];
        rig.Channel.Connect(0, null);
        Assert.Equal(STATUS_SUCCESS, rig.Machine.Nt.User.Devices.PullOut(rig.Node));
        Assert.All(reads, r => Assert.Equal(STATUS_DEVICE_REMOVED, r.Status));
        Assert.Equal(STATUS_DEVICE_REMOVED, rig.File.Read(Sector).Status);
        rig.End();
    }
}
