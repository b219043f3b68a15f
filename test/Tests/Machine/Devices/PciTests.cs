using FsCheck;
using FsCheck.Fluent;
using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The PCI bus: configuration spaces, addresses, messages, power, and who is gone.</summary>
public sealed class PciTests
{
    static readonly Config s_config = Config.QuickThrowOnFailure.WithMaxTest(200).WithReplay(20260202, 9);

    static readonly PciIdentity s_identity = new(0x1234, 0x5678, 0x020000, 3, 0x1111, 0x2222);

    /// <summary>Registers that read as what was written last.</summary>
    sealed class Cell : IMmioDevice
    {
        public ulong Value { get; private set; }
        public ulong Read(ulong offset, int size) => Value + offset;
        public void Write(ulong offset, int size, ulong value) => Value = value;
    }

    static Computer NewComputer() => new(1, new CodeCache()) { Clock = new FakeClock() };

    static PciFunction NewFunction(int device = 3) => new PciFunction(new PciSlot(device, 0), s_identity)
        .AddPowerManagement(wakesFrom: 9).AddMsi(4).AddMsix(8).AddExpress();

    static ulong Ecam(Computer computer, PciFunction function, int offset, int size) => computer.Registers.Read(
        PciBus.EcamBase + (ulong)(function.Slot.Number << 12 | offset), size) & ulong.MaxValue >> (64 - 8 * size);

    static int Capability(PciFunction function, byte id)
    {
        for (int at = (int)function.Read(0x34, 1); at != 0; at = (int)function.Read(at + 1, 1))
            if (function.Read(at, 1) == id) return at;
        return -1;
    }

    [Fact]
    public void Configuration_is_the_same_bytes_by_ports_and_by_memory_at_any_width() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(ushort Offset, byte Size, uint Value)[]>(), steps =>
        {
            using Computer computer = NewComputer();
            PciFunction function = NewFunction();
            computer.Pci.Plug(function);
            byte[] Bytes() => [.. Enumerable.Range(0, 0x100).Select(i => (byte)function.Read(i, 1))];
            foreach ((ushort anywhere, byte size, uint value) in steps)
            {
                int offset = anywhere & 0xFF, width = 1 << size % 3;
                byte[] before = Bytes();
                computer.Ports.Write(0xCF8, 4, 0x8000_0000u | (uint)function.Slot.Number << 8 | (uint)offset & 0xFC);
                if ((offset & 3) + width > 4) width = 1;
                uint read = computer.Ports.Read((ushort)(0xCFC + (offset & 3)), width);
                ulong mask = ulong.MaxValue >> (64 - 8 * width);
                Assert.Equal(Ecam(computer, function, offset, width), read & mask);
                computer.Ports.Write((ushort)(0xCFC + (offset & 3)), width, value);
                byte[] after = Bytes();
                // The status register tells of itself; what else was not written is as it was.
                foreach (int i in Enumerable.Range(0, 0x100).Where(i => i is not (6 or 7)))
                    if (i < offset || i >= offset + width) Assert.Equal(before[i], after[i]);
            }
            // Who it is, nobody changes.
            Assert.Equal((0x5678_1234ul, 0x0200_0003ul, 0x2222_1111ul),
                (function.Read(0, 4), function.Read(8, 4), function.Read(0x2C, 4)));
        }).Check(s_config);

    [Fact]
    public void A_register_tells_its_size_and_is_decoded_where_it_is_put() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(byte Size, byte Kind, ulong First, ulong Second)>(), c =>
        {
            using Computer computer = NewComputer();
            (bool isPort, bool is64) = (c.Kind % 3 == 0, c.Kind % 3 == 1);
            ulong bytes = 1UL << (isPort ? 2 + c.Size % 7 : 4 + c.Size % 20);
            var cell = new Cell();
            var function = new PciFunction(new PciSlot(1, 0), s_identity);
            PciBar bar = function.AddBar(bytes, cell, isPort, is64);
            computer.Pci.Plug(function);
            int width = is64 ? 8 : 4;
            ulong flags = isPort ? 1u : is64 ? 4u : 0, all = ulong.MaxValue >> (64 - 8 * width);
            function.Write(0x10, width, ulong.MaxValue);
            Assert.Equal(~(bytes - 1) & all | flags, function.Read(0x10, width));
            function.Write(PciFunction.CommandOffset, 2, 3);
            DeviceSpace space = isPort ? computer.Ports.Devices : computer.Registers.Devices;
            ulong? at = null;
            foreach (ulong wanted in (ulong[])[c.First, c.Second, c.First])
            {
                function.Write(0x10, width, wanted);
                ulong address = wanted & all & ~(bytes - 1);
                Assert.Equal(address, bar.Address);
                if (address == 0) continue;
                if (at is { } old && old != address) Assert.NotEqual(cell, space.Find(old, out _));
                Assert.Equal((cell, 0ul), (space.Find(address, out ulong offset), offset));
                Assert.Equal(cell, space.Find(address + (bytes - 1), out _));
                Assert.NotEqual(cell, space.Find(address - 1, out _));
                at = address;
            }
            function.Write(PciFunction.CommandOffset, 2, 0);
            if (at is { } last) Assert.Null(space.Find(last, out _));
        }).Check(s_config);

    [Fact]
    public void Firmware_gives_addresses_that_nobody_else_has()
    {
        using Computer computer = NewComputer();
        var fixedDevice = new Cell();
        computer.Registers.Devices.Add(0xC000_0000, 0x1000, fixedDevice);
        PciFunction[] functions = [NewFunction(1), NewFunction(2)];
        foreach (PciFunction function in functions)
        {
            function.AddBar(0x100, new Cell(), isPort: true);
            function.AddBar(0x4000_0000, new Cell(), is64: true);
            computer.Pci.Plug(function);
        }
        computer.Pci.Configure();
        PciBar[] bars = [.. functions.SelectMany(f => f.Bars)];
        Assert.Equal(bars.Length, bars.Select(b => (b.IsPort, b.Address)).Distinct().Count());
        Assert.All(bars, b => Assert.Equal(b.Registers,
            (b.IsPort ? computer.Ports.Devices : computer.Registers.Devices).Find(b.Address, out _)));
        Assert.Equal(fixedDevice, computer.Registers.Devices.Find(0xC000_0000, out _));
        Assert.True(bars.Single(b => b.Function.Slot.Device == 2 && b.Is64).Address >= PciBus.HighMemoryWindow.First);
        Assert.Equal(17ul, functions[0].Read(0x3C, 1));
    }

    [Fact]
    public void Only_a_bus_master_reaches_memory_and_only_as_far_as_its_addresses_go()
    {
        using Computer computer = NewComputer();
        ulong memory = (ulong)computer.Memory.Physical.Allocate() << 12;
        var function = new PciFunction(new PciSlot(1, 0), s_identity) { HighestAddress = memory + 0xFF };
        computer.Pci.Plug(function);
        Assert.False(function.TryWritePhysical(memory, [1, 2]));
        Assert.Equal((1, 0x2000ul), (function.MasterAborts, function.Read(6, 2) & 0x2000));
        function.Write(6, 2, 0x2000);
        function.Write(PciFunction.CommandOffset, 2, PciFunction.MasterEnable);
        Assert.True(function.TryWritePhysical(memory + 0xFE, [1, 2]));
        Assert.False(function.TryWritePhysical(memory + 0xFF, [1, 2]));
        byte[] read = new byte[2];
        Assert.True(computer.Memory.TryReadPhysical(memory + 0xFE, read));
        Assert.Equal([1, 2], read);
        computer.Pci.Remove(function);
        Assert.False(function.TryReadPhysical(memory, read));
    }

    [Fact]
    public void A_message_interrupts_the_processor_that_it_names_and_waits_while_it_is_masked()
    {
        using Computer computer = NewComputer();
        PciFunction function = NewFunction();
        computer.Pci.Plug(function);
        int msi = Capability(function, 5);
        function.Write(PciFunction.CommandOffset, 2, PciFunction.MasterEnable);
        function.Signal(1);
        Assert.Null(computer.Interrupts.Next(2));
        function.Write(msi + 4, 8, 0xFEE0_2000);
        function.Write(msi + 12, 2, 0xA8);
        function.Write(msi + 16, 4, 2);
        function.Write(msi + 2, 2, 0x11);
        function.Signal(1);
        Assert.Equal((null, 2ul), (computer.Interrupts.Next(2), function.Read(msi + 20, 4)));
        function.Write(msi + 16, 4, 0);
        Assert.Equal(((byte)0xA9, 0ul), (computer.Interrupts.Next(2)!.Vector, function.Read(msi + 20, 4)));
        Assert.Null(computer.Interrupts.Next(0));
        computer.Interrupts.Next(2)!.Accept();
        // The wire is message 0, once for each time that it is asserted.
        function.Wire.Set(this, true);
        Assert.Equal((0xA8, false), (computer.Interrupts.Next(2)!.Vector, computer.Interrupts.Line(18).IsAsserted));
        computer.Interrupts.Next(2)!.Accept();
        function.Write(msi + 12, 2, 0xA8);
        Assert.Null(computer.Interrupts.Next(2));
        // Two are enabled, so the third is the first again.
        function.Signal(2);
        Assert.Equal(0xA8, computer.Interrupts.Next(2)!.Vector);
    }

    [Fact]
    public void A_table_of_messages_lies_in_memory()
    {
        using Computer computer = NewComputer();
        PciFunction function = NewFunction();
        computer.Pci.Plug(function);
        computer.Pci.Configure();
        function.Write(PciFunction.CommandOffset, 2, 6);
        int msix = Capability(function, 0x11);
        Assert.Equal(7ul, function.Read(msix + 2, 2));
        PciBar bar = function.Bars.Single(b => b.Index == (int)(function.Read(msix + 4, 4) & 7));
        ulong entry = bar.Address + 5 * 16, pending = bar.Address + (function.Read(msix + 8, 4) & ~7ul);
        Assert.Equal(1ul, computer.Registers.Read(entry + 12, 4));
        function.Write(msix + 2, 2, 0x8000);
        computer.Registers.Write(entry, 4, 0xFEE0_0000);
        computer.Registers.Write(entry + 8, 4, 0x77);
        function.Signal(5);
        Assert.Equal((null, 0x20ul), (computer.Interrupts.Next(0), computer.Registers.Read(pending, 4)));
        computer.Registers.Write(entry + 12, 4, 0);
        Assert.Equal((0x77, 0ul), (computer.Interrupts.Next(0)!.Vector, computer.Registers.Read(pending, 4)));
        Assert.Equal(0ul, computer.Registers.Read(bar.Address + 8 * 16, 4));
    }

    [Fact]
    public void A_message_elsewhere_is_a_write_to_memory()
    {
        using Computer computer = NewComputer();
        ulong memory = (ulong)computer.Memory.Physical.Allocate() << 12;
        PciFunction function = NewFunction();
        computer.Pci.Plug(function);
        int msi = Capability(function, 5);
        function.Write(msi + 4, 8, memory + 8);
        function.Write(msi + 12, 2, 0x55AA);
        function.Write(msi + 2, 2, 1);
        function.Signal(0);
        byte[] read = new byte[4];
        Assert.True(computer.Memory.TryReadPhysical(memory + 8, read));
        Assert.Equal(new byte[4], read);
        // It has waited until the function may write.
        function.Write(PciFunction.CommandOffset, 2, PciFunction.MasterEnable);
        Assert.True(computer.Memory.TryReadPhysical(memory + 8, read));
        Assert.Equal([0xAA, 0x55, 0, 0], read);
    }

    [Fact]
    public void The_pin_goes_to_the_line_unless_the_command_register_forbids_it()
    {
        using Computer computer = NewComputer();
        PciFunction function = NewFunction(3);
        computer.Pci.Plug(function);
        InterruptLine line = computer.Interrupts.Line(19);
        function.Wire.Set(this, true);
        Assert.Equal((true, 8ul, 19ul), (line.IsAsserted, function.Read(6, 2) & 8, function.Read(0x3C, 1)));
        function.Write(PciFunction.CommandOffset, 2, PciFunction.WireDisable);
        Assert.Equal((false, 8ul), (line.IsAsserted, function.Read(6, 2) & 8));
        function.Write(PciFunction.CommandOffset, 2, 0);
        Assert.True(line.IsAsserted);
        computer.Pci.Remove(function);
        Assert.False(line.IsAsserted);
    }

    [Fact]
    public void Without_power_it_decodes_nothing_and_may_wake_the_system()
    {
        using Computer computer = NewComputer();
        PciFunction function = NewFunction();
        var (states, woken) = (new List<int>(), new List<PciFunction>());
        function.PowerChanged = states.Add;
        computer.Pci.Woken += woken.Add;
        computer.Pci.Plug(function);
        computer.Pci.Configure();
        int power = Capability(function, 1);
        ulong address = function.Bars[0].Address;
        function.Write(power + 4, 2, 2);
        Assert.Equal(0, function.PowerState);
        function.Write(power + 4, 2, 3);
        Assert.Null(computer.Registers.Devices.Find(address, out _));
        Assert.Equal((3, address), (function.PowerState, function.Bars[0].Address));
        function.Wake();
        Assert.Equal((0, 0x8000ul), (woken.Count, function.Read(power + 4, 2) & 0x8000));
        // Enabled later it is told all the same; acknowledged it is over.
        function.Write(power + 4, 2, 0x0103);
        Assert.Equal(function, Assert.Single(woken));
        function.Write(power + 4, 2, 0x8100);
        Assert.Equal(0x0108ul, function.Read(power + 4, 2));
        Assert.NotNull(computer.Registers.Devices.Find(address, out _));
        Assert.Equal([3, 0], states);
        function.Write(power + 4, 2, 1);
        Assert.Equal(0, function.PowerState);
    }

    [Fact]
    public void Of_who_is_gone_all_bits_are_ones_and_who_comes_back_is_new()
    {
        using Computer computer = NewComputer();
        PciFunction function = NewFunction(), other = new(new PciSlot(3, 1), s_identity);
        int changes = 0;
        computer.Pci.Changed += () => changes++;
        computer.Pci.Plug(function);
        Assert.Equal(0ul, function.Read(0x0E, 1));
        computer.Pci.Plug(other);
        computer.Pci.Configure();
        Assert.Equal((0x80ul, 0x80ul), (function.Read(0x0E, 1), other.Read(0x0E, 1)));
        ulong address = function.Bars[0].Address;
        computer.Pci.Remove(function);
        computer.Pci.Remove(function);
        Assert.Equal((uint.MaxValue, ulong.MaxValue),
            (computer.Pci.Read(function.Slot, 0, 4), computer.Registers.Read(address, 8)));
        computer.Pci.Write(function.Slot, 4, 2, 7);
        computer.Registers.Write(address, 4, 0);
        Assert.Throws<ArgumentException>(() => computer.Pci.Plug(other));
        computer.Pci.Plug(function);
        Assert.Equal((0ul, 0ul, 4), (function.Read(4, 2), function.Bars[0].Address, changes));
        Assert.Equal([function, other], computer.Pci.Known);
    }

    [Fact]
    public void A_snapshot_keeps_what_functions_are_set_to_and_what_waits()
    {
        using Computer computer = NewComputer();
        PciFunction function = NewFunction(), later = NewFunction(5);
        computer.Pci.Plug(function);
        computer.Pci.Configure();
        int msi = Capability(function, 5);
        function.Write(PciFunction.CommandOffset, 2, 6);
        function.Write(msi + 4, 8, 0xFEE0_0000);
        function.Write(msi + 12, 2, 0x90);
        function.Write(msi + 16, 4, 2);
        function.Write(msi + 2, 2, 0x21);
        function.Signal(1);
        function.Signal(2);
        ulong address = function.Bars[0].Address;
        ComputerSnapshot kept = computer.Snapshot();
        computer.Interrupts.Next(0)!.Accept();
        computer.Pci.Remove(function);
        computer.Pci.Plug(later);
        computer.Restore(kept);
        Assert.Equal([function], computer.Pci.Functions);
        Assert.Equal(uint.MaxValue, computer.Pci.Read(later.Slot, 0, 4));
        Assert.NotNull(computer.Registers.Devices.Find(address, out _));
        Assert.Equal(0x92, computer.Interrupts.Next(0)!.Vector);
        computer.Interrupts.Next(0)!.Accept();
        function.Write(msi + 16, 4, 0);
        Assert.Equal(0x91, computer.Interrupts.Next(0)!.Vector);
    }
}
