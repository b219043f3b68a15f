using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Services on handles. Zw is called from kernel mode; Nt believes the thread's previous mode.</summary>
sealed partial class Zw
{
    const uint SYNCHRONIZE = 0x10_0000, DUPLICATE_CLOSE_SOURCE = 1;

    /// <summary>Who calls an Nt service: the mode that the thread was in before.</summary>
    ProcessorMode PreviousMode => (ProcessorMode)(nt.Ke.CurrentThread.PreviousMode & 1);

    /// <summary>An Nt service: a pointer of user mode's that is bad is a status, and no exception in the
    /// caller.</summary>
    NtStatus Service(Func<ProcessorMode, NtStatus> body)
    {
        ProcessorMode mode = PreviousMode;
        try
        {
            return body(mode);
        }
        catch (PageFault fault) when (mode == ProcessorMode.UserMode
            && fault.Address.Value < nt.Mm.MmUserProbeAddress)
        {
            return STATUS_ACCESS_VIOLATION;
        }
        catch (GuestException exception) when (mode == ProcessorMode.UserMode)
        {
            return new NtStatus(exception.Record.Code);
        }
    }

    /// <summary>Writes a handle for the caller; both the place and the status come from the service.</summary>
    void Give(Va place, Handle handle, ProcessorMode mode)
    {
        nt.Ob.Probe(place, 8, mode);
        nt.Memory.Write(place, handle);
    }

    /// <summary>Copies a result out under the rules of most query services: the length that is needed is always told,
    /// and a buffer that is too small gets nothing.</summary>
    NtStatus Answer(byte[] bytes, Va buffer, uint length, Va returnLength, ProcessorMode mode)
    {
        if (!returnLength.IsNull)
        {
            nt.Ob.Probe(returnLength, 4, mode);
            nt.Memory.Write(returnLength, (uint)bytes.Length);
        }
        if (length < bytes.Length) return STATUS_INFO_LENGTH_MISMATCH;
        nt.Ob.Probe(buffer, bytes.Length, mode);
        nt.Memory.Write(buffer, bytes);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwClose(Handle handle) => nt.Ob.Close(handle);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtClose(Handle handle) => nt.Ob.Close(handle, PreviousMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwDuplicateObject(
        Handle sourceProcessHandle, Handle sourceHandle, Handle targetProcessHandle, Va targetHandle,
        uint desiredAccess, uint handleAttributes, uint options) =>
        Duplicate(sourceProcessHandle, sourceHandle, targetProcessHandle, targetHandle, desiredAccess,
            handleAttributes, options, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtDuplicateObject(
        Handle sourceProcessHandle, Handle sourceHandle, Handle targetProcessHandle, Va targetHandle,
        uint desiredAccess, uint handleAttributes, uint options) =>
        Service(mode => Duplicate(sourceProcessHandle, sourceHandle, targetProcessHandle, targetHandle, desiredAccess,
            handleAttributes, options, mode));

    NtStatus Duplicate(Handle sourceProcess, Handle source, Handle targetProcess, Va result, uint access,
        uint attributes, uint options, ProcessorMode mode)
    {
        const uint dupHandle = 0x40;
        NtStatus status = nt.Ps.Resolve(sourceProcess, dupHandle, mode, out NtProcess? from);
        if (!status.IsSuccess) return status;
        status = nt.Ob.Resolve(source, 0, null, mode, out HandleEntry? entry, from);
        if (!status.IsSuccess) return status;
        Handle made = default;
        if (!targetProcess.IsNull)
        {
            status = nt.Ps.Resolve(targetProcess, dupHandle, mode, out NtProcess? to);
            if (mode == ProcessorMode.UserMode) attributes &= ~ObjectRequest.OBJ_KERNEL_HANDLE;
            if (status.IsSuccess)
                status = nt.Ob.Duplicate(entry!, from!, to!, access, attributes, options, mode, out made);
        }
        if ((options & DUPLICATE_CLOSE_SOURCE) != 0)
            nt.Ob.Close(source, mode, from);
        if (!result.IsNull) Give(result, made, mode);
        return status;
    }

    [Export(Support.Partial, "Classes: basic (0), name (1), type (2), handle flags (4).")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryObject(
        Handle handle, uint objectInformationClass, Va objectInformation, uint objectInformationLength,
        Va returnLength)
    {
        NtStatus status = nt.Ob.Resolve(handle, 0, null, ProcessorMode.KernelMode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        if (objectInformationClass == 1)
            return QueryName(entry!.Object, objectInformation, objectInformationLength, returnLength);
        byte[]? answer = objectInformationClass switch
        {
            0 => BasicInformation(entry!),
            2 => TypeInformation(entry!.Object.Type, objectInformation),
            4 => [(byte)(entry!.IsInherited ? 1 : 0), (byte)(entry.IsProtected ? 1 : 0)],
            _ => null,
        };
        if (answer is null) return STATUS_INVALID_INFO_CLASS;
        return Answer(answer, objectInformation, objectInformationLength, returnLength, ProcessorMode.KernelMode);
    }

    // The length is optional here, as it is not for ObQueryNameString.
    NtStatus QueryName(NtObject target, Va buffer, uint length, Va returnLength)
    {
        if (!returnLength.IsNull) return nt.Ob.QueryName(target, buffer, length, returnLength);
        Va place = nt.Mm.Pool.Allocate(8, Ob.NameTag);
        NtStatus status = nt.Ob.QueryName(target, buffer, length, place);
        nt.Mm.Pool.Free(place);
        return status;
    }

    // OBJECT_BASIC_INFORMATION.
    byte[] BasicInformation(HandleEntry entry)
    {
        byte[] bytes = new byte[0x38];
        ObjectHeader header = entry.Object.Header;
        uint attributes = entry.Attributes & HandleEntry.OBJ_INHERIT
            | (entry.Object.IsPermanent ? ObjectRequest.OBJ_PERMANENT : 0);
        BitConverter.TryWriteBytes(bytes, attributes);
        BitConverter.TryWriteBytes(bytes.AsSpan(4), entry.GrantedAccess);
        BitConverter.TryWriteBytes(bytes.AsSpan(8), (uint)header.HandleCount);
        BitConverter.TryWriteBytes(bytes.AsSpan(12), (uint)header.PointerCount);
        string path = entry.Object.Path;
        BitConverter.TryWriteBytes(bytes.AsSpan(0x24), path.Length == 0 ? 0u : (uint)(0x12 + path.Length * 2));
        BitConverter.TryWriteBytes(bytes.AsSpan(0x28), (uint)(0x68 + entry.Object.Type.Name.Length * 2 + 2));
        BitConverter.TryWriteBytes(
            bytes.AsSpan(0x2C), (uint)(nt.Ob.SecurityOf(entry.Object)?.ToBytes().Length ?? 0));
        return bytes;
    }

    // OBJECT_TYPE_INFORMATION, and the name behind it.
    static byte[] TypeInformation(ObjectType type, Va place)
    {
        byte[] name = System.Text.Encoding.Unicode.GetBytes(type.Name + '\0'), bytes = new byte[0x68 + name.Length];
        ObjectTypeBody body = type.Body;
        BitConverter.TryWriteBytes(bytes, (ushort)(name.Length - 2));
        BitConverter.TryWriteBytes(bytes.AsSpan(2), (ushort)name.Length);
        BitConverter.TryWriteBytes(bytes.AsSpan(8), place.Value + 0x68);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x10), body.TotalNumberOfObjects);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x14), body.TotalNumberOfHandles);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x28), body.HighWaterNumberOfObjects);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x2C), body.HighWaterNumberOfHandles);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x44), type.Mapping.Read);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x48), type.Mapping.Write);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x4C), type.Mapping.Execute);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x50), type.Mapping.All);
        BitConverter.TryWriteBytes(bytes.AsSpan(0x54), type.Mapping.All | 0x100_0000);
        bytes[0x58] = (byte)(type.IsSecured ? 1 : 0);
        bytes[0x5A] = (byte)type.Index;
        name.CopyTo(bytes, 0x68);
        return bytes;
    }

    [Export(Support.Partial, "Handle flags (4) only."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetInformationObject(
        Handle handle, uint objectInformationClass, Va objectInformation, uint objectInformationLength)
    {
        if (objectInformationClass != 4) return STATUS_INVALID_INFO_CLASS;
        if (objectInformationLength != 2) return STATUS_INFO_LENGTH_MISMATCH;
        return nt.Ob.SetHandleFlags(handle, nt.Memory.Read<byte>(objectInformation) != 0,
            nt.Memory.Read<byte>(objectInformation + 1) != 0, ProcessorMode.KernelMode);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwMakeTemporaryObject(Handle handle)
    {
        if (nt.Ob.Lookup(handle) is not { } target) return STATUS_INVALID_HANDLE;
        nt.Ob.MakeTemporary(target);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtMakePermanentObject(Handle handle)
    {
        ProcessorMode mode = PreviousMode;
        if (mode == ProcessorMode.UserMode && !nt.Se.HasPrivilege(Privilege.SeCreatePermanent))
            return STATUS_PRIVILEGE_NOT_HELD;
        NtStatus status = nt.Ob.Resolve(handle, 0, null, mode, out HandleEntry? entry);
        if (status.IsSuccess) nt.Ob.MakePermanent(entry!.Object);
        return status;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQuerySecurityObject(
        Handle handle, uint securityInformation, Va securityDescriptor, uint length, Va lengthNeeded) =>
        QuerySecurity(handle, securityInformation, securityDescriptor, length, lengthNeeded, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtQuerySecurityObject(
        Handle handle, uint securityInformation, Va securityDescriptor, uint length, Va lengthNeeded) =>
        Service(mode => QuerySecurity(handle, securityInformation, securityDescriptor, length, lengthNeeded, mode));

    NtStatus QuerySecurity(Handle handle, uint parts, Va descriptor, uint length, Va needed, ProcessorMode mode)
    {
        uint access = SecurityInfo.AccessToQuery(parts);
        NtStatus status = nt.Ob.Resolve(handle, access, null, mode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        if (HasDriversSecurity(entry!.Object)
            && QueryFileSecurity(entry.Object, parts, descriptor, length, needed, mode) is { } answered)
            return answered;
        SecurityInfo all = nt.Ob.SecurityOf(nt.Ob.SecuredBy(entry.Object)) ?? SecurityInfo.Empty;
        byte[] bytes = all.Only(parts).ToBytes();
        nt.Ob.Probe(needed, 4, mode);
        nt.Memory.Write(needed, (uint)bytes.Length);
        if (length < bytes.Length) return STATUS_BUFFER_TOO_SMALL;
        nt.Ob.Probe(descriptor, bytes.Length, mode);
        nt.Memory.Write(descriptor, bytes);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetSecurityObject(Handle handle, uint securityInformation, Va securityDescriptor) =>
        SetSecurity(handle, securityInformation, securityDescriptor, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtSetSecurityObject(Handle handle, uint securityInformation, Va securityDescriptor) =>
        Service(mode => SetSecurity(handle, securityInformation, securityDescriptor, mode));

    NtStatus SetSecurity(Handle handle, uint parts, Va descriptor, ProcessorMode mode)
    {
        if (descriptor.IsNull) return STATUS_ACCESS_VIOLATION;
        nt.Ob.Probe(descriptor, 20, mode);
        NtStatus status = nt.Ob.Resolve(handle, SecurityInfo.AccessToSet(parts), null, mode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        if (HasDriversSecurity(entry!.Object)
            && SetFileSecurity(entry.Object, parts, descriptor, mode) is { } answered)
            return answered;
        return nt.Ob.ChangeSecurity(entry.Object, parts, descriptor);
    }
}
