using Iced.Intel;
using Ringdown.Machine;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Ringdown.Tests;

public sealed unsafe class ProcessorMemoryTests
{
    sealed class Registers : IMmioDevice
    {
        public List<string> Log { get; } = [];
        public ulong Value { get; set; } = 0x1122_3344_5566_7788;
        public Action? OnWrite { get; set; }

        public ulong Read(ulong offset, int size)
        {
            Log.Add($"read {offset:x} {size}");
            return Value;
        }

        public void Write(ulong offset, int size, ulong value)
        {
            Log.Add($"write {offset:x} {size} {value:x}");
            OnWrite?.Invoke();
        }
    }

    static readonly Va s_device = new(0xFFFF_9000_1000_0000);

    static GuestCode WithDevice(Registers device, Action<Assembler> code)
    {
        var guest = new GuestCode(code);
        guest.Memory.MapDevice(s_device, 0x1000, device);
        guest.Cpu.Rbx = s_device.Value;
        return guest;
    }

    [Fact]
    public void A_device_sees_each_access_once_with_its_size()
    {
        var device = new Registers();
        using GuestCode guest = WithDevice(device, a =>
        {
            a.mov(eax, __dword_ptr[rbx + 4]);
            a.mov(__byte_ptr[rbx + 9], 0x42);
            a.or(__word_ptr[rbx + 2], 1);
            a.push(__qword_ptr[rbx]);
            a.hlt();
        });
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(["read 4 4", "write 9 1 42", "read 2 2", "write 2 2 7789", "read 0 8"], device.Log);
        Assert.Equal(0x5566_7788UL, guest.Cpu.Rax);
        Assert.Equal(GuestCode.Budget - 5, guest.Cpu.State->Budget);
    }

    [Fact]
    public void String_instructions_reach_a_device_element_by_element()
    {
        var device = new Registers();
        using GuestCode guest = WithDevice(device, a =>
        {
            a.mov(ecx, 3);
            a.rep.movsd();
            a.hlt();
        });
        guest.Memory.Write(GuestCode.Data, 0x2_0000_0001UL);
        guest.Memory.Write(GuestCode.Data + 8, 3u);
        (guest.Cpu.Rsi, guest.Cpu.Rdi) = (GuestCode.Data.Value, s_device.Value);
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(["write 0 4 1", "write 4 4 2", "write 8 4 3"], device.Log);
        Assert.Equal((0UL, s_device.Value + 12), (guest.Cpu.Rcx, guest.Cpu.Rdi));
    }

    [Fact]
    public void A_device_that_unmaps_the_running_code_stops_it_at_the_next_instruction()
    {
        var device = new Registers();
        using GuestCode guest = WithDevice(device, a =>
        {
            a.mov(__dword_ptr[rbx], eax);
            a.inc(ecx);
            a.hlt();
        });
        device.OnWrite = () => guest.Memory.Unmap(GuestCode.Code, 0x1000);
        Stop stop = guest.Cpu.Run();
        Assert.Equal((14, GuestCode.Code + 2), (stop.Vector, stop.FaultAddress));
        Assert.Equal(0UL, guest.Cpu.Rcx);
        Assert.Equal(GuestCode.Budget - 1, guest.Cpu.State->Budget);
    }

    [Fact]
    public void An_access_over_a_page_boundary_is_whole()
    {
        using var guest = new GuestCode(a =>
        {
            a.mov(__[rdi], rax);
            a.add(__qword_ptr[rdi], 1);
            a.mov(rbx, __[rdi]);
            a.hlt();
        });
        (guest.Cpu.Rdi, guest.Cpu.Rax) = (GuestCode.Data.Value + 0xFFD, 0x0102_0304_0506_07FF);
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(0x0102_0304_0506_0800UL, guest.Cpu.Rbx);
        Assert.Equal(guest.Cpu.Rbx, guest.Memory.Read<ulong>(GuestCode.Data + 0xFFD));
    }

    [Fact]
    public void An_access_over_the_end_of_the_mapping_changes_nothing_and_names_the_second_page()
    {
        using var guest = new GuestCode(a => a.mov(__[rdi], rax));
        (guest.Cpu.Rdi, guest.Cpu.Rax) = (GuestCode.Data.Value + 0x3FFD, ulong.MaxValue);
        Stop stop = guest.Cpu.Run();
        Assert.Equal((14, GuestCode.Data + 0x4000), (stop.Vector, stop.FaultAddress));
        Assert.Equal(0, guest.Memory.Read<byte>(GuestCode.Data + 0x3FFF));
    }

    [Fact]
    public void A_repeated_move_that_faults_has_counted_what_it_moved()
    {
        using var guest = new GuestCode(a => a.rep.movsb());
        (guest.Cpu.Rcx, guest.Cpu.Rsi, guest.Cpu.Rdi) = (0x3000, GuestCode.Data.Value, GuestCode.Data.Value + 0x2000);
        Stop stop = guest.Cpu.Run();
        Assert.Equal((14, GuestCode.Data + 0x4000), (stop.Vector, stop.FaultAddress));
        Assert.Equal((0x1000UL, GuestCode.Data.Value + 0x2000, GuestCode.Data.Value + 0x4000),
            (guest.Cpu.Rcx, guest.Cpu.Rsi, guest.Cpu.Rdi));
        Assert.Equal(GuestCode.Code.Value, guest.Cpu.Rip);
    }

    [Theory]
    [InlineData(false, 1), InlineData(false, 3), InlineData(false, -1)]
    [InlineData(true, -1), InlineData(true, -3), InlineData(true, 2)]
    public void An_overlapping_repeated_move_copies_one_byte_after_the_other(bool down, int distance)
    {
        using var guest = new GuestCode(a => a.rep.movsb());
        byte[] expected = new byte[0x3000];
        new Chance(1).Fill(expected);
        guest.Memory.Write(GuestCode.Data, expected);
        int from = 0x1100, to = from + distance, step = down ? -1 : 1;
        const int Count = 0x1000;
        (guest.Cpu.Rcx, guest.Cpu.Rsi, guest.Cpu.Rdi) =
            (Count, GuestCode.Data.Value + (ulong)from, GuestCode.Data.Value + (ulong)to);
        if (down) guest.Cpu.Rflags |= 0x400;
        for (int i = 0; i < Count; i++) expected[to + i * step] = expected[from + i * step];
        Assert.Equal(StopKind.Budget, guest.Cpu.Step().Kind);
        Assert.Equal(expected, guest.Memory.ReadBytes(GuestCode.Data, expected.Length));
    }

    [Fact]
    public void A_segment_base_is_added_to_FS_and_GS_addresses()
    {
        using var guest = new GuestCode(a =>
        {
            a.mov(rax, __qword_ptr.gs[0x188]);
            a.mov(rcx, __qword_ptr.gs[rdx + rsi * 8 + 8]);
            a.hlt();
        });
        guest.Cpu.State->GsBase = GuestCode.Data.Value;
        (guest.Cpu.Rdx, guest.Cpu.Rsi) = (0x100, 0x10);
        guest.Memory.Write(GuestCode.Data + 0x188, 0x1111UL);
        guest.Memory.Write(GuestCode.Data + 0x108 + 0x80, 0x2222UL);
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal((0x2222UL, 0x2222UL), (guest.Cpu.Rcx, guest.Memory.Read<ulong>(GuestCode.Data + 0x188)));
    }
}
