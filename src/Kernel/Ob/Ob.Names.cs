using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Objects by name, names of objects, objects that a driver makes itself.</summary>
sealed partial class Ob
{
    const uint MaximumBody = 0x10_0000, NameInformationSize = 0x10;

    /// <summary>A file's name is its device's and what was opened below it; a key's is its path in the
    /// registry.</summary>
    string NameOf(NtObject target)
    {
        if (target.State is RegistryKey key) return key.Path;
        if (target.Type != FileType) return target.Path;
        FileObject file = FileObject.At(_nt.Memory, target.Body);
        string device = Find(file.DeviceObject.Address)?.Path ?? "";
        string rest = file.FileName.Buffer.IsNull ? "" : file.FileName.Text;
        return device + rest;
    }

    /// <summary>OBJECT_NAME_INFORMATION: a UNICODE_STRING and, behind it, the characters with a final zero.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus ObQueryNameString(Va @object, Va objectNameInfo, uint length, Va returnLength) =>
        QueryName(At(@object), objectNameInfo, length, returnLength);

    public NtStatus QueryName(NtObject target, Va buffer, uint length, Va returnLength)
    {
        string name = NameOf(target);
        if (name.Length > 0x7FFD) return STATUS_NAME_TOO_LONG;
        uint needed = NameInformationSize + (name.Length == 0 ? 0 : (uint)(name.Length + 1) * 2);
        _nt.Memory.Write(returnLength, needed);
        if (length < needed)
            return target.Type == FileType && length >= NameInformationSize ? STATUS_BUFFER_OVERFLOW
                : STATUS_INFO_LENGTH_MISMATCH;
        var text = UnicodeString.At(_nt.Memory, buffer);
        if (name.Length == 0)
        {
            text.Set(Va.Null, 0, 0);
            return STATUS_SUCCESS;
        }
        _nt.Memory.Write(buffer + NameInformationSize, System.Text.Encoding.Unicode.GetBytes(name + '\0'));
        text.Set(buffer + NameInformationSize, name.Length * 2, name.Length * 2 + 2);
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, "The parse context is not passed on: devices are opened as files with shared access.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ObOpenObjectByName(
        ObjectAttributes objectAttributes, Va objectType, byte accessMode, Va passedAccessState, uint desiredAccess,
        Va parseContext, Va handle)
    {
        _nt.Memory.Write(handle, default(Handle));
        var mode = (ProcessorMode)(accessMode & 1);
        if (objectAttributes.IsNull) return STATUS_INVALID_PARAMETER;
        NtStatus status = ObjectRequest.Capture(_nt, objectAttributes, mode, out ObjectRequest request);
        if (!status.IsSuccess) return status;
        if (!objectType.IsNull && TypeAt(objectType) is null) return STATUS_OBJECT_TYPE_MISMATCH;
        status = OpenNamed(request, TypeAt(objectType), desiredAccess, out Handle opened);
        _nt.Memory.Write(handle, opened);
        return status;
    }

    [Export(Support.Partial, "The parse context is not passed on: devices are opened as files with shared access.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ObReferenceObjectByName(
        UnicodeString objectName, uint attributes, Va accessState, uint desiredAccess, Va objectType, byte accessMode,
        Va parseContext, Va @object)
    {
        _nt.Memory.Write(@object, Va.Null);
        if (objectName.IsNull || objectName.Length == 0) return STATUS_OBJECT_NAME_INVALID;
        if (TypeAt(objectType) is not { } type) return STATUS_OBJECT_TYPE_MISMATCH;
        var request = new ObjectRequest(
            null, objectName.Text, attributes & ObjectRequest.Valid, null, (ProcessorMode)(accessMode & 1));
        NtStatus status = FindNamed(request, type, desiredAccess, out NtObject? found, out bool isNew);
        if (status.IsSuccess && !isNew)
        {
            status = CheckAccess(found!, desiredAccess, request.IsChecked, out _);
            if (status.IsSuccess) Reference(found!);
        }
        if (status.IsSuccess) _nt.Memory.Write(@object, found!.Body);
        return status;
    }

    /// <summary>An object that nobody can find yet: <c>ObInsertObject</c> gives it its name and its handle.</summary>
    [Export(Support.Partial, "No parse context; no processes, threads, tokens, links and types.")]
    public NtStatus ObCreateObject(
        byte probeMode, Va objectType, ObjectAttributes objectAttributes, byte ownershipMode, Va parseContext,
        uint objectBodySize, uint pagedPoolCharge, uint nonPagedPoolCharge, Va @object)
    {
        if (TypeAt(objectType) is not { } type || IsMadeHere(type)) return STATUS_INVALID_PARAMETER;
        var mode = (ProcessorMode)(probeMode & 1);
        NtStatus status = ObjectRequest.Capture(_nt, objectAttributes, mode, out ObjectRequest request);
        if (!status.IsSuccess) return status;
        if (objectBodySize > MaximumBody || _nt.Mm.Pool.MayAllocate?.Invoke(objectBodySize, ObjectTag) == false)
            return STATUS_INSUFFICIENT_RESOURCES;
        NtObject made = type == DirectoryType ? CreateDirectory() : Create(type, (int)Math.Max(16, objectBodySize));
        made.Pending = request;
        if (request.Has(ObjectRequest.OBJ_PERMANENT)) SetPermanent(made, true);
        _nt.Memory.Write(@object, made.Body);
        return STATUS_SUCCESS;
    }

    // Their objects are nothing without what the kernel keeps of them.
    bool IsMadeHere(ObjectType type) =>
        type == ProcessType || type == ThreadType || type == TokenType || type == LinkType || type == TypeType
        || type == KeyType;

    /// <summary>Takes the caller's reference with it, unless a pointer bias asks for more.</summary>
    [Export(Support.Partial, "The rights of a passed ACCESS_STATE are not looked at."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ObInsertObject(
        Va @object, Va passedAccessState, uint desiredAccess, uint objectPointerBias, Va newObject, Va handle)
    {
        NtObject target = At(@object);
        if (target.Pending is null || objectPointerBias > 0x1000) return STATUS_INVALID_PARAMETER;
        NtStatus status = InsertPending(target, desiredAccess, !handle.IsNull, out Handle opened, out NtObject result);
        if (!handle.IsNull) _nt.Memory.Write(handle, opened);
        for (uint i = 0; status.IsSuccess && i < objectPointerBias; i++) Reference(result);
        if (!newObject.IsNull && objectPointerBias > 0)
            _nt.Memory.Write(newObject, status.IsSuccess ? result.Body : Va.Null);
        Dereference(target);
        return status;
    }

    NtStatus InsertPending(
        NtObject target, uint access, bool wantsHandle, out Handle handle, out NtObject result)
    {
        (handle, result) = (default, target);
        ObjectRequest request = target.Pending!;
        target.Pending = null;
        if (request.Name is null) return InsertNew(target, request, null, "", access, wantsHandle, out handle);
        NtStatus status = FindPlace(
            request, target.Type, out NtObject? directory, out string name, out NtObject? existing);
        if (!status.IsSuccess) return status;
        if (existing is null) return InsertNew(target, request, directory, name, access, wantsHandle, out handle);
        status = OpenExisting(request, target.Type, access, existing, out handle, out NtObject? opened);
        result = opened ?? target;
        return status;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ObMakeTemporaryObject(Va @object) => MakeTemporary(At(@object));

    void OnDeleteTimer(NtObject target) => _nt.Ke.KeCancelTimer(KTimer.At(_nt.Memory, target.Body));
}
