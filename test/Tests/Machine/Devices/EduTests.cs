using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The device to learn with, alone in a computer without a system.</summary>
public sealed class EduTests
{
    static EduDevice Make(Computer computer, out FakeClock clock, out InterruptLine line)
    {
        clock = new FakeClock();
        computer.Clock = clock;
        line = computer.Interrupts.Line(17);
        return new EduDevice(computer.Memory, clock, line);
    }

    static ulong Get(EduDevice edu, ulong offset, int size = 4) => edu.Registers.Read(offset, size);

    static void Set(EduDevice edu, ulong offset, ulong value, int size = 4) => edu.Registers.Write(offset, size, value);

    [Fact]
    public void It_says_what_it_is_and_inverts_what_it_is_told()
    {
        using var computer = new Computer(1, new CodeCache());
        EduDevice edu = Make(computer, out _, out InterruptLine line);
        Assert.Equal(EduDevice.Identification, Get(edu, 0));
        Set(edu, 4, 0x1234_5678);
        Assert.Equal(0xEDCB_A987, Get(edu, 4));
        Set(edu, 0x14, 0x8000);
        Assert.False(line.IsAsserted);
        Set(edu, 0x10, 0x8000);
        Assert.True(line.IsAsserted);
        Set(edu, 0x18, 0x8000);
        Assert.Equal((false, 0UL), (line.IsAsserted, Get(edu, 0xC)));
    }

    [Fact]
    public void A_short_job_overtakes_a_long_one_and_a_job_too_many_is_refused()
    {
        using var computer = new Computer(1, new CodeCache());
        EduDevice edu = Make(computer, out FakeClock clock, out InterruptLine line);
        Set(edu, 0x10, 1);
        Submit(1, 20);
        Submit(2, 5);
        Assert.Equal(1UL, Get(edu, 8));
        clock.Advance(499);
        Assert.False(line.IsAsserted);
        clock.Advance(1);
        Assert.True(line.IsAsserted);
        Assert.Equal((1UL, 2UL, 120UL), (Get(edu, 0x30), Get(edu, 0x34), Get(edu, 0x38, 8)));
        clock.Advance(2000);
        Set(edu, 0x40, 0);
        Assert.Equal((1UL, 2_432_902_008_176_640_000UL), (Get(edu, 0x34), Get(edu, 0x38, 8)));
        for (uint id = 3; id <= 17; id++) Submit(id, 0);
        Assert.Equal(3UL, Get(edu, 8));
        Submit(18, 0);
        Assert.Equal(0x13UL, Get(edu, 8));
        clock.Advance(1000);
        Assert.Equal(16UL, Get(edu, 0x30));

        void Submit(uint id, uint argument)
        {
            Set(edu, 0x20, argument);
            Set(edu, 0x24, id);
        }
    }

    [Fact]
    public void It_moves_memory_into_its_buffer_and_out_across_frames()
    {
        using var computer = new Computer(1, new CodeCache());
        EduDevice edu = Make(computer, out FakeClock clock, out InterruptLine line);
        ulong at = ((ulong)computer.Memory.Physical.AllocateContiguous(2) << 12) + 0xFF0;
        byte[] bytes = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        Assert.True(computer.Memory.TryWritePhysical(at, bytes));
        Set(edu, 0x10, 6);
        Transfer(at, 0x100, 256, command: 1);
        Assert.Equal(4UL, Get(edu, 8));
        Assert.False(line.IsAsserted);
        clock.Advance(14);
        Assert.Equal((true, 2UL, 0UL), (line.IsAsserted, Get(edu, 0xC), Get(edu, 0x64)));
        Assert.Equal(bytes, edu.Buffer[0x100..0x200]);
        Transfer(at + 0x100, 0x180, 0x40, command: 3);
        clock.Advance(100);
        var back = new byte[0x40];
        Assert.True(computer.Memory.TryReadPhysical(at + 0x100, back));
        Assert.Equal(bytes[0x80..0xC0], back);

        Assert.Equal(1UL, Fault(1UL << 28, 0, 16));
        Assert.Equal(2UL, Fault(at, 0xFF8, 16));
        Assert.Equal(2UL, Fault(at, 0, 0));
        Assert.Equal(3UL, Fault(at + 0x1000, 0, 0x1000));
        Set(edu, 0x68, 64);
        Assert.Equal(1UL, Fault(ulong.MaxValue - 7, 0, 16));
        Assert.Equal(3UL, Fault(0xFFFF_FFFF_FFFF_F000, 0, 16));
        Assert.Equal(12UL, Get(edu, 8) & 12 | 4);
        Assert.Equal(6UL, Get(edu, 0xC));

        ulong Fault(ulong address, uint offset, uint length)
        {
            Transfer(address, offset, length, command: 1);
            clock.Advance(100);
            return Get(edu, 0x64);
        }

        void Transfer(ulong address, uint offset, uint length, uint command)
        {
            Set(edu, 0x50, address, 8);
            Set(edu, 0x58, offset);
            Set(edu, 0x5C, length);
            Set(edu, 0x60, command);
        }
    }

    [Fact]
    public void A_transfer_is_undone_with_the_rest_of_memory()
    {
        using var computer = new Computer(1, new CodeCache());
        ulong at = (ulong)computer.Memory.Physical.Allocate() << 12;
        computer.Memory.TryWritePhysical(at, [1]);
        MemorySnapshot before = computer.Memory.Snapshot();
        computer.Memory.TryWritePhysical(at, [2]);
        computer.Memory.Restore(before);
        var read = new byte[1];
        computer.Memory.TryReadPhysical(at, read);
        Assert.Equal(1, read[0]);
    }
}
