using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class PsTests
{
    static NtProcess Create(TestMachine m, string name = @"\Device\HarddiskVolume1\app.exe")
    {
        Assert.Equal(STATUS_SUCCESS, m.Nt.Ps.CreateUserProcess(name, out NtProcess? process));
        return process!;
    }

    [Fact]
    public void Processes_are_found_by_their_ids()
    {
        using var m = new TestMachine();
        NtProcess process = Create(m);
        Va place = m.Block(8), thread = m.Block(8), cid = m.Block(16);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsLookupProcessByProcessId(process.Id, place));
        Assert.Equal(process.Object.Address, m.Read<Va>(place));
        Assert.Equal(STATUS_INVALID_CID, m.Nt.PsLookupProcessByProcessId(3, place));
        ulong id = m.Nt.PsGetCurrentThreadId();
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsLookupThreadByThreadId(id, thread));
        Assert.Equal(m.Nt.PsGetCurrentThread().Address, m.Read<Va>(thread));
        Assert.Equal(STATUS_INVALID_CID, m.Nt.PsLookupThreadByThreadId(1, thread));
        m.Nt.Memory.Write(cid, m.Nt.PsGetCurrentThreadProcessId());
        m.Nt.Memory.Write(cid + 8, id);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsLookupProcessThreadByCid(cid, place, thread));
        m.Nt.Memory.Write(cid, 4UL);
        Assert.Equal(STATUS_INVALID_CID, m.Nt.PsLookupProcessThreadByCid(cid, place, thread));
    }

    [Fact]
    public void A_process_says_what_it_is()
    {
        using var m = new TestMachine();
        NtProcess process = Create(m);
        EProcess body = process.Object;
        Assert.Equal("app.exe\0", System.Text.Encoding.ASCII.GetString(
            m.Nt.Memory.ReadBytes(m.Nt.PsGetProcessImageFileName(body), 8)));
        Assert.Equal(process.Id, m.Nt.PsGetProcessId(body));
        Assert.True(m.Nt.PsGetProcessCreateTimeQuadPart(body) > 0);
        Assert.Equal(STATUS_PENDING, m.Nt.PsGetProcessExitStatus(body));
        Assert.False(m.Nt.PsGetProcessExitProcessCalled(body));
        Assert.Equal(0x1000UL, m.Nt.PsGetProcessInheritedFromUniqueProcessId(body));
        Assert.Equal((1u, 1u, 1u), (m.Nt.PsGetProcessSessionId(body), m.Nt.PsGetProcessSessionIdEx(body),
            m.Nt.PsGetCurrentProcessSessionId()));
        Assert.Equal((Va.Null, Va.Null, Va.Null, Va.Null, Va.Null, Va.Null), (m.Nt.PsGetProcessPeb(body),
            m.Nt.PsGetProcessSectionBaseAddress(body), m.Nt.PsGetProcessJob(body),
            m.Nt.PsGetProcessWin32Process(body), m.Nt.PsGetProcessWow64Process(body),
            m.Nt.PsGetProcessDebugPort(body)));
        Assert.Equal(Va.Null, m.Nt.PsGetCurrentProcessWin32Process());
        Assert.False(m.Nt.PsIsProcessBeingDebugged(body));
        Assert.False(m.Nt.PsIsProtectedProcess(body));
        Assert.False(m.Nt.PsIsSystemProcess(body));
        Assert.True(m.Nt.PsIsSystemProcess(m.Nt.Ps.SystemProcess));
        Assert.Equal(0, m.Nt.PsGetProcessExitTime());
        Assert.Equal(m.Nt.IoGetCurrentProcess(), m.Nt.PsGetCurrentProcess());
        Assert.Equal(0x1000UL, m.Nt.PsGetCurrentProcessId());
        Assert.Equal(0, m.Nt.ExGetPreviousMode());
        Va major = m.Block(8), minor = m.Block(8), build = m.Block(8);
        Assert.True(m.Nt.PsGetVersion(major, minor, build, Va.Null));
        Assert.Equal((10u, 0u), (m.Read<uint>(major), m.Read<uint>(minor)));
    }

    [Fact]
    public void A_thread_says_what_it_is()
    {
        using var m = new TestMachine();
        KThread thread = m.Nt.PsGetCurrentThread();
        EProcess process = m.Nt.PsGetThreadProcess(thread);
        Assert.Equal(m.Nt.Ps.UserProcess, process);
        Assert.Equal((process, process), (m.Nt.IoThreadToProcess(thread), m.Nt.PsGetCurrentThreadProcess()));
        Assert.Equal(0x1000UL, m.Nt.PsGetThreadProcessId(thread));
        Assert.Equal(m.Nt.PsGetCurrentThreadId(), m.Nt.PsGetThreadId(thread));
        Assert.Equal((Va.Null, Va.Null, Va.Null),
            (m.Nt.PsGetThreadTeb(thread), m.Nt.PsGetCurrentThreadTeb(), m.Nt.PsGetThreadWin32Thread(thread)));
        Assert.Equal(1u, m.Nt.PsGetThreadSessionId(thread));
        Assert.False(m.Nt.PsIsThreadTerminating(thread));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsGetThreadExitStatus(thread));
        Assert.False(m.Nt.PsIsSystemThread(thread));
        Assert.False(m.Nt.IoIsSystemThread(thread));
        Assert.True(m.Nt.PsGetCurrentThreadStackBase() > m.Nt.PsGetCurrentThreadStackLimit());
        Assert.Equal(0, m.Nt.PsGetCurrentThreadPreviousMode());
        Irp irp = m.Nt.IoAllocateIrp(1, false);
        Va session = m.Block(8);
        Assert.Equal(0UL, m.Nt.IoGetRequestorProcessId(irp));
        Assert.Equal(STATUS_UNSUCCESSFUL, m.Nt.IoGetRequestorSessionId(irp, session));
        irp.Thread = thread;
        Assert.Equal(0x1000UL, m.Nt.IoGetRequestorProcessId(irp));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoGetRequestorSessionId(irp, session));
    }

    [Fact]
    public void Each_process_has_memory_of_its_own()
    {
        using var m = new TestMachine();
        NtProcess first = Create(m), second = Create(m);
        Va at = default;
        m.Nt.Ps.InProcess(first, () =>
        {
            at = m.Nt.Mm.AllocateUser(16);
            m.Nt.Memory.Write(at, 5);
            return STATUS_SUCCESS;
        });
        Assert.Same(first.AddressSpace, m.Nt.Ps.AddressSpaceOf(first.Object));
        m.Nt.Ps.InProcess(second, () =>
        {
            Assert.False(m.Nt.MmIsAddressValid(at));
            Assert.True(m.Nt.MmIsAddressValid(new Va(0x7FFE_0000)));
            Assert.Equal(second.Object, m.Nt.PsGetCurrentProcess());
            return STATUS_SUCCESS;
        });
        Assert.Equal(m.Nt.Ps.UserProcess, m.Nt.PsGetCurrentProcess());
    }

    [Fact]
    public void The_end_of_a_process_closes_its_handles_and_signals_it()
    {
        using var m = new TestMachine();
        NtProcess process = Create(m);
        Va place = m.Block(8);
        Handle handle = m.Nt.Ob.Open(m.Nt.Ob.At(process.Object.Address), 0x1F_FFFF, kernelHandle: true);
        m.Nt.Ps.InProcess(process, () => m.Nt.ZwCreateEvent(
            place, 1, m.Attributes(@"\BaseNamedObjects\Ends", 0), 0, false));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenEvent(place, 1, m.Attributes(@"\BaseNamedObjects\Ends", 0x200)));
        m.Nt.ZwClose(m.Read<Handle>(place));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwTerminateProcess(handle, STATUS_UNSUCCESSFUL));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND,
            m.Nt.ZwOpenEvent(place, 1, m.Attributes(@"\BaseNamedObjects\Ends", 0x200)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwWaitForSingleObject(handle, false, Va.Null));
        Assert.Equal(STATUS_UNSUCCESSFUL, m.Nt.PsGetProcessExitStatus(process.Object));
        Assert.True(m.Nt.PsGetProcessExitProcessCalled(process.Object));
        Assert.Equal(STATUS_PROCESS_IS_TERMINATING, m.Nt.ZwTerminateProcess(handle, STATUS_SUCCESS));
        ulong id = process.Id;
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsLookupProcessByProcessId(id, place));
        m.Nt.ObfDereferenceObject(m.Read<Va>(place));
        m.Nt.ZwClose(handle);
        Assert.Equal(STATUS_INVALID_CID, m.Nt.PsLookupProcessByProcessId(id, place));
    }

    [Fact]
    public void Drivers_are_told_of_processes_and_may_forbid_them()
    {
        using var m = new TestMachine();
        var seen = new List<string>();
        NtStatus verdict = STATUS_SUCCESS;
        Va plain = m.Routine(call =>
        {
            seen.Add($"{call.Argument(0):x} {call.Argument(1):x} {(byte)call.Argument(2)}");
            return 0;
        });
        Va extended = m.Routine(call =>
        {
            Va info = new(call.Argument(2));
            if (info.IsNull) return (ulong)(seen.Count + 0 * seen.RemoveAll(_ => false));
            seen.Add(UnicodeString.At(m.Nt.Memory, m.Read<Va>(info + 0x30)).Text);
            m.Nt.Memory.Write(info + 0x40, verdict);
            return 0;
        });
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetCreateProcessNotifyRoutine(plain, false));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetCreateProcessNotifyRoutineEx(extended, false));
        NtProcess process = Create(m, @"\good.exe");
        Assert.Equal([$"1000 {process.Id:x} 1", @"\good.exe"], seen);
        m.Nt.Ps.Exit(process, STATUS_SUCCESS);
        Assert.EndsWith(" 0", seen[^1]);
        verdict = STATUS_ACCESS_DENIED;
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.Ps.CreateUserProcess(@"\bad.exe", out NtProcess? none));
        Assert.Null(none);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetCreateProcessNotifyRoutineEx(extended, true));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetCreateProcessNotifyRoutineEx2(0, extended, false));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetCreateProcessNotifyRoutineEx2(0, extended, true));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetCreateProcessNotifyRoutine(plain, true));
        Assert.Equal(STATUS_PROCEDURE_NOT_FOUND, m.Nt.PsSetCreateProcessNotifyRoutine(plain, true));
        for (int i = 0; i < 64; i++)
            Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetCreateProcessNotifyRoutine(plain, false));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.PsSetCreateProcessNotifyRoutine(plain, false));
    }

    [Fact]
    public void Threads_and_images_have_routines_of_their_own()
    {
        using var m = new TestMachine();
        var seen = new List<string>();
        Va thread = m.Routine(call =>
        {
            seen.Add($"{call.Argument(0):x} {(byte)call.Argument(2)}");
            return 0;
        });
        Va image = m.Routine(call =>
        {
            seen.Add(UnicodeString.At(m.Nt.Memory, new Va(call.Argument(0))).Text);
            Assert.NotEqual(0UL, m.Read<ulong>(new Va(call.Argument(2)) + 8));
            return 0;
        });
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetCreateThreadNotifyRoutine(thread));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetCreateThreadNotifyRoutineEx(0, thread));
        m.Nt.Ps.NotifyThread(m.Nt.PsGetCurrentThread(), create: true);
        Assert.Equal(["1000 1", "1000 1"], seen);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsRemoveCreateThreadNotifyRoutine(thread));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsRemoveCreateThreadNotifyRoutine(thread));
        Assert.Equal(STATUS_PROCEDURE_NOT_FOUND, m.Nt.PsRemoveCreateThreadNotifyRoutine(thread));
        seen.Clear();
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetLoadImageNotifyRoutine(image));
        m.Load(Repository.Driver("echo"));
        Assert.Equal([@"\SystemRoot\System32\drivers\echo.sys"], seen);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsRemoveLoadImageNotifyRoutine(image));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsSetLoadImageNotifyRoutineEx(image, 0));
        Assert.Equal(STATUS_INVALID_PARAMETER_2, m.Nt.PsSetLoadImageNotifyRoutineEx(image, 8));
    }

    [Fact]
    public void Quota_is_counted_and_cannot_be_given_back_twice()
    {
        using var m = new TestMachine();
        EProcess process = m.Nt.Ps.UserProcess;
        m.Nt.PsChargePoolQuota(process, 0, 100);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsChargeProcessPoolQuota(process, 1, 50));
        Assert.Equal((100UL, 50UL), (process.NonPagedUsage, process.PagedUsage));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsChargeProcessPagedPoolQuota(process, 5));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PsChargeProcessNonPagedPoolQuota(process, 5));
        m.Nt.PsReturnProcessPagedPoolQuota(process, 5);
        m.Nt.PsReturnProcessNonPagedPoolQuota(process, 5);
        Assert.Equal(STATUS_QUOTA_EXCEEDED, m.Nt.PsChargeProcessPoolQuota(process, 0, ulong.MaxValue));
        Assert.Throws<GuestException>(() => m.Nt.PsChargePoolQuota(process, 0, 1UL << 40));
        m.Nt.PsReturnPoolQuota(process, 0, 100);
        Assert.Equal(BugCheckCode.QUOTA_UNDERFLOW,
            Assert.Throws<BugCheck>(() => m.Nt.PsReturnPoolQuota(process, 0, 1)).Code);
    }

    [Fact]
    public void Processes_and_threads_are_opened_by_their_ids()
    {
        using var m = new TestMachine();
        Va place = m.Block(8), cid = m.Block(16);
        NtProcess process = Create(m);
        m.Nt.Memory.Write(cid, process.Id);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenProcess(place, 0x1F_FFFF, m.Attributes(null, 0x200), cid));
        Assert.Equal(process.Object.Address, m.Nt.Ob.Lookup(m.Read<Handle>(place))!.Body);
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtOpenProcess(place, 1, m.Attributes(null, 0), cid));
        Assert.Equal(STATUS_INVALID_PARAMETER_MIX,
            m.Nt.ZwOpenProcess(place, 1, m.Attributes(@"\X", 0), cid));
        m.Nt.Memory.Write(cid, 3UL);
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.ZwOpenProcess(place, 1, m.Attributes(null, 0), cid));
        m.Nt.Memory.Write(cid, 0UL);
        m.Nt.Memory.Write(cid + 8, m.Nt.PsGetCurrentThreadId());
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenThread(place, 0x1F_FFFF, m.Attributes(null, 0x200), cid));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtOpenThread(place, 1, m.Attributes(null, 0), cid));
        m.Nt.Memory.Write(cid + 8, 1UL);
        Assert.Equal(STATUS_INVALID_CID, m.Nt.ZwOpenThread(place, 1, m.Attributes(null, 0), cid));
    }

    [Fact]
    public void An_ordinary_user_cannot_open_the_System_process()
    {
        using var m = new TestMachine();
        var open = ObjectRequest.None(ProcessorMode.UserMode);
        NtObject system = m.Nt.Ob.At(m.Nt.Ps.SystemProcess.Address), own = m.Nt.Ob.At(m.Nt.Ps.UserProcess.Address);
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.Ob.OpenHandle(system, 0x10, open, out _));
        Assert.Equal(STATUS_SUCCESS, m.Nt.Ob.OpenHandle(own, 0x1F_FFFF, open, out _));
    }

    [Fact]
    public void Information_of_processes_and_threads()
    {
        using var m = new TestMachine();
        Handle process = new(ulong.MaxValue), thread = new(ulong.MaxValue - 1);
        Va buffer = m.Block(0x200), length = m.Block(8);
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, m.Nt.ZwQueryInformationProcess(process, 0, buffer, 8, length));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryInformationProcess(process, 0, buffer, 0x30, length));
        Assert.Equal(0x1000UL, m.Read<ulong>(buffer + 0x20));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtQueryInformationProcess(process, 27, buffer, 0x200, length));
        Assert.EndsWith("user.exe", UnicodeString.At(m.Nt.Memory, buffer).Text);
        Assert.Equal(STATUS_PORT_NOT_SET, m.Nt.ZwQueryInformationProcess(process, 30, buffer, 8, length));
        Assert.Equal(STATUS_INVALID_INFO_CLASS, m.Nt.ZwQueryInformationProcess(process, 999, buffer, 8, length));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwQueryInformationThread(thread, 0, buffer, 0x30, length));
        Assert.Equal(m.Nt.PsGetCurrentThreadId(), m.Read<ulong>(buffer + 0x18));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtQueryInformationThread(thread, 9, buffer, 8, length));
        m.Nt.Memory.Write(buffer, 12);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetInformationThread(thread, 2, buffer, 4));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtSetInformationThread(thread, 2, buffer, 4));
        Assert.Equal(12, m.Nt.PsGetCurrentThread().Priority);
    }

    [Fact]
    public void A_critical_process_that_ends_stops_the_machine()
    {
        using var m = new TestMachine();
        NtProcess process = Create(m);
        Handle handle = m.Nt.Ob.Open(m.Nt.Ob.At(process.Object.Address), 0x1F_FFFF, kernelHandle: true);
        Va one = m.Bytes([1, 0, 0, 0]);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetInformationProcess(handle, 29, one, 4));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtSetInformationProcess(handle, 29, one, 4));
        Assert.Equal(BugCheckCode.CRITICAL_PROCESS_DIED,
            Assert.Throws<BugCheck>(() => m.Nt.ZwTerminateProcess(handle, STATUS_SUCCESS)).Code);
        Handle system = m.Nt.Ob.Open(m.Nt.Ob.At(m.Nt.Ps.SystemProcess.Address), 1, kernelHandle: true);
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.ZwTerminateProcess(system, STATUS_SUCCESS));
    }

    [Fact]
    public void Who_writes_another_token_into_EPROCESS_is_that_user()
    {
        using var m = new TestMachine();
        EProcess user = m.Nt.Ps.UserProcess;
        user.Token = new Va(m.Nt.Ps.SystemProcess.Token.Value | 7);
        Assert.True(m.Nt.SeSinglePrivilegeCheck(Privilege.SeDebug, 1));
    }
}
