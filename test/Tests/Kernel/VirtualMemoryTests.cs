using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.PageProtection;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.UserSpace;

namespace Ringdown.Tests;

/// <summary>Processes' virtual memory.</summary>
public sealed class VirtualMemoryTests
{
    static readonly Handle s_current = new(ulong.MaxValue);

    readonly record struct Region(NtStatus Status, Va Start, ulong Bytes);

    static Region Allocate(
        TestMachine m, ulong start, ulong bytes, uint type, uint protect = PAGE_READWRITE, ulong zeroBits = 0)
    {
        Va at = m.Variable(start), size = m.Variable(bytes);
        NtStatus status = m.Nt.ZwAllocateVirtualMemory(s_current, at, zeroBits, size, type, protect);
        return new Region(status, m.Nt.Memory.Read<Va>(at), m.Nt.Memory.Read<ulong>(size));
    }

    static Region Free(TestMachine m, Va start, ulong bytes, uint type)
    {
        Va at = m.Variable(start.Value), size = m.Variable(bytes);
        NtStatus status = m.Nt.ZwFreeVirtualMemory(s_current, at, size, type);
        return new Region(status, m.Nt.Memory.Read<Va>(at), m.Nt.Memory.Read<ulong>(size));
    }

    static (NtStatus Status, uint Old) Protect(TestMachine m, Va start, ulong bytes, uint protect)
    {
        Va old = m.Block(4);
        NtStatus status = m.Nt.ZwProtectVirtualMemory(
            s_current, m.Variable(start.Value), m.Variable(bytes), protect, old);
        return (status, m.Nt.Memory.Read<uint>(old));
    }

    // Base, allocation base, allocation's protection, size, state, protection, type.
    static (ulong, ulong, uint, ulong, uint, uint, uint) Query(TestMachine m, Va address)
    {
        Va buffer = m.Block(0x30);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryVirtualMemory(s_current, address, 0, buffer, 0x30, Va.Null));
        byte[] b = m.Nt.Memory.ReadBytes(buffer, 0x30);
        return (BitConverter.ToUInt64(b, 0), BitConverter.ToUInt64(b, 8), BitConverter.ToUInt32(b, 16),
            BitConverter.ToUInt64(b, 24), BitConverter.ToUInt32(b, 32), BitConverter.ToUInt32(b, 36),
            BitConverter.ToUInt32(b, 40));
    }

    [Fact]
    public void Reserved_memory_is_committed_used_decommitted_and_released()
    {
        using var m = new TestMachine();
        Region reserved = Allocate(m, 0, 0x12345, MEM_RESERVE);
        Assert.Equal((STATUS_SUCCESS, 0x13000UL), (reserved.Status, reserved.Bytes));
        Assert.Equal(0UL, reserved.Start.Value & 0xFFFF);
        Assert.Throws<PageFault>(() => m.Nt.Memory.Read<byte>(reserved.Start));
        ulong committed = m.Nt.Mm.CommittedPages;
        Region part = Allocate(m, reserved.Start.Value + 0x1800, 0x1000, MEM_COMMIT);
        Assert.Equal((reserved.Start + 0x1000, 0x2000UL), (part.Start, part.Bytes));
        m.Nt.Memory.Write(part.Start, 7UL);
        Assert.Equal((part.Start.Value, reserved.Start.Value, PAGE_READWRITE, 0x2000UL, MEM_COMMIT, PAGE_READWRITE,
            MEM_PRIVATE), Query(m, part.Start + 5));
        Assert.Equal(MEM_RESERVE, Query(m, reserved.Start).Item5);
        Assert.Equal(STATUS_SUCCESS, Free(m, part.Start, 0x1000, MEM_DECOMMIT).Status);
        Assert.Throws<PageFault>(() => m.Nt.Memory.Read<byte>(part.Start));
        Assert.Equal(STATUS_FREE_VM_NOT_AT_BASE, Free(m, part.Start, 0, MEM_RELEASE).Status);
        Assert.Equal(new Region(STATUS_SUCCESS, reserved.Start, 0x13000), Free(m, reserved.Start, 0, MEM_RELEASE));
        Assert.Equal((MEM_FREE, PAGE_NOACCESS), (Query(m, reserved.Start).Item5, Query(m, reserved.Start).Item6));
        Assert.Equal(STATUS_MEMORY_NOT_ALLOCATED, Free(m, reserved.Start, 0, MEM_RELEASE).Status);
        Assert.InRange(m.Nt.Mm.CommittedPages, committed, committed + 40);      // the test's own variables
    }

    [Fact]
    public void The_middle_of_a_piece_can_be_released()
    {
        using var m = new TestMachine();
        Region whole = Allocate(m, 0, 0x30000, MEM_RESERVE | MEM_COMMIT);
        Assert.Equal(STATUS_SUCCESS, Free(m, whole.Start + 0x10000, 0x10000, MEM_RELEASE).Status);
        Assert.Equal((whole.Start.Value, 0x10000UL), (Query(m, whole.Start).Item2, Query(m, whole.Start).Item4));
        Assert.Equal(MEM_FREE, Query(m, whole.Start + 0x10000).Item5);
        Assert.Equal(whole.Start.Value + 0x20000, Query(m, whole.Start + 0x21000).Item2);
        Assert.Equal(whole.Start + 0x10000, Allocate(m, whole.Start.Value + 0x10000, 1, MEM_RESERVE).Start);
        Assert.Equal(STATUS_UNABLE_TO_FREE_VM, Free(m, whole.Start, 0x20000, MEM_RELEASE).Status);
    }

    [Theory]
    [InlineData(0UL, 0UL, MEM_COMMIT, PAGE_READWRITE, 0xC000_00F2)]
    [InlineData(0UL, 1UL, 0u, PAGE_READWRITE, 0xC000_00F3)]
    [InlineData(0UL, 1UL, 0x2000_1000u, PAGE_READWRITE, 0xC000_00BB)]
    [InlineData(0UL, 1UL, MEM_COMMIT, 0u, 0xC000_0045)]
    [InlineData(0UL, 1UL, MEM_COMMIT, 6u, 0xC000_0045)]
    [InlineData(0UL, 1UL, MEM_COMMIT, PAGE_WRITECOPY, 0xC000_0045)]
    [InlineData(0UL, 1UL, MEM_COMMIT, PAGE_NOACCESS | PAGE_GUARD, 0xC000_0045)]
    [InlineData(0x8000_0000_0000UL, 1UL, MEM_RESERVE, PAGE_READWRITE, 0xC000_00F0)]
    [InlineData(0UL, 1UL << 47, MEM_RESERVE, PAGE_READWRITE, 0xC000_00F2)]
    [InlineData(0UL, 4UL << 30, MEM_COMMIT, PAGE_READWRITE, 0xC000_012D)]
    [InlineData(0x7FFE_0000UL, 1UL, MEM_RESERVE, PAGE_READWRITE, 0xC000_0018)]
    [InlineData(0x30_0000UL, 1UL, MEM_COMMIT, PAGE_READWRITE, 0xC000_0018)]
    public void What_cannot_be_allocated_is_refused(ulong start, ulong bytes, uint type, uint protect, uint status)
    {
        using var m = new TestMachine();
        Assert.Equal(status, Allocate(m, start, bytes, type, protect).Status.Value);
    }

    [Fact]
    public void Places_are_found_from_below_from_above_and_below_a_limit()
    {
        using var m = new TestMachine();
        Region low = Allocate(m, 0, 0x1000, MEM_RESERVE), next = Allocate(m, 0, 0x1000, MEM_RESERVE);
        Assert.Equal(0x1_0000UL, next.Start - low.Start);
        Region top = Allocate(m, 0, 0x1000, MEM_RESERVE | MEM_TOP_DOWN);
        Assert.True(top.Start.Value > 0x7FFF_0000_0000);
        Region limited = Allocate(m, 0, 0x1000, MEM_RESERVE | MEM_TOP_DOWN, zeroBits: 8);
        Assert.InRange(limited.Start.Value, 0UL, 0xFF_FFFFUL);
        Assert.Equal(STATUS_INVALID_PARAMETER_3, Allocate(m, 0, 1, MEM_RESERVE, zeroBits: 25).Status);
        Va at = m.Variable(0), size = m.Variable(0x2000);
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtAllocateVirtualMemory(s_current, at, 0, size, MEM_COMMIT, 4));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtFreeVirtualMemory(s_current, at, m.Variable(0), MEM_RELEASE));
        Assert.Equal(STATUS_INVALID_HANDLE, m.Nt.ZwFreeVirtualMemory(new Handle(0x9998), at, size, MEM_RELEASE));
    }

    [Fact]
    public void Protection_changes_for_committed_pages_and_says_what_it_was()
    {
        using var m = new TestMachine();
        Va start = Allocate(m, 0, 0x3000, MEM_RESERVE | MEM_COMMIT).Start;
        Assert.Equal((STATUS_SUCCESS, PAGE_READWRITE), Protect(m, start + 0x1000, 1, PAGE_READONLY));
        Assert.Throws<PageFault>(() => m.Nt.Memory.Write(start + 0x1000, 1));
        m.Nt.Memory.Write(start + 0x2000, 1);
        Assert.Equal(0x1000UL, Query(m, start).Item4);
        Assert.Equal(STATUS_SUCCESS, Protect(m, start, 0x3000, PAGE_NOACCESS).Status);
        Assert.Throws<PageFault>(() => m.Nt.Memory.Read<byte>(start));
        Assert.Equal(STATUS_INVALID_PAGE_PROTECTION, Protect(m, start, 1, 0).Status);
        Assert.Equal(STATUS_CONFLICTING_ADDRESSES, Protect(m, new Va(0x7FFE_0000), 1, PAGE_READWRITE).Status);
        Va reserved = Allocate(m, 0, 0x1000, MEM_RESERVE).Start;
        Assert.Equal(STATUS_NOT_COMMITTED, Protect(m, reserved, 1, PAGE_READONLY).Status);
    }

    [Fact]
    public void A_buffer_is_found_beside_what_a_driver_has_reserved_until_it_has_reserved_all()
    {
        using var m = new TestMachine();
        Va huge = Allocate(m, 0x1_0000_0000, 32UL << 40, MEM_RESERVE).Start;
        Assert.Equal(0x1_0000_0000UL, huge.Value);
        Assert.Equal(huge.Value + (32UL << 40), m.Nt.Mm.AllocateUser(0x1000).Value);
        ulong end = UserSpace.End << 12, rest = huge.Value + (33UL << 40);
        Assert.Equal(STATUS_SUCCESS, Allocate(m, rest, end - rest, MEM_RESERVE).Status);
        for (ulong bytes = 1UL << 39; bytes >= 0x1_0000; bytes /= 2)
            while (Allocate(m, 0, bytes, MEM_RESERVE).Status.IsSuccess) { }
        Assert.Equal(BugCheckCode.NO_PAGES_AVAILABLE,
            Assert.Throws<BugCheck>(() => m.Nt.Mm.AllocateUser(0x10_0000)).Code);
    }

    [Fact]
    public void A_guard_page_is_one_until_it_is_touched()
    {
        using var m = new TestMachine();
        Va start = Allocate(m, 0, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD).Start;
        Assert.Throws<PageFault>(() => m.Nt.Memory.Read<byte>(start));
        Mdl mdl = m.Nt.Mm.CreateMdl(start, 16);
        Assert.Equal(STATUS_GUARD_PAGE_VIOLATION.Value, Assert.Throws<GuestException>(
            () => m.Nt.MmProbeAndLockPages(mdl, ProcessorMode.UserMode, 1)).Record.Code);
        Assert.Equal(PAGE_READWRITE, Query(m, start).Item6);
        m.Nt.MmProbeAndLockPages(mdl, ProcessorMode.UserMode, 1);
    }

    [Fact]
    public void Memory_that_a_driver_has_secured_stays_as_it_needs_it()
    {
        using var m = new TestMachine();
        Va start = Allocate(m, 0, 0x2000, MEM_RESERVE | MEM_COMMIT).Start;
        Va handle = m.Nt.MmSecureVirtualMemory(start, 0x1000, PAGE_READWRITE);
        Assert.False(handle.IsNull);
        Assert.Equal(STATUS_INVALID_PAGE_PROTECTION, Protect(m, start, 1, PAGE_READONLY).Status);
        Assert.Equal(STATUS_SUCCESS, Protect(m, start + 0x1000, 1, PAGE_READONLY).Status);
        Assert.Equal(STATUS_INVALID_PAGE_PROTECTION, Free(m, start, 0, MEM_RELEASE).Status);
        Assert.True(m.Nt.MmSecureVirtualMemory(start, 0x2000, PAGE_READWRITE).IsNull);
        Assert.False(m.Nt.MmSecureVirtualMemoryEx(start, 0x2000, PAGE_READONLY, 0) is { IsNull: true });
        m.Nt.MmUnsecureVirtualMemory(handle);
        Assert.Throws<BugCheck>(() => m.Nt.MmUnsecureVirtualMemory(handle));
        Assert.Equal(STATUS_SUCCESS, Protect(m, start, 1, PAGE_READONLY).Status);
    }

    [Fact]
    public void Locks_of_pages_are_counted()
    {
        using var m = new TestMachine();
        Va start = Allocate(m, 0, 0x1000, MEM_RESERVE | MEM_COMMIT).Start;
        NtStatus Lock() => m.Nt.ZwLockVirtualMemory(s_current, m.Variable(start.Value), m.Variable(16), 1);
        NtStatus Unlock() => m.Nt.ZwUnlockVirtualMemory(s_current, m.Variable(start.Value), m.Variable(16), 1);
        Assert.Equal([STATUS_SUCCESS, STATUS_WAS_LOCKED, STATUS_SUCCESS, STATUS_SUCCESS, STATUS_NOT_LOCKED],
            [Lock(), Lock(), Unlock(), Unlock(), Unlock()]);
        Assert.Equal(STATUS_NOT_MAPPED_DATA, m.Nt.ZwFlushVirtualMemory(
            s_current, m.Variable(start.Value), m.Variable(16), m.Block(16)));
    }

    [Fact]
    public void Memory_is_copied_between_processes_as_far_as_it_is_there()
    {
        using var m = new TestMachine();
        EProcess user = m.Nt.Ps.UserProcess;
        Va from = m.Nt.Mm.AllocateUser(0x2000), to = m.Nt.Mm.AllocateUser(0x4000), done = m.Block(8);
        m.Nt.Memory.Write(from + 0x1FF8, 9UL);
        NtStatus Copy(ulong bytes) =>
            m.Nt.Mm.MmCopyVirtualMemory(user, from, user, to + 0x10, bytes, ProcessorMode.UserMode, done);
        Assert.Equal(STATUS_SUCCESS, Copy(0x2000));
        Assert.Equal(9UL, m.Nt.Memory.Read<ulong>(to + 0x2008));
        Assert.Equal(STATUS_PARTIAL_COPY, m.Nt.MmCopyVirtualMemory(
            user, from, user, to, 0x3000, ProcessorMode.KernelMode, done));
        Assert.Equal(0x2000UL, m.Nt.Memory.Read<ulong>(done));
    }

    [Fact]
    public void Runs_of_pages_are_what_an_array_would_be() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(byte Start, byte Length, byte Value)[]>(), steps =>
        {
            var runs = new PageRuns();
            uint[] model = new uint[512];
            foreach ((byte start, byte length, byte value) in steps)
            {
                runs.Set(start, (ulong)start + length, value % 4u);
                Array.Fill(model, value % 4u, start, length);
            }
            Assert.Equal((ulong)model.Count(v => v != 0), runs.Count);
            for (ulong page = 0; page < 512;)
            {
                (ulong first, ulong end, uint value) = runs.At(page, 0, 512);
                Assert.Equal((page, model[page]), (first, value));
                for (; page < end; page++) Assert.Equal(value, model[page]);
                if (page < 512) Assert.NotEqual(value, model[page]);
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(200).WithReplay(20260101, 7));

    [Fact]
    public void Reserving_committing_and_freeing_leaves_what_a_model_of_pages_has() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(byte What, byte Page, byte Length)[]>(), steps =>
        {
            using var m = new TestMachine();
            const ulong first = 0x4000;
            // 0 free, 1 reserved, 2 committed; and to which piece a page belongs.
            int[] state = new int[64], piece = new int[64];
            int pieces = 0;
            foreach ((byte what, byte byPage, byte byLength) in steps)
            {
                int page = byPage % 48, length = 1 + byLength % 16, granule = page & ~15;
                Va start = new((first + (ulong)page) << 12);
                ulong bytes = (ulong)length << 12;
                switch (what % 3)
                {
                    case 0:
                        bool free = !state.AsSpan(granule, page + length - granule).ContainsAnyExcept(0);
                        Assert.Equal(free, Allocate(m, start.Value, bytes, MEM_RESERVE).Status.IsSuccess);
                        if (!free) break;
                        Array.Fill(state, 1, granule, page + length - granule);
                        Array.Fill(piece, ++pieces, granule, page + length - granule);
                        break;
                    case 1:
                        bool may = IsOne(state, piece, page, length);
                        Assert.Equal(may, Allocate(m, start.Value, bytes, MEM_COMMIT).Status.IsSuccess);
                        if (may) Array.Fill(state, 2, page, length);
                        break;
                    default:
                        bool release = what % 2 == 0, can = IsOne(state, piece, page, length);
                        Assert.Equal(can, Free(m, start, bytes, release ? MEM_RELEASE : MEM_DECOMMIT).Status.IsSuccess);
                        if (!can) break;
                        Array.Fill(state, release ? 0 : 1, page, length);
                        // What is left behind a hole is a piece of its own.
                        if (release) Split(piece, page, length, ++pieces);
                        break;
                }
            }
            for (int i = 0; i < 64; i++)
            {
                Va address = new((first + (ulong)i) << 12);
                Assert.Equal(state[i] == 2, m.Nt.Memory.IsMapped(address));
                Assert.Equal(state[i] != 0, m.Nt.Mm.Space.Find(address.Page) is not null);
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(40).WithReplay(20260101, 7));

    static bool IsOne(int[] state, int[] piece, int page, int length)
    {
        for (int i = page; i < page + length; i++) if (state[i] == 0 || piece[i] != piece[page]) return false;
        return true;
    }

    static void Split(int[] piece, int page, int length, int name)
    {
        int old = piece[page];
        for (int i = page + length; i < piece.Length && piece[i] == old; i++) piece[i] = name;
        Array.Fill(piece, 0, page, length);
    }
}
