using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Devices that are no bus masters: the system's DMA controller moves their data.</summary>
public sealed class DmaSlaveTests
{
    const int AllocateChannel = 0x20, Flush = 0x28, FreeChannel = 0x30, ReadCounter = 0x50, GetList = 0x58;

    static (AdapterDriver Driver, StreamChip Chip, DeviceNode Node) Start(TestMachine m, StreamChip chip)
    {
        m.Nt.User.Devices.Start();
        DeviceNode node = m.Nt.User.Devices.Find("*RNG0003")!;
        var driver = new AdapterDriver();
        m.Nt.Loader.Load(driver.Name, driver);
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.SetDriver(node, driver.Name));
        return (driver, chip, node);
    }

    static TestMachine Boot(int channel, out StreamChip made)
    {
        StreamChip? last = null;
        ChipMaker? Find(string name) => (computer, place) =>
        {
            last = new StreamChip();
            last.Attach(computer, place);
            return last;
        };
        var m = new TestMachine(new KernelOptions
        {
            Board = computer => Board.Parse($$"""
                { "devices": [ { "chip": "stream", "ports": "0x300", "channel": {{channel}} },
                  { "chip": "dma8237" } ] }
                """, Find).Attach(computer),
        });
        made = last!;
        return m;
    }

    static (Mdl Mdl, Va Buffer) Buffer(TestMachine m, uint bytes)
    {
        Va buffer = m.Nt.ExAllocatePoolWithTag(0, bytes, 1);
        m.Nt.Memory.Write(buffer, [.. Enumerable.Range(0, (int)bytes).Select(i => (byte)(i * 7))]);
        Mdl mdl = m.Nt.IoAllocateMdl(buffer, bytes, false, false, Irp.At(m.Nt.Memory, Va.Null));
        m.Nt.MmBuildMdlForNonPagedPool(mdl);
        return (mdl, buffer);
    }

    static bool Open(AdapterDriver driver, int channel) =>
        driver.Open((0x10, (uint)channel), (0x18, channel < 4 ? 0u : 1), (0x20, 0x8000));

    [Theory, InlineData(1), InlineData(6)]
    public void A_slave_sends_and_fetches_through_the_channel_that_plug_and_play_gave_it(int channel)
    {
        using TestMachine m = Boot(channel, out StreamChip made);
        (AdapterDriver driver, StreamChip chip, _) = Start(m, made);
        Resource resource = Assert.Single(driver.Raw, r => r.Type == ResourceType.Dma);
        Assert.Equal((ulong)channel, resource.Start);
        Assert.True(Open(driver, (int)resource.Start));
        Assert.Equal(9, driver.Registers);
        (Mdl mdl, Va buffer) = Buffer(m, 5_000);

        // To the device.
        Assert.Equal(STATUS_SUCCESS,
            driver.Status(AllocateChannel, driver.Device.Value, 3, driver.Executes.Value, 0));
        (ulong address, uint length) = driver.MapTransfer(mdl, driver.Given[0], buffer, 5_000, toDevice: true);
        Assert.Equal(5_000u, length);
        Assert.True(address + length <= 1 << 24);
        ulong boundary = channel < 4 ? 0x1_0000UL : 0x2_0000;
        Assert.Equal(address / boundary, (address + length - 1) / boundary);
        m.Nt.WRITE_PORT_USHORT(new Va(0x302), 4_000);
        m.Nt.KeStallExecutionProcessor(100);
        Assert.Equal(m.Nt.Memory.ReadBytes(buffer, 4_000), chip.Got);
        Assert.Equal(1_000UL, driver.Operate(ReadCounter));
        Assert.Equal(1UL, driver.Operate(Flush, mdl.Address.Value, driver.Given[0].Value, buffer.Value, 5_000, 1));
        m.Nt.WRITE_PORT_USHORT(new Va(0x302), 4);
        m.Nt.KeStallExecutionProcessor(100);
        Assert.Equal(0, chip.Moved);
        driver.Operate(FreeChannel);

        // From it; what does not come leaves the buffer alone.
        driver.Status(AllocateChannel, driver.Device.Value, 3, driver.Executes.Value, 0);
        driver.MapTransfer(mdl, driver.Given[1], buffer, 5_000, toDevice: false);
        chip.Data = [.. Enumerable.Range(0, 600).Select(i => (byte)(i * 3 + 1))];
        m.Nt.WRITE_PORT_USHORT(new Va(0x300), 600);
        m.Nt.KeStallExecutionProcessor(100);
        Assert.Equal(600, chip.Moved);
        byte[] rest = m.Nt.Memory.ReadBytes(buffer + 600, 4_400);
        driver.Operate(Flush, mdl.Address.Value, driver.Given[1].Value, buffer.Value, 5_000, 0);
        Assert.Equal(chip.Data, m.Nt.Memory.ReadBytes(buffer, 600));
        Assert.Equal(rest, m.Nt.Memory.ReadBytes(buffer + 600, 4_400));
        driver.Operate(FreeChannel);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Adapters_of_one_channel_wait_for_each_other_and_nobody_programs_a_channel_that_is_anothers()
    {
        using TestMachine m = Boot(1, out _);
        AdapterDriver[] drivers = [new() { Name = "one" }, new() { Name = "two" }];
        foreach (AdapterDriver driver in drivers)
        {
            m.Load(driver);
            Assert.True(Open(driver, 1));
            driver.Status(AllocateChannel, driver.Device.Value, 1, driver.Executes.Value, 0);
        }
        Assert.Equal((1, 0), (drivers[0].Given.Count, drivers[1].Given.Count));
        (Mdl mdl, Va buffer) = Buffer(m, 100);
        Assert.Equal((0UL, 0u), drivers[1].MapTransfer(mdl, drivers[0].Given[0], buffer, 100, toDevice: true));
        drivers[1].Operate(FreeChannel);
        Assert.Empty(drivers[1].Given);
        drivers[0].Operate(FreeChannel);
        Assert.Single(drivers[1].Given);
        // A put adapter does not wait any more.
        drivers[0].Status(AllocateChannel, drivers[0].Device.Value, 1, drivers[0].Executes.Value, 0);
        drivers[0].Operate(8);
        drivers[1].Operate(FreeChannel);
        Assert.Single(drivers[0].Given);
    }

    [Fact]
    public void A_slave_needs_a_controller_and_a_channel_of_its_width()
    {
        using (var bare = new TestMachine())
        {
            var driver = new AdapterDriver();
            bare.Load(driver);
            Assert.False(Open(driver, 1));
        }
        using TestMachine m = Boot(1, out _);
        var slave = new AdapterDriver();
        m.Load(slave);
        Assert.False(slave.Open((0x10, 4), (0x18, 1)));
        Assert.False(slave.Open((0x10, 8)));
        Assert.False(slave.Open((0x10, 5)));
        Assert.False(slave.Open((0x10, 1), (0x18, 1)));
        Assert.True(Open(slave, 2));
    }

    [Theory, InlineData(1), InlineData(6)]
    public void A_slaves_list_has_one_piece_and_its_channel_until_it_is_put(int channel)
    {
        using TestMachine m = Boot(channel, out StreamChip made);
        (AdapterDriver driver, StreamChip chip, _) = Start(m, made);
        Assert.True(Open(driver, channel));
        (Mdl mdl, Va buffer) = Buffer(m, 5_000);
        NtStatus Get(uint length) => driver.Status(GetList, driver.Device.Value, mdl.Address.Value, buffer.Value,
            length, driver.Executes.Value, 0, 0);
        Assert.Equal(channel < 4 ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER, Get(999));
        if (channel < 4) driver.Operate(0x60, driver.Given[0].Value, 0);
        Assert.Equal(STATUS_SUCCESS, Get(600));
        Assert.Equal(STATUS_SUCCESS, Get(600));
        Va list = driver.Given[^1];
        int given = driver.Given.Count;
        Assert.Equal((1, 600), (m.Nt.Memory.Read<int>(list), m.Nt.Memory.Read<int>(list + 24)));
        chip.Data = [.. Enumerable.Range(0, 600).Select(i => (byte)(i * 3 + 1))];
        m.Nt.WRITE_PORT_USHORT(new Va(0x300), 600);
        m.Nt.KeStallExecutionProcessor(100);
        driver.Operate(0x60, list.Value, 0);
        Assert.Equal(chip.Data, m.Nt.Memory.ReadBytes(buffer, 600));
        // The second one waited for the channel.
        Assert.Equal(given + 1, driver.Given.Count);
        driver.Operate(0x60, driver.Given[^1].Value, 0);
    }

    [Fact]
    public void A_completion_routine_hears_of_the_terminal_count_and_of_what_is_called_off()
    {
        const int initContext = 0x90, channelEx = 0xA0, mapEx = 0xB8, listEx = 0xC0, flushEx = 0xD0, freeObject = 0xD8,
            cancelMapped = 0xE0;
        using TestMachine m = Boot(1, out StreamChip made);
        (AdapterDriver driver, StreamChip chip, _) = Start(m, made);
        Assert.True(driver.Open((0, 3), (0x10, 1), (0x20, 0x8000)));
        (Mdl mdl, Va buffer) = Buffer(m, 5_000);
        (Va context, Va result, Va length) = (m.Block(128), m.Block(8), m.Block(4));
        var told = new List<(ulong Context, ulong Status, Irql Irql)>();
        Va completed = m.Routine(call =>
        {
            Assert.Equal((driver.Adapter.Value, driver.Device.Value), (call.Argument(0), call.Argument(1)));
            told.Add((call.Argument(2), call.Argument(3), m.Nt.CurrentIrql));
            return 0;
        });
        driver.Status(initContext, context.Value);
        driver.Status(channelEx, driver.Device.Value, context.Value, 3, 1, 0, 0, result.Value);
        ulong registers = m.Nt.Memory.Read<ulong>(result);
        void Map(ulong about)
        {
            m.Nt.Memory.Write(length, 600);
            Assert.Equal(STATUS_SUCCESS, driver.Status(
                mapEx, mdl.Address.Value, registers, 0, 0, length.Value, 0, 0, 0, completed.Value, about));
        }
        void Send(ushort bytes)
        {
            chip.Data = new byte[bytes];
            m.Nt.WRITE_PORT_USHORT(new Va(0x300), bytes);
            m.Nt.KeStallExecutionProcessor(100);
            m.Nt.User.RunUntilIdle();
        }
        Map(7);
        Send(599);
        Assert.Empty(told);
        Send(1);
        Assert.Equal([(7UL, 0UL, Irql.DISPATCH_LEVEL)], told);
        driver.Status(flushEx, mdl.Address.Value, registers, 0, 600, 0);
        // Called off after half of it: status 3, DmaCancelled.
        Map(8);
        Send(300);
        Assert.Equal(STATUS_SUCCESS, driver.Status(cancelMapped, context.Value));
        m.Nt.User.RunUntilIdle();
        Assert.Equal((8UL, 3UL, Irql.DISPATCH_LEVEL), told[^1]);
        driver.Status(flushEx, mdl.Address.Value, registers, 0, 600, 0);
        driver.Operate(freeObject, 2);
        // A list's, and nobody's whose channel is free again.
        NtStatus List(ulong about) => driver.Status(listEx, driver.Device.Value, context.Value, mdl.Address.Value, 0,
            600, 1, 0, 0, 0, completed.Value, about, result.Value);
        Assert.Equal(STATUS_SUCCESS, List(9));
        Send(600);
        Assert.Equal((9UL, 0UL, Irql.DISPATCH_LEVEL), told[^1]);
        driver.Operate(0x60, m.Nt.Memory.Read<ulong>(result), 0);
        Assert.Equal(STATUS_SUCCESS, List(10));
        driver.Operate(0x60, m.Nt.Memory.Read<ulong>(result), 0);
        Send(600);
        Assert.Equal(3, told.Count);
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData(1, 0x1_0000u), InlineData(6, 0x2_0000u)]
    public void Of_the_longest_transfer_all_is_left_before_it_begins(int channel, uint bytes)
    {
        using TestMachine m = Boot(channel, out _);
        var driver = new AdapterDriver();
        m.Load(driver);
        Assert.True(driver.Open((0x10, (uint)channel), (0x18, channel < 4 ? 0u : 1), (0x20, bytes)));
        (Mdl mdl, Va buffer) = Buffer(m, bytes);
        Assert.Equal(0u, mdl.ByteOffset);
        byte[] before = m.Nt.Memory.ReadBytes(buffer, (int)bytes);
        driver.Status(AllocateChannel, driver.Device.Value, bytes >> 12, driver.Executes.Value, 0);
        Assert.Equal(bytes, driver.MapTransfer(mdl, driver.Given[0], buffer, bytes, toDevice: false).Length);
        Assert.Equal(bytes, driver.Operate(ReadCounter));
        driver.Operate(Flush, mdl.Address.Value, driver.Given[0].Value, buffer.Value, bytes, 0);
        Assert.Equal(before, m.Nt.Memory.ReadBytes(buffer, (int)bytes));
    }
}
