using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Pageable sections, by executive.sys; and inline code of the headers against our structures.</summary>
public sealed class DriverPagingTests
{
    static int Run(TestMachine m, uint what)
    {
        m.Load(Repository.Driver("executive"));
        UserRequest done = m.Open(@"\\.\Executive").DeviceIoControl(0x222000 + 4 * what, [], 4);
        Assert.Equal(Status.STATUS_SUCCESS, done.Status);
        return BitConverter.ToInt32(done.Output);
    }

    [Theory, InlineData(0u, 2), InlineData(2u, 2), InlineData(6u, 1), InlineData(7u, 10), InlineData(8u, 1),
        InlineData(9u, 1)]
    public void What_is_right_works(uint what, int result)
    {
        using var m = new TestMachine();
        Assert.Equal(result, Run(m, what));
        Assert.Empty(m.Findings);
    }

    [Theory, InlineData(1u, true), InlineData(3u, false), InlineData(4u, true), InlineData(5u, null)]
    public void What_may_be_paged_out_is_not_there_at_DISPATCH_LEVEL(uint what, bool? fetch)
    {
        using var m = new TestMachine();
        BugCheck stop = Assert.Throws<BugCheck>(() => Run(m, what));
        Assert.Equal(BugCheckCode.DRIVER_IRQL_NOT_LESS_OR_EQUAL, stop.Code);
        if (fetch is { } executes) Assert.Equal(executes ? 8UL : 0, stop.Parameters[2]);
        Assert.Equal("executive", stop.Report!.Driver);
    }

    [Fact]
    public void Memory_that_is_left_is_listed_with_who_asked_for_it()
    {
        using var m = new TestMachine();
        Driver driver = m.Load(Repository.Driver("executive"));
        UserFile file = m.Open(@"\\.\Executive");
        Assert.Equal(1, BitConverter.ToInt32(file.DeviceIoControl(0x222028, [], 4).Output));
        file.Close();
        Assert.True(m.Nt.Loader.Unload(driver));
        Leftovers left = m.Nt.LeftBy(driver);
        Assert.Equal("Mdl ", Assert.Single(left.Pool).Tag);
        Assert.Collection(left.Memory,
            l => Assert.StartsWith("12288 bytes of contiguous memory, allocated by executive!", l),
            l => Assert.StartsWith("a mapping of 1 page(s) of I/O space, made by executive!", l));
    }

    [Fact]
    public void A_section_can_be_protected_from_its_driver()
    {
        using var m = new TestMachine();
        Driver driver = m.Load(Repository.Driver("executive"));
        PeSection data = driver.Image.Image.Sections.Single(s => s.Name == "PAGEDAT");
        Va variable = driver.Image.Base + data.Rva;
        m.Nt.Memory.Write(variable, 8);
        Assert.Equal(Status.STATUS_SUCCESS, m.Nt.MmProtectDriverSection(variable, 0, 0));
        Assert.Throws<PageFault>(() => m.Nt.Memory.Write(variable, 9));
        m.Nt.MmUnlockPagableImageSection(m.Nt.MmLockPagableDataSection(variable));
        Assert.Throws<PageFault>(() => m.Nt.Memory.Write(variable, 9));
        Assert.Equal(Status.STATUS_INVALID_PARAMETER_1, m.Nt.MmProtectDriverSection(m.Block(8), 0, 0));
    }

    [Fact]
    public void Locks_of_a_section_are_counted_and_its_handle_locks_it_again()
    {
        using var m = new TestMachine();
        Driver driver = m.Load(Repository.Driver("executive"));
        PeSection page = driver.Image.Image.Sections.Single(s => s.Name == "PAGE");
        Va code = driver.Image.Base + page.Rva + 4;
        bool IsPaged() => (m.Nt.Memory.ProtectionOf(code) & Protection.Paged) != 0;
        Assert.True(IsPaged());
        Va handle = m.Nt.MmLockPagableDataSection(code);
        m.Nt.MmLockPagableSectionByHandle(handle);
        Assert.Equal(handle, m.Nt.MmLockPagableImageSection(code));
        for (int i = 0; i < 3; i++)
        {
            Assert.False(IsPaged());
            m.Nt.MmUnlockPagableImageSection(handle);
        }
        Assert.True(IsPaged());
        Assert.Throws<BugCheck>(() => m.Nt.MmUnlockPagableImageSection(handle));
        Assert.Equal(driver.Image.Base, m.Nt.MmPageEntireDriver(driver.Image.Base + 0x1000));
        m.Nt.MmResetDriverPaging(code);
        Assert.Equal(Protection.ReadExecute, m.Nt.Memory.ProtectionOf(driver.Image.Base + 0x1000));
        Assert.True(m.Nt.MmPageEntireDriver(m.Nt.Loader.FindExport("ExFreePool")).IsNull);
        Assert.Throws<BugCheck>(() => m.Nt.MmLockPagableDataSection(m.Block(16)));
    }
}
