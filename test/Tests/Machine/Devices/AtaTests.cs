using FsCheck;
using FsCheck.Fluent;
using Ringdown.Machine;
using Xunit;
using static Ringdown.Tests.AtaCable;

namespace Ringdown.Tests;

/// <summary>The ATA channel alone: registers, commands, DMA, errors, power.</summary>
public sealed class AtaTests
{
    static byte[] Pattern(int sectors, int seed) =>
        [.. Enumerable.Range(0, sectors * 512).Select(i => (byte)(i * 7 + (i >> 9) + seed))];

    [Fact]
    public void It_identifies_itself_with_its_size_and_a_right_sum()
    {
        using var ata = new AtaCable(sectors: 0x1234_5678);
        ata.Command(0xEC);
        Assert.Equal(0x58, ata.Wait());
        byte[] words = ata.ReadWords(1);
        Assert.Equal(0x50, ata[Status]);
        Assert.Equal(0xFFF_FFFFu, BitConverter.ToUInt32(words, 120));
        Assert.Equal(0x1234_5678UL, BitConverter.ToUInt64(words, 200));
        Assert.Equal((0xA5, 0), (words[510], words.Sum(b => b) & 0xFF));
        Assert.Equal("IRGNODNWA ATD SI K", System.Text.Encoding.ASCII.GetString(words, 54, 18));
        (ata[Error], ata[Count]) = (3, 0x22);
        ata[Status] = 0xEF;
        ata.Wait();
        ata.Command(0xEC);
        ata.Wait();
        Assert.Equal(0x0407, BitConverter.ToUInt16(ata.ReadWords(1), 126));
    }

    [Theory]
    [InlineData(0x30, 0x20, 1, false)]
    [InlineData(0xC5, 0xC4, 16, false)]
    [InlineData(0x34, 0x24, 1, true)]
    [InlineData(0x39, 0x29, 16, true)]
    [InlineData(0xCE, 0x29, 16, true)]
    public void What_is_written_block_by_block_is_read_back(byte write, byte read, int block, bool extended)
    {
        using var ata = new AtaCable();
        byte[] bytes = Pattern(21, 3);
        Assert.True(ata.WriteSectors(write, 1000, bytes, block, extended));
        Assert.Equal(bytes, ata.ReadSectors(read, 1000, 21, block, extended));
        Assert.Equal(write == 0xCE ? 0 : 21, ata.Drive.Unflushed);
    }

    [Fact]
    public void Each_block_interrupts_once_and_reading_the_status_ends_it()
    {
        using var ata = new AtaCable();
        ata.Command(0x20, 5, 2);
        Assert.False(ata.Line.IsAsserted);
        ata.Clock.Advance(100_000);
        Assert.True(ata.Line.IsAsserted);
        Assert.Equal(0x58, ata.Control);
        Assert.True(ata.Line.IsAsserted);
        Assert.Equal(0x58, ata[Status]);
        Assert.False(ata.Line.IsAsserted);
        ata.ReadWords(1);
        Assert.Equal(0x80, ata.Control);
        ata.Clock.Advance(51);
        Assert.True(ata.Line.IsAsserted);
        ata.Control = 2;
        Assert.False(ata.Line.IsAsserted);
        ata.Control = 0;
        Assert.True(ata.Line.IsAsserted);
        ata.ReadWords(1);
        Assert.Equal(0x50, ata[Status]);
        Assert.True(ata.Clock.IsIdle);
    }

    [Fact]
    public void The_heads_take_their_time_and_sectors_that_follow_do_not()
    {
        using var ata = new AtaCable(sectors: 1000, seekTicks: 80_000);
        ata.Command(0x20, 500);
        ata.Clock.Advance(5000 + 40_000 + 51 - 1);
        Assert.Equal(0x80, ata.Control);
        ata.Clock.Advance(1);
        Assert.Equal(0x58, ata.Control);
        ata.ReadWords(1);
        ata.Command(0x20, 501);
        ata.Clock.Advance(51);
        Assert.Equal(0x58, ata.Control);
    }

    [Theory]
    [InlineData(0x20, 0xFFFF, 2, 0x10)]
    [InlineData(0x25, 0x1_0000, 1, 0x10)]
    [InlineData(0x35, 0xFFFF_FFFF_FFFF, 1, 0x10)]
    [InlineData(0x55, 0, 1, 4)]
    [InlineData(0xEF, 0, 1, 4)]
    [InlineData(0xC6, 0, 3, 4)]
    public void A_command_that_cannot_be_says_why(byte command, long sector, int count, byte error)
    {
        using var ata = new AtaCable();
        ata.Command(command, sector, count, extended: command is 0x25 or 0x35);
        Assert.Equal((0x51, error), (ata.Wait(), ata[Error]));
        Assert.True(ata.Clock.IsIdle);
    }

    [Fact]
    public void A_bad_sector_ends_a_command_where_it_is_and_is_good_when_it_was_written()
    {
        using var ata = new AtaCable();
        ata.Drive.Spoil(102);
        ata.Command(0x20, 100, 5);
        ata.Wait();
        ata.ReadWords(1);
        ata.Wait();
        ata.ReadWords(1);
        Assert.Equal((0x51, 0x40, 102), (ata.Wait(), ata[Error], ata[Low]));
        ata.Command(0x40, 100, 5);
        Assert.Equal((0x51, 102), (ata.Wait(), ata[Low]));
        Assert.True(ata.WriteSectors(0x30, 102, Pattern(1, 1), 1));
        Assert.NotNull(ata.ReadSectors(0x20, 100, 5, 1));
    }

    [Fact]
    public void Cylinders_heads_and_sectors_are_another_way_to_say_the_same()
    {
        using var ata = new AtaCable();
        Assert.True(ata.WriteSectors(0x30, (2 * 16 + 3) * 63 + 4, Pattern(1, 9), 1));
        (ata[Count], ata[Low], ata[Middle], ata[High], ata[Device]) = (1, 5, 2, 0, 0xA3);
        ata[Status] = 0x20;
        Assert.Equal(0x58, ata.Wait());
        Assert.Equal(Pattern(1, 9), ata.ReadWords(1));
    }

    [Fact]
    public void The_bus_master_gathers_and_scatters_and_interrupts()
    {
        using var ata = new AtaCable();
        byte[] bytes = Pattern(16, 5);
        ata.Computer.Memory.TryWritePhysical(ata.Frames + 0x1F00, bytes);
        ata.SetTable((0x1F00, 0x300), (0x2200, 0x1D00));
        ata.Start(toMemory: false);
        ata.Command(0xCA, 77, 16);
        Assert.Equal(0x61, ata.MasterStatus);
        Assert.Equal(0x50, ata.Wait());
        Assert.Equal(0x64, ata.MasterStatus);
        ata.Stop();
        ata.SetTable((0x10_000, 0x1000), (0x20_FFE, 2), (0x18_000, 0xFFE));
        // The command first, then the bus master: whoever is late is waited for.
        ata.Command(0x25, 77, 16, extended: true);
        ata.Clock.Advance(1_000_000);
        Assert.Equal((0x58, false), (ata.Control, ata.Line.IsAsserted));
        ata.Start(toMemory: true);
        Assert.Equal((0x64, true), (ata.MasterStatus, ata.Line.IsAsserted));
        Assert.Equal(bytes[..0x1000], ata.MemoryAt(0x10_000, 0x1000));
        Assert.Equal(bytes[0x1000..0x1002], ata.MemoryAt(0x20_FFE, 2));
        Assert.Equal(bytes[0x1002..], ata.MemoryAt(0x18_000, 0xFFE));
        Assert.Equal(0x50, ata[Status]);
    }

    [Fact]
    public void The_bus_master_tells_of_a_table_that_does_not_fit()
    {
        using var ata = new AtaCable();
        // More memory than data: it stays active.
        Assert.Equal((0x65, 0x50), Run(0xC8, true, (0x1000, 0x800)));
        // Less: no interrupt, and the device waits.
        Assert.Equal((0x60, 0x58), Run(0xC8, true, (0x1000, 0x200)));
        // No memory there; and the wrong direction.
        Assert.Equal((0x62, 0x58), Run(0xC8, true, (0x7000_0000, 0x400)));
        Assert.Equal((0x62, 0x58), Run(0xC8, false, (0x1000, 0x400)));
        // A region goes round at 64 KiB.
        Run(0xCA, false, (0x1000, 0x400));
        Assert.True(ata.Line.IsAsserted);

        (int, int) Run(byte command, bool toMemory, (int, int) region)
        {
            ata.Control = 4;
            ata.Control = 0;
            ata.Wait();
            ata.Stop();
            ata.SetTable(region);
            ata.Start(toMemory);
            ata.Command(command, 3, 2);
            ata.Clock.Advance(1_000_000);
            return (ata.MasterStatus, ata.Control);
        }
    }

    [Fact]
    public void A_reset_ends_a_command_and_shows_the_signature()
    {
        using var ata = new AtaCable();
        ata.Command(0x20, 5, 2);
        ata.Control = 4;
        Assert.Equal(0x80, ata.Control);
        ata.Control = 0;
        ata.Clock.Advance(19_999);
        Assert.Equal(0x80, ata.Control);
        ata.Clock.Advance(1);
        Assert.Equal((0x50, 1, 1, 1, 0, 0), (ata.Control, ata[Error], ata[Count], ata[Low], ata[Middle], ata[High]));
        Assert.False(ata.Line.IsAsserted);
    }

    [Fact]
    public void Who_is_not_there_reads_as_ones_alone_and_as_zeros_beside_another()
    {
        using var ata = new AtaCable();
        ata[Device] = 0xF0;
        Assert.Equal((0, 0), (ata[Status], ata.Control));
        ata[Device] = 0xE0;
        Assert.Equal(0x50, ata[Status]);
        ata.Command(0x20, 3);
        ata.Channel.Connect(0, null);
        Assert.Equal((0xFF, 0xFF, 0xFFFFUL), (ata[Status], ata[Low], ata.Channel.Registers.Read(0, 2)));
        ata.Clock.Advance(1_000_000);
        Assert.False(ata.Line.IsAsserted);
        ata.Channel.Connect(1, new AtaDrive(new MemoryDisk(10), "B"));
        ata[Device] = 0xF0;
        Assert.Equal(0x50, ata[Status]);
    }

    [Theory, InlineData(0xE7), InlineData(0xEA), InlineData(0xE0), InlineData(0xE6)]
    public void What_was_flushed_outlives_a_loss_of_power_and_the_rest_does_not(byte flush)
    {
        using var ata = new AtaCable();
        Assert.True(ata.WriteSectors(0x30, 10, Pattern(1, 1), 1));
        ata.Command(flush);
        Assert.Equal(0x50, ata.Wait());
        if (flush != 0xE6) Assert.True(ata.WriteSectors(0x30, 10, Pattern(1, 2), 1));
        ata.Channel.PowerOff();
        Assert.Equal(0xFF, ata[Status]);
        ata.Channel.PowerOn();
        ata.Wait();
        Assert.Equal(Pattern(1, 1), ata.ReadSectors(0x20, 10, 1, 1));
    }

    [Fact]
    public void A_drive_that_spins_down_needs_two_seconds_and_one_that_sleeps_a_reset()
    {
        using var ata = new AtaCable();
        ata.Command(0xE0);
        ata.Wait();
        ata.Command(0xE5);
        ata.Wait();
        Assert.Equal(0, ata[Count]);
        ata.Command(0x20, 0);
        ata.Clock.Advance(19_999_999);
        Assert.Equal(0x80, ata.Control);
        ata.Clock.Advance(60);
        Assert.Equal(0x58, ata.Control);
        ata.ReadWords(1);
        ata.Command(0xE6);
        ata.Wait();
        ata.Command(0xEC);
        ata.Clock.Advance(1000);
        Assert.Equal(0x50, ata.Control);
        ata.Control = 4;
        ata.Control = 0;
        ata.Wait();
        ata.Command(0xEC);
        Assert.Equal(0x58, ata.Wait());
    }

    // Against a model: what the medium holds, and what only the cache does.
    [Fact]
    public void Whatever_is_done_the_disk_holds_what_a_model_holds() =>
        Prop.ForAll<(byte Kind, byte Sector, byte Count)[]>(steps =>
        {
            using var ata = new AtaCable(sectors: 300, seekTicks: 0);
            var kept = new Dictionary<long, byte>();
            var cached = new Dictionary<long, byte>();
            byte seed = 0;
            foreach ((byte kind, byte sector, byte some) in steps)
            {
                int count = some % 20 + 1;
                byte[] bytes = [.. Enumerable.Repeat(++seed, count * 512)];
                switch (kind % 6)
                {
                    case 0 or 1:
                        (byte command, int block) = kind % 6 == 1 ? ((byte)0xC5, 16) : ((byte)0x30, 1);
                        Assert.True(ata.WriteSectors(command, sector, bytes, block));
                        for (int i = 0; i < count; i++) cached[sector + i] = seed;
                        break;
                    case 2:
                        ata.Command(0xE7);
                        Assert.Equal(0x50, ata.Wait());
                        foreach ((long at, byte value) in cached) kept[at] = value;
                        cached.Clear();
                        break;
                    case 3:
                        ata.Channel.PowerOff();
                        ata.Channel.PowerOn();
                        ata.Wait();
                        cached.Clear();
                        break;
                    default:
                        byte[] expected = [.. Enumerable.Range(sector, count).SelectMany(i => Enumerable.Repeat(
                            cached.TryGetValue(i, out byte c) ? c : kept.GetValueOrDefault(i), 512))];
                        Assert.Equal(expected, ata.ReadSectors(0xC4, sector, count, 16));
                        break;
                }
            }
        }).Check(GuestText.Properties(100));

    [Fact]
    public void A_copy_of_an_image_leaves_the_image_alone_and_an_image_is_written()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, Pattern(4, 1));
            using (var copy = new CopyOnWriteDisk(new ImageDisk(path, writes: false)))
            {
                Assert.Equal(4, copy.Sectors);
                copy.Write(1, Pattern(2, 7));
                var all = new byte[2048];
                copy.Read(0, all);
                Assert.Equal([.. Pattern(4, 1)[..512], .. Pattern(2, 7), .. Pattern(4, 1)[1536..]], all);
            }
            Assert.Equal(Pattern(4, 1), File.ReadAllBytes(path));
            using (var image = new ImageDisk(path, writes: true)) image.Write(3, Pattern(1, 9));
            Assert.Equal(Pattern(1, 9), File.ReadAllBytes(path)[1536..]);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
