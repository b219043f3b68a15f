using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

public sealed class MemoryTests
{
    static readonly Va s_page = new(0xFFFF_9000_0000_0000);

    static FaultCause FaultOf(Action access) => Assert.Throws<PageFault>(access).Cause;

    [Fact]
    public void Permissions_hold_for_each_kind_of_access()
    {
        using var memory = new Memory();
        memory.Map(s_page, 0x1000, Protection.Read);
        Assert.Equal(0, memory.Read<int>(s_page));
        Assert.Equal(FaultCause.Protection, FaultOf(() => memory.Write(s_page, 1)));
        Assert.False(memory.CanAccess(s_page, 4, Access.Execute));
        memory.Protect(s_page, 0x1000, Protection.ReadWrite);
        memory.Write(s_page, 42);
        memory.Protect(s_page, 0x1000, Protection.Read);
        Assert.Equal(42, memory.Read<int>(s_page));
        Assert.Equal(FaultCause.Protection, FaultOf(() => memory.Write(s_page, 1)));
    }

    [Fact]
    public void What_is_not_there_faults_with_its_reason()
    {
        using var memory = new Memory();
        memory.Map(s_page, 0x1000, Protection.ReadWrite | Protection.Guard);
        Assert.Equal(FaultCause.Guard, FaultOf(() => memory.Read<int>(s_page)));
        Assert.Equal(FaultCause.NotPresent, FaultOf(() => memory.Read<int>(s_page + 0x1000)));
        Assert.Equal(FaultCause.NonCanonical, FaultOf(() => memory.Read<int>(new Va(0x8000_0000_0000_0000))));
        Assert.False(memory.TryPeek(s_page, new byte[4]));
    }

    [Fact]
    public void An_access_may_cross_into_the_next_page_and_faults_at_its_start_if_that_is_not_there()
    {
        using var memory = new Memory();
        memory.Map(s_page, 0x2000, Protection.ReadWrite);
        memory.Write(s_page + 0xFFD, 0x1122_3344_5566_7788UL);
        Assert.Equal(0x1122_3344_5566_7788UL, memory.Read<ulong>(s_page + 0xFFD));
        Assert.Equal(0x66, memory.Read<byte>(s_page + 0xFFF));
        Assert.Equal(0x55, memory.Read<byte>(s_page + 0x1000));
        memory.Unmap(s_page + 0x1000, 0x1000);
        Assert.Equal(s_page + 0x1000, Assert.Throws<PageFault>(() => memory.Read<ulong>(s_page + 0xFFD)).Address);
    }

    [Fact]
    public void A_range_that_wraps_around_the_address_space_cannot_be_accessed()
    {
        using var memory = new Memory();
        Va last = new(0xFFFF_FFFF_FFFF_F000);
        memory.Map(last, 0x1000, Protection.ReadWrite);
        Assert.True(memory.CanAccess(last, 0x1000, Access.Write));
        Assert.False(memory.CanAccess(last, 0x1001, Access.Write));
        memory.Unmap(Va.Null, 0);
        Assert.True(memory.CanAccess(Va.Null, 0, Access.Read));
    }

    sealed class Registers : IMmioDevice
    {
        public List<string> Seen { get; } = [];

        public ulong Read(ulong offset, int size)
        {
            Seen.Add($"read {offset:x} {size}");
            return 0x1111_2222_3333_4444;
        }

        public void Write(ulong offset, int size, ulong value) => Seen.Add($"write {offset:x} {size} {value:x}");
    }

    [Fact]
    public void A_devices_registers_are_called_with_their_offset_and_size()
    {
        using var memory = new Memory();
        var device = new Registers();
        memory.MapDevice(s_page, 0x2000, device, firstOffset: 0x100);
        Assert.Equal(0x3333_4444U, memory.Read<uint>(s_page + 0x10));
        memory.Write<ushort>(s_page + 0x1002, 0xBEEF);
        Assert.Equal(["read 110 4", "write 1102 2 beef"], device.Seen);
        Assert.False(memory.TryPeek(s_page, new byte[1]));
    }

    [Fact]
    public void Two_mappings_of_a_frame_show_the_same_memory()
    {
        using var memory = new Memory();
        memory.Map(s_page, 0x1000, Protection.ReadWrite);
        memory.MapFrame(s_page + 0x5000, memory.FrameOf(s_page), Protection.Read);
        memory.Write(s_page + 8, 7);
        Assert.Equal(7, memory.Read<int>(s_page + 0x5008));
        memory.Unmap(s_page, 0x1000);
        Assert.Equal(7, memory.Read<int>(s_page + 0x5008));
    }

    [Fact]
    public void Restore_undoes_writes_maps_protections_and_frames()
    {
        using var memory = new Memory();
        Va other = s_page + 0x1000, made = s_page + 0x2000;
        memory.Map(s_page, 0x2000, Protection.ReadWrite);
        memory.Write(s_page, 1);
        memory.Write(other, 2);
        int frames = memory.Physical.InUse;
        MemorySnapshot snapshot = memory.Snapshot();
        for (int i = 0; i < 3; i++)
        {
            memory.Write(s_page, 99);
            memory.Unmap(other, 0x1000);
            memory.Map(made, 0x1000, Protection.ReadWrite);
            memory.Write(made, 3);
            memory.Protect(s_page, 0x1000, Protection.Read);
            memory.Restore(snapshot);
            Assert.Equal((1, 2), (memory.Read<int>(s_page), memory.Read<int>(other)));
            Assert.False(memory.IsMapped(made));
            Assert.Equal(Protection.ReadWrite, memory.ProtectionOf(s_page));
            Assert.Equal(frames, memory.Physical.InUse);
        }
    }

    [Fact]
    public void Snapshots_nest_and_restoring_the_outer_one_drops_the_inner()
    {
        using var memory = new Memory();
        memory.Map(s_page, 0x1000, Protection.ReadWrite);
        memory.Write(s_page, 1);
        MemorySnapshot outer = memory.Snapshot();
        memory.Write(s_page, 2);
        MemorySnapshot inner = memory.Snapshot();
        memory.Write(s_page, 3);
        memory.Restore(inner);
        Assert.Equal(2, memory.Read<int>(s_page));
        memory.Write(s_page, 4);
        memory.Restore(outer);
        Assert.Equal(1, memory.Read<int>(s_page));
        Assert.ThrowsAny<Exception>(() => memory.Restore(inner));
    }

    [Fact]
    public void A_machine_may_be_disposed_of_twice()
    {
        var computer = new Computer(1, new CodeCache());
        computer.Memory.Map(s_page, 0x1000, Protection.ReadWrite);
        computer.Memory.Write(s_page, 1);
        computer.Dispose();
        computer.Dispose();
        computer.Memory.Dispose();
    }
}
