using Iced.Intel;
using Ringdown.Machine;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Ringdown.Tests;

public sealed unsafe class ProcessorCodeTests
{
    [Fact]
    public void Code_that_writes_its_own_next_instruction_runs_the_new_one()
    {
        using var guest = new GuestCode();
        guest.Memory.Protect(GuestCode.Code, 0x1000, Protection.All);
        // mov byte [rip+1], C2; inc ecx, which that makes inc edx; hlt
        guest.Load(GuestCode.Code, [0xC6, 0x05, 0x01, 0, 0, 0, 0xC2, 0xFF, 0xC1, 0xF4]);
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal((0UL, 1UL), (guest.Cpu.Rcx, guest.Cpu.Rdx));
        Assert.Equal(GuestCode.Budget - 3, guest.Cpu.State->Budget);
    }

    [Fact]
    public void A_debugger_that_writes_code_is_noticed()
    {
        using var guest = new GuestCode(a =>
        {
            a.inc(ecx);
            a.hlt();
        });
        guest.Cpu.Run();
        guest.Load(GuestCode.Code, [0xCC]);
        guest.Cpu.Rip = GuestCode.Code.Value;
        Assert.Equal((StopKind.Exception, 3), (guest.Cpu.Run() is var stop ? stop.Kind : default, stop.Vector));
        guest.Load(GuestCode.Code, [0xFF]);
        guest.Cpu.Rip = GuestCode.Code.Value;
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(2UL, guest.Cpu.Rcx);
    }

    [Fact]
    public void Machines_with_the_same_code_decode_it_once()
    {
        using var cache = new CodeCache();
        Action<Assembler> program = a =>
        {
            a.mov(eax, 5);
            a.hlt();
        };
        using var first = new GuestCode(program, cache);
        using var second = new GuestCode(program, cache);
        using var other = new GuestCode(a =>
        {
            a.mov(eax, 6);
            a.hlt();
        }, cache);
        first.Cpu.Run();
        long decoded = cache.BlocksDecoded;
        second.Cpu.Run();
        Assert.Equal(decoded, cache.BlocksDecoded);
        other.Cpu.Run();
        Assert.Equal((5UL, 5UL, 6UL), (first.Cpu.Rax, second.Cpu.Rax, other.Cpu.Rax));
        Assert.Equal(2, cache.Pages);
    }

    [Fact]
    public void An_instruction_in_two_pages_is_executed_and_follows_changes_of_either()
    {
        using var guest = new GuestCode();
        // mov eax, imm32 with one byte in the first page
        guest.Load(GuestCode.Code + 0xFFF, [0xB8, 1, 0, 0, 0, 0xF4]);
        Run(guest);
        Assert.Equal(1UL, guest.Cpu.Rax);
        guest.Load(GuestCode.Code + 0x1000, [2]);
        Run(guest);
        Assert.Equal(2UL, guest.Cpu.Rax);
        guest.Load(GuestCode.Code + 0xFFF, [0xB9]);
        Run(guest);
        Assert.Equal(2UL, guest.Cpu.Rcx);
        guest.Memory.Unmap(GuestCode.Code + 0x1000, 0x1000);
        guest.Cpu.Rip = GuestCode.Code.Value + 0xFFF;
        Stop stop = guest.Cpu.Run();
        Assert.Equal((14, GuestCode.Code + 0x1000), (stop.Vector, stop.FaultAddress));
        Assert.Equal(GuestCode.Code.Value + 0xFFF, guest.Cpu.Rip);

        static void Run(GuestCode guest)
        {
            guest.Cpu.Rip = GuestCode.Code.Value + 0xFFF;
            Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        }
    }

    [Fact]
    public void Straight_code_goes_on_in_the_next_page()
    {
        using var guest = new GuestCode();
        guest.Load(GuestCode.Code + 0xFF0, [.. Enumerable.Repeat((byte)0x90, 32), 0xF4]);
        guest.Cpu.Rip = GuestCode.Code.Value + 0xFF0;
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(GuestCode.Budget - 33, guest.Cpu.State->Budget);
    }

    [Fact]
    public void A_restored_snapshot_brings_back_the_old_code()
    {
        using var guest = new GuestCode(a =>
        {
            a.mov(eax, 1);
            a.hlt();
        });
        var alias = new Va(0xFFFF_A100_0000_0000);
        int pfn = guest.Memory.FrameOf(GuestCode.Code);
        MemorySnapshot snapshot = guest.Memory.Snapshot();
        guest.Load(GuestCode.Code + 1, [2]);
        guest.Memory.MapFrame(alias, pfn, Protection.ReadExecute);
        guest.Cpu.Rip = alias.Value;
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(2UL, guest.Cpu.Rax);
        guest.Memory.Restore(snapshot);
        guest.Cpu.Rip = GuestCode.Code.Value;
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(1UL, guest.Cpu.Rax);
        guest.Cpu.Rip = alias.Value;
        Assert.Equal(14, guest.Cpu.Run().Vector);
    }

    [Fact]
    public void Code_loses_its_right_to_run_with_its_page()
    {
        using var guest = new GuestCode(a =>
        {
            a.mov(eax, 1);
            a.hlt();
        });
        guest.Cpu.Run();
        guest.Memory.Protect(GuestCode.Code, 0x1000, Protection.ReadWrite);
        guest.Cpu.Rip = GuestCode.Code.Value;
        Stop stop = guest.Cpu.Run();
        Assert.Equal((14, 0x11u, FaultCause.Protection), (stop.Vector, stop.ErrorCode, stop.Cause));
    }
}
