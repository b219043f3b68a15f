using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>What drivers print, the debugger that is not there, exceptions, exported variables.</summary>
public sealed class DebugTests
{
    static Va Ansi(TestMachine m, string text)
    {
        Va at = m.Block(text.Length + 1);
        m.Nt.Memory.Write(at, Encoding.ASCII.GetBytes(text));
        return at;
    }

    static uint CodeOf(Action raises) => Assert.Throws<GuestException>(raises).Record.Code;

    [Fact]
    public void Every_way_of_printing_prints()
    {
        using var m = new TestMachine();
        Va format = Ansi(m, "%d and %x\n"), list = m.Block(16);
        m.Nt.Memory.Write(list, 5UL);
        m.Nt.Memory.Write(list + 8, 0x6FUL);
        Assert.Equal(0u, m.Nt.DbgPrint(format, m.List(1, 0x2A)));
        Assert.Equal(0u, m.Nt.DbgPrintEx(77, 0, format, m.List(3, 0x4B)));
        Assert.Equal(0u, m.Nt.vDbgPrintEx(77, 0, format, list));
        Va answer = m.Variable(ulong.MaxValue);
        Assert.Equal(0u, m.Nt.DbgPrompt(Ansi(m, "well?\n"), answer, 8));
        Assert.Equal(0, m.Nt.Memory.Read<byte>(answer));
        Assert.Equal(["1 and 2a", "3 and 4b", "5 and 6f", "well?"], m.Nt.DebugPrint);
    }

    [Fact]
    public void An_assertion_says_what_failed_and_breaks()
    {
        using var m = new TestMachine();
        uint breakpoint = STATUS_BREAKPOINT.Value;
        Assert.Equal(breakpoint, CodeOf(() => m.Nt.RtlAssert(Ansi(m, "x == y"), Ansi(m, "z.c"), 12, Va.Null)));
        Assert.Contains("x == y", string.Concat(m.Nt.DebugPrint));
        Assert.Contains("z.c, line 12", string.Concat(m.Nt.DebugPrint));
        Assert.Equal(breakpoint, CodeOf(m.Nt.DbgBreakPoint));
        Assert.Equal(breakpoint, CodeOf(() => m.Nt.DbgBreakPointWithStatus(3)));
    }

    [Fact]
    public void There_is_no_debugger_and_no_boot_screen()
    {
        using var m = new TestMachine();
        NtStatus inactive = new(0xC000_0354);
        Assert.Equal((inactive, inactive, true),
            (m.Nt.KdDisableDebugger(), m.Nt.KdEnableDebugger(), m.Nt.KdRefreshDebuggerNotPresent()));
        Assert.Equal(inactive, m.Nt.KdChangeOption(0, 0, Va.Null, 0, Va.Null, Va.Null));
        Assert.Equal(inactive, m.Nt.KdSystemDebugControl(0, Va.Null, 0, Va.Null, 0, Va.Null, 0));
        m.Nt.InbvNotifyDisplayOwnershipLost(Va.Null);
        Assert.False(m.Nt.InbvCheckDisplayOwnership());
    }

    [Fact]
    public void Exceptions_are_raised_under_their_names()
    {
        using var m = new TestMachine();
        Assert.Equal(STATUS_ACCESS_VIOLATION.Value, CodeOf(m.Nt.ExRaiseAccessViolation));
        Assert.Equal(STATUS_DATATYPE_MISALIGNMENT.Value, CodeOf(m.Nt.ExRaiseDatatypeMisalignment));
        Assert.Equal(STATUS_UNSUCCESSFUL.Value, CodeOf(() => m.Nt.ExRaiseStatus(STATUS_UNSUCCESSFUL)));
    }

    [Fact]
    public void An_unwind_to_a_frame_that_is_not_there_stops_the_machine()
    {
        Action<NtKernel, Va>[] unwinds =
        [
            (nt, frame) => nt.RtlUnwindEx(frame, frame, ExceptionRecordView.At(nt.Memory, Va.Null), 0,
                ContextView.At(nt.Memory, Va.Null), Va.Null),
            (nt, frame) => nt.RtlUnwind(frame, frame, ExceptionRecordView.At(nt.Memory, Va.Null), 0),
            (nt, frame) => nt._local_unwind(frame, frame),
        ];
        foreach (Action<NtKernel, Va> unwind in unwinds)
        {
            using var m = new TestMachine();
            Va frame = m.Block(8);
            BugCheck stop = Assert.Throws<BugCheck>(() => unwind(m.Nt, frame));
            Assert.Equal((BugCheckCode.KMODE_EXCEPTION_NOT_HANDLED, (ulong)STATUS_BAD_STACK.Value),
                (stop.Code, stop.Parameters[0]));
        }
    }

    [Fact]
    public void Exported_variables_have_their_values()
    {
        using var m = new TestMachine(new KernelOptions { Processors = 3 });
        ulong Value(string name) => m.Nt.Memory.Read<ulong>(m.Nt.Loader.FindExport(name));
        Assert.Equal((3UL, 0UL, 1UL, 0UL, 0UL), (Value("KeNumberProcessors"), Value("KdDebuggerEnabled"),
            Value("KdDebuggerNotPresent"), Value("KdComPortInUse"), Value("InitSafeBootMode")));
        Assert.Equal(19041UL, Value("NtBuildNumber") & 0xFFFF);
        Assert.Equal(m.Nt.Ps.SystemProcess.Address.Value, Value("PsInitialSystemProcess"));
        string[] types = ["CmKeyObjectType", "ExEventObjectType", "ExMutantObjectType", "ExSemaphoreObjectType",
            "ExTimerObjectType", "IoDeviceObjectType", "IoDriverObjectType", "MmSectionObjectType", "PsProcessType",
            "PsThreadType", "SeTokenObjectType"];
        Assert.Equal(types.Length, types.Select(Value).Where(v => (long)v < 0).Distinct().Count());
    }

    [Fact]
    public void A_thread_attaches_to_processes_one_in_another_and_comes_back()
    {
        using var m = new TestMachine();
        Assert.Equal(STATUS_SUCCESS, m.Nt.Ps.CreateUserProcess(@"\other.exe", out NtProcess? made));
        EProcess other = made!.Object;
        Va own = m.Nt.KeGetCurrentThread().Process, first = m.Block(0x30), second = m.Block(0x30);
        m.Nt.KeStackAttachProcess(other, first);
        Assert.Equal(other.Address, m.Nt.KeGetCurrentThread().Process);
        m.Nt.KeStackAttachProcess(m.Nt.Ps.SystemProcess, second);
        m.Nt.KeUnstackDetachProcess(second);
        Assert.Equal(other.Address, m.Nt.KeGetCurrentThread().Process);
        m.Nt.KeUnstackDetachProcess(first);
        Assert.Equal(own, m.Nt.KeGetCurrentThread().Process);
        m.Nt.KeAttachProcess(other);
        Assert.Throws<BugCheck>(() => m.Nt.KeAttachProcess(m.Nt.Ps.SystemProcess));
        m.Nt.KeDetachProcess();
        Assert.Equal(own, m.Nt.KeGetCurrentThread().Process);
    }

    [Fact]
    public void An_idle_device_queue_has_nothing_to_give()
    {
        using var m = new TestMachine();
        Va queue = m.Block(0x28), first = m.Block(0x18), entry = m.Block(0x18);
        m.Nt.KeInitializeDeviceQueue(queue);
        Irql old = m.Nt.KeRaiseIrqlToDpcLevel();
        Assert.Equal(Va.Null, m.Nt.KeRemoveByKeyDeviceQueueIfBusy(queue, 0));
        Assert.False(m.Nt.KeInsertByKeyDeviceQueue(queue, first, 1));
        Assert.True(m.Nt.KeInsertByKeyDeviceQueue(queue, entry, 1));
        Assert.Equal(entry, m.Nt.KeRemoveByKeyDeviceQueueIfBusy(queue, 0));
        m.Nt.KeLowerIrql(old);
    }

    /// <summary>Two machines' worth of user halves at one address: what was seen of one is not seen of the
    /// other.</summary>
    [Fact]
    public void Another_user_half_shows_other_memory_and_runs_other_code()
    {
        using var m = new TestMachine();
        Memory memory = m.Nt.Memory;
        AddressSpace[] spaces = [memory.Current, new AddressSpace()];
        Va at = new(0x10_0000);
        for (int i = 0; i < 2; i++)
        {
            memory.Current = spaces[i];
            memory.Map(at, Va.PageSize, Protection.ReadWrite | Protection.Execute);
            // mov eax, n; ret
            memory.Write(at, (byte[])[0xB8, (byte)(7 + i), 0, 0, 0, 0xC3]);
        }
        for (int i = 0; i < 6; i++)
        {
            memory.Current = spaces[i & 1];
            Assert.Equal((byte)(7 + (i & 1)), memory.Read<byte>(at + 1));
            Assert.Equal(7UL + (ulong)(i & 1), m.Nt.Routines.Call(at));
        }
        memory.Current = spaces[0];
    }
}
