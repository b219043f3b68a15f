using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>Adapters of bus masters: addresses for devices, and buffers between where they reach not far
/// enough.</summary>
public sealed class DmaTests
{
    /// <summary>A driver that has an adapter, and calls its table.</summary>
    sealed class Master(bool scatters, int width, uint longest = 0x8000) : NtDriver
    {
        const int PutAdapter = 0, AllocateCommon = 1, FreeCommon = 2, AllocateChannel = 3, Flush = 4, FreeChannelAt = 5,
            FreeRegistersAt = 6, Map = 7, GetList = 10, PutListAt = 11, Calculate = 12;

        Va _adapter;
        DeviceObject _device;

        public int Registers { get; private set; }
        public List<Va> Started { get; } = [];
        public List<(ulong Address, uint Length)> Elements { get; } = [];
        public ulong Action { get; set; } = 1;
        public Va LastList { get; private set; }

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            IoCreateDevice(driverObject, 0, @"\Device\Master", FILE_DEVICE_UNKNOWN, 0, false, out _device);
            driverObject.DriverUnload = Routine(Unload);
            Va description = Local(0x40), count = Local(4);
            Memory.Write(description + 4, (byte)1);
            Memory.Write(description + 5, scatters ? (byte)1 : (byte)0);
            Memory.Write(description + 8, width >= 32 ? (byte)1 : (byte)0);
            Memory.Write(description + 11, width >= 64 ? (byte)1 : (byte)0);
            Memory.Write(description + 0x20, longest);
            _adapter = Nt.IoGetDmaAdapter(_device, description, count);
            Registers = Memory.Read<int>(count);
            return _adapter.IsNull ? STATUS_UNSUCCESSFUL : STATUS_SUCCESS;
        }

        void Unload(DriverObject driverObject)
        {
            Operate(PutAdapter);
            Nt.IoDeleteDevice(_device);
        }

        ulong Operate(int operation, params ReadOnlySpan<ulong> arguments)
        {
            Va table = At<DmaAdapterObject>(_adapter).DmaOperations;
            bool raises = operation is AllocateChannel or FreeChannelAt or FreeRegistersAt or GetList or PutListAt;
            if (raises) Nt.KeRaiseIrqlToDpcLevel();
            ulong result = Call(Memory.Read<Va>(table + 8 + operation * 8), [_adapter.Value, .. arguments]);
            if (raises) Nt.KeLowerIrql(PASSIVE_LEVEL);
            return result;
        }

        public NtStatus AllocateAdapterChannel(uint registers) => new((uint)Operate(
            AllocateChannel, _device.Address.Value, registers, Routine(Start).Value, 0x77));

        uint Start(DeviceObject device, Irp irp, Va registerBase, Va context)
        {
            Started.Add(registerBase);
            return (uint)Action;
        }

        public void FreeAdapterChannel() => Operate(FreeChannelAt);
        public void FreeMapRegisters(Va registerBase, uint count) =>
            Operate(FreeRegistersAt, registerBase.Value, count);

        public (ulong Address, uint Length) MapTransfer(Mdl mdl, Va registers, Va current, uint length, bool toDevice)
        {
            using LocalFrame frame = Frame();
            Va size = Local(4);
            Memory.Write(size, length);
            ulong address = Operate(
                Map, mdl.Address.Value, registers.Value, current.Value, size.Value, toDevice ? 1u : 0);
            return (address, Memory.Read<uint>(size));
        }

        public void FlushAdapterBuffers(Mdl mdl, Va registers, Va current, uint length, bool toDevice) =>
            Operate(Flush, mdl.Address.Value, registers.Value, current.Value, length, toDevice ? 1u : 0);

        public NtStatus GetScatterGatherList(Mdl mdl, Va current, uint length, bool toDevice) => new((uint)Operate(
            GetList, _device.Address.Value, mdl.Address.Value, current.Value, length, Routine(Listed).Value, 0,
            toDevice ? 1u : 0));

        void Listed(DeviceObject device, Irp irp, Va list, Va context)
        {
            LastList = list;
            for (int i = 0; i < Memory.Read<int>(list); i++)
                Elements.Add((Memory.Read<ulong>(list + 16 + i * 24), Memory.Read<uint>(list + 24 + i * 24)));
        }

        public void PutScatterGatherList(bool toDevice) => Operate(PutListAt, LastList.Value, toDevice ? 1u : 0);

        public (int Bytes, int Registers) CalculateScatterGatherList(Mdl mdl, Va current, uint length)
        {
            using LocalFrame frame = Frame();
            Va size = Local(4), registers = Local(4);
            Operate(Calculate, mdl.Address.Value, current.Value, length, size.Value, registers.Value);
            return (Memory.Read<int>(size), Memory.Read<int>(registers));
        }

        public (Va Buffer, ulong Address) AllocateCommonBuffer(uint length)
        {
            using LocalFrame frame = Frame();
            Va address = Local(8);
            Va made = new(Operate(AllocateCommon, length, address.Value, 1));
            return (made, Memory.Read<ulong>(address));
        }

        public void FreeCommonBuffer(Va buffer, ulong address, uint length) =>
            Operate(FreeCommon, length, address, buffer.Value, 1);
    }

    static (Mdl Mdl, Va Buffer) Buffer(TestMachine m, uint bytes)
    {
        Va buffer = m.Nt.ExAllocatePoolWithTag(0, bytes, 1);
        byte[] data = [.. Enumerable.Range(0, (int)bytes).Select(i => (byte)(i * 7))];
        m.Nt.Memory.Write(buffer, data);
        Mdl mdl = m.Nt.IoAllocateMdl(buffer, bytes, false, false, Irp.At(m.Nt.Memory, Va.Null));
        m.Nt.MmBuildMdlForNonPagedPool(mdl);
        return (mdl, buffer);
    }

    static byte[] Physical(TestMachine m, ulong address, uint length)
    {
        byte[] bytes = new byte[length];
        Assert.True(m.Nt.Memory.TryReadPhysical(address, bytes));
        return bytes;
    }

    [Fact]
    public void A_master_that_reaches_everything_is_told_where_the_memory_is()
    {
        using var m = new TestMachine();
        var master = new Master(scatters: true, width: 64);
        Driver driver = m.Load(master);
        (Mdl mdl, Va buffer) = Buffer(m, 10_000);
        Assert.Equal(9, master.Registers);
        Assert.Equal((0x10 + 3 * 0x18, 3), master.CalculateScatterGatherList(mdl, buffer, 10_000));
        Assert.Equal(STATUS_SUCCESS, master.GetScatterGatherList(mdl, buffer, 10_000, toDevice: true));
        Assert.Equal(10_000, master.Elements.Sum(e => (int)e.Length));
        Assert.Equal(m.Nt.Memory.ReadBytes(buffer, 10_000),
            master.Elements.SelectMany(e => Physical(m, e.Address, e.Length)));
        // What the device writes is there at once.
        m.Nt.Memory.TryWritePhysical(master.Elements[0].Address, [9, 8, 7]);
        master.PutScatterGatherList(toDevice: true);
        Assert.Equal([9, 8, 7], m.Nt.Memory.ReadBytes(buffer, 3));
        m.Nt.IoFreeMdl(mdl);
        m.Nt.ExFreePoolWithTag(buffer, 0);
        m.Unload(driver);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_master_of_24_bits_without_lists_gets_one_piece_below_16_MiB_and_the_data_is_copied()
    {
        using var m = new TestMachine();
        var master = new Master(scatters: false, width: 24);
        m.Load(master);
        (Mdl mdl, Va buffer) = Buffer(m, 9_000);
        Assert.Equal(STATUS_SUCCESS, master.AllocateAdapterChannel(3));
        Va registers = Assert.Single(master.Started);
        (ulong address, uint length) = master.MapTransfer(mdl, registers, buffer, 9_000, toDevice: true);
        Assert.Equal(9_000U, length);
        Assert.True(address + length <= 1 << 24);
        Assert.Equal(m.Nt.Memory.ReadBytes(buffer, 9_000), Physical(m, address, length));
        byte[] before = m.Nt.Memory.ReadBytes(buffer, 3);
        m.Nt.Memory.TryWritePhysical(address, [1, 2, 3]);
        Assert.Equal(before, m.Nt.Memory.ReadBytes(buffer, 3));
        master.FlushAdapterBuffers(mdl, registers, buffer, 9_000, toDevice: false);
        Assert.Equal([1, 2, 3], m.Nt.Memory.ReadBytes(buffer, 3));
        master.FreeMapRegisters(registers, 3);
        master.FreeAdapterChannel();
    }

    [Fact]
    public void Who_finds_the_channel_busy_waits_for_it()
    {
        using var m = new TestMachine();
        var master = new Master(scatters: false, width: 32);
        m.Load(master);
        master.AllocateAdapterChannel(2);
        master.AllocateAdapterChannel(2);
        Assert.Single(master.Started);
        master.FreeMapRegisters(master.Started[0], 2);
        Assert.Single(master.Started);
        master.FreeAdapterChannel();
        Assert.Equal(2, master.Started.Count);
    }

    [Fact]
    public void Map_registers_are_limited_and_waited_for_in_turn()
    {
        using var m = new TestMachine();
        var master = new Master(scatters: true, width: 24, longest: 0x3000) { Action = 3 };
        m.Load(master);
        Assert.Equal(4, master.Registers);
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES, master.AllocateAdapterChannel(5));
        master.AllocateAdapterChannel(3);
        master.AllocateAdapterChannel(2);
        master.AllocateAdapterChannel(1);
        Assert.Single(master.Started);
        master.FreeMapRegisters(master.Started[0], 3);
        Assert.Equal(3, master.Started.Count);
    }

    [Fact]
    public void A_common_buffer_is_one_piece_within_reach()
    {
        using var m = new TestMachine();
        var master = new Master(scatters: true, width: 24);
        m.Load(master);
        (Va buffer, ulong address) = master.AllocateCommonBuffer(0x5000);
        Assert.True(address + 0x5000 <= 1 << 24);
        m.Nt.Memory.TryWritePhysical(address + 0x4FFF, [42]);
        Assert.Equal(42, m.Nt.Memory.Read<byte>(buffer + 0x4FFF));
        master.FreeCommonBuffer(buffer, address, 0x5000);
    }

    [Fact]
    public void What_is_no_adapter_is_a_bug_check_and_HalGetAdapter_knows_no_slaves()
    {
        using var m = new TestMachine();
        m.Load(new Master(scatters: true, width: 64));
        Va table = m.Nt.Memory.Read<Va>(m.Nt.HalGetAdapter(Description(1), m.Block(4)) + 8);
        Assert.True(m.Nt.HalGetAdapter(Description(0), m.Block(4)).IsNull);
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.Routines.Call(m.Nt.Memory.Read<Va>(table + 8), 0x1234));
        Assert.Equal(BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, stop.Code);

        Va Description(byte master)
        {
            Va description = m.Block(0x40);
            m.Nt.Memory.Write(description + 4, master);
            return description;
        }
    }
}
