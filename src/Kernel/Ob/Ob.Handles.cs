using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.ObjectRequest;

namespace Ringdown.Kernel;

/// <summary>Handles: a table for each process. The System process's is the one of kernel handles, whose values have
/// the top bits set; only kernel mode can use those.</summary>
sealed partial class Ob
{
    const ulong KernelHandle = 0xFFFF_FFFF_8000_0000;
    const uint MAXIMUM_ALLOWED = 0x0200_0000, ACCESS_SYSTEM_SECURITY = 0x0100_0000;

    /// <summary>Handles that only kernel mode can use: those of the System process.</summary>
    public HandleTable KernelHandles => _nt.Ps.System.Handles;

    HandleTable? TableOf(Handle handle, ProcessorMode mode, out uint index, NtProcess? process = null)
    {
        bool isKernel = handle.Value >= KernelHandle;
        index = isKernel ? (uint)handle.Value & 0x7FFF_FFFF : (uint)handle.Value;
        if (isKernel) return mode == ProcessorMode.KernelMode ? KernelHandles : null;
        return handle.Value > 0x7FFF_FFFF ? null : (process ?? _nt.Ps.Current).Handles;
    }

    /// <summary>What a handle stands for, if the type is right and, from user mode, the handle has the rights. No
    /// reference is taken. With a wrong type or right the entry is set all the same.</summary>
    /// <param name="process">Whose handle it is; null for the current process's.</param>
    public NtStatus Resolve(
        Handle handle, uint access, ObjectType? type, ProcessorMode mode, out HandleEntry? entry,
        NtProcess? process = null)
    {
        entry = handle.Value switch
        {
            ulong.MaxValue => new HandleEntry(At(_nt.Ps.CurrentProcess.Address), ProcessType.Mapping.All, Va.Null),
            ulong.MaxValue - 1 => new HandleEntry(At(_nt.Ke.CurrentThread.Address), ThreadType.Mapping.All, Va.Null),
            _ => TableOf(handle, mode, out uint index, process)?.Find(index),
        };
        if (entry is null) return STATUS_INVALID_HANDLE;
        if (type is not null && entry.Object.Type != type) return STATUS_OBJECT_TYPE_MISMATCH;
        return mode == ProcessorMode.UserMode && (access & ~entry.GrantedAccess) != 0 ? STATUS_ACCESS_DENIED
            : STATUS_SUCCESS;
    }

    /// <summary>The object behind a handle, as kernel mode sees it.</summary>
    public NtObject? Lookup(Handle handle)
    {
        Resolve(handle, 0, null, ProcessorMode.KernelMode, out HandleEntry? entry);
        return entry?.Object;
    }

    /// <summary>A handle with rights that were checked already, in the kernel's table or the current
    /// process's.</summary>
    public Handle Open(NtObject target, uint access, bool kernelHandle) =>
        Add(target, access, kernelHandle ? OBJ_KERNEL_HANDLE : 0, kernelHandle ? _nt.Ps.System : _nt.Ps.Current);

    Handle Add(NtObject target, uint access, uint attributes, NtProcess process)
    {
        access = (access & MAXIMUM_ALLOWED) != 0 ? target.Type.Mapping.All : target.Type.Mapping.Map(access);
        Reference(target);
        ObjectHeader header = target.Header;
        header.HandleCount++;
        target.Type.Count(1);
        uint index = process.Handles.Add(new HandleEntry(target, access, _nt.Caller)
        {
            IsInherited = (attributes & OBJ_INHERIT) != 0,
        });
        return new Handle((attributes & OBJ_KERNEL_HANDLE) != 0 ? KernelHandle | index : index);
    }

    /// <summary>Checks the rights where they must be, asks those who registered for it, and opens a handle.</summary>
    public NtStatus OpenHandle(NtObject target, uint access, ObjectRequest request, out Handle handle)
    {
        handle = default;
        NtStatus status = CheckAccess(target, access, request.IsChecked, out uint granted);
        return status.IsSuccess ? OpenGranted(target, access, granted, request, out handle) : status;
    }

    NtStatus OpenGranted(NtObject target, uint access, uint granted, ObjectRequest request, out Handle handle)
    {
        handle = default;
        bool kernel = request.Has(OBJ_KERNEL_HANDLE);
        NtProcess process = kernel ? _nt.Ps.System : _nt.Ps.Current;
        if (process.Handles.IsClosed) return STATUS_PROCESS_IS_TERMINATING;
        if (!MayShare(target, request, process)) return STATUS_ACCESS_DENIED;
        granted = BeforeHandle(target, OB_OPERATION_HANDLE_CREATE, granted, access, kernel, null, null, out var call);
        handle = Add(target, granted, request.Attributes, process);
        AfterHandle(call, STATUS_SUCCESS, granted);
        return STATUS_SUCCESS;
    }

    static bool MayShare(NtObject target, ObjectRequest request, NtProcess process)
    {
        ObjectHeader header = target.Header;
        if (target.ExclusiveTo.IsNull)
        {
            if (!request.Has(OBJ_EXCLUSIVE)) return true;
            if (header.HandleCount != 0) return false;
            target.ExclusiveTo = process.Object.Address;
            header.Flags |= ObjectHeader.OB_FLAG_EXCLUSIVE_OBJECT;
            return true;
        }
        return target.ExclusiveTo == process.Object.Address && request.Has(OBJ_EXCLUSIVE);
    }

    /// <summary>NtClose.</summary>
    public NtStatus Close(
        Handle handle, ProcessorMode mode = ProcessorMode.KernelMode, NtProcess? process = null)
    {
        HandleTable? table = TableOf(handle, mode, out uint index, process);
        HandleEntry? entry = handle.Value >= ulong.MaxValue - 1 ? null : table?.Find(index);
        bool isKernel = mode == ProcessorMode.KernelMode && handle.Value is >= KernelHandle and < ulong.MaxValue - 5;
        if (entry is null)
        {
            if (isKernel) throw new BugCheck(BugCheckCode.INVALID_KERNEL_HANDLE, handle.Value, 1);
            return handle.Value >= ulong.MaxValue - 1 ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
        }
        if (entry.IsProtected)
        {
            if (isKernel) throw new BugCheck(BugCheckCode.INVALID_KERNEL_HANDLE, handle.Value, 0);
            return STATUS_HANDLE_NOT_CLOSABLE;
        }
        table!.Remove(index);
        Closed(entry.Object, table);
        return STATUS_SUCCESS;
    }

    /// <summary>A handle is gone from its table.</summary>
    void Closed(NtObject target, HandleTable table)
    {
        ObjectHeader header = target.Header;
        target.Type.Count(-1);
        if (header.HandleCount > 1 && target.Type.OnProcessClosed is { } closed
            && !table.Entries.Any(e => e.Entry.Object == target)) closed(target);
        if (--header.HandleCount == 0)
        {
            target.ExclusiveTo = Va.Null;
            target.Type.OnLastHandle?.Invoke(target);
            if (!target.IsPermanent && target.Parent is not null) Remove(target);
        }
        Dereference(target);
    }

    /// <summary>The process ends: all its handles are closed, protected ones too.</summary>
    public void CloseAll(HandleTable table)
    {
        table.IsClosed = true;
        while (table.Entries.FirstOrDefault() is { Entry: not null } first)
        {
            table.Remove(first.Index);
            Closed(first.Entry.Object, table);
        }
    }

    /// <summary>NtDuplicateObject, between processes that are known.</summary>
    public NtStatus Duplicate(HandleEntry source, NtProcess from, NtProcess to, uint access, uint attributes,
        uint options, ProcessorMode mode, out Handle handle)
    {
        const uint sameAccess = 2, sameAttributes = 4;
        handle = default;
        if (to.Handles.IsClosed) return STATUS_PROCESS_IS_TERMINATING;
        NtObject target = source.Object;
        uint wanted = (options & sameAccess) != 0 ? source.GrantedAccess : target.Type.Mapping.Map(access);
        uint granted = wanted;
        // More than the source has is asked of the object itself.
        bool isChecked = mode == ProcessorMode.UserMode && (wanted & ~source.GrantedAccess) != 0;
        if ((options & sameAccess) == 0
            && CheckAccess(target, wanted, isChecked, out granted) is { IsSuccess: false } refused)
            return refused;
        if ((options & sameAttributes) != 0) attributes |= source.Attributes;
        bool kernel = (attributes & OBJ_KERNEL_HANDLE) != 0;
        granted = BeforeHandle(target, OB_OPERATION_HANDLE_DUPLICATE, granted, wanted, kernel, from, to, out var call);
        handle = Add(target, granted, attributes, kernel ? _nt.Ps.System : to);
        AfterHandle(call, STATUS_SUCCESS, granted);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ObCloseHandle(Handle handle, byte previousMode) =>
        Close(handle, (ProcessorMode)(previousMode & 1));

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ObIsKernelHandle(Handle handle) => handle.Value is >= KernelHandle and < ulong.MaxValue - 1;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus ObOpenObjectByPointer(
        Va @object, uint handleAttributes, Va passedAccessState, uint desiredAccess, Va objectType, byte accessMode,
            Va handle)
    {
        NtObject target = At(@object);
        var mode = (ProcessorMode)(accessMode & 1);
        if (!IsOfType(target, objectType, mode)) return STATUS_OBJECT_TYPE_MISMATCH;
        NtStatus status = OpenHandle(target, desiredAccess, None(mode, handleAttributes & Valid), out Handle opened);
        _nt.Memory.Write(handle, opened);
        return status;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus ObOpenObjectByPointerWithTag(
        Va @object, uint handleAttributes, Va passedAccessState, uint desiredAccess, Va objectType, byte accessMode,
            uint tag, Va handle) =>
        ObOpenObjectByPointer(
            @object, handleAttributes, passedAccessState, desiredAccess, objectType, accessMode, handle);

    /// <summary>OBJECT_HANDLE_FLAG_INFORMATION: whether it is inherited, and whether it can be closed.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus ObSetHandleAttributes(Handle handle, Va handleFlags, byte previousMode) =>
        SetHandleFlags(handle, _nt.Memory.Read<byte>(handleFlags) != 0, _nt.Memory.Read<byte>(handleFlags + 1) != 0,
            (ProcessorMode)(previousMode & 1));

    public NtStatus SetHandleFlags(Handle handle, bool inherit, bool protect, ProcessorMode mode)
    {
        if (handle.Value >= ulong.MaxValue - 1 || TableOf(handle, mode, out uint index)?.Find(index) is not { } entry)
            return STATUS_INVALID_HANDLE;
        (entry.IsInherited, entry.IsProtected) = (inherit, protect);
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, "There is no auditing, so no handle generates an audit when it is closed.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ObQueryObjectAuditingByHandle(Handle handle, Va generateOnClose)
    {
        if (Lookup(handle) is null) return STATUS_INVALID_HANDLE;
        _nt.Memory.Write(generateOnClose, (byte)0);
        return STATUS_SUCCESS;
    }
}
