using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.PageProtection;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Sections and their views.</summary>
public sealed class SectionTests
{
    static readonly Handle s_current = new(ulong.MaxValue);

    static Handle Create(TestMachine m, ulong bytes, uint protect = PAGE_READWRITE, string? name = null)
    {
        Va handle = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwCreateSection(handle, 0xF001F,
            name is null ? m.NoAttributes() : m.Named(name), m.Variable(bytes), protect, Section.SEC_COMMIT, default));
        return m.Nt.Memory.Read<Handle>(handle);
    }

    static (NtStatus Status, Va Start, ulong Bytes, ulong Offset) Map(
        TestMachine m, Handle section, ulong start = 0, ulong offset = 0, ulong bytes = 0,
        uint protect = PAGE_READWRITE)
    {
        Va at = m.Variable(start), size = m.Variable(bytes), from = m.Variable(offset);
        NtStatus status = m.Nt.ZwMapViewOfSection(section, s_current, at, 0, 0, from, size, 2, 0, protect);
        return (status, m.Nt.Memory.Read<Va>(at), m.Nt.Memory.Read<ulong>(size), m.Nt.Memory.Read<ulong>(from));
    }

    [Fact]
    public void Two_views_show_the_same_pages_and_keep_them_when_the_handle_is_closed()
    {
        using var m = new TestMachine();
        ulong committed = m.Nt.Mm.CommittedPages;
        Handle section = Create(m, 0x2_1000);
        Va a = Map(m, section).Start, b = Map(m, section, offset: 0x1_0000).Start;
        m.Nt.Memory.Write(a + 0x1_0008, 0x77UL);
        Assert.Equal(0x77UL, m.Nt.Memory.Read<ulong>(b + 8));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwClose(section));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwUnmapViewOfSection(s_current, a + 0x1234));
        Assert.Equal(0x77UL, m.Nt.Memory.Read<ulong>(b + 8));
        int inUse = m.Nt.Memory.Physical.InUse;
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwUnmapViewOfSection(s_current, b));
        Assert.Equal(STATUS_NOT_MAPPED_VIEW, m.Nt.ZwUnmapViewOfSection(s_current, b));
        Assert.True(inUse - m.Nt.Memory.Physical.InUse >= 0x21);
        Assert.InRange(m.Nt.Mm.CommittedPages, committed, committed + 0x20);
    }

    [Fact]
    public void A_view_is_as_long_and_as_writable_as_the_section_lets_it_be()
    {
        using var m = new TestMachine();
        Handle section = Create(m, 0x3000, PAGE_READONLY);
        Assert.Equal(STATUS_SECTION_PROTECTION, Map(m, section).Status);
        Assert.Equal(STATUS_INVALID_VIEW_SIZE, Map(m, section, bytes: 0x4000, protect: PAGE_READONLY).Status);
        Assert.Equal(STATUS_MAPPED_ALIGNMENT, Map(m, section, offset: 0x1000, protect: PAGE_READONLY).Status);
        Assert.Equal(STATUS_MAPPED_ALIGNMENT, Map(m, section, start: 0x5_1000, protect: PAGE_READONLY).Status);
        (NtStatus status, Va start, ulong bytes, _) = Map(m, section, start: 0x5_0000, protect: PAGE_READONLY);
        Assert.Equal((STATUS_SUCCESS, 0x5_0000UL, 0x3000UL), (status, start.Value, bytes));
        Assert.Throws<PageFault>(() => m.Nt.Memory.Write(start, 1));
        Assert.Equal(STATUS_CONFLICTING_ADDRESSES, Map(m, section, start: 0x5_0000, protect: PAGE_READONLY).Status);
        Assert.Equal(STATUS_UNABLE_TO_DELETE_SECTION,
            m.Nt.ZwFreeVirtualMemory(s_current, m.Variable(0x5_0000), m.Variable(0), 0x8000));
    }

    [Theory]
    [InlineData(0UL, PAGE_READWRITE, Section.SEC_COMMIT, 0xC000_00F2)]
    [InlineData(1UL, 0u, Section.SEC_COMMIT, 0xC000_0045)]
    [InlineData(1UL, PAGE_READWRITE, 0u, 0xC000_00F4)]
    [InlineData(1UL, PAGE_READWRITE, Section.SEC_IMAGE, 0xC000_0020)]
    [InlineData(1UL << 50, PAGE_READWRITE, Section.SEC_COMMIT, 0xC000_0040)]
    [InlineData(1UL << 33, PAGE_READWRITE, Section.SEC_COMMIT, 0xC000_012D)]
    [InlineData(1UL << 33, PAGE_READWRITE, Section.SEC_RESERVE, 0u)]
    public void What_cannot_be_a_section_is_refused(ulong bytes, uint protect, uint attributes, uint status)
    {
        using var m = new TestMachine();
        Assert.Equal(status, m.Nt.NtCreateSection(
            m.Block(8), 0, m.NoAttributes(), m.Variable(bytes), protect, attributes, default).Value);
    }

    [Fact]
    public void A_section_that_only_reserves_pays_for_the_pages_of_its_views()
    {
        using var m = new TestMachine();
        Va handle = m.Block(8);
        m.Nt.ZwCreateSection(handle, 0, m.NoAttributes(), m.Variable(1UL << 40), 4, Section.SEC_RESERVE, default);
        Handle section = m.Nt.Memory.Read<Handle>(handle);
        ulong before = m.Nt.Mm.CommittedPages;
        Assert.Equal(STATUS_INVALID_VIEW_SIZE, Map(m, section).Status);
        Va view = Map(m, section, bytes: 0x10_0000).Start;
        Assert.InRange(m.Nt.Mm.CommittedPages - before, 0x100UL, 0x110UL);
        m.Nt.ZwUnmapViewOfSection(s_current, view);
        m.Nt.ZwClose(section);
        Assert.InRange(m.Nt.Mm.CommittedPages - before, 0UL, 0x10UL);
    }

    [Fact]
    public void A_named_section_is_opened_and_one_of_a_file_is_not_made()
    {
        using var m = new TestMachine();
        Handle made = Create(m, 0x1000, name: @"\BaseNamedObjects\Shared");
        Va opened = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenSection(opened, 0, m.Named(@"\BaseNamedObjects\Shared")));
        m.Nt.Memory.Write(Map(m, made).Start, 5UL);
        Assert.Equal(5UL, m.Nt.Memory.Read<ulong>(Map(m, m.Nt.Memory.Read<Handle>(opened)).Start));
        Assert.Equal(STATUS_OBJECT_NAME_COLLISION, m.Nt.ZwCreateSection(opened, 0,
            m.Named(@"\BaseNamedObjects\Shared"), m.Variable(1), 4, Section.SEC_COMMIT, default));
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH, m.Nt.ZwOpenSection(opened, 0, m.Named(@"\BaseNamedObjects")));
        Assert.Equal(STATUS_INVALID_FILE_FOR_SECTION, m.Nt.ZwCreateSection(opened, 0, m.NoAttributes(), m.Variable(1),
            4, Section.SEC_COMMIT, new Handle(8)));
    }

    [Fact]
    public void Physical_memory_is_a_section_whose_views_begin_at_64_KiB()
    {
        using var m = new TestMachine();
        Va block = m.Block(0x1000), handle = m.Block(8);
        m.Nt.Memory.Write(block + 0x10, 0x99UL);
        ulong physical = m.Nt.MmGetPhysicalAddress(block + 0x10);
        m.Nt.ZwOpenSection(handle, 0, m.Named(@"\Device\PhysicalMemory"));
        Handle section = m.Nt.Memory.Read<Handle>(handle);
        (NtStatus status, Va start, _, ulong offset) = Map(m, section, offset: physical, bytes: 8);
        Assert.Equal((STATUS_SUCCESS, physical & ~0xFFFFUL), (status, offset));
        Assert.Equal(0x99UL, m.Nt.Memory.Read<ulong>(start + (physical - offset)));
        Assert.Equal(STATUS_INVALID_VIEW_SIZE, Map(m, section).Status);
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtMapViewOfSection(section, s_current, m.Variable(0), 0, 0,
            m.Variable(0xF_0000), m.Variable(0x1_0000), 1, 0, PAGE_READWRITE));
    }

    [Fact]
    public void A_view_in_the_systems_space_is_the_same_memory()
    {
        using var m = new TestMachine();
        Va result = m.Block(8), start = m.Block(8), size = m.Variable(0), offset = m.Variable(0x1_0000);
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmCreateSection(result, 0, m.NoAttributes(), m.Variable(0x1_2000),
            PAGE_READWRITE, Section.SEC_COMMIT, default, FileObject.At(m.Nt.Memory, Va.Null)));
        Va section = m.Nt.Memory.Read<Va>(result);
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmMapViewInSystemSpace(section, start, size));
        Va whole = m.Nt.Memory.Read<Va>(start);
        Assert.Equal(0x1_2000UL, m.Nt.Memory.Read<ulong>(size));
        m.Nt.Memory.Write(whole + 0x1_0000, 3UL);
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmMapViewInSystemSpaceEx(section, start, m.Variable(0), offset, 0));
        Va part = m.Nt.Memory.Read<Va>(start);
        Assert.Equal(3UL, m.Nt.Memory.Read<ulong>(part));
        m.Nt.MmUnmapViewInSystemSpace(whole);
        m.Nt.MmUnmapViewInSystemSpace(part);
        Assert.Equal(BugCheckCode.DRIVER_UNMAPPING_INVALID_VIEW,
            Assert.Throws<BugCheck>(() => m.Nt.MmUnmapViewInSystemSpace(part)).Code);
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmMapViewInSessionSpace(section, start, m.Variable(0)));
        m.Nt.MmUnmapViewInSessionSpace(m.Nt.Memory.Read<Va>(start));
        m.Nt.Memory.Write(start, Va.Null);
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmMapViewOfSection(section, m.Nt.Ps.UserProcess, start, 0, 0, m.Variable(0),
            m.Variable(0), 2, 0, PAGE_READWRITE));
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmUnmapViewOfSection(m.Nt.Ps.UserProcess, m.Nt.Memory.Read<Va>(start)));
        Assert.Equal(STATUS_NOT_MAPPED_VIEW, m.Nt.MmUnmapViewOfSection(m.Nt.Ps.UserProcess, new Va(0x5_0000)));
        m.Nt.ObfDereferenceObject(section);
    }

    [Fact]
    public void A_file_without_sections_may_be_truncated_flushed_and_closed()
    {
        using var m = new TestMachine();
        Va pointers = m.Block(0x18), size = m.Variable(0);
        Assert.True(m.Nt.MmFlushImageSection(pointers, 0));
        Assert.True(m.Nt.MmCanFileBeTruncated(pointers, size));
        Assert.True(m.Nt.MmForceSectionClosed(pointers, false));
        Assert.True(m.Nt.MmForceSectionClosedEx(pointers, 0));
        Assert.False(m.Nt.MmIsRecursiveIoFault());
        Assert.Equal(0u, m.Nt.MmDoesFileHaveUserWritableReferences(pointers));
        Assert.True(m.Nt.MmGetMaximumFileSectionSize() > 1UL << 40);
        m.Nt.Memory.Write(pointers + 0x10, 1UL);
        Assert.False(m.Nt.MmFlushImageSection(pointers, 0));
        Assert.False(m.Nt.MmCanFileBeTruncated(pointers, size));
    }
}
