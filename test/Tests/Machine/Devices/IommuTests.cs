using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

public sealed class IommuTests
{
    const ulong Page = 0x1000, Frame = 0x200_0000;

    static readonly object s_one = new(), s_other = new();

    static (Iommu Iommu, List<string> Refused) New()
    {
        List<string> refused = [];
        var iommu = new Iommu
        {
            IsOn = true,
            Refused = (device, address, isWrite) =>
                refused.Add($"{(device == s_one ? "one" : "other")} {(isWrite ? "writes" : "reads")} {address:X}"),
        };
        return (iommu, refused);
    }

    static bool May(Iommu iommu, object device, ulong address, int length = 4) =>
        iommu.Allows(device, address, length, isWrite: true);

    [Fact]
    public void A_device_reaches_the_pages_that_it_was_granted_and_no_others()
    {
        (Iommu iommu, List<string> refused) = New();
        iommu.Grant(s_one, Frame + 0xFF0, 0x20);
        Assert.True(May(iommu, s_one, Frame));
        Assert.True(May(iommu, s_one, Frame, 0x2000));
        Assert.False(May(iommu, s_one, Frame + 0x1FFE));
        Assert.False(May(iommu, s_other, Frame));
        Assert.False(iommu.Allows(s_one, Frame - 1, 2, isWrite: false));
        Assert.Equal(["one writes 2002000", "other writes 2000000", "one reads 1FFFFFF"], refused);
        Assert.True(May(iommu, s_one, 0, 0));
        iommu.IsOn = false;
        Assert.True(May(iommu, s_other, 0));
    }

    [Fact]
    public void What_was_granted_twice_is_revoked_twice()
    {
        (Iommu iommu, _) = New();
        iommu.Grant(s_one, Frame, Page);
        iommu.Grant(s_one, Frame + 0x10, 4);
        iommu.Revoke(s_one, Frame, Page);
        Assert.True(May(iommu, s_one, Frame));
        iommu.Revoke(s_one, Frame + 0x10, 4);
        Assert.False(May(iommu, s_one, Frame));
        iommu.Revoke(s_one, Frame, Page);
        Assert.Equal(0, iommu.Granted);
    }

    [Fact]
    public void What_is_granted_to_nobody_in_particular_all_reach()
    {
        (Iommu iommu, _) = New();
        iommu.Grant(null, Frame, Page);
        Assert.True(May(iommu, s_one, Frame) && May(iommu, s_other, Frame));
    }

    [Fact]
    public void Devices_of_one_domain_share_what_is_granted_until_one_leaves()
    {
        (Iommu iommu, _) = New();
        iommu.Grant(s_one, Frame, Page);
        iommu.Join(s_other, s_one);
        Assert.True(May(iommu, s_other, Frame));
        iommu.Grant(s_other, Frame + Page, Page);
        Assert.True(May(iommu, s_one, Frame + Page));
        iommu.Leave(s_other);
        Assert.False(May(iommu, s_other, Frame));
    }

    [Fact]
    public void It_is_part_of_a_snapshot()
    {
        using var computer = new Computer(1, new CodeCache()) { Clock = new FakeClock() };
        computer.Iommu.IsOn = true;
        computer.Iommu.Grant(s_one, Frame, Page);
        ComputerSnapshot before = computer.Snapshot();
        computer.Iommu.Revoke(s_one, Frame, Page);
        computer.Iommu.Grant(s_one, Frame + Page, Page);
        computer.Restore(before);
        Assert.True(May(computer.Iommu, s_one, Frame));
        Assert.False(May(computer.Iommu, s_one, Frame + Page));
    }

    [Fact]
    public void A_board_says_whether_there_is_one_and_its_devices_are_kept_from_memory()
    {
        Board board = Board.Parse("""
            { "iommu": true, "devices": [ { "chip": "edu", "registers": "0xFEB00000", "line": 17 },
                { "chip": "edu", "pci": { "slot": 3, "id": "1234:11E8" } } ] }
            """);
        var clock = new FakeClock();
        using var computer = new Computer(1, new CodeCache()) { Clock = clock };
        var chips = board.Attach(computer).Select(c => (EduDevice)c.Chip).ToArray();
        computer.Pci.Known[0].Write(PciFunction.CommandOffset, 2, PciFunction.MemoryEnable | PciFunction.MasterEnable);
        ulong physical = (ulong)computer.Memory.Physical.Allocate() << 12;
        object[] devices = [computer.Firmware.Devices[0], computer.Pci.Known[0]];
        foreach ((EduDevice chip, object device) in chips.Zip(devices))
        {
            // DMA_ADDRESS, DMA_LENGTH, DMA_COMMAND; then DMA_FAULT.
            ulong Fault()
            {
                chip.Registers.Write(0x50, 8, physical);
                chip.Registers.Write(0x5C, 4, 64);
                chip.Registers.Write(0x60, 4, 1);
                clock.Advance(1_000);
                return chip.Registers.Read(0x64, 4);
            }
            Assert.Equal(3ul, Fault());
            computer.Iommu.Grant(device, physical, 64);
            Assert.Equal(0ul, Fault());
            computer.Iommu.Revoke(device, physical, 64);
            Assert.Equal(3ul, Fault());
        }
    }

    [Fact]
    public void A_snapshot_has_the_domains_of_the_devices()
    {
        using var computer = new Computer(1, new CodeCache()) { Clock = new FakeClock() };
        Iommu iommu = computer.Iommu;
        iommu.IsOn = true;
        iommu.Grant(s_one, Frame, Page);
        ComputerSnapshot before = computer.Snapshot();
        iommu.Join(s_other, s_one);
        iommu.Leave(s_one);
        computer.Restore(before);
        Assert.Equal((true, false), (May(iommu, s_one, Frame), May(iommu, s_other, Frame)));
    }

    [Fact]
    public void What_is_no_memory_it_neither_grants_nor_keeps_anybody_from()
    {
        (Iommu iommu, List<string> refused) = New();
        iommu.Grant(s_one, 1UL << 40, 1UL << 24);
        Assert.Equal(0, iommu.Granted);
        Assert.True(May(iommu, s_other, 1UL << 40));
        Assert.Empty(refused);
    }
}
