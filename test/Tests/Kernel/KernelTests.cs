using System.Text;
using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Pool, waits, timers, MDLs and formats, called from C#.</summary>
public sealed class KernelTests
{
    static Va Pool(TestMachine m, ulong bytes) =>
        m.Nt.Mm.Pool.Allocate(bytes, PoolKind.NonPaged, 0x74736574, Va.Null, zero: true);

    [Fact]
    public void A_block_of_a_multiple_of_16_faults_at_the_first_byte_behind_it()
    {
        using var m = new TestMachine();
        Va block = Pool(m, 64);
        m.Nt.Memory.Write<byte>(block + 63, 1);
        Assert.Equal(block + 64, Assert.Throws<PageFault>(() => m.Nt.Memory.Write<byte>(block + 64, 1)).Address);
    }

    [Theory, InlineData(40, 40), InlineData(1, 15), InlineData(17, 20)]
    public void A_byte_written_between_the_blocks_end_and_the_next_16_is_found_when_it_is_freed(ulong bytes, int at)
    {
        using var m = new TestMachine();
        Va block = Pool(m, bytes);
        m.Nt.Memory.Write<byte>(block + at, 1);
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Nt.ExFreePoolWithTag(block, 0x74736574));
        Assert.Equal(BugCheckCode.SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, stop.Code);
        Assert.Equal(block.Value, stop.Parameters[0]);
    }

    [Fact]
    public void A_block_can_be_freed_once_and_only_by_its_address()
    {
        using var m = new TestMachine();
        Va block = Pool(m, 64);
        Assert.Equal(0x46UL, Assert.Throws<BugCheck>(() => m.Nt.ExFreePoolWithTag(block + 16, 0)).Parameters[0]);
        m.Nt.ExFreePoolWithTag(block, 0);
        Assert.Equal(7UL, Assert.Throws<BugCheck>(() => m.Nt.ExFreePoolWithTag(block, 0)).Parameters[0]);
        Assert.Throws<PageFault>(() => m.Nt.Memory.Read<byte>(block));
    }

    [Fact]
    [Rule("11.2")]
    public void A_wait_times_out_after_its_time_and_not_before()
    {
        using var m = new TestMachine();
        KEvent never = KEvent.At(m.Nt.Memory, Pool(m, (ulong)KEvent.Size));
        m.Nt.KeInitializeEvent(never, default, false);
        Va timeout = Pool(m, 8);
        m.Nt.Memory.Write(timeout, -50_000L);
        long before = m.Nt.Ke.Clock.Now;
        Assert.Equal(STATUS_TIMEOUT, m.Nt.KeWaitForSingleObject(never.Header, 0, 0, false, timeout));
        Assert.InRange(m.Nt.Ke.Clock.Now - before, 50_000, 51_000);
    }

    [Fact]
    public void A_wait_that_only_a_periodic_timer_accompanies_is_a_hang()
    {
        using var m = new TestMachine();
        KTimer timer = KTimer.At(m.Nt.Memory, Pool(m, (ulong)KTimer.Size));
        KEvent never = KEvent.At(m.Nt.Memory, Pool(m, (ulong)KEvent.Size));
        m.Nt.KeInitializeEvent(never, default, false);
        m.Nt.KeInitializeTimer(timer);
        m.Nt.KeSetTimerEx(timer, -10_000, 1, KDpc.At(m.Nt.Memory, Va.Null));
        m.Nt.BeginRequest();
        Hang hang = Assert.Throws<Hang>(() => m.Nt.KeWaitForSingleObject(never.Header, 0, 0, false, Va.Null));
        Assert.Equal(HangKind.InstructionLimit, hang.Kind);
    }

    [Fact]
    [Rule("9.3")]
    public void DPCs_run_in_the_order_of_the_queue_and_important_ones_first()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        var order = new List<int>();
        KDpc[] dpcs = new KDpc[3];
        for (int i = 0; i < dpcs.Length; i++)
        {
            int number = i;
            dpcs[i] = KDpc.At(nt.Memory, Pool(m, (ulong)KDpc.Size));
            nt.KeInitializeDpc(dpcs[i], nt.Routines.Add($"Dpc{i}", (_, _) => order.Add(number)), Va.Null);
        }
        dpcs[2].Importance = 2;
        nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        foreach (KDpc dpc in dpcs) Assert.True(nt.KeInsertQueueDpc(dpc, Va.Null, Va.Null));
        Assert.False(nt.KeInsertQueueDpc(dpcs[0], Va.Null, Va.Null));
        Assert.Empty(order);
        nt.Ke.Lower(Irql.PASSIVE_LEVEL);
        Assert.Equal([2, 0, 1], order);
    }

    [Fact]
    public void An_MDLs_mapping_shows_the_callers_memory_and_goes_with_it()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va user = nt.Mm.AllocateUser(0x3000);
        Mdl mdl = nt.IoAllocateMdl(user + 0xFF0, 0x1020, false, false, Irp.At(nt.Memory, Va.Null));
        nt.MmProbeAndLockPages(mdl, ProcessorMode.UserMode, 1);
        Va mapped = nt.MmMapLockedPagesSpecifyCache(mdl, ProcessorMode.KernelMode, 1, Va.Null, 0, 16);
        nt.Memory.Write(mapped + 0xE, 0x1122_3344);
        Assert.Equal(0x1122_3344, nt.Memory.Read<int>(user + 0xFFE));
        nt.MmUnlockPages(mdl);
        Assert.Throws<PageFault>(() => nt.Memory.Read<int>(mapped));
        BugCheck again = Assert.Throws<BugCheck>(() => nt.MmUnmapLockedPages(mapped, mdl));
        Assert.Equal(BugCheckCode.SYSTEM_PTE_MISUSE, again.Code);
        nt.IoFreeMdl(mdl);
    }

    [Theory]
    [InlineData("echo", new uint[] { 0x222000, 0x222004, 0x222005, 0x222006, 0x222007 })]
    [InlineData("quiet", new uint[] { 0x222000 })]
    [InlineData("filter", new uint[] { 0x222000 })]
    [InlineData("pending", new uint[] { 0x222000, 0x222004 })]
    [InlineData("missing", new uint[] { 0x222000, 0x222004, 0x222008 })]
    public void The_control_codes_are_found_in_the_code(string driver, uint[] codes) =>
        Assert.Equal(codes, DriverFile.Open(Repository.Driver(driver)).FindControlCodes());

    [Theory]
    [InlineData("%d|%5d|%-5d|%05d", "-7|   -7|-7   |-0007")]
    [InlineData("%x|%X|%#x|%08x", "fffffff9|FFFFFFF9|0xfffffff9|fffffff9")]
    [InlineData("%I64d|%u|%c", "-7|4294967289|\u00f9")]
    [InlineData("%p|100%%|%", "FFFFFFFFFFFFFFF9|100%|")]
    [InlineData("%.3d|%+d|%o", "-007|-7|37777777771")]
    public void A_number_is_formatted_as_Microsofts_library_does(string format, string expected)
    {
        using var m = new TestMachine();
        Va arguments = Pool(m, 64);
        for (int i = 0; i < 8; i++) m.Nt.Memory.Write(arguments + i * 8, -7L);
        Assert.Equal(expected, new Printf(m.Nt, new VarArgs(m.Nt.Memory, arguments), wide: false).Format(format));
    }

    [Fact]
    public void Strings_are_formatted_narrow_wide_counted_and_null()
    {
        using var m = new TestMachine();
        Memory memory = m.Nt.Memory;
        Va arguments = Pool(m, 48), narrow = Pool(m, 16), wide = Pool(m, 16);
        memory.Write(narrow, "abcdef\0"u8);
        memory.Write(wide, Encoding.Unicode.GetBytes("wide\0"));
        Va counted = m.Nt.Rtl.AllocateString("counted");
        foreach ((int i, Va value) in ((int, Va)[])[(0, narrow), (1, wide), (2, counted), (3, Va.Null), (4, narrow)])
            memory.Write(arguments + i * 8, value);
        string text = new Printf(m.Nt, new VarArgs(memory, arguments), wide: false).Format("%s|%ws|%wZ|%s|%.3s");
        Assert.Equal("abcdef|wide|counted|(null)|abc", text);
    }
}
