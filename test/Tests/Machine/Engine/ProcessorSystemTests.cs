using Iced.Intel;
using Ringdown.Machine;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Ringdown.Tests;

public sealed unsafe class ProcessorSystemTests
{
    sealed class Ports : IPortSpace
    {
        public List<string> Log { get; } = [];

        public uint Read(ushort port, int size)
        {
            Log.Add($"in {port:x} {size}");
            return 0x8765_4321;
        }

        public void Write(ushort port, int size, uint value) => Log.Add($"out {port:x} {size} {value:x}");
    }

    [Fact]
    public void IN_and_OUT_reach_the_ports()
    {
        var ports = new Ports();
        using var guest = new GuestCode(a =>
        {
            a.@in(al, 0x60);
            a.mov(dx, 0x3F8);
            a.@out(dx, ax);
            a.mov(ecx, 2);
            a.rep.insb();
            a.hlt();
        }, ports: ports);
        (guest.Cpu.Rax, guest.Cpu.Rdi) = (0xFFFF, GuestCode.Data.Value);
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(["in 60 1", "out 3f8 2 ff21", "in 3f8 1", "in 3f8 1"], ports.Log);
        Assert.Equal(0x2121, guest.Memory.Read<ushort>(GuestCode.Data));
    }

    [Fact]
    public void Without_ports_everything_reads_as_ones()
    {
        using var guest = new GuestCode(a =>
        {
            a.@in(eax, dx);
            a.hlt();
        });
        guest.Cpu.Run();
        Assert.Equal(uint.MaxValue, guest.Cpu.Rax);
    }

    [Fact]
    public void The_time_stamp_counts_instructions_the_same_whether_stepped_or_run()
    {
        Action<Assembler> program = a =>
        {
            a.nop();
            a.nop();
            a.rdtsc();
            a.mov(ecx, eax);
            a.rdtsc();
            a.hlt();
        };
        using var run = new GuestCode(program);
        using var step = new GuestCode(program);
        run.Cpu.Run();
        while (step.Cpu.Step().Kind == StopKind.Budget) { }
        Assert.Equal((3UL, 5UL), (run.Cpu.Rcx, run.Cpu.Rax));
        Assert.Equal((3UL, 5UL), (step.Cpu.Rcx, step.Cpu.Rax));
    }

    [Fact]
    public void MSRs_that_are_known_hold_their_value_and_GS_is_one_of_them()
    {
        using var guest = new GuestCode(a =>
        {
            a.mov(ecx, 0xC0000101);
            a.mov(eax, 0x1234);
            a.mov(edx, 0xFFFFF800);
            a.wrmsr();
            a.swapgs();
            a.mov(ecx, 0xC0000102);
            a.rdmsr();
            a.hlt();
        });
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal((0x1234UL, 0xFFFF_F800UL), (guest.Cpu.Rax, guest.Cpu.Rdx));
        Assert.Equal((0UL, 0xFFFF_F800_0000_1234), (guest.Cpu.State->GsBase, guest.Cpu.State->KernelGsBase));
    }

    [Fact]
    public void CPUID_names_the_vendor_and_offers_nothing_that_does_not_exist()
    {
        using var guest = new GuestCode(a =>
        {
            a.cpuid();
            a.hlt();
        });
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal((0x756E_6547UL, 0x4965_6E69UL, 0x6C65_746EUL), (guest.Cpu.Rbx, guest.Cpu.Rdx, guest.Cpu.Rcx));
        (guest.Cpu.Rip, guest.Cpu.Rax, guest.Cpu.Rcx) = (GuestCode.Code.Value, 1, 0);
        guest.Cpu.Run();
        // No VMX and x2APIC; SSE4.2 and AVX.
        Assert.Equal(0x1010_0000UL, guest.Cpu.Rcx & 0x1030_0020);
    }

    [Fact]
    public void IRETQ_goes_back_to_what_was_interrupted()
    {
        using var guest = new GuestCode(a =>
        {
            Label back = a.CreateLabel();
            a.mov(rax, rsp);
            a.lea(rcx, __[back]);
            a.push(0x18);
            a.push(rax);
            a.push(0x246);
            a.push(0x10);
            a.push(rcx);
            a.xor(ecx, ecx);
            a.iretq();
            a.int3();
            a.Label(ref back);
            a.hlt();
        });
        guest.Cpu.Rflags = 2;
        Assert.Equal(StopKind.Poll, guest.Cpu.Run().Kind);
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal((GuestCode.StackTop, 0x246UL), (guest.Cpu.Rsp, guest.Cpu.Rflags));
    }

    [Fact]
    public void Descriptor_table_registers_are_stored_and_loaded()
    {
        using var guest = new GuestCode(a =>
        {
            a.lidt(__[rbx]);
            a.sidt(__[rbx + 16]);
            a.str(ax);
            a.mov(ecx, ss);
            a.hlt();
        });
        guest.Cpu.Rbx = GuestCode.Data.Value;
        guest.Memory.Write(GuestCode.Data, (ushort)0xFFF);
        guest.Memory.Write(GuestCode.Data + 2, 0xFFFF_F800_1234_5000);
        Assert.Equal(StopKind.Halt, guest.Cpu.Run().Kind);
        Assert.Equal(guest.Memory.ReadBytes(GuestCode.Data, 10), guest.Memory.ReadBytes(GuestCode.Data + 16, 10));
        Assert.Equal((0x40UL, 0x18UL), (guest.Cpu.Rax, guest.Cpu.Rcx));
    }

    [Fact]
    public void Random_numbers_come_from_the_seed()
    {
        ulong Draw(ulong seed)
        {
            using var guest = new GuestCode(a =>
            {
                a.rdrand(rax);
                a.rdseed(rbx);
                a.hlt();
            });
            guest.Cpu.State->RandomState = seed;
            guest.Cpu.Run();
            Assert.NotEqual(guest.Cpu.Rax, guest.Cpu.Rbx);
            Assert.Equal(1UL, guest.Cpu.Rflags & 1);
            return guest.Cpu.Rax;
        }
        Assert.Equal(Draw(1), Draw(1));
        Assert.NotEqual(Draw(1), Draw(2));
    }
}
