using FsCheck;
using FsCheck.Fluent;
using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Bridges: what comes through them, and what does not.</summary>
public sealed class PciBridgeTests
{
    const string Devices = """
        { "chip": "edu", "name": "first", "pci": { "slot": 1, "id": "1234:0001" } },
        { "chip": "bridge", "name": "port", "pci": { "slot": 2, "id": "1234:00B1", "removable": true }, "devices": [
          { "chip": "bridge", "name": "switch", "pci": { "slot": 0, "id": "1234:00B2" }, "devices": [
            { "chip": "registers", "name": "deep", "pci": { "slot": 3, "id": "1234:0003", "msi": 2,
              "bars": ["memory64", "prefetchable", "ports"] }, "map": [
                { "name": "A", "offset": 0, "value": 7 }, { "name": "P", "bar": 1, "offset": 0, "value": 8 },
                { "name": "I", "bar": 2, "offset": 0, "size": 1, "value": 9 } ] } ] },
          { "chip": "edu", "name": "near", "pci": { "slot": 1, "id": "1234:0002" } } ] },
        { "chip": "bridge", "name": "empty", "pci": { "slot": 3, "id": "1234:00B3" }, "devices": [
          { "chip": "edu", "name": "later", "pci": { "slot": 0, "id": "1234:0004", "plugged": false } } ] }
        """;

    static Computer Boot(string devices = Devices)
    {
        var computer = new Computer(1, new CodeCache()) { Clock = new FakeClock() };
        Board.Parse($$"""{ "devices": [ {{devices}} ] }""").Attach(computer);
        return computer;
    }

    static PciFunction Named(Computer computer, string name) => computer.Pci.Known.Single(f => f.Name == name);

    static PciBridge Bridge(Computer computer, string name) => (PciBridge)Named(computer, name);

    static uint Read(Computer computer, PciBar bar) => (uint)computer.Registers.Read(bar.Address, 4);

    [Fact]
    public void Firmware_numbers_the_buses_and_opens_windows_around_what_is_behind()
    {
        using Computer computer = Boot();
        PciBridge port = Bridge(computer, "port"), inner = Bridge(computer, "switch");
        PciBridge empty = Bridge(computer, "empty");
        Assert.Equal([(0, 1, 2), (1, 2, 2), (0, 3, 3)],
            new[] { port, inner, empty }.Select(b => (b.Primary, b.Secondary, b.Subordinate)));
        PciFunction deep = Named(computer, "deep"), near = Named(computer, "near");
        foreach ((PciBar bar, PciWindow kind) in new[]
        {
            (deep.Bars[0], PciWindow.Memory), (deep.Bars[1], PciWindow.Prefetchable), (deep.Bars[2], PciWindow.Ports),
            (near.Bars[0], PciWindow.Memory),
        })
            for (PciBridge? b = bar.Function.Behind; b is not null; b = b.Behind)
                Assert.True(b.Window(kind) is { } w && bar.Address - w.First < w.Bytes, $"{bar.Function.Name} {kind}");
        Assert.Equal((7u, 8u, 9u), (Read(computer, deep.Bars[0]), Read(computer, deep.Bars[1]),
            computer.Ports.Read((ushort)deep.Bars[2].Address, 1)));
        Assert.Equal(EduDevice.Identification, Read(computer, near.Bars[0]));
        // Room for what is not there yet, and none for what will never be.
        Assert.Equal((0x10_0000ul, null, null), (empty.Window(PciWindow.Memory)!.Value.Bytes,
            empty.Window(PciWindow.Prefetchable), empty.Window(PciWindow.Ports)));
        AddressRange[] windows = [.. new[] { port, empty }.SelectMany(b =>
            new[] { b.Window(PciWindow.Memory), b.Window(PciWindow.Prefetchable) }).OfType<AddressRange>()];
        Assert.All(windows, w => Assert.DoesNotContain(windows, o => o != w && o.First - w.First < w.Bytes));
        Assert.DoesNotContain(windows, w => Named(computer, "first").Bars[0].Address - w.First < w.Bytes);
        Assert.Equal(0x01ul, port.Read(0x0E, 1));
    }

    [Fact]
    public void Configuration_cycles_go_where_the_bridges_say()
    {
        using Computer computer = Boot();
        ulong Ecam(int bus, int slot) => (uint)computer.Registers.Read(
            PciBus.EcamBase + (ulong)(bus << 20 | slot << 15), 4);
        uint Ports(int bus, int slot)
        {
            computer.Ports.Write(0xCF8, 4, 0x8000_0000u | (uint)(bus << 16 | slot << 11));
            return computer.Ports.Read(0xCFC, 4);
        }
        foreach ((int bus, int slot, uint id) in ((int, int, uint)[])[(0, 1, 0x0001_1234), (1, 0, 0x00B2_1234),
            (1, 1, 0x0002_1234), (2, 3, 0x0003_1234), (3, 0, ~0u), (4, 0, ~0u)])
            Assert.Equal((id, id), ((uint)Ecam(bus, slot), Ports(bus, slot)));
        // Another number: what is behind is there and nowhere else.
        computer.Registers.Write(PciBus.EcamBase + (2 << 15 | 0x19), 1, 9);
        computer.Registers.Write(PciBus.EcamBase + (2 << 15 | 0x1A), 1, 9);
        Assert.Equal((0x0002_1234ul, (ulong)~0u, (ulong)~0u), (Ecam(9, 1), Ecam(1, 1), Ecam(2, 3)));
        Assert.Equal(9, Named(computer, "near").BusNumber);
        Assert.True(computer.Pci.HasBus(9));
        Assert.False(computer.Pci.HasBus(1));
    }

    [Fact]
    public void Only_what_lies_in_a_window_comes_through_and_only_as_the_command_allows()
    {
        using Computer computer = Boot();
        PciBridge port = Bridge(computer, "port");
        PciFunction deep = Named(computer, "deep"), near = Named(computer, "near");
        AddressRange memory = port.Window(PciWindow.Memory)!.Value;
        port.SetWindow(PciWindow.Memory, null);
        Assert.Equal((~0u, ~0u, 8u), (Read(computer, deep.Bars[0]), Read(computer, near.Bars[0]),
            Read(computer, deep.Bars[1])));
        port.SetWindow(PciWindow.Memory, memory);
        Assert.Equal(7u, Read(computer, deep.Bars[0]));
        port.Write(4, 2, PciFunction.PortsEnable);
        Assert.Equal((~0u, ~0u, 9u), (Read(computer, deep.Bars[0]), Read(computer, deep.Bars[1]),
            computer.Ports.Read((ushort)deep.Bars[2].Address, 1)));
        port.Write(4, 2, PciFunction.MemoryEnable);
        Assert.Equal((7u, ~0u), (Read(computer, deep.Bars[0]), computer.Ports.Read((ushort)deep.Bars[2].Address, 1)));
        // Moved out of the window, it decodes, but nobody gets there.
        near.Write(0x10, 4, 0xD800_0000);
        Assert.Equal(0xD800_0000ul, near.Bars[0].Address);
        Assert.Equal(~0u, Read(computer, near.Bars[0]));
    }

    sealed class Echo : IMmioDevice
    {
        public ulong Read(ulong offset, int size) => offset;
        public void Write(ulong offset, int size, ulong value)
        {
        }
    }

    [Fact]
    public void Of_registers_that_are_larger_than_a_window_a_part_comes_through()
    {
        using Computer computer = Boot("");
        var bridge = new PciBridge(new PciSlot(4, 0), new PciIdentity(1, 2, 0x060400));
        var function = new PciFunction(new PciSlot(0, 0), new PciIdentity(1, 3)) { Behind = bridge };
        function.AddBar(0x40_0000, new Echo());
        computer.Pci.Plug(bridge);
        computer.Pci.Plug(function);
        function.Write(0x10, 4, 0xC040_0000);
        function.Write(4, 2, 2);
        bridge.SetWindow(PciWindow.Memory, new AddressRange(0xC050_0000, 0x20_0000));
        bridge.Write(4, 2, 2);
        Assert.Equal((~0u, 0x10_0000u, 0x2F_FFFCu, ~0u), ((uint)computer.Registers.Read(0xC04F_FFFC, 4),
            (uint)computer.Registers.Read(0xC050_0000, 4), (uint)computer.Registers.Read(0xC06F_FFFC, 4),
            (uint)computer.Registers.Read(0xC070_0000, 4)));
    }

    static readonly Config s_config = Config.QuickThrowOnFailure.WithMaxTest(100).WithReplay(20260707, 3);

    /// <summary>Whether a byte of memory comes through, by what stands in the configuration spaces.</summary>
    static bool Comes(PciFunction function, ulong address)
    {
        for (PciBridge? b = function.Behind; b is not null; b = b.Behind)
        {
            int power = Enumerable.Range(0x10, 48).Select(i => i * 4).First(i => b.Read(i, 1) == 1) + 4;
            if ((b.Read(4, 2) & 2) == 0 || (b.Read(0x3E, 2) & 0x40) != 0 || (b.Read(power, 1) & 3) != 0) return false;
            ulong first = (b.Read(0x20, 2) & 0xFFF0) << 16, last = (b.Read(0x22, 2) & 0xFFF0) << 16 | 0xF_FFFF;
            ulong second = b.Read(0x28, 4) << 32 | (b.Read(0x24, 2) & 0xFFF0) << 16,
                end = b.Read(0x2C, 4) << 32 | (b.Read(0x26, 2) & 0xFFF0) << 16 | 0xF_FFFF;
            if (!(first != 0 && address >= first && address <= last
                || second != 0 && address >= second && address <= end)) return false;
        }
        return (function.Read(4, 2) & 2) != 0;
    }

    [Fact]
    public void Whatever_is_written_registers_are_where_the_model_says() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(byte Where, byte Offset, uint Value)[]>(), steps =>
        {
            using Computer computer = Boot();
            PciFunction[] all = [.. computer.Pci.All];
            PciFunction deep = Named(computer, "deep");
            ComputerSnapshot? kept = null;
            foreach ((byte where, byte offset, uint value) in steps)
            {
                PciFunction function = all[where % all.Length];
                int[] offsets = function is PciBridge
                    ? [4, 0x18, 0x1C, 0x20, 0x24, 0x28, 0x2C, 0x3C, 0, 0x44] : [4, 0x10, 0x14, 0x18];
                int at = offsets[offset % offsets.Length];
                // Windows that may be right: around the lowest of the root.
                uint written = at is 0x20 or 0x24 && offset > 127
                    ? 0xC000 + (value & 0x30) | (value & 0xF0) + 0xC000 << 16
                    : at == 4 && offset > 60 ? value | 6 : at is 0x28 or 0x2C && offset > 60 ? value & 1 : value;
                function.Write(at, 4, written);
                if (where == 255) kept = computer.Snapshot();
                if (where == 254 && kept is not null) computer.Restore(kept);
                PciBar bar = deep.Bars[0];
                ulong first = bar.Address;
                bool isThere = first != 0 && first - PciBus.EcamBase >= PciBus.EcamBytes && Comes(deep, first);
                Assert.Equal(isThere, computer.Registers.Devices.Find(first, out ulong found) == bar.Registers);
                if (isThere) Assert.Equal(0ul, found);
            }
        }).Check(s_config);

    [Fact]
    public void Writes_to_memory_and_messages_need_all_bridges_as_bus_masters()
    {
        using Computer computer = Boot();
        ulong memory = (ulong)computer.Memory.Physical.Allocate() << 12;
        PciFunction deep = Named(computer, "deep");
        int msi = Enumerable.Range(0x10, 48).Select(i => i * 4).First(i => deep.Read(i, 1) == 5);
        deep.Write(4, 2, 7);
        deep.Write(msi + 4, 8, 0xFEE0_0000);
        deep.Write(msi + 12, 2, 0x91);
        deep.Write(msi + 2, 2, 1);
        Assert.True(deep.TryWritePhysical(memory, [1]));
        Bridge(computer, "port").Write(4, 2, 3);
        Assert.False(deep.TryWritePhysical(memory, [1]));
        deep.Signal(0);
        Assert.Null(computer.Interrupts.Next(0));
        Bridge(computer, "port").Write(4, 2, 7);
        Assert.Equal(0x91, computer.Interrupts.Next(0)!.Vector);
    }

    [Fact]
    public void Pins_turn_with_each_slot_on_the_way()
    {
        using Computer computer = Boot();
        // Pin 1 of slot 3, of slot 0 on bus 1, of slot 2 on bus 0.
        PciFunction deep = Named(computer, "deep");
        Assert.Equal(16ul + (3 + 0 + 2) % 4, deep.Read(0x3C, 1));
        deep.Wire.Set(this, true);
        Assert.True(computer.Interrupts.Line(17).IsAsserted);
        PciBridge port = Bridge(computer, "port");
        int power = Enumerable.Range(0x10, 48).Select(i => i * 4).First(i => port.Read(i, 1) == 1);
        port.Write(power + 4, 2, 3);
        Assert.Equal((false, ~0u, false), (computer.Interrupts.Line(17).IsAsserted,
            Read(computer, Named(computer, "near").Bars[0]), computer.Pci.HasBus(1)));
        port.Write(power + 4, 2, 0);
        Assert.True(computer.Interrupts.Line(17).IsAsserted);
    }

    [Fact]
    public void A_reset_of_the_bus_takes_what_was_set_and_what_the_chips_did()
    {
        using Computer computer = Boot();
        PciBridge port = Bridge(computer, "port");
        PciFunction near = Named(computer, "near"), deep = Named(computer, "deep");
        ulong address = near.Bars[0].Address;
        AddressRange window = port.Window(PciWindow.Memory)!.Value;
        computer.Registers.Write(address + 4, 4, 0x55);
        Assert.Equal(~0x55u, (uint)computer.Registers.Read(address + 4, 4));
        port.Write(PciBridge.ControlOffset, 2, PciBridge.SecondaryReset);
        Assert.Equal(uint.MaxValue, computer.Pci.Read(1, near.Slot, 0, 4));
        Assert.Equal((0ul, 0ul, 0, 0ul), (near.Read(4, 2), near.Bars[0].Address,
            Bridge(computer, "switch").Secondary, deep.Bars[1].Address));
        port.Write(PciBridge.ControlOffset, 2, 0);
        Assert.Equal((0x0002_1234u, window), (computer.Pci.Read(1, near.Slot, 0, 4), port.Window(PciWindow.Memory)));
        near.Write(0x10, 4, address);
        near.Write(4, 2, 2);
        Assert.NotEqual(~0x55u, (uint)computer.Registers.Read(address + 4, 4));
    }

    [Fact]
    public void What_is_behind_a_bridge_goes_and_comes_with_it()
    {
        using Computer computer = Boot();
        PciBridge port = Bridge(computer, "port");
        PciFunction deep = Named(computer, "deep");
        ulong address = deep.Bars[0].Address;
        computer.Pci.Remove(port);
        Assert.Equal((null, ~0u, 2, 2), (deep.Bus, (uint)computer.Registers.Read(address, 4),
            computer.Pci.Functions.Count, computer.Pci.All.Count()));
        Assert.Throws<ArgumentException>(() => computer.Pci.Plug(deep));
        computer.Pci.Plug(port);
        Assert.Equal((computer.Pci, 0ul, 0), (deep.Bus, deep.Bars[0].Address, port.Secondary));
        Assert.Equal(["first", "port", "switch", "deep", "near", "empty"], computer.Pci.All.Select(f => f.Name));
        computer.Pci.Plug(Named(computer, "later"));
        Assert.Equal("later", Assert.Single(Bridge(computer, "empty").Functions).Name);
    }

    [Fact]
    public void A_snapshot_keeps_bridges_and_who_is_behind_them()
    {
        using Computer computer = Boot();
        PciBridge port = Bridge(computer, "port");
        PciFunction deep = Named(computer, "deep"), later = Named(computer, "later");
        ComputerSnapshot kept = computer.Snapshot();
        computer.Pci.Plug(later);
        computer.Pci.Remove(port);
        computer.Restore(kept);
        Assert.Equal((7u, 2, null), (Read(computer, deep.Bars[0]), deep.BusNumber, later.Bus));
        port.Write(4, 2, 0);
        Bridge(computer, "switch").SetBuses(1, 7, 7);
        computer.Restore(kept);
        Assert.Equal((7u, 2), (Read(computer, deep.Bars[0]), deep.BusNumber));
    }

    [Theory]
    [InlineData("""{ "chip": "bridge" }""", "devices[0].pci: it is missing: a bridge is")]
    [InlineData("""{ "chip": "bridge", "pci": { "slot": 1, "id": "0001:0002", "bars": "memory" } }""",
        "devices[0].pci.bars: there is no such")]
    [InlineData("""
        { "chip": "bridge", "pci": { "slot": 1, "id": "0001:0002" }, "devices": [ { "chip": "edu", "registers": 0 } ] }
        """, "devices[0].devices[0].pci: it is missing: behind a bridge")]
    [InlineData("""
        { "chip": "bridge", "pci": { "slot": 1, "id": "0001:0002" }, "devices": [ { "chip": "nothing" } ] }
        """,
        "devices[0].devices[0].chip: there is no chip")]
    [InlineData("""{ "chip": "edu", "pci": { "slot": 1, "id": "0001:0002" }, "devices": [] }""",
        "devices[0].devices: ")]
    [InlineData("""{ "chip": "bridge", "pci": { "slot": 1, "id": "0001:0002", "subsystem": "0001:0002" } }""",
        "devices[0].pci.subsystem: a bridge has none")]
    public void A_mistake_is_told_with_its_place(string device, string message) => Assert.StartsWith(message,
        Assert.Throws<BoardException>(() => Board.Parse($$"""{ "devices": [ {{device}} ] }""")).Message);

    static PciFunction Behind(Computer computer, PciBridge? bridge, int slot, ulong bytes)
    {
        var function = new PciFunction(new PciSlot(slot, 0), new PciIdentity(1, 3)) { Behind = bridge };
        function.AddBar(bytes, new Echo(), is64: true, isPrefetchable: true);
        computer.Pci.Plug(function);
        return function;
    }

    static PciBridge Bridge(Computer computer, PciBridge? behind, AddressRange window)
    {
        var bridge = new PciBridge(new PciSlot(4, 0), new PciIdentity(1, 2, 0x060400)) { Behind = behind };
        computer.Pci.Plug(bridge);
        bridge.SetWindow(PciWindow.Prefetchable, window);
        bridge.Write(4, 2, 2);
        return bridge;
    }

    [Fact]
    public void The_last_window_of_all_passes_its_last_byte()
    {
        using Computer computer = Boot("");
        PciBridge bridge = Bridge(computer, null, new AddressRange(ulong.MaxValue - 0xF_FFFF, 0x10_0000));
        PciFunction function = Behind(computer, bridge, 0, 0x1000);
        function.Write(0x10, 8, ulong.MaxValue - 0xFFF);
        function.Write(4, 2, 2);
        Assert.Equal(0xFFCu, (uint)computer.Registers.Read(ulong.MaxValue - 3, 4));
    }

    [Fact]
    public void What_is_in_the_way_is_passed_at_one_step_however_large_it_is()
    {
        const ulong start = 1UL << 40;
        using Computer computer = Boot("");
        PciBridge outer = Bridge(computer, null, new AddressRange(start, 1UL << 62));
        PciBridge inner = Bridge(computer, outer, new AddressRange(start, 1UL << 61));
        PciFunction function = Behind(computer, outer, 0, 0x1000);
        Assert.True(computer.Pci.Configure(function));
        Assert.Equal(start + (1UL << 61), function.Bars[0].Address);
        inner.SetWindow(PciWindow.Prefetchable, outer.Window(PciWindow.Prefetchable));
        function.Write(0x10, 8, 0);
        Assert.False(computer.Pci.Configure(function));
    }
}
