using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Configuration spaces through the HAL.</summary>
public sealed class HalPciTests
{
    const uint PciConfiguration = 4;

    static readonly Config s_config = Config.QuickThrowOnFailure.WithMaxTest(100).WithReplay(20260303, 5);

    static TestMachine Boot() => new(new KernelOptions
    {
        Processors = 2,
        Board = computer => Board.Parse("""
            { "devices": [ { "chip": "edu", "pci": { "slot": 3, "id": "1234:5678", "msi": 1 } } ] }
            """).Attach(computer),
    });

    [Fact]
    public void Bus_data_is_configuration_space_at_any_offset_and_length()
    {
        using TestMachine m = Boot();
        Va buffer = m.Block(0x2000);
        PciFunction function = m.Nt.Computer.Pci.Functions.Single();
        Prop.ForAll(ArbMap.Default.ArbFor<(ushort Offset, ushort Length, byte Value)>(), c =>
        {
            (uint offset, uint length) = (c.Offset % 0x1100u, c.Length % 0x1100u);
            uint expected = Math.Min(length, offset < 0x1000 ? 0x1000 - offset : 0);
            m.Nt.Memory.Fill(buffer, 0x1100, c.Value);
            Assert.Equal(expected, m.Nt.HalSetBusDataByOffset(PciConfiguration, 0, 3, buffer, offset, length));
            m.Nt.Memory.Fill(buffer, 0x1100, 0x77);
            Assert.Equal(expected, m.Nt.HalGetBusDataByOffset(PciConfiguration, 0, 3, buffer, offset, length));
            for (uint i = 0; i < 0x1100; i++)
                Assert.Equal(i < expected ? (byte)function.Read((int)(offset + i), 1) : 0x77, m.Read<byte>(buffer + i));
        }).Check(s_config);
        Assert.Equal(64u, m.Nt.HalSetBusData(PciConfiguration, 0, 3, buffer, 64));
        Assert.Equal(4u, m.Nt.HalGetBusData(PciConfiguration, 0, 3, buffer, 4));
        Assert.Equal(0x5678_1234u, m.U32(buffer));
        Assert.Equal((2u, 0u), (m.Nt.HalGetBusData(PciConfiguration, 0, 4, buffer, 4),
            m.Nt.HalGetBusData(PciConfiguration, 1, 3, buffer, 4)));
    }

    [Fact]
    public void A_driver_of_old_gets_the_resources_of_a_slot()
    {
        using TestMachine m = Boot();
        Va made = m.Block(8), irql = m.Block(8), affinity = m.Block(8), space = m.Block(8), address = m.Block(8);
        DriverObject driver = m.Driver();
        DeviceObject none = DeviceObject.At(m.Nt.Memory, Va.Null);
        PciFunction function = m.Nt.Computer.Pci.Functions.Single();
        m.Nt.Computer.Pci.Remove(function);
        m.Nt.Computer.Pci.Plug(function);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.HalAssignSlotResources(m.Text(""), m.Text(""), driver, none, Wdm.PCIBus, 0, 3, made));
        var list = CmResourceList.At(m.Nt.Memory, m.Read<Va>(made));
        Assert.Equal((1u, 2u), (list.Count, list.DescriptorCount));
        CmPartialResourceDescriptor memory = list.Descriptor(0), line = list.Descriptor(1);
        Assert.Equal((function.Bars[0].Address, 0x1000u, ResourceType.Interrupt, 19u),
            (memory.Start, memory.Length, line.Type, line.Vector));
        Assert.True(m.Nt.HalTranslateBusAddress(Wdm.PCIBus, 0, memory.Start, space, address));
        Va registers = m.Nt.MmMapIoSpace(m.U64(address), 0x1000, 0);
        Assert.Equal(EduDevice.Identification, m.Nt.READ_REGISTER_ULONG(registers));
        uint vector = m.Nt.HalGetInterruptVector(Wdm.PCIBus, 0, line.Level, line.Vector, irql, affinity);
        Assert.Equal(((byte)(vector >> 4), 3ul), (m.Read<byte>(irql), m.U64(affinity)));
        m.Nt.ExFreePoolWithTag(list.Address, 0);
        Assert.False(m.Nt.HalTranslateBusAddress(Wdm.PCIBus, 1, 0, space, address));
    }
}
