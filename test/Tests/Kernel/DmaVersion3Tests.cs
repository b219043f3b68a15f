using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Adapters of version 3: transfers by offset, calls that never wait, vectors of buffers.</summary>
public sealed class DmaVersion3Tests
{
    const int AllocateChannel = 0x20, GetList = 0x58, PutList = 0x60, Info = 0x80, TransferInfo = 0x88,
        InitContext = 0x90, CommonEx = 0x98, ChannelEx = 0xA0, Configure = 0xA8, CancelChannel = 0xB0, MapEx
        = 0xB8, GetListEx = 0xC0, BuildListEx = 0xC8, FlushEx = 0xD0, FreeObject = 0xD8, CancelMapped =
        0xE0, DomainBuffer = 0xE8, FlushBuffer = 0xF0, Join = 0xF8, Leave = 0x100, Domain = 0x108,
        CommonBounds = 0x110, Vector = 0x118, ElementAt = 0x120, FreeElement = 0x128, FreeVector = 0x130,
        FromMdl = 0x138;

    static AdapterDriver Load(TestMachine m, bool scatters = true, uint bits = 64, uint longest = 0x8000)
    {
        var driver = new AdapterDriver();
        m.Load(driver);
        Assert.True(driver.Open((0, 3), (4, scatters ? 0x101u : 1), (0x20, longest), (0x28, bits)));
        return driver;
    }

    static (Mdl Mdl, Va Buffer) Buffer(TestMachine m, uint bytes)
    {
        Va buffer = m.Nt.ExAllocatePoolWithTag(0, bytes, 1);
        m.Nt.Memory.Write(buffer, [.. Enumerable.Range(0, (int)bytes).Select(i => (byte)(i * 7))]);
        Mdl mdl = m.Nt.IoAllocateMdl(buffer, bytes, false, false, Irp.At(m.Nt.Memory, Va.Null));
        m.Nt.MmBuildMdlForNonPagedPool(mdl);
        return (mdl, buffer);
    }

    static byte[] Listed(TestMachine m, Va list)
    {
        var all = new List<byte>();
        for (int i = 0; i < m.Nt.Memory.Read<int>(list); i++)
        {
            byte[] piece = new byte[m.Nt.Memory.Read<int>(list + 24 + i * 24)];
            Assert.True(m.Nt.Memory.TryReadPhysical(m.Nt.Memory.Read<ulong>(list + 16 + i * 24), piece));
            all.AddRange(piece);
        }
        return [.. all];
    }

    static Va Context(TestMachine m, AdapterDriver driver)
    {
        Va context = m.Block(128);
        Assert.Equal(STATUS_SUCCESS, driver.Status(InitContext, context.Value));
        return context;
    }

    [Fact]
    public void It_tells_of_itself_and_of_a_transfer()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m, bits: 36);
        var shown = DmaAdapterObject.At(m.Nt.Memory, driver.Adapter);
        Assert.Equal((3, 0x140), (shown.Version, m.Nt.Memory.Read<int>(shown.DmaOperations)));
        Va info = m.Block(24);
        Assert.Equal(STATUS_NOT_SUPPORTED, driver.Status(Info, info.Value));
        m.Nt.Memory.Write(info, 1);
        Assert.Equal(STATUS_SUCCESS, driver.Status(Info, info.Value));
        Assert.Equal([0, uint.MaxValue, 36, 1, 1],
            Enumerable.Range(1, 5).Select(i => m.Nt.Memory.Read<uint>(info + i * 4)));
        (Mdl mdl, _) = Buffer(m, 10_000);
        m.Nt.Memory.Write(info, 2);
        Assert.Equal(STATUS_SUCCESS, driver.Status(TransferInfo, mdl.Address.Value, 100, 9_900, 1, info.Value));
        int pages = m.Nt.Memory.Read<int>(info + 4);
        Assert.InRange(pages, 3, 4);
        Assert.Equal([pages, 16 + 24 * pages, pages],
            Enumerable.Range(2, 3).Select(i => m.Nt.Memory.Read<int>(info + i * 4)));
        Assert.Equal(STATUS_INVALID_PARAMETER,
            driver.Status(TransferInfo, mdl.Address.Value, 101, 9_900, 1, info.Value));
        Assert.Equal(0x80, m.Nt.Memory.Read<int>(
            DmaAdapterObject.At(m.Nt.Memory, Old(driver)).DmaOperations));

        static Va Old(AdapterDriver driver) => driver.Open((4, 0x101)) ? driver.Adapter : Va.Null;
    }

    [Fact]
    public void A_synchronous_channel_is_there_at_once_or_not_at_all_and_waiting_can_be_canceled()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m, scatters: false, bits: 24);
        (Va first, Va second, Va result) = (Context(m, driver), Context(m, driver), m.Block(8));
        Assert.Equal(STATUS_INVALID_PARAMETER,
            driver.Status(ChannelEx, driver.Device.Value, m.Block(128).Value, 2, 1, 0, 0, result.Value));
        Assert.Equal(STATUS_INVALID_PARAMETER,
            driver.Status(ChannelEx, driver.Device.Value, first.Value, 2, 0, 0, 0, result.Value));
        Assert.Equal(STATUS_SUCCESS,
            driver.Status(ChannelEx, driver.Device.Value, first.Value, 2, 1, 0, 0, result.Value));
        Va registers = m.Nt.Memory.Read<Va>(result);
        Assert.False(registers.IsNull);
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES, driver.Status(
            ChannelEx, driver.Device.Value, second.Value, 2, 1, driver.Executes.Value, 0, result.Value));
        Assert.Equal(STATUS_SUCCESS, driver.Status(
            ChannelEx, driver.Device.Value, second.Value, 2, 0, driver.Executes.Value, 0, 0));
        Assert.Equal(1UL, driver.Operate(CancelChannel, driver.Device.Value, second.Value));
        Assert.Equal(0UL, driver.Operate(CancelChannel, driver.Device.Value, second.Value));
        driver.Operate(FreeObject, 3);
        Assert.Empty(driver.Given);
        Assert.Equal(STATUS_SUCCESS, driver.Status(
            ChannelEx, driver.Device.Value, second.Value, 2, 1, driver.Executes.Value, 0, result.Value));
        Assert.Equal([m.Nt.Memory.Read<Va>(result)], driver.Given);
        driver.Operate(FreeObject, 2);
        driver.Operate(0x38, registers.Value, 2);
        // All nine are free again.
        Assert.Equal(STATUS_SUCCESS,
            driver.Status(ChannelEx, driver.Device.Value, first.Value, 9, 1, 0, 0, result.Value));
    }

    [Fact]
    public void MapTransferEx_fills_a_list_by_offset_and_FlushAdapterBuffersEx_copies_back()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m, scatters: false, bits: 24);
        (Mdl mdl, Va buffer) = Buffer(m, 9_000);
        (Va context, Va result, Va length, Va list) = (Context(m, driver), m.Block(8), m.Block(4), m.Block(64));
        driver.Status(ChannelEx, driver.Device.Value, context.Value, 4, 1, 0, 0, result.Value);
        ulong registers = m.Nt.Memory.Read<ulong>(result);
        NtStatus Map(ulong offset, ulong to, uint room, ulong completion = 0)
        {
            m.Nt.Memory.Write(length, 8_000);
            return driver.Status(
                MapEx, mdl.Address.Value, registers, offset, 0, length.Value, 1, to, room, completion, 0);
        }
        Assert.Equal(STATUS_INVALID_PARAMETER, Map(1_001, list.Value, 64));
        Assert.Equal(STATUS_INVALID_PARAMETER, Map(0, 0, 0));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, Map(0, list.Value, 39));
        Assert.Equal(STATUS_NOT_SUPPORTED, Map(0, list.Value, 64, driver.Executes.Value));
        Assert.Equal(STATUS_SUCCESS, Map(1_000, list.Value, 64));
        Assert.Equal((8_000, 1), (m.Nt.Memory.Read<int>(length), m.Nt.Memory.Read<int>(list)));
        Assert.Equal(m.Nt.Memory.ReadBytes(buffer + 1_000, 8_000), Listed(m, list));
        m.Nt.Memory.TryWritePhysical(m.Nt.Memory.Read<ulong>(list + 16), [1, 2, 3]);
        Assert.Equal(STATUS_INVALID_PARAMETER,
            driver.Status(FlushEx, mdl.Address.Value, registers, 1_001, 8_000, 0));
        Assert.Equal(STATUS_SUCCESS, driver.Status(FlushEx, mdl.Address.Value, registers, 1_000, 8_000, 0));
        Assert.Equal([1, 2, 3], m.Nt.Memory.ReadBytes(buffer + 1_000, 3));
        Assert.Equal(STATUS_NOT_SUPPORTED, driver.Status(CancelMapped, context.Value));
    }

    [Fact]
    public void Lists_come_at_once_to_who_has_no_routine()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m, longest: 0x2000, bits: 24);
        (Mdl mdl, Va buffer) = Buffer(m, 8_192);
        (Va context, Va result, Va mine) = (Context(m, driver), m.Block(8), m.Block(64));
        NtStatus Get() => driver.Status(GetListEx, driver.Device.Value, context.Value, mdl.Address.Value, 0, 8_192,
            1, 0, 0, 1, 0, 0, result.Value);
        NtStatus Build(uint room) => driver.Status(BuildListEx, driver.Device.Value, context.Value,
            mdl.Address.Value, 4_096, 100, 1, 0, 0, 1, mine.Value, room, 0, 0, result.Value);
        Assert.Equal(STATUS_SUCCESS, Get());
        Va list = m.Nt.Memory.Read<Va>(result);
        Assert.Equal(m.Nt.Memory.ReadBytes(buffer, 8_192), Listed(m, list));
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES, Get());
        driver.Operate(PutList, list.Value, 1);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, Build(39));
        Assert.Equal(STATUS_SUCCESS, Build(64));
        Assert.Equal(mine, m.Nt.Memory.Read<Va>(result));
        Assert.Equal(m.Nt.Memory.ReadBytes(buffer + 4_096, 100), Listed(m, mine));
        driver.Operate(PutList, mine.Value, 1);
    }

    [Fact]
    public void Common_buffers_keep_to_bounds_and_vectors_have_each_element_once()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m, bits: 32);
        (Va low, Va high, Va address, Va result) = (m.Block(8), m.Block(8), m.Block(8), m.Block(8));
        m.Nt.Memory.Write(low, 0x80_0000UL);
        m.Nt.Memory.Write(high, 0xFF_FFFFUL);
        Va made = new(driver.Operate(CommonBounds, low.Value, high.Value, 0x3000, 0, 0, 0, address.Value));
        Assert.InRange(m.Nt.Memory.Read<ulong>(address), 0x80_0000UL, 0xFF_CFFFUL);
        Assert.Equal(0UL, driver.Operate(CommonBounds, low.Value, high.Value, 0x3000, 1, 0, 0, address.Value));
        Va other = new(driver.Operate(CommonEx, high.Value, 0x1000, address.Value, 1, 0));
        Assert.True(m.Nt.Memory.Read<ulong>(address) <= 0xFF_F000);
        foreach (Va buffer in (Va[])[made, other]) driver.Operate(0x18, 0, 0, buffer.Value, 1);

        Assert.Equal(STATUS_SUCCESS, driver.Status(Vector, 0, 0xFF_FFFF, 1, 0, 0, 3, 0x1800, result.Value));
        ulong vector = m.Nt.Memory.Read<ulong>(result);
        Assert.Equal(STATUS_SUCCESS, driver.Status(ElementAt, vector, 2, low.Value, address.Value));
        m.Nt.Memory.TryWritePhysical(m.Nt.Memory.Read<ulong>(address) + 0x17FF, [42]);
        Assert.Equal(42, m.Nt.Memory.Read<byte>(m.Nt.Memory.Read<Va>(low) + 0x17FF));
        Assert.Equal(STATUS_INVALID_PARAMETER, driver.Status(ElementAt, vector, 3, low.Value, address.Value));
        driver.Operate(FreeElement, vector, 2);
        Assert.Equal(STATUS_INVALID_PARAMETER, driver.Status(ElementAt, vector, 2, low.Value, address.Value));
        driver.Operate(FreeVector, vector);
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES,
            driver.Status(Vector, 0, 0xFF_FFFF, 1, 0, 0, 3, 0x80_0000, result.Value));
        Assert.Equal(0UL, m.Nt.Memory.Read<ulong>(result));
    }

    [Fact]
    public void What_needs_a_controller_of_its_own_is_refused()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        foreach (int routine in (int[])[Configure, FromMdl])
            Assert.Equal(STATUS_NOT_SUPPORTED, driver.Status(routine, 0, 0, 0, 0, 0, 0, 0, 0));
        Assert.Equal(STATUS_SUCCESS, driver.Status(FlushBuffer, Buffer(m, 100).Mdl.Address.Value, 1));
    }

    [Fact]
    public void Adapters_of_a_domain_share_buffers_that_all_of_them_reach()
    {
        using var m = new TestMachine();
        AdapterDriver wide = Load(m), narrow = Load(m, bits: 24);
        (Va address, Va result) = (m.Block(8), m.Block(8));
        NtStatus Buffer(AdapterDriver who, ulong domain) => who.Status(
            DomainBuffer, domain, 0, 0x2000, 0, 0, 0, address.Value, result.Value);
        ulong own = narrow.Operate(Domain), shared = wide.Operate(Domain);
        Assert.NotEqual(own, shared);
        Assert.Equal(shared, wide.Operate(Domain));
        Assert.Equal(STATUS_INVALID_PARAMETER, Buffer(narrow, shared));
        Assert.Equal(STATUS_INVALID_PARAMETER, narrow.Status(Join, 0x1234));
        Assert.Equal(STATUS_SUCCESS, narrow.Status(Join, shared));
        Assert.Equal(shared, narrow.Operate(Domain));
        Assert.Equal(STATUS_INVALID_PARAMETER, narrow.Status(Join, own));
        Assert.Equal(STATUS_SUCCESS, Buffer(wide, shared));
        Assert.True(m.Nt.Memory.Read<ulong>(address) + 0x2000 <= 1 << 24);
        Va made = m.Nt.Memory.Read<Va>(result);
        m.Nt.Memory.TryWritePhysical(m.Nt.Memory.Read<ulong>(address) + 0x1FFF, [42]);
        Assert.Equal(42, m.Nt.Memory.Read<byte>(made + 0x1FFF));
        // Who has something there stays; the other one may go, and comes back only to what it reaches.
        Assert.Equal(STATUS_INVALID_DEVICE_STATE, wide.Status(Leave));
        Assert.Equal(STATUS_SUCCESS, narrow.Status(Leave));
        Assert.Equal(STATUS_SUCCESS, Buffer(wide, shared));
        Va second = m.Nt.Memory.Read<Va>(result);
        bool isHigh = m.Nt.Memory.Read<ulong>(address) + 0x2000 > 1 << 24;
        Assert.Equal(isHigh ? STATUS_UNSUCCESSFUL : STATUS_SUCCESS, narrow.Status(Join, shared));
        wide.Operate(0x18, 0x2000, m.Nt.MmGetPhysicalAddress(made), made.Value, 1);
        wide.Operate(0x18, 0x2000, m.Nt.MmGetPhysicalAddress(second), second.Value, 1);
        Assert.Equal(STATUS_SUCCESS, narrow.Status(Join, shared));
        // The domain lives as long as somebody is in it.
        wide.Operate(8);
        Assert.Equal(shared, narrow.Operate(Domain));
        narrow.Operate(8);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Who_waits_for_map_registers_gets_them_when_anybody_gives_memory_back()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m, scatters: false, bits: 24), other = Load(m, scatters: false, bits: 24);
        var taken = new List<Va>();
        Assert.Equal(STATUS_SUCCESS, driver.Status(
            AllocateChannel, driver.Device.Value, 1, driver.Executes.Value, 0));
        for (int size = 0x20_0000; size >= 0x1000; size /= 2)
            while (m.Nt.MmAllocateContiguousMemory((ulong)size, 0xFF_FFFF) is { IsNull: false } block) taken.Add(block);
        other.Status(AllocateChannel, other.Device.Value, 4, other.Executes.Value, 0);
        // It wants more in one piece than the only one who has map registers gives back: it waits on, as on NT.
        driver.Operate(FreeObject, 2);
        m.Nt.User.RunUntilIdle();
        Assert.Empty(other.Given);
        m.Nt.MmFreeContiguousMemory(taken[0]);
        m.Nt.User.RunUntilIdle();
        Assert.Single(other.Given);
        other.Operate(FreeObject, 2);
        other.Operate(8);
        driver.Operate(8);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Map_registers_that_nobody_can_give_are_refused_and_those_of_others_are_waited_for()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m, scatters: false, bits: 24, longest: 0x10_0000);
        // All 15 MiB that 24 bits reach.
        var taken = new List<Va>();
        for (int size = 0x20_0000; size >= 0x1000; size /= 2)
            while (m.Nt.MmAllocateContiguousMemory((ulong)size, 0xFF_FFFF) is { IsNull: false } block) taken.Add(block);
        NtStatus Get(AdapterDriver who) =>
            who.Status(AllocateChannel, who.Device.Value, 1, who.Executes.Value, 0);
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES, Get(driver));
        Assert.Empty(driver.Given);
        m.Nt.MmFreeContiguousMemory(taken[^1]);
        Assert.Equal(STATUS_SUCCESS, Get(driver));
        while (!m.Nt.MmAllocateContiguousMemory(0x1000, 0xFF_FFFF).IsNull) continue;
        AdapterDriver second = Load(m, scatters: false, bits: 24);
        Assert.Equal(STATUS_SUCCESS, Get(second));
        Assert.Empty(second.Given);
        driver.Operate(FreeObject, 2);
        Assert.Single(second.Given);
    }

    [Fact]
    public void Who_has_a_vector_of_buffers_stays_in_its_domain_and_nobody_comes_who_does_not_reach_it()
    {
        using var m = new TestMachine();
        AdapterDriver wide = Load(m), other = Load(m), narrow = Load(m, bits: 24);
        Va result = m.Block(8);
        ulong domain = wide.Operate(Domain);
        Assert.Equal(STATUS_SUCCESS, wide.Status(Vector, 0x100_0000, ulong.MaxValue, 1, 0, 0, 2, 0x1000, result.Value));
        Assert.Equal(STATUS_INVALID_DEVICE_STATE, wide.Status(Leave));
        Assert.Equal(STATUS_INVALID_DEVICE_STATE, wide.Status(Join, other.Operate(Domain)));
        Assert.Equal(STATUS_UNSUCCESSFUL, narrow.Status(Join, domain));
        wide.Operate(FreeVector, m.Nt.Memory.Read<ulong>(result));
        Assert.Equal(STATUS_SUCCESS, narrow.Status(Join, domain));
        Assert.Equal(STATUS_SUCCESS, wide.Status(Leave));
    }

    [Fact]
    public void What_one_adapter_shares_with_a_device_stays_when_another_one_of_it_is_put()
    {
        using var m = new TestMachine(new KernelOptions
        {
            Board = computer => Board.Parse("""
                { "iommu": true, "devices": [ { "chip": "edu", "pci": { "slot": 3, "id": "1234:11E8" } } ] }
                """).Attach(computer),
        });
        m.Nt.User.Devices.Start();
        DeviceObject device = m.Nt.User.Devices.Find(@"PCI\VEN_1234&DEV_11E8")!.PhysicalDevice;
        PciFunction chip = m.Nt.Computer.Pci.Known[0];
        chip.Write(PciFunction.CommandOffset, 2, PciFunction.MasterEnable);
        AdapterDriver one = new(), two = new();
        foreach (AdapterDriver driver in (AdapterDriver[])[one, two])
        {
            m.Load(driver);
            Assert.True(driver.OpenFor(device, (0, 3), (4, 0x101), (0x20, 0x8000), (0x28, 64)));
        }
        Va address = m.Block(8);
        ulong buffer = two.Operate(0x10, 0x1000, address.Value, 1);
        ulong physical = m.Nt.Memory.Read<ulong>(address);
        Assert.True(chip.TryWritePhysical(physical, [1]));
        Assert.NotEqual(0ul, one.Operate(Domain));
        Assert.Equal(STATUS_INVALID_DEVICE_STATE, one.Status(Leave));
        one.Operate(8);
        Assert.True(chip.TryWritePhysical(physical, [2]));
        two.Operate(0x18, 0x1000, physical, buffer, 1);
        Assert.False(chip.TryWritePhysical(physical, [3]));
    }
}
