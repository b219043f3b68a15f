using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Memory descriptor lists.</summary>
public sealed class MdlTests
{
    static readonly Va s_noIrp = Va.Null;

    static Mdl New(TestMachine m, Va buffer, uint length) =>
        m.Nt.IoAllocateMdl(buffer, length, false, false, Irp.At(m.Nt.Memory, s_noIrp));

    static Mdl Locked(TestMachine m, Va buffer, uint length, ProcessorMode mode = ProcessorMode.UserMode)
    {
        Mdl mdl = New(m, buffer, length);
        m.Nt.MmProbeAndLockPages(mdl, mode, 1);
        return mdl;
    }

    static ulong Subcode(Action call)
    {
        BugCheck stop = Assert.Throws<BugCheck>(call);
        Assert.Equal(BugCheckCode.DRIVER_VERIFIER_DETECTED_VIOLATION, stop.Code);
        return stop.Parameters[0];
    }

    [Fact]
    public void An_MDLs_frames_are_those_of_the_buffer_and_stay_when_the_buffer_goes() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(ushort Offset, ushort Length)>(), range =>
        {
            using var m = new TestMachine();
            (uint offset, uint length) = (range.Offset % 0x1000u, 1u + range.Length % 0x6000u);
            Va buffer = m.Nt.Mm.AllocateUser(offset + length) + offset;
            Mdl mdl = Locked(m, buffer, length);
            Assert.Equal((ulong)mdl.ObjectSize, m.Nt.MmSizeOfMdl(buffer, length));
            Assert.Equal(mdl.PageCount, m.Nt.Mm.LockedPagesOf(m.Nt.Ps.UserProcess.Address));
            for (int i = 0; i < mdl.PageCount; i++)
                Assert.Equal((ulong)m.Nt.Memory.FrameOf(mdl.StartVa + i * 0x1000), mdl.Frame(i));
            m.Nt.Memory.Write<byte>(buffer + length - 1, 0x5A);
            m.Nt.Mm.FreeUser(buffer.PageStart, offset + length);
            Va mapped = m.Nt.MmMapLockedPagesSpecifyCache(mdl, ProcessorMode.KernelMode, 1, Va.Null, 0, 16);
            Assert.Equal(0x5A, m.Nt.Memory.Read<byte>(mapped + length - 1));
            int inUse = m.Nt.Memory.Physical.InUse, pages = mdl.PageCount;
            m.Nt.MmUnlockPages(mdl);
            Assert.Equal(inUse - pages, m.Nt.Memory.Physical.InUse);
            Assert.Equal(0, m.Nt.Mm.LockedPagesOf(m.Nt.Ps.UserProcess.Address));
            m.Nt.IoFreeMdl(mdl);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(20).WithReplay(20260101, 7));

    [Fact]
    [Rule("13.1")]
    public void What_cannot_be_accessed_so_is_an_exception_and_nothing_is_locked()
    {
        using var m = new TestMachine();
        Va constant = m.Nt.Mm.AllocateUser(0x2000, Protection.Read), block = m.Block(64);
        Assert.Throws<GuestException>(() => Locked(m, constant, 0x1800));
        Assert.Throws<GuestException>(() => Locked(m, constant + 0x1000, 0x1800));
        Assert.Throws<GuestException>(() => Locked(m, block, 64));
        Assert.Equal(0, m.Nt.Mm.LockedPagesOf(m.Nt.Ps.UserProcess.Address));
        Mdl mdl = New(m, constant, 0x1800);
        m.Nt.MmProbeAndLockPages(mdl, ProcessorMode.UserMode, 0);
        Assert.Equal(MdlFlags.PagesLocked | MdlFlags.AllocatedFixedSize, mdl.MdlFlags);
    }

    [Fact]
    [Rule("13.2"), Rule("13.5")]
    public void Misuse_of_an_MDL_ends_the_machine_with_its_subcode()
    {
        using var m = new TestMachine();
        Va user = m.Nt.Mm.AllocateUser(0x1000);
        Mdl mdl = New(m, user, 16);
        Assert.Equal(0x7CUL, Subcode(() => m.Nt.MmUnlockPages(mdl)));
        Assert.Equal(0xB3UL, Subcode(() => m.Nt.MmMapLockedPages(mdl, ProcessorMode.KernelMode)));
        m.Nt.MmProbeAndLockPages(mdl, ProcessorMode.UserMode, 0);
        Assert.Equal(0xB0UL, Subcode(() => m.Nt.MmProbeAndLockPages(mdl, ProcessorMode.UserMode, 0)));
        m.Nt.MmMapLockedPages(mdl, ProcessorMode.KernelMode);
        Assert.Equal(0xB2UL, Subcode(() => m.Nt.MmMapLockedPages(mdl, ProcessorMode.KernelMode)));
        Mdl part = New(m, user, 16);
        m.Nt.IoBuildPartialMdl(mdl, part, user, 0);
        part.MdlFlags |= MdlFlags.PagesLocked;
        Assert.Equal(0xB4UL, Subcode(() => m.Nt.MmUnlockPages(part)));
        mdl.SetFrame(0, 12345);
        Assert.Equal(BugCheckCode.PFN_LIST_CORRUPT, Assert.Throws<BugCheck>(() => m.Nt.MmUnlockPages(mdl)).Code);
        Va paged = m.Nt.ExAllocatePoolWithTag(1, 16, 0x61626364);
        Assert.Equal(0x7FUL, Subcode(() => m.Nt.MmBuildMdlForNonPagedPool(New(m, paged, 16))));
    }

    [Fact]
    [Rule("13.3")]
    public void A_partial_MDL_shows_its_part_of_the_source()
    {
        using var m = new TestMachine();
        Va block = m.Block(0x3000);
        m.Nt.Memory.Write(block + 0x1234, 0x5566_7788u);
        Mdl whole = New(m, block, 0x3000), part = New(m, block + 0x1000, 0x1000);
        m.Nt.MmBuildMdlForNonPagedPool(whole);
        m.Nt.IoBuildPartialMdl(whole, part, block + 0x1230, 0x10);
        Assert.Equal(block + 0x1230, part.MappedSystemVa);
        Va mapped = m.Nt.MmMapLockedPagesSpecifyCache(part, ProcessorMode.KernelMode, 1, Va.Null, 0, 16);
        Assert.Equal(0x5566_7788u, m.Nt.Memory.Read<uint>(mapped + 4));
        Assert.True((part.MdlFlags & MdlFlags.PartialHasBeenMapped) != 0);
        m.Nt.IoFreeMdl(part);
        Assert.False(m.Nt.Memory.IsMapped(mapped));
    }

    [Fact]
    [Rule("13.4")]
    public void A_mapping_for_the_user_has_the_address_that_was_asked_for_or_raises()
    {
        using var m = new TestMachine();
        Va block = m.Block(0x1000), wanted = new(0x7_0000);
        Mdl mdl = New(m, block, 0x1000);
        m.Nt.MmBuildMdlForNonPagedPool(mdl);
        Va Map(Va at, uint priority = 16) =>
            m.Nt.MmMapLockedPagesSpecifyCache(mdl, ProcessorMode.UserMode, 1, at, 0, priority);
        Assert.Equal(wanted, Map(wanted));
        m.Nt.Memory.Write(wanted, 7u);
        Assert.Equal(7u, m.Nt.Memory.Read<uint>(block));
        Assert.Equal(STATUS_CONFLICTING_ADDRESSES.Value, Assert.Throws<GuestException>(() => Map(wanted)).Record.Code);
        Assert.Throws<GuestException>(() => Map(wanted + 1));
        Va other = Map(Va.Null, 0x8000_0010);
        Assert.Throws<PageFault>(() => m.Nt.Memory.Write(other, 1u));
        m.Nt.MmUnmapLockedPages(wanted, mdl);
        Assert.Equal(wanted, Map(wanted));
    }

    [Fact]
    public void A_kernel_mapping_can_run_unless_the_priority_forbids_it_and_its_protection_can_change()
    {
        using var m = new TestMachine();
        Mdl mdl = Locked(m, m.Nt.Mm.AllocateUser(0x1000), 0x1000);
        Assert.Equal(STATUS_NOT_MAPPED_VIEW, m.Nt.MmProtectMdlSystemAddress(mdl, 2));
        Va runs = m.Nt.MmMapLockedPagesSpecifyCache(mdl, ProcessorMode.KernelMode, 1, Va.Null, 0, 16);
        Assert.Equal(Protection.All, m.Nt.Memory.ProtectionOf(runs));
        m.Nt.MmUnmapLockedPages(runs, mdl);
        Va plain = m.Nt.MmMapLockedPagesSpecifyCache(mdl, ProcessorMode.KernelMode, 1, Va.Null, 0, 0x4000_0010);
        Assert.Equal(Protection.ReadWrite, m.Nt.Memory.ProtectionOf(plain));
        Assert.Equal(STATUS_INVALID_PAGE_PROTECTION, m.Nt.MmProtectMdlSystemAddress(mdl, 3));
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmProtectMdlSystemAddress(mdl, 2));
        Assert.Throws<PageFault>(() => m.Nt.Memory.Write(plain, 1u));
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmProtectMdlSystemAddress(mdl, 1));
        Assert.Throws<PageFault>(() => m.Nt.Memory.Read<uint>(plain));
        m.Nt.MmUnlockPages(mdl);
    }

    [Fact]
    public void A_reserved_address_is_mapped_by_its_owner_once_and_for_no_more_than_it_has()
    {
        using var m = new TestMachine();
        const uint tag = 0x61626364;
        Va reserved = m.Nt.MmAllocateMappingAddress(0x1001, tag);
        Mdl two = Locked(m, m.Nt.Mm.AllocateUser(0x2000), 0x2000);
        Mdl three = Locked(m, m.Nt.Mm.AllocateUser(0x3000), 0x3000);
        Va Map(uint with, Mdl mdl) => m.Nt.MmMapLockedPagesWithReservedMapping(reserved, with, mdl, 1);
        Assert.True(Map(tag, three).IsNull);
        Assert.Equal(0x101UL, Assert.Throws<BugCheck>(() => Map(tag + 1, two)).Parameters[0]);
        Assert.Equal(reserved, Map(tag, two));
        Assert.Equal(0x103UL, Assert.Throws<BugCheck>(() => m.Nt.MmFreeMappingAddress(reserved, tag)).Parameters[0]);
        m.Nt.MmUnmapReservedMapping(reserved, tag, two);
        Assert.False(m.Nt.Memory.IsMapped(reserved));
        Assert.Equal(0x102UL,
            Assert.Throws<BugCheck>(() => m.Nt.MmUnmapReservedMapping(reserved, tag, two)).Parameters[0]);
        m.Nt.MmFreeMappingAddress(reserved, tag);
        Assert.True(m.Nt.MmAllocateMappingAddressEx(0x1000, tag, 1).IsNull);
        Assert.True(m.Nt.MmAllocateMappingAddress(0, tag).IsNull);
    }

    [Fact]
    public void Advancing_lets_go_of_the_pages_in_front()
    {
        using var m = new TestMachine();
        Va buffer = m.Nt.Mm.AllocateUser(0x3000);
        Mdl mdl = Locked(m, buffer + 0x800, 0x2000);
        ulong second = mdl.Frame(1);
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmAdvanceMdl(mdl, 0x900));
        Assert.Equal((buffer + 0x1100, 0x1700u, second), (mdl.VirtualAddress, mdl.ByteCount, mdl.Frame(0)));
        Assert.Equal(2, m.Nt.Mm.LockedPagesOf(m.Nt.Ps.UserProcess.Address));
        Assert.Equal(STATUS_INVALID_PARAMETER_2, m.Nt.MmAdvanceMdl(mdl, 0x1701));
        m.Nt.MmUnlockPages(mdl);
        Assert.Equal(STATUS_INVALID_PARAMETER_1, m.Nt.MmAdvanceMdl(mdl, 1));
    }

    [Fact]
    public void Selected_pages_and_those_of_a_process_are_locked()
    {
        using var m = new TestMachine();
        Va a = m.Nt.Mm.AllocateUser(0x1000), b = m.Nt.Mm.AllocateUser(0x1000), segments = m.Block(16);
        m.Nt.Memory.Write(segments, b);
        m.Nt.Memory.Write(segments + 8, a);
        Mdl mdl = New(m, Va.Null, 0x2000);
        m.Nt.MmProbeAndLockSelectedPages(mdl, segments, ProcessorMode.UserMode, 1);
        Assert.Equal(((ulong)m.Nt.Memory.FrameOf(b), (ulong)m.Nt.Memory.FrameOf(a)), (mdl.Frame(0), mdl.Frame(1)));
        m.Nt.MmUnlockPages(mdl);
        Mdl other = New(m, a, 16);
        m.Nt.MmProbeAndLockProcessPages(other, m.Nt.Ps.UserProcess, ProcessorMode.UserMode, 0);
        Assert.Equal(BugCheckCode.PROCESS_HAS_LOCKED_PAGES,
            Assert.Throws<BugCheck>(() => m.Nt.Mm.DeleteSpace(m.Nt.Ps.UserProcess)).Code);
        m.Nt.MmUnlockPages(other);
        m.Nt.Mm.DeleteSpace(m.Nt.Ps.UserProcess);
        Assert.False(m.Nt.Memory.IsMapped(a));
    }

    [Fact]
    [Rule("13.6")]
    public void MmCreateMdl_and_a_secondary_one_are_described_and_chained()
    {
        using var m = new TestMachine();
        Va own = m.Block(Mdl.Size + 16), buffer = m.Block(0x1800);
        Mdl mdl = m.Nt.MmCreateMdl(Mdl.At(m.Nt.Memory, own), buffer, 0x1800);
        Assert.Equal((own, buffer, 0x1800u), (mdl.Address, mdl.VirtualAddress, mdl.ByteCount));
        Assert.False(m.Nt.MmCreateMdl(Mdl.At(m.Nt.Memory, Va.Null), buffer, 16).IsNull);
        Irp irp = m.Nt.IoAllocateIrp(1, false);
        Mdl first = m.Nt.IoAllocateMdl(buffer, 16, false, false, irp);
        Mdl second = m.Nt.IoAllocateMdl(buffer, 16, true, false, irp);
        Assert.Equal((first, second), (irp.MdlAddress, first.Next));
    }

    [Fact]
    public void MmMapMdl_maps_for_one_call()
    {
        using var m = new TestMachine();
        Va user = m.Nt.Mm.AllocateUser(0x1000), seen = Va.Null;
        m.Nt.Memory.Write(user + 8, 0x77u);
        Mdl mdl = Locked(m, user + 8, 4);
        Va routine = m.Nt.Routines.Add("mapped", (nt, call) =>
        {
            seen = new Va(call.Argument(0));
            Assert.Equal(0x77u, nt.Memory.Read<uint>(seen));
            Assert.Equal(5UL, call.Argument(1));
        });
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmMapMdl(mdl, 4, routine, new Va(5)));
        Assert.False(seen.IsNull || m.Nt.Memory.IsMapped(seen));
        Assert.Equal(STATUS_INVALID_PAGE_PROTECTION, m.Nt.MmMapMdl(mdl, 0, routine, Va.Null));
    }

    [Fact]
    public void Mapping_a_cached_page_in_another_way_is_noted()
    {
        using var m = new TestMachine();
        Mdl mdl = Locked(m, m.Nt.Mm.AllocateUser(0x1000), 0x1000);
        m.Nt.MmMapLockedPagesSpecifyCache(mdl, ProcessorMode.KernelMode, 0, Va.Null, 0, 16);
        CacheConflict conflict = Assert.Single(m.Nt.CacheConflicts);
        Assert.Equal((mdl.Frame(0), "cached", "non-cached"), (conflict.Pfn, conflict.Had, conflict.Asked));
    }
}
