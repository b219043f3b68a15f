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
        Stop stop = guest.Cpu.Run();
        Assert.Null(stop.Detail);
        Assert.Equal(StopKind.Halt, stop.Kind);
        Assert.Equal(55UL, guest.Cpu.Rax);
        Assert.Equal(1_000_000 - 33, guest.Cpu.State->Budget);
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
        Assert.Equal(GuestCode.Stack.Value + 0x3000, guest.Cpu.Rsp);
    }
}
