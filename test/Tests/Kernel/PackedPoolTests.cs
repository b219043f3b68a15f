using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Pool whose small blocks share pages.</summary>
public sealed class PackedPoolTests
{
    static TestMachine Machine() => new(new KernelOptions { SpecialPool = false });

    [Fact]
    public void Blocks_keep_what_is_in_them_whatever_is_allocated_and_freed_beside_them()
    {
        Prop.ForAll(Gen.Choose(0, 1100).ListOf(60).ToArbitrary(), sizes =>
        {
            using TestMachine m = Machine();
            var live = new Dictionary<Va, (byte Value, int Size)>();
            foreach (int size in sizes)
            {
                if (size % 3 == 0 && live.Count > 0)
                {
                    Va gone = live.Keys.ElementAt(size % live.Count);
                    m.Nt.ExFreePoolWithTag(gone, 0);
                    live.Remove(gone);
                    continue;
                }
                Va block = m.Nt.ExAllocatePoolWithTag(0, (ulong)size + 1, 0x6B636150);
                Assert.Equal(0UL, block.Value & 15);
                Assert.False(live.ContainsKey(block));
                m.Nt.Memory.Fill(block, (ulong)size + 1, (byte)size);
                live.Add(block, ((byte)size, size + 1));
            }
            foreach ((Va block, (byte value, int size)) in live)
                Assert.All(m.Nt.Memory.ReadBytes(block, size), b => Assert.Equal(value, b));
        }).Check(GuestText.Properties(30));
    }

    [Fact]
    public void Small_blocks_share_a_page_and_a_second_free_is_still_found()
    {
        using TestMachine m = Machine();
        Va first = m.Nt.ExAllocatePoolWithTag(0, 100, 1), second = m.Nt.ExAllocatePoolWithTag(0, 100, 1);
        Assert.Equal(first.Page, second.Page);
        m.Nt.ExFreePoolWithTag(first, 0);
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.ExFreePoolWithTag(first, 0));
        Assert.Equal((BugCheckCode.BAD_POOL_CALLER, 7UL), (stop.Code, stop.Parameters[0]));
    }

    [Fact]
    public void Drivers_run_as_with_the_other_pool()
    {
        using TestMachine m = Machine();
        Driver driver = m.Load(Repository.Driver("echo"));
        UserFile file = m.Open(@"\\.\Echo");
        file.Write("Hello"u8);
        Assert.Equal("Hello"u8.ToArray(), file.Read(64).Output);
        file.Close();
        m.Unload(driver);
        Assert.Empty(m.Findings);
    }
}
