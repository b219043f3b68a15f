using Ringdown.Machine;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Ringdown.Tests;

public sealed unsafe class ProcessorFaultTests
{
    [Fact]
    public void A_page_fault_leaves_registers_as_they_were_and_gives_back_the_rest_of_the_budget()
    {
        using var guest = new GuestCode(a =>
        {
            a.mov(eax, 1);
            a.mov(rbx, 0x1234_5000L);
            a.add(__qword_ptr[rbx + 8], rax);
            a.mov(eax, 2);
            a.hlt();
        });
        Stop stop = guest.Cpu.Run();
        Assert.Equal(new Stop(StopKind.Exception, 14, 2, new Va(0x1234_5008), FaultCause.NotPresent, null), stop);
        Assert.Equal(GuestCode.Code.Value + 15, guest.Cpu.Rip);
        Assert.Equal(1UL, guest.Cpu.Rax);
        Assert.Equal(GuestCode.Budget - 2, guest.Cpu.State->Budget);
        Assert.Equal(0x1234_5008UL, guest.Cpu.State->Cr2);

        // Once the page is there the same instruction goes on.
        guest.Memory.Map(new Va(0x1234_5000), 0x1000, Protection.ReadWrite);
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(1UL, guest.Memory.Read<ulong>(new Va(0x1234_5008)));
    }

    [Theory]
    [InlineData(0x1000, FaultCause.Protection, 3u)]
    [InlineData(0x2000, FaultCause.Guard, 2u)]
    [InlineData(0x3000, FaultCause.NotPresent, 2u)]
    public void A_write_that_is_not_permitted_faults_with_its_cause(int offset, FaultCause cause, uint errorCode)
    {
        using var guest = new GuestCode(a =>
        {
            a.mov(__dword_ptr[rbx], 1);
            a.hlt();
        });
        var page = new Va(0xFFFF_9000_0000_0000);
        guest.Memory.Map(page + 0x1000, 0x1000, Protection.Read);
        guest.Memory.Map(page + 0x2000, 0x1000, Protection.ReadWrite | Protection.Guard);
        guest.Cpu.Rbx = (page + offset).Value;
        Stop stop = guest.Cpu.Run();
        Assert.Equal(new Stop(StopKind.Exception, 14, errorCode, page + offset, cause, null), stop);
    }

    [Fact]
    public void With_write_protection_off_a_read_only_page_can_be_written()
    {
        using var guest = new GuestCode(a =>
        {
            a.mov(rax, cr0);
            a.and(rax, -0x10001);
            a.mov(cr0, rax);
            a.add(__dword_ptr[rbx], 5);
            a.hlt();
        });
        var page = new Va(0xFFFF_9000_0000_0000);
        guest.Memory.Map(page, 0x1000, Protection.Read);
        guest.Cpu.Rbx = page.Value;
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(5u, guest.Memory.Read<uint>(page));
    }

    [Fact]
    public void An_address_that_is_not_canonical_is_a_general_protection_fault()
    {
        using var guest = new GuestCode(a => a.mov(rax, __[rbx]));
        guest.Cpu.Rbx = 0x8000_0000_0000;
        Stop stop = guest.Cpu.Run();
        var expected = new Stop(StopKind.Exception, 13, 0, new Va(0x8000_0000_0000), FaultCause.NonCanonical, null);
        Assert.Equal(expected, stop);
    }

    [Theory]
    [InlineData(0xFFFF_A000_0000_0000, 14, 0x10u, FaultCause.NotPresent)]
    [InlineData(0xFFFF_8000_0020_0000, 14, 0x11u, FaultCause.Protection)]
    public void A_jump_to_where_no_code_is_faults_at_the_target(ulong target, int vector, uint code, FaultCause cause)
    {
        using var guest = new GuestCode(a => a.jmp(rax));
        guest.Cpu.Rax = target;
        Stop stop = guest.Cpu.Run();
        Assert.Equal(new Stop(StopKind.Exception, (byte)vector, code, new Va(target), cause, null), stop);
        Assert.Equal(target, guest.Cpu.Rip);
        Assert.Equal(GuestCode.Budget - 1, guest.Cpu.State->Budget);
    }

    [Fact]
    public void A_return_to_an_address_that_is_not_canonical_faults_at_the_RET()
    {
        using var guest = new GuestCode(a =>
        {
            a.push(rax);
            a.ret();
        });
        guest.Cpu.Rax = 0x1234_5678_9ABC_DEF0;
        Stop stop = guest.Cpu.Run();
        Assert.Equal((13, FaultCause.NonCanonical), (stop.Vector, stop.Cause));
        Assert.Equal(GuestCode.Code.Value + 1, guest.Cpu.Rip);
        Assert.Equal(GuestCode.StackTop - 8, guest.Cpu.Rsp);
    }

    [Fact]
    public void User_pages_cannot_be_executed()
    {
        using var guest = new GuestCode(a => a.jmp(rax));
        guest.Memory.Map(new Va(0x40_0000), 0x1000, Protection.All | Protection.User);
        guest.Cpu.Rax = 0x40_0000;
        Assert.Equal((14, 0x11u), (guest.Cpu.Run() is var stop ? stop.Vector : 0, stop.ErrorCode));
    }

    [Theory]
    [InlineData("F7F1", 0)]                 // div ecx by 0
    [InlineData("0F0B", 6)]                 // ud2
    [InlineData("0F20C8", 6)]               // mov rax,cr1
    [InlineData("0F30", 13)]                // wrmsr of an unknown register
    [InlineData("0F32", 13)]
    [InlineData("440F22C0", 13)]            // mov cr8,rax with 16
    public void A_fault_stays_on_its_instruction(string code, byte vector)
    {
        using var guest = new GuestCode();
        guest.Load(GuestCode.Code, Convert.FromHexString(code));
        guest.Cpu.Rax = 16;
        Stop stop = guest.Cpu.Run();
        Assert.Equal(new Stop(StopKind.Exception, vector, 0, default, FaultCause.None, null), stop);
        Assert.Equal(GuestCode.Code.Value, guest.Cpu.Rip);
        Assert.Equal(GuestCode.Budget, guest.Cpu.State->Budget);
    }

    [Theory]
    [InlineData("CC", 3, 1)]
    [InlineData("F1", 1, 1)]
    [InlineData("CD29", 0x29, 2)]
    [InlineData("CD2C", 0x2C, 2)]
    public void A_software_interrupt_stops_behind_its_instruction(string code, byte vector, int length)
    {
        using var guest = new GuestCode();
        guest.Load(GuestCode.Code, Convert.FromHexString(code));
        Stop stop = guest.Cpu.Run();
        Assert.Equal((StopKind.Exception, vector), (stop.Kind, stop.Vector));
        Assert.Equal(GuestCode.Code.Value + (ulong)length, guest.Cpu.Rip);
        Assert.Equal(GuestCode.Budget - 1, guest.Cpu.State->Budget);
    }

    [Fact]
    public void An_instruction_that_is_not_implemented_is_named()
    {
        using var guest = new GuestCode();
        guest.Load(GuestCode.Code, [0x90, 0x0F, 0x05]);
        Stop stop = guest.Cpu.Run();
        Assert.Equal((StopKind.Exception, 6), (stop.Kind, stop.Vector));
        Assert.StartsWith("unsupported instruction: syscall", stop.Detail);
        Assert.Equal(GuestCode.Code.Value + 1, guest.Cpu.Rip);
    }

    [Fact]
    public void Random_bytes_never_throw()
    {
        var chance = new Chance(5);
        byte[] bytes = new byte[0x1000];
        using var cache = new CodeCache();
        for (int round = 0; round < 300; round++)
        {
            using var guest = new GuestCode(cache: cache);
            chance.Fill(bytes);
            guest.Load(GuestCode.Code, bytes);
            for (int i = 0; i < 16; i++) guest.Cpu[i] = GuestCode.Data.Value + (ulong)chance.Next(0x4000);
            for (int k = 0; k < 20; k++)
            {
                guest.Cpu.State->Budget = 1000;
                guest.Cpu.Rip = GuestCode.Code.Value + (ulong)chance.Next(0x1000);
                if (chance.OneIn(2)) guest.Cpu.Run();
                else guest.Cpu.Step();
            }
        }
    }
}
