using System.Text.RegularExpressions;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Ringdown.Verifier;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>What the verifier finds of DMA, with Driver Verifier's codes of DRIVER_VERIFIER_DMA_VIOLATION.</summary>
public sealed partial class DmaRuleTests
{
    const int Put = 8, AllocateCommon = 0x10, FreeCommon = 0x18, AllocateChannel = 0x20, Flush = 0x28,
        FreeChannel = 0x30, FreeRegisters = 0x38, GetList = 0x58, PutList = 0x60;
    const uint Master = 1, Scatters = 0x101;

    [GeneratedRegex(@"\(Driver Verifier: 0xE6/0x([0-9A-F]+)\)\.?$")] private static partial Regex CodePattern();

    // The code of each finding, or its text if it has none.
    static string[] Found(TestMachine m)
    {
        Assert.All(m.Findings, f => Assert.Equal("Dma", f.Rule));
        return [.. m.Findings.Select(f => CodePattern().Match(f.Message) is { Success: true } code
            ? code.Groups[1].Value : f.Message)];
    }

    /// <summary>A master of 24 bits: its device works with copies.</summary>
    static AdapterDriver Load(TestMachine m, uint flags = Master)
    {
        var driver = new AdapterDriver();
        m.Load(driver);
        Assert.True(driver.Open((4, flags), (0x20, 0x4000)));
        return driver;
    }

    static (Mdl Mdl, Va Buffer) Buffer(TestMachine m, uint bytes, uint pool = 0, bool isBuilt = true)
    {
        Va buffer = m.Nt.ExAllocatePoolWithTag(pool, bytes, 1);
        m.Nt.Memory.Fill(buffer, bytes, 0x5A);
        Mdl mdl = m.Nt.IoAllocateMdl(buffer, bytes, false, false, Irp.At(m.Nt.Memory, Va.Null));
        if (isBuilt) m.Nt.MmBuildMdlForNonPagedPool(mdl);
        return (mdl, buffer);
    }

    static Va Channel(AdapterDriver driver, uint registers = 2)
    {
        Assert.Equal(STATUS_SUCCESS,
            driver.Status(AllocateChannel, driver.Device.Value, registers, driver.Executes.Value, 0));
        return driver.Given[^1];
    }

    static (Va Buffer, ulong Address) Common(TestMachine m, AdapterDriver driver, uint bytes)
    {
        Va address = m.Block(8), made = new(driver.Operate(AllocateCommon, bytes, address.Value, 1));
        Assert.False(made.IsNull);
        return (made, m.Nt.Memory.Read<ulong>(address));
    }

    static void FlushBuffer(AdapterDriver driver, Mdl mdl, Va registers, Va current, uint length, bool toDevice) =>
        driver.Operate(Flush, mdl.Address.Value, registers.Value, current.Value, length, toDevice ? 1u : 0);

    [Fact]
    public void A_transfer_as_it_should_be_is_clean()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        (Mdl mdl, Va buffer) = Buffer(m, 0x1800);
        (Va common, ulong address) = Common(m, driver, 100);
        Va registers = Channel(driver, 3);
        driver.MapTransfer(mdl, registers, buffer, 0x1000, toDevice: true);
        driver.MapTransfer(mdl, registers, buffer + 0x1000, 0x800, toDevice: true);
        FlushBuffer(driver, mdl, registers, buffer, 0x1800, toDevice: true);
        driver.Operate(FreeChannel);
        driver.Action = 3;
        registers = Channel(driver, 3);
        driver.MapTransfer(mdl, registers, buffer, 0x1800, toDevice: false);
        FlushBuffer(driver, mdl, registers, buffer, 0x1800, toDevice: false);
        driver.Operate(FreeRegisters, registers.Value, 3);
        driver.Operate(FreeCommon, 100, address, common.Value, 1);
        driver.Operate(Put);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void What_an_adapter_has_given_is_given_back_before_it_is_put()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        (Mdl mdl, Va buffer) = Buffer(m, 100);
        Common(m, driver, 100);
        Channel(driver);
        driver.Status(AllocateChannel, driver.Device.Value, 2, driver.Executes.Value, 0);
        driver.Status(GetList, driver.Device.Value, mdl.Address.Value, buffer.Value, 100, driver.Executes.Value, 0, 1);
        driver.Operate(Put);
        Assert.Equal(["B", "7", "8", "9"], Found(m)[..4]);
        Assert.Equal("The adapter is put while 2 request(s) wait for its channel or map registers: their routines are "
            + "never called.", Found(m)[^1]);
        using var other = new TestMachine();
        driver = Load(other, Scatters);
        (mdl, buffer) = Buffer(other, 100);
        driver.Status(GetList, driver.Device.Value, mdl.Address.Value, buffer.Value, 100, driver.Executes.Value, 0, 1);
        driver.Operate(Put);
        Assert.Equal(["A"], Found(other));
    }

    [Theory, InlineData(Put, 0x18), InlineData(AllocateCommon, 0x18)]
    public void An_adapter_that_was_put_is_used_by_nobody(int routine, ulong code)
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        ulong table = DmaAdapterObject.At(m.Nt.Memory, driver.Adapter).DmaOperations.Value;
        driver.Operate(Put);
        Va called = m.Nt.Memory.Read<Va>(new Va(table) + routine);
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.Routines.Call(called, driver.Adapter.Value, 100, 0, 0));
        Assert.Equal((BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, code), (stop.Code, stop.Parameters[0]));
        stop = Assert.Throws<BugCheck>(() => m.Nt.Routines.Call(called, 0));
        Assert.Equal(0x19UL, stop.Parameters[0]);
    }

    [Fact]
    public void A_list_is_put_once()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m, Scatters);
        (Mdl mdl, Va buffer) = Buffer(m, 100);
        driver.Status(GetList, driver.Device.Value, mdl.Address.Value, buffer.Value, 100, driver.Executes.Value, 0, 1);
        driver.Operate(PutList, driver.Given[0].Value, 0);
        Assert.Equal(["PutScatterGatherList is told the other direction than the transfer had."], Found(m));
        BugCheck stop = Assert.Throws<BugCheck>(() => driver.Operate(PutList, driver.Given[0].Value, 1));
        Assert.Equal((BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, 6UL), (stop.Code, stop.Parameters[0]));
    }

    [Fact]
    public void A_common_buffer_is_freed_once_as_it_was_made()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        (Va first, ulong address) = Common(m, driver, 0x1800);
        driver.Operate(FreeCommon, 0x1000, address, first.Value, 1);
        Assert.StartsWith("FreeCommonBuffer is told 1000 bytes at", Assert.Single(Found(m)));
        BugCheck stop = Assert.Throws<BugCheck>(() => driver.Operate(FreeCommon, 0x1800, address, first.Value, 1));
        Assert.Equal((BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, 3UL), (stop.Code, stop.Parameters[0]));
        Assert.Equal("3", Found(m)[1]);
    }

    [Theory, InlineData(-1, "before its begin"), InlineData(0x2000, "behind its last page"),
        InlineData(0x1800, "behind its end")]
    public void What_a_device_writes_beside_a_common_buffer_is_seen_when_it_is_freed(int offset, string where)
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        (Va buffer, ulong address) = Common(m, driver, 0x1800);
        Assert.True(m.Nt.Memory.TryWritePhysical(address + (ulong)offset, [1]));
        driver.Operate(FreeCommon, 0x1800, address, buffer.Value, 1);
        Assert.Equal(["F"], Found(m));
        Assert.Contains(where, m.Findings[0].Message);
    }

    [Fact]
    public void A_vector_is_freed_before_its_adapter_is_put_and_its_buffers_are_looked_at()
    {
        const int vector = 0x118, elementAt = 0x120, freeVector = 0x130;
        using var m = new TestMachine();
        var driver = new AdapterDriver();
        m.Load(driver);
        Assert.True(driver.Open((0, 3), (4, Master), (0x28, 32)));
        (Va result, Va at, Va address) = (m.Block(8), m.Block(8), m.Block(8));
        ulong Make()
        {
            Assert.Equal(STATUS_SUCCESS, driver.Status(vector, 0, 0xFFFF_FFFF, 1, 0, 0, 2, 0x1800, result.Value));
            return m.Nt.Memory.Read<ulong>(result);
        }
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES,
            driver.Status(vector, 0, 0xFFFF_FFFF, 1, 0, 0, 2, ulong.MaxValue - 0xFFF, result.Value));
        ulong first = Make();
        driver.Operate(freeVector, first);
        ulong second = Make();
        driver.Operate(elementAt, second, 1, at.Value, address.Value);
        m.Nt.Memory.TryWritePhysical(m.Nt.Memory.Read<ulong>(address) + 0x1800, [1]);
        driver.Operate(freeVector, second);
        Make();
        driver.Operate(Put);
        Assert.Equal(["F", "7"], Found(m));
    }

    [Theory, InlineData(-1), InlineData(0x2000)]
    public void The_processor_does_not_get_beyond_a_common_buffers_pages(int offset)
    {
        using var m = new TestMachine();
        (Va buffer, _) = Common(m, Load(m), 0x1800);
        Assert.Throws<PageFault>(() => m.Nt.Memory.Write(buffer + offset, (byte)1));
    }

    [Fact]
    public void Channels_and_map_registers_are_freed_as_they_were_given()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        driver.Operate(FreeChannel);
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES,
            driver.Status(AllocateChannel, driver.Device.Value, 6, driver.Executes.Value, 0));
        driver.Action = 3;
        Va registers = Channel(driver);
        driver.Operate(FreeRegisters, registers.Value, 3);
        driver.Operate(FreeRegisters, registers.Value, 2);
        Assert.Equal(["4", "15", "5", "5"], Found(m));
        Assert.Contains("3 map registers are freed, and 2 were given", m.Findings[2].Message);
    }

    [Theory, InlineData(1, "D"), InlineData(3, "10")]
    public void What_was_mapped_is_flushed_before_its_map_registers_are_freed(uint action, string code)
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        driver.Action = action;
        (Mdl mdl, Va buffer) = Buffer(m, 100);
        Va registers = Channel(driver);
        driver.MapTransfer(mdl, registers, buffer, 100, toDevice: true);
        if (action == 1) driver.Operate(FreeChannel);
        else driver.Operate(FreeRegisters, registers.Value, 2);
        Assert.Equal([code], Found(m));
    }

    [Fact]
    public void What_is_flushed_was_mapped_in_the_same_direction_and_not_more()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        (Mdl mdl, Va buffer) = Buffer(m, 0x1000);
        Va registers = Channel(driver);
        FlushBuffer(driver, mdl, registers, buffer, 0x1000, toDevice: true);
        driver.MapTransfer(mdl, registers, buffer, 100, toDevice: true);
        FlushBuffer(driver, mdl, registers, buffer, 101, toDevice: true);
        driver.MapTransfer(mdl, registers, buffer, 100, toDevice: true);
        FlushBuffer(driver, mdl, registers, buffer, 100, toDevice: false);
        Assert.Equal(["16", "0", "FlushAdapterBuffers is told the other direction than the transfer had."], Found(m));
    }

    [Fact]
    public void What_is_mapped_is_in_the_MDL_and_was_not_mapped()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        (Mdl mdl, Va buffer) = Buffer(m, 0x1000);
        Va registers = Channel(driver);
        driver.MapTransfer(mdl, registers, buffer, 0, toDevice: true);
        driver.MapTransfer(mdl, registers, buffer + 0x1000, 16, toDevice: true);
        driver.MapTransfer(mdl, registers, buffer + 0xF00, 0x101, toDevice: true);
        driver.MapTransfer(mdl, registers, buffer + 0xE00, 0x101, toDevice: true);
        Assert.Equal(["21", "1B", "24", "1D"], Found(m));
    }

    [Fact]
    public void What_is_mapped_is_locked_for_what_the_device_does()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m, Scatters);
        (Mdl loose, Va buffer) = Buffer(m, 100, pool: 1, isBuilt: false);
        NtStatus Get(Mdl mdl, ulong toDevice) => driver.Status(GetList, driver.Device.Value, mdl.Address.Value,
            buffer.Value, 100, driver.Executes.Value, 0, toDevice);
        Get(loose, 1);
        Assert.Equal(["E"], Found(m));
        m.Nt.MmProbeAndLockPages(loose, 0, 0);
        driver.Operate(PutList, driver.Given[0].Value, 1);
        Get(loose, 1);
        driver.Operate(PutList, driver.Given[1].Value, 1);
        Assert.Single(m.Findings);
        Get(loose, 0);
        Assert.EndsWith("is locked for reading, and the device is to write to it.", Found(m)[1]);
        m.Nt.MmUnlockPages(loose);
    }

    [Theory, InlineData(true), InlineData(false)]
    public void Memory_that_is_mapped_is_the_devices_until_it_is_flushed(bool toDevice)
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        (Mdl mdl, Va buffer) = Buffer(m, 100);
        Va registers = Channel(driver);
        (ulong address, _) = driver.MapTransfer(mdl, registers, buffer, 100, toDevice);
        // What the device does is its right.
        m.Nt.Memory.TryWritePhysical(address, [1]);
        FlushBuffer(driver, mdl, registers, buffer, 100, toDevice);
        Assert.Empty(m.Findings);
        driver.MapTransfer(mdl, registers, buffer, 100, toDevice);
        m.Nt.Memory.Write(buffer + 7, (byte)9);
        FlushBuffer(driver, mdl, registers, buffer, 100, toDevice);
        Assert.Contains("was written while it was mapped", Assert.Single(Found(m)));
    }

    [Fact]
    public void Each_routine_has_its_IRQL()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        driver.IsCareless = true;
        driver.Action = 2;
        Channel(driver);
        Irql old = m.Nt.KeRaiseIrqlToDpcLevel();
        driver.Operate(Put);
        m.Nt.KeLowerIrql(old);
        Assert.Equal(["13", "13"], Found(m));
        Assert.Contains("AllocateAdapterChannel is called at IRQL PASSIVE_LEVEL; DISPATCH_LEVEL is right",
            m.Findings[0].Message);
        Assert.Contains("PutDmaAdapter is called at IRQL DISPATCH_LEVEL; at most PASSIVE_LEVEL is right",
            m.Findings[1].Message);
    }

    [Fact]
    public void Adapters_are_got_by_a_description_that_there_is_and_not_by_HalGetAdapter()
    {
        using var m = new TestMachine();
        AdapterDriver driver = Load(m);
        driver.Operate(Put);
        Assert.False(driver.Open((0, 4), (4, Master)));
        Va description = m.Block(0x40);
        m.Nt.Memory.Write(description + 4, Master);
        Assert.False(m.Nt.HalGetAdapter(description, m.Block(4)).IsNull);
        Assert.Equal(["25", "1E"], Found(m));
        Assert.Equal(Severity.Warning, m.Findings[1].Severity);
    }

    [Theory, InlineData(true), InlineData(false)]
    public void An_adapter_is_put_when_its_device_is_removed_and_its_driver_unloaded(bool isPut)
    {
        using var m = new TestMachine();
        var driver = new AdapterDriver();
        Driver loaded = m.Nt.Loader.Load(driver.Name, driver);
        driver.Told = minor =>
        {
            Va physical = m.Nt.Memory.Read<Va>(driver.Devices[^1].DeviceExtension + 8);
            if (minor == IRP_MN_START_DEVICE) driver.OpenFor(DeviceObject.At(m.Nt.Memory, physical), (4, Master));
            if (isPut && minor == IRP_MN_REMOVE_DEVICE) driver.Operate(Put);
        };
        DeviceNode node = m.Nt.User.Devices.AddRootDevice(@"Root\Dma", driver.Name);
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Devices.Uninstall(node));
        Assert.Equal(isPut ? [] : ["The device is removed, and its DMA adapter is not put."], Found(m));
        Assert.True(m.Unload(loaded));
        Assert.Equal(!isPut, m.Findings.Any(f => f.Rule == "Leftover"
            && f.Message.StartsWith("Not given back: a DMA adapter, got by")));
    }
}
