using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Frames: given out within limits, in one piece, in MDLs; mapped and copied by their addresses.</summary>
public sealed class PhysicalMemoryTests
{
    const ulong MiB = 1 << 20;

    static ulong Physical(TestMachine m, Va address) => m.Nt.MmGetPhysicalAddress(address);

    [Fact]
    public void Contiguous_memory_respects_limits_and_boundaries()
    {
        using var m = new TestMachine();
        Va low = m.Nt.MmAllocateContiguousMemory(0x5000, 16 * MiB - 1);
        Assert.InRange(Physical(m, low), MiB, 16 * MiB - 0x5000);
        Va any = m.Nt.MmAllocateContiguousMemory(0x3000, ulong.MaxValue);
        for (ulong i = 0; i < 3; i++) Assert.Equal(Physical(m, any) + (i << 12), Physical(m, any + (i << 12)));
        for (int i = 0; i < 5; i++)
        {
            Va piece = m.Nt.MmAllocateContiguousMemorySpecifyCache(0xB000, 0, ulong.MaxValue, 0x1_0000, 1);
            Assert.Equal(Physical(m, piece) >> 16, (Physical(m, piece) + 0xAFFF) >> 16);
        }
        Va high = m.Nt.MmAllocateContiguousMemorySpecifyCacheNode(0x1000, 64 * MiB, 128 * MiB, 0, 0, 0);
        Assert.InRange(Physical(m, high), 64 * MiB, 128 * MiB);
        Assert.True(m.Nt.MmAllocateContiguousMemory(0x1000, MiB - 1).IsNull);
        Assert.True(m.Nt.MmAllocateContiguousMemorySpecifyCache(0x1000, 1UL << 40, ulong.MaxValue, 0, 1).IsNull);
        Assert.True(m.Nt.MmAllocateContiguousMemorySpecifyCache(0x3000, 0, ulong.MaxValue, 0x2000, 1).IsNull);
        Assert.True(m.Nt.MmAllocateContiguousNodeMemory(0x1000, 0, ulong.MaxValue, 0, 2, 0).IsNull);
        m.Nt.MmFreeContiguousMemory(low);
        m.Nt.MmFreeContiguousMemorySpecifyCache(any, 0x3000, 1);
        Assert.Equal(0x60UL, Assert.Throws<BugCheck>(() => m.Nt.MmFreeContiguousMemory(any)).Parameters[0]);
    }

    [Fact]
    public void Contiguous_memory_that_is_freed_is_used_again_and_zero()
    {
        using var m = new TestMachine();
        ulong committed = m.Nt.Mm.CommittedPages;
        HashSet<ulong> addresses = [];
        for (int i = 0; i < 100; i++)
        {
            Va piece = m.Nt.MmAllocateContiguousMemory(0x10000, ulong.MaxValue);
            Assert.Equal(0UL, m.Nt.Memory.Read<ulong>(piece + 0x8000));
            m.Nt.Memory.Write(piece + 0x8000, ulong.MaxValue);
            addresses.Add(Physical(m, piece));
            m.Nt.MmFreeContiguousMemory(piece);
        }
        Assert.Single(addresses);
        Assert.Equal(committed, m.Nt.Mm.CommittedPages);
    }

    [Fact]
    public void The_extended_form_rounds_up_the_length_and_non_cached_memory_must_be_freed_whole()
    {
        using var m = new TestMachine();
        Va bytes = m.Variable(0x1001), result = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmAllocateContiguousMemoryEx(
            bytes, 0, ulong.MaxValue, 0, 0, 4, Va.Null, 0x61626364, 0, result));
        Assert.Equal(0x2000UL, m.Nt.Memory.Read<ulong>(bytes));
        m.Nt.MmFreeContiguousMemory(m.Nt.Memory.Read<Va>(result));
        Assert.Equal(STATUS_INVALID_PAGE_PROTECTION, m.Nt.MmAllocateContiguousMemoryEx(
            bytes, 0, ulong.MaxValue, 0, 0, 0, Va.Null, 0x61626364, 0, result));
        Va plain = m.Nt.MmAllocateNonCachedMemory(0x1800);
        Assert.Equal(BugCheckCode.SYSTEM_PTE_MISUSE,
            Assert.Throws<BugCheck>(() => m.Nt.MmFreeNonCachedMemory(plain, 0x800)).Code);
        m.Nt.MmFreeNonCachedMemory(plain, 0x1800);
    }

    [Fact]
    public void Pages_for_an_MDL_lie_within_limits_and_come_back_by_it_alone()
    {
        using var m = new TestMachine();
        Mdl mdl = m.Nt.MmAllocatePagesForMdl(0, 16 * MiB - 1, 0, 0x5000);
        int inUse = m.Nt.Memory.Physical.InUse;
        for (int i = 0; i < mdl.PageCount; i++) Assert.InRange(mdl.Frame(i), 256UL, 0xFFFUL);
        Va mapped = m.Nt.MmMapLockedPagesSpecifyCache(mdl, ProcessorMode.KernelMode, 1, Va.Null, 0, 16);
        Assert.Equal(0UL, m.Nt.Memory.Read<ulong>(mapped + 0x4FF8));
        m.Nt.MmFreePagesFromMdl(mdl);
        Assert.Equal(inUse - 5, m.Nt.Memory.Physical.InUse);
        m.Nt.ExFreePool(mdl.Address);
        Mdl chunked = m.Nt.MmAllocatePagesForMdlEx(0, ulong.MaxValue, 0x2000, 0x6000, 0, 0x24);
        for (int i = 0; i < 6; i += 2) Assert.Equal(chunked.Frame(i) + 1, chunked.Frame(i + 1));
        chunked.SetFrame(3, (ulong)m.Nt.Memory.FrameOf(chunked.Address));
        Assert.Equal(BugCheckCode.PFN_LIST_CORRUPT,
            Assert.Throws<BugCheck>(() => m.Nt.MmFreePagesFromMdlEx(chunked, 0)).Code);
        Assert.True(m.Nt.MmAllocateNodePagesForMdlEx(0, MiB - 1, 0, 0x1000, 1, 0, 0).IsNull);
        Assert.True(m.Nt.MmAllocatePagesForMdlEx(0, ulong.MaxValue, 0, 1UL << 40, 1, 4).IsNull);
    }

    [Fact]
    public void An_MDL_over_device_memory_is_mapped_as_the_bus()
    {
        using var m = new TestMachine();
        Va list = m.Block(16), result = m.Block(8);
        m.Nt.Memory.Write(list, 0xF000_0000UL);
        m.Nt.Memory.Write(list + 8, 0x2000UL);
        Assert.Equal(STATUS_SUCCESS, m.Nt.MmAllocateMdlForIoSpace(list, 1, result));
        Mdl mdl = Mdl.At(m.Nt.Memory, m.Nt.Memory.Read<Va>(result));
        Va mapped = m.Nt.MmMapLockedPagesSpecifyCache(mdl, ProcessorMode.KernelMode, 0, Va.Null, 0, 16);
        Assert.Equal(ulong.MaxValue, m.Nt.Memory.Read<ulong>(mapped + 0x1000));
        m.Nt.MmUnmapLockedPages(mapped, mdl);
        m.Nt.Memory.Write(list, 32 * MiB);
        Assert.Equal(STATUS_INVALID_PARAMETER_1, m.Nt.MmAllocateMdlForIoSpace(list, 1, result));
    }

    [Fact]
    public void Io_space_shows_memory_and_the_open_bus()
    {
        using var m = new TestMachine();
        Va block = m.Block(0x1000);
        m.Nt.Memory.Write(block + 8, 0x1122u);
        Va view = m.Nt.MmMapIoSpace(Physical(m, block) + 8, 16, 1);
        Assert.Equal(0x1122u, m.Nt.Memory.Read<uint>(view));
        Assert.Throws<PageFault>(() => m.Nt.Memory.Write(m.Nt.MmMapIoSpaceEx(Physical(m, block), 16, 2), 1));
        Assert.True(m.Nt.MmMapIoSpaceEx(Physical(m, block), 16, 0).IsNull);
        Va bus = m.Nt.MmMapVideoDisplay(0xE000_0000, 0x1000, 0);
        Assert.Equal(uint.MaxValue, m.Nt.Memory.Read<uint>(bus));
        Assert.Equal(0xE000_0000UL, Physical(m, bus));
        Assert.True(m.Nt.MmIsIoSpaceActive(0xE000_0800, 4));
        m.Nt.MmUnmapVideoDisplay(bus, 0x1000);
        Assert.False(m.Nt.MmIsIoSpaceActive(0xE000_0800, 4));
        m.Nt.MmUnmapIoSpace(view, 16);
        Assert.Throws<BugCheck>(() => m.Nt.MmUnmapIoSpace(view, 16));
    }

    [Fact]
    public void A_physical_address_leads_back_to_the_virtual_one()
    {
        using var m = new TestMachine();
        Va block = m.Block(0x1000);
        Assert.Equal(block + 5, m.Nt.MmGetVirtualForPhysical(Physical(m, block + 5)));
        Assert.True(m.Nt.MmGetVirtualForPhysical(0x1234).IsNull);
        Assert.Equal(0UL, Physical(m, new Va(0xFFFF_9999_0000_0000)));
        Va ranges = m.Nt.MmGetPhysicalMemoryRanges();
        Assert.Equal((MiB, 2048 * MiB, 0UL), (m.Nt.Memory.Read<ulong>(ranges), m.Nt.Memory.Read<ulong>(ranges + 8),
            m.Nt.Memory.Read<ulong>(ranges + 24)));
        Assert.False(m.Nt.MmGetPhysicalMemoryRangesEx(Va.Null).IsNull);
        Assert.False(m.Nt.MmGetPhysicalMemoryRangesEx2(Va.Null, 0).IsNull);
        Assert.Equal(STATUS_NOT_SUPPORTED, m.Nt.MmAddPhysicalMemory(ranges, ranges));
        Assert.Equal(STATUS_NOT_SUPPORTED, m.Nt.MmRemovePhysicalMemory(ranges, ranges));
    }

    [Fact]
    public void Copies_from_addresses_that_are_not_there_end_with_a_status()
    {
        using var m = new TestMachine();
        Va source = m.Block(0x2000), target = m.Block(0x4000), done = m.Block(8);
        m.Nt.Memory.Write(source + 0x1000, 0x55UL);
        NtStatus Copy(ulong from, ulong bytes, uint flags) => m.Nt.MmCopyMemory(target, from, bytes, flags, done);
        Assert.Equal(STATUS_SUCCESS, Copy(source.Value, 0x2000, 2));
        Assert.Equal(0x55UL, m.Nt.Memory.Read<ulong>(target + 0x1000));
        Assert.Equal(STATUS_ACCESS_VIOLATION, Copy(source.Value + 0x800, 0x2000, 2));
        Assert.Equal(0x1800UL, m.Nt.Memory.Read<ulong>(done));
        Assert.Equal(STATUS_SUCCESS, Copy(Physical(m, source + 0x1000), 8, 1));
        Assert.Equal(0x55UL, m.Nt.Memory.Read<ulong>(target));
        Assert.Equal(STATUS_INVALID_ADDRESS, Copy(0x1000, 8, 1));
        Assert.Equal(STATUS_INVALID_PARAMETER_4, Copy(0x1000, 8, 3));
    }

    [Fact]
    public void Addresses_are_valid_while_they_can_be_read()
    {
        using var m = new TestMachine();
        Va block = m.Block(16), paged = m.Nt.ExAllocatePoolWithTag(1, 16, 0x61626364);
        Assert.True(m.Nt.MmIsAddressValid(block));
        Assert.False(m.Nt.MmIsAddressValid(block + 0x1000));
        Assert.False(m.Nt.MmIsAddressValid(new Va(0x8000_0000_0000_0000)));
        Assert.True(m.Nt.MmIsNonPagedSystemAddressValid(block));
        Assert.False(m.Nt.MmIsNonPagedSystemAddressValid(paged));
        m.Nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        Assert.False(m.Nt.MmIsAddressValid(paged));
    }

    [Fact]
    public void The_system_says_what_it_is()
    {
        using var m = new TestMachine();
        DriverObject none = DriverObject.At(m.Nt.Memory, Va.Null);
        Va flags = m.Block(4);
        Assert.Equal(2u, m.Nt.MmQuerySystemSize());
        Assert.False(m.Nt.MmIsThisAnNtAsSystem());
        Assert.Equal((0u, 0u, 0u), (m.Nt.MmIsDriverVerifying(none), m.Nt.MmIsDriverVerifyingByAddress(Va.Null),
            m.Nt.MmIsDriverSuspectForVerifier(none)));
        Assert.Equal(STATUS_NOT_SUPPORTED, m.Nt.MmIsVerifierEnabled(flags));
        Assert.Equal(STATUS_NOT_SUPPORTED, m.Nt.MmAddVerifierThunks(flags, 4));
        foreach (string variable in (string[])["Mm64BitPhysicalAddress", "MmHighestUserAddress", "MmUserProbeAddress",
            "MmSystemRangeStart", "MmBadPointer"])
            Assert.NotEqual(0UL, m.Nt.Memory.Read<ulong>(m.Nt.Loader.FindExport(variable)));
        Assert.Equal(m.Nt.Loader.FindExport("ExFreePool"), m.Nt.MmGetSystemRoutineAddress(m.Text("ExFreePool")));
        Assert.True(m.Nt.MmGetSystemRoutineAddress(m.Text("ExNoSuchThing")).IsNull);
    }
}
