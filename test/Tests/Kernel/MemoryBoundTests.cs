using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Whatever a driver does, the machine never holds more than its 2 GiB and a little.</summary>
public sealed class MemoryBoundTests
{
    const ulong Pages = 256;

    [Fact]
    public void Locked_frames_of_freed_memory_still_count()
    {
        using var m = new TestMachine();
        ulong before = m.Nt.Mm.AvailablePages;
        for (ulong i = 1; i <= 4; i++)
        {
            Va block = m.Nt.Mm.Pool.Allocate(Pages << 12, PoolKind.NonPaged, 0x74736574, Va.Null, zero: true);
            for (ulong page = 0; page < Pages; page++) m.Nt.Memory.Retain(m.Nt.Memory.FrameOf(block + (page << 12)));
            m.Nt.Mm.Pool.Free(block);
            Assert.InRange(before - m.Nt.Mm.AvailablePages, i * Pages, i * Pages + 16);
        }
    }

    [Fact]
    public void What_the_system_must_have_and_has_not_stops_the_machine()
    {
        using var m = new TestMachine();
        while (m.Nt.Mm.AvailablePages is > 0 and var left) m.Nt.Mm.Commit(left);
        Assert.Equal(Va.Null, m.Nt.Mm.Pool.Allocate(16, PoolKind.NonPaged, 0x74736574, Va.Null, zero: true));
        BugCheck stop = Assert.Throws<BugCheck>(() =>
        {
            for (int i = 0; i < 10_000; i++) m.Nt.Mm.NewStack(Mm.StackBytes);
        });
        Assert.Equal(BugCheckCode.MUST_SUCCEED_POOL_EMPTY, stop.Code);
    }
}
