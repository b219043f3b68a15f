using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>The HAL's ways to ports and registers.</summary>
public sealed class HalPortTests
{
    const ulong Registers = 0xFEC0_0000;

    /// <summary>Eight bytes that keep what is written, at ports from 0x300 on and in memory.</summary>
    static TestMachine Boot() => new(new KernelOptions
    {
        Board = computer =>
        {
            ulong value = 0;
            RegisterBlock block = new RegisterBlock().Add("VALUE", 0, 8, () => value, v => value = v);
            computer.Ports.Devices.Add(0x300, 8, block);
            computer.Registers.Devices.Add(Registers, 8, block);
        },
    });

    [Fact]
    public void A_port_is_read_and_written_in_each_width_and_takes_a_microsecond()
    {
        using TestMachine m = Boot();
        long begin = m.Nt.Ke.Clock.Now;
        m.Nt.WRITE_PORT_ULONG(new Va(0x300), 0x1122_3344);
        m.Nt.WRITE_PORT_USHORT(new Va(0x300), 0x5566);
        m.Nt.WRITE_PORT_UCHAR(new Va(0x303), 0x77);
        Assert.Equal(0x7722_5566u, m.Nt.READ_PORT_ULONG(new Va(0x300)));
        Assert.Equal(0x7722, m.Nt.READ_PORT_USHORT(new Va(0x302)));
        Assert.Equal(0x66, m.Nt.READ_PORT_UCHAR(new Va(0x300)));
        Assert.Equal(60, m.Nt.Ke.Clock.Now - begin);
        Assert.Equal(0xFF, m.Nt.READ_PORT_UCHAR(new Va(0x400)));
    }

    [Fact]
    public void A_buffer_goes_through_one_port()
    {
        using TestMachine m = Boot();
        Va bytes = m.Bytes(1, 2, 3, 4, 5, 6, 7, 8), read = m.Block(8), port = new(0x300);
        m.Nt.WRITE_PORT_BUFFER_UCHAR(port, bytes, 8);
        m.Nt.READ_PORT_BUFFER_UCHAR(port, read, 3);
        Assert.Equal([8, 8, 8], m.Nt.Memory.ReadBytes(read, 3));
        m.Nt.WRITE_PORT_BUFFER_USHORT(port, bytes, 4);
        m.Nt.READ_PORT_BUFFER_USHORT(port, read, 2);
        Assert.Equal(0x0807_0807u, m.U32(read));
        m.Nt.WRITE_PORT_BUFFER_ULONG(port, bytes, 2);
        m.Nt.READ_PORT_BUFFER_ULONG(port, read, 2);
        Assert.Equal(0x0807_0605_0807_0605u, m.U64(read));
    }

    [Fact]
    public void A_buffer_that_is_too_short_is_the_callers_page_fault()
    {
        using TestMachine m = Boot();
        PageFault fault = Assert.Throws<PageFault>(
            () => m.Nt.READ_PORT_BUFFER_ULONG(new Va(0x300), m.Block(8), uint.MaxValue));
        Assert.Equal(Access.Write, fault.Access);
    }

    [Fact]
    public void A_register_is_read_and_written_in_each_width_and_with_a_buffer_both_advance()
    {
        using TestMachine m = Boot();
        Va at = m.Nt.MmMapIoSpace(Registers, 8, 0), bytes = m.Bytes(1, 2, 3, 4, 5, 6, 7, 8), read = m.Block(8);
        m.Nt.WRITE_REGISTER_ULONG64(at, 0x1122_3344_5566_7788);
        m.Nt.WRITE_REGISTER_ULONG(at, 0x99AA_BBCC);
        m.Nt.WRITE_REGISTER_USHORT(at, 0xDDEE);
        m.Nt.WRITE_REGISTER_UCHAR(at, 0xFF);
        Assert.Equal(0x1122_3344_99AA_DDFFu, m.Nt.READ_REGISTER_ULONG64(at));
        Assert.Equal(0x1122_3344u, m.Nt.READ_REGISTER_ULONG(at + 4));
        Assert.Equal(0x99AA, m.Nt.READ_REGISTER_USHORT(at + 2));
        Assert.Equal(0xFF, m.Nt.READ_REGISTER_UCHAR(at));
        m.Nt.WRITE_REGISTER_BUFFER_UCHAR(at, bytes, 8);
        m.Nt.READ_REGISTER_BUFFER_UCHAR(at, read, 8);
        Assert.Equal(0x0807_0605_0403_0201u, m.U64(read));
        m.Nt.WRITE_REGISTER_BUFFER_USHORT(at, bytes + 2, 3);
        m.Nt.READ_REGISTER_BUFFER_USHORT(at, read, 4);
        Assert.Equal(0x0807_0807_0605_0403u, m.U64(read));
        m.Nt.WRITE_REGISTER_BUFFER_ULONG(at, bytes, 2);
        m.Nt.READ_REGISTER_BUFFER_ULONG(at + 4, read, 1);
        Assert.Equal(0x0807_0605u, m.U32(read));
        m.Nt.WRITE_REGISTER_BUFFER_ULONG64(at, read, 1);
        m.Nt.READ_REGISTER_BUFFER_ULONG64(at, bytes, 1);
        Assert.Equal(m.U64(read), m.U64(bytes));
    }
}
