using Iced.Intel;
using Ringdown.Machine;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Ringdown.Tests;

public sealed unsafe class ProcessorTests
{
    [Fact]
    public void A_loop_computes_and_stops_at_HLT()
    {
        using var guest = new GuestCode(a =>
        {
            Label loop = a.CreateLabel();
            a.xor(eax, eax);
            a.mov(ecx, 10);
            a.Label(ref loop);
            a.add(eax, ecx);
            a.dec(ecx);
            a.jne(loop);
            a.hlt();
        });
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(55UL, guest.Cpu.Rax);
        Assert.Equal(GuestCode.Budget - 33, guest.Cpu.State->Budget);
        Assert.Equal(33UL, guest.Cpu.State->Retired);
    }

    [Fact]
    public void A_call_pushes_the_address_behind_it_and_RET_goes_there()
    {
        using var guest = new GuestCode(a =>
        {
            Label f = a.CreateLabel();
            a.call(f);
            a.hlt();
            a.Label(ref f);
            a.mov(rax, __[rsp]);
            a.ret();
        });
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(GuestCode.Code.Value + 5, guest.Cpu.Rax);
        Assert.Equal(GuestCode.StackTop, guest.Cpu.Rsp);
    }

    [Fact]
    public void The_budget_stops_in_front_of_the_block_that_it_does_not_cover_and_Step_goes_on()
    {
        using var guest = new GuestCode(a =>
        {
            a.nop();
            a.nop();
            a.nop();
            a.hlt();
        });
        guest.Cpu.State->Budget = 3;
        Assert.Equal(StopKind.Budget, guest.Cpu.Run().Kind);
        Assert.Equal(GuestCode.Code.Value, guest.Cpu.Rip);
        Assert.Equal(3, guest.Cpu.State->Budget);
        for (int i = 1; i <= 3; i++)
        {
            Assert.Equal(StopKind.Budget, guest.Cpu.Step().Kind);
            Assert.Equal(GuestCode.Code.Value + (ulong)i, guest.Cpu.Rip);
            Assert.Equal(3 - i, guest.Cpu.State->Budget);
        }
        Assert.Equal(StopKind.Halt, guest.Cpu.Step().Kind);
    }

    [Fact]
    public void A_jump_to_a_host_page_is_a_host_call_that_costs_nothing()
    {
        using var guest = new GuestCode(a =>
        {
            a.mov(rax, GuestCode.HostPage.Value + 0x123);
            a.call(rax);
            a.mov(ebx, 7);
            a.hlt();
        });
        Stop stop = guest.Cpu.Run();
        Assert.Equal(StopKind.HostCall, stop.Kind);
        Assert.Equal(GuestCode.HostPage.Value + 0x123, guest.Cpu.Rip);
        Assert.Equal(GuestCode.Budget - 2, guest.Cpu.State->Budget);
        Assert.Equal(StopKind.HostCall, guest.Cpu.Run().Kind);
        Assert.Equal(StopKind.HostCall, guest.Cpu.Step().Kind);

        guest.Cpu.Rip = guest.Memory.Read<ulong>(new Va(guest.Cpu.Rsp));
        guest.Cpu.Rsp += 8;
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(7UL, guest.Cpu.Rbx);
    }

    [Fact]
    public void Every_change_of_CR8_polls_behind_the_instruction()
    {
        using var guest = new GuestCode(a =>
        {
            a.mov(eax, 2);
            a.mov(cr8, rax);
            a.xor(eax, eax);
            a.mov(cr8, rax);
            a.mov(rbx, cr8);
            a.hlt();
        });
        foreach ((ulong length, ulong level) in ((ulong, ulong)[])[(9, 2), (15, 0)])
        {
            Assert.Equal(StopKind.Poll, guest.Cpu.Run().Kind);
            Assert.Equal((GuestCode.Code.Value + length, level), (guest.Cpu.Rip, guest.Cpu.Cr8));
        }
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
    }

    [Fact]
    public void STI_and_POPF_poll_when_they_set_IF()
    {
        using var guest = new GuestCode(a =>
        {
            a.pushfq();
            a.cli();
            a.sti();
            a.cli();
            a.popfq();
            a.sti();
            a.hlt();
        });
        Assert.Equal(StopKind.Poll, guest.Cpu.Run().Kind);
        Assert.Equal(GuestCode.Code.Value + 3, guest.Cpu.Rip);
        Assert.Equal(StopKind.Poll, guest.Cpu.Run().Kind);
        Assert.Equal(GuestCode.Code.Value + 5, guest.Cpu.Rip);
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
    }

    [Fact]
    public void The_trap_flag_gives_a_debug_exception_after_one_instruction()
    {
        using var guest = new GuestCode(a =>
        {
            a.pushfq();
            a.or(__qword_ptr[rsp], 0x100);
            a.popfq();
            a.inc(ecx);
            a.inc(ecx);
            a.hlt();
        });
        Stop stop = guest.Cpu.Run();
        while (stop.Kind == StopKind.Poll) stop = guest.Cpu.Run();
        Assert.Equal((StopKind.Exception, 1), (stop.Kind, stop.Vector));
        Assert.Equal(1UL, guest.Cpu.Rcx);
    }

    [Fact]
    public void A_context_brings_back_everything_that_a_thread_owns()
    {
        using var guest = new GuestCode();
        var context = new CpuContext();
        (guest.Cpu.Rax, guest.Cpu.R15, guest.Cpu.Rflags) = (1, 2, 0x246);
        guest.Cpu.State->Vector[511] = 9;
        guest.Cpu.CopyTo(context);
        Assert.Equal(GuestCode.Code.Value, context.Rip);
        guest.Cpu.CopyFrom(new CpuContext());
        Assert.Equal((0UL, 0UL, 0UL, 0), (guest.Cpu.Rax, guest.Cpu.R15, guest.Cpu.Rip, guest.Cpu.State->Vector[511]));
        guest.Cpu.CopyFrom(context);
        Assert.Equal((1UL, 2UL, 0x246UL, 9),
            (guest.Cpu.Rax, guest.Cpu.R15, guest.Cpu.Rflags, guest.Cpu.State->Vector[511]));
    }

    [Fact]
    public void Every_combination_of_flags_survives_the_lazy_form()
    {
        using var guest = new GuestCode();
        const uint Settable = 0x240FD5 | 0x800;
        for (uint bits = 0; bits < 0x1000; bits++)
        {
            guest.Cpu.Rflags = bits;
            Assert.Equal((bits & Settable & 0xFFF & ~0x2Au) | (bits & 0x700) | 2, guest.Cpu.Rflags & 0xFFF);
        }
    }

    [Fact]
    public void A_debugger_that_steps_sees_what_a_run_gives()
    {
        Action<Assembler> program = a =>
        {
            Label loop = a.CreateLabel(), f = a.CreateLabel(), end = a.CreateLabel();
            a.mov(ecx, 50);
            a.mov(rdi, GuestCode.Data.Value);
            a.Label(ref loop);
            a.call(f);
            a.adc(rax, rcx);
            a.rol(rax, 5);
            a.mov(__[rdi + rcx * 8], rax);
            a.dec(ecx);
            a.jne(loop);
            a.jmp(end);
            a.Label(ref f);
            a.push(rax);
            a.imul(rax, __[rsp], 12345);
            a.add(rsp, 8);
            a.ret();
            a.Label(ref end);
            a.hlt();
        };
        using var run = new GuestCode(program);
        using var step = new GuestCode(program);
        Assert.Equal(StopKind.Halt, run.Cpu.Run().Kind);
        while (step.Cpu.Step().Kind == StopKind.Budget) { }
        for (int i = 0; i < 16; i++) Assert.Equal(run.Cpu[i], step.Cpu[i]);
        Assert.Equal(run.Cpu.Rip, step.Cpu.Rip);
        Assert.Equal(run.Cpu.State->Budget, step.Cpu.State->Budget);
        Assert.Equal(run.Cpu.State->Retired, step.Cpu.State->Retired);
        Assert.Equal(run.Memory.ReadBytes(GuestCode.Data, 4096), step.Memory.ReadBytes(GuestCode.Data, 4096));
    }
}
