using System.Buffers.Binary;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Services on processes and threads.</summary>
sealed partial class Zw
{
    const uint PROCESS_TERMINATE = 1, PROCESS_SET_INFORMATION = 0x200, THREAD_SET_INFORMATION = 0x20;

    const string ProcessClasses = "Classes: basic (0), debug port (7), priority class (18), handle count (20), "
        + "session (24), WOW64 (26), image name (27), break on termination (29), debug object and flags (30, 31), "
        + "protection (61).";

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenProcess(
        Va processHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va clientId) =>
        OpenProcess(processHandle, desiredAccess, objectAttributes, clientId, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtOpenProcess(
        Va processHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va clientId) =>
        Service(mode => OpenProcess(processHandle, desiredAccess, objectAttributes, clientId, mode));

    NtStatus OpenProcess(Va result, uint access, ObjectAttributes attributes, Va clientId, ProcessorMode mode)
    {
        nt.Ob.Probe(result, 8, mode);
        NtStatus status = ObjectRequest.Capture(nt, attributes, mode, out ObjectRequest request);
        if (!status.IsSuccess) return status;
        if (clientId.IsNull || request.Name is not null) return STATUS_INVALID_PARAMETER_MIX;
        nt.Ob.Probe(clientId, 16, mode);
        ulong processId = nt.Memory.Read<ulong>(clientId), threadId = nt.Memory.Read<ulong>(clientId + 8);
        if (threadId != 0 && nt.Ps.FindThread(threadId)?.UniqueProcess != processId) return STATUS_INVALID_CID;
        if (nt.Ps.Find(processId) is not { } process)
            return threadId != 0 ? STATUS_INVALID_CID : STATUS_INVALID_PARAMETER;
        return OpenSubject(nt.Ob.At(process.Object.Address), result, access, request);
    }

    // Who may debug may open any process and thread.
    NtStatus OpenSubject(NtObject target, Va result, uint access, ObjectRequest request)
    {
        ProcessorMode mode = request.Mode;
        if (request.IsChecked && nt.Se.HasPrivilege(Privilege.SeDebug))
            request = request with
            {
                Mode = ProcessorMode.KernelMode,
                Attributes = request.Attributes & ~ObjectRequest.OBJ_FORCE_ACCESS_CHECK,
            };
        NtStatus status = nt.Ob.OpenHandle(target, access, request, out Handle handle);
        if (status.IsSuccess) Give(result, handle, mode);
        return status;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenThread(Va threadHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va clientId) =>
        OpenThread(threadHandle, desiredAccess, objectAttributes, clientId, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtOpenThread(Va threadHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va clientId) =>
        Service(mode => OpenThread(threadHandle, desiredAccess, objectAttributes, clientId, mode));

    NtStatus OpenThread(Va result, uint access, ObjectAttributes attributes, Va clientId, ProcessorMode mode)
    {
        nt.Ob.Probe(result, 8, mode);
        NtStatus status = ObjectRequest.Capture(nt, attributes, mode, out ObjectRequest request);
        if (!status.IsSuccess) return status;
        if (clientId.IsNull || request.Name is not null) return STATUS_INVALID_PARAMETER_MIX;
        nt.Ob.Probe(clientId, 16, mode);
        ulong processId = nt.Memory.Read<ulong>(clientId), threadId = nt.Memory.Read<ulong>(clientId + 8);
        if (nt.Ps.FindThread(threadId) is not { } thread || processId != 0 && thread.UniqueProcess != processId)
            return STATUS_INVALID_CID;
        return OpenSubject(nt.Ob.At(thread.Address), result, access, request);
    }

    [Export(Support.Partial, "The threads of the process are not ended.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwTerminateProcess(Handle processHandle, NtStatus exitStatus)
    {
        Handle handle = processHandle.IsNull ? new Handle(ulong.MaxValue) : processHandle;
        NtStatus status = nt.Ps.Resolve(handle, PROCESS_TERMINATE, ProcessorMode.KernelMode, out NtProcess? process);
        if (!status.IsSuccess) return status;
        if (process == nt.Ps.System) return STATUS_ACCESS_DENIED;
        if (process!.Object.IsExiting) return STATUS_PROCESS_IS_TERMINATING;
        nt.Ps.Exit(process, exitStatus);
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, ProcessClasses), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryInformationProcess(
        Handle processHandle, uint processInformationClass, Va processInformation, uint processInformationLength,
        Va returnLength) =>
        QueryProcess(processHandle, processInformationClass, processInformation, processInformationLength,
            returnLength, ProcessorMode.KernelMode);

    [Export(Support.Partial, ProcessClasses), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtQueryInformationProcess(
        Handle processHandle, uint processInformationClass, Va processInformation, uint processInformationLength,
        Va returnLength) =>
        Service(mode => QueryProcess(
            processHandle, processInformationClass, processInformation, processInformationLength, returnLength, mode));

    NtStatus QueryProcess(Handle handle, uint cls, Va buffer, uint length, Va returnLength, ProcessorMode mode)
    {
        NtStatus status = nt.Ps.Resolve(handle, PROCESS_QUERY_LIMITED_INFORMATION, mode, out NtProcess? process);
        if (!status.IsSuccess) return status;
        EProcess body = process!.Object;
        byte[]? answer = cls switch
        {
            0 => BasicInformation(body),
            7 or 26 => new byte[8],
            18 => [0, 2],
            20 => BitConverter.GetBytes(process.Handles.Count),
            24 => BitConverter.GetBytes(process.Token.SessionId),
            27 => NameInformation(process.ImageName, buffer),
            29 => BitConverter.GetBytes((body.Flags & EProcess.BreakOnTermination) != 0 ? 1u : 0),
            31 => BitConverter.GetBytes(1u),
            61 => [body.Protection],
            _ => null,
        };
        if (cls == 30 && length == 8) return STATUS_PORT_NOT_SET;
        if (answer is null) return cls == 30 ? STATUS_INFO_LENGTH_MISMATCH : STATUS_INVALID_INFO_CLASS;
        // All but the name have one length only.
        return cls != 27 && length != answer.Length ? STATUS_INFO_LENGTH_MISMATCH
            : Answer(answer, buffer, length, returnLength, mode);
    }

    // PROCESS_BASIC_INFORMATION.
    static byte[] BasicInformation(EProcess process)
    {
        byte[] bytes = new byte[0x30];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, process.ExitStatus.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(0x08), process.Peb.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(0x10), 1);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(0x18), 8);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(0x20), process.UniqueProcessId);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(0x28), process.InheritedFromUniqueProcessId);
        return bytes;
    }

    // UNICODE_STRING with its characters and a final zero behind it.
    static byte[] NameInformation(string name, Va place)
    {
        byte[] text = System.Text.Encoding.Unicode.GetBytes(name + '\0'), bytes = new byte[0x10 + text.Length];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, (ushort)(text.Length - 2));
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2), (ushort)text.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(8), place.Value + 0x10);
        text.CopyTo(bytes, 0x10);
        return bytes;
    }

    [Export(Support.Partial, "Access token (9) and break on termination (29)."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetInformationProcess(
        Handle processHandle, uint processInformationClass, Va processInformation, uint processInformationLength) =>
        SetProcess(processHandle, processInformationClass, processInformation, processInformationLength,
            ProcessorMode.KernelMode);

    [Export(Support.Partial, "Access token (9) and break on termination (29)."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtSetInformationProcess(
        Handle processHandle, uint processInformationClass, Va processInformation, uint processInformationLength) =>
        Service(mode => SetProcess(
            processHandle, processInformationClass, processInformation, processInformationLength, mode));

    NtStatus SetProcess(Handle handle, uint cls, Va buffer, uint length, ProcessorMode mode)
    {
        if (cls is not (9 or 29)) return STATUS_INVALID_INFO_CLASS;
        if (length != (cls == 9 ? 16u : 4)) return STATUS_INFO_LENGTH_MISMATCH;
        nt.Ob.Probe(buffer, length, mode);
        NtStatus status = nt.Ps.Resolve(handle, PROCESS_SET_INFORMATION, mode, out NtProcess? process);
        if (!status.IsSuccess) return status;
        ulong privilege = cls == 9 ? Privilege.SeAssignPrimaryToken : Privilege.SeDebug;
        if (mode == ProcessorMode.UserMode && !nt.Se.HasPrivilege(privilege)) return STATUS_PRIVILEGE_NOT_HELD;
        EProcess body = process!.Object;
        if (cls == 29)
        {
            bool isCritical = nt.Memory.Read<uint>(buffer) != 0;
            body.Flags = body.Flags & ~EProcess.BreakOnTermination | (isCritical ? EProcess.BreakOnTermination : 0);
            return STATUS_SUCCESS;
        }
        status = TokenOf(nt.Memory.Read<Handle>(buffer), 1, mode, out Token? token);
        if (!status.IsSuccess) return status;
        if (!token!.IsPrimary) return STATUS_BAD_TOKEN_TYPE;
        nt.Ob.Reference(token.Object!);
        nt.Ob.Dereference(process.OwnToken.Object!);
        process.OwnToken = token;
        body.Token = token.Object!.Body;
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, "Classes: basic (0), start address (9), is terminated (20).")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryInformationThread(
        Handle threadHandle, uint threadInformationClass, Va threadInformation, uint threadInformationLength,
        Va returnLength) =>
        QueryThread(threadHandle, threadInformationClass, threadInformation, threadInformationLength, returnLength,
            ProcessorMode.KernelMode);

    [Export(Support.Partial, "Classes: basic (0), start address (9), is terminated (20).")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtQueryInformationThread(
        Handle threadHandle, uint threadInformationClass, Va threadInformation, uint threadInformationLength,
        Va returnLength) =>
        Service(mode => QueryThread(
            threadHandle, threadInformationClass, threadInformation, threadInformationLength, returnLength, mode));

    NtStatus QueryThread(Handle handle, uint cls, Va buffer, uint length, Va returnLength, ProcessorMode mode)
    {
        NtStatus status = nt.Ob.Resolve(
            handle, THREAD_QUERY_LIMITED_INFORMATION, nt.Ob.ThreadType, mode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        var thread = KThread.At(nt.Memory, entry!.Object.Body);
        byte[]? answer = cls switch
        {
            0 => BasicInformation(thread),
            9 => BitConverter.GetBytes(StartOf(thread).Value),
            20 => BitConverter.GetBytes(thread.SignalState != 0 ? 1u : 0),
            _ => null,
        };
        if (answer is null) return STATUS_INVALID_INFO_CLASS;
        return length != answer.Length ? STATUS_INFO_LENGTH_MISMATCH
            : Answer(answer, buffer, length, returnLength, mode);
    }

    Va StartOf(KThread thread) =>
        nt.Ke.Scheduler.Threads.FirstOrDefault(t => t.Object == thread)?.StartRoutine ?? thread.Win32StartAddress;

    // THREAD_BASIC_INFORMATION.
    static byte[] BasicInformation(KThread thread)
    {
        byte[] bytes = new byte[0x30];
        BinaryPrimitives.WriteUInt32LittleEndian(
            bytes, thread.SignalState == 0 ? STATUS_PENDING.Value : thread.ExitStatus.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(0x08), thread.Teb.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(0x10), thread.UniqueProcess);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(0x18), thread.UniqueThread);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(0x20), 1);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(0x28), thread.Priority);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(0x2C), thread.Priority);
        return bytes;
    }

    [Export(Support.Partial, "Priority (2) and impersonation token (5)."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetInformationThread(
        Handle threadHandle, uint threadInformationClass, Va threadInformation, uint threadInformationLength) =>
        SetThread(threadHandle, threadInformationClass, threadInformation, threadInformationLength,
            ProcessorMode.KernelMode);

    [Export(Support.Partial, "Priority (2) and impersonation token (5)."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtSetInformationThread(
        Handle threadHandle, uint threadInformationClass, Va threadInformation, uint threadInformationLength) =>
        Service(mode => SetThread(
            threadHandle, threadInformationClass, threadInformation, threadInformationLength, mode));

    NtStatus SetThread(Handle handle, uint cls, Va buffer, uint length, ProcessorMode mode)
    {
        if (cls is not (2 or 5)) return STATUS_INVALID_INFO_CLASS;
        if (length != (cls == 2 ? 4u : 8)) return STATUS_INFO_LENGTH_MISMATCH;
        nt.Ob.Probe(buffer, length, mode);
        uint access = cls == 2 ? THREAD_SET_INFORMATION : 0x80;     // THREAD_SET_THREAD_TOKEN
        NtStatus status = nt.Ob.Resolve(handle, access, nt.Ob.ThreadType, mode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        var thread = KThread.At(nt.Memory, entry!.Object.Body);
        if (cls == 5) return nt.Ps.PsAssignImpersonationToken(thread, nt.Memory.Read<Handle>(buffer));
        int priority = nt.Memory.Read<int>(buffer);
        if (priority is < 1 or > 31) return STATUS_INVALID_PARAMETER;
        nt.Ke.KeSetPriorityThread(thread, priority);
        return STATUS_SUCCESS;
    }
}
