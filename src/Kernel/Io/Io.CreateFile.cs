using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>IoCreateFile and its kin: NtCreateFile with what only a driver can ask for. And lists that callers
/// give.</summary>
sealed partial class Io
{
    const uint IO_FORCE_ACCESS_CHECK = 0x01, IO_OPEN_TARGET_DIRECTORY = 0x04;
    public const byte SL_OPEN_TARGET_DIRECTORY = 0x04;
    const string NoContext = "Extra create parameters and transactions are not passed on.";

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoCreateFile(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, Va allocationSize,
        uint fileAttributes, uint shareAccess, uint disposition, uint createOptions, Va eaBuffer, uint eaLength,
        uint createFileType, Va internalParameters, uint options) =>
        CreateFile(fileHandle, objectAttributes, ioStatusBlock, allocationSize,
            new OpenOptions(desiredAccess, shareAccess, disposition, createOptions, fileAttributes),
            (eaBuffer, eaLength), (createFileType, internalParameters), options, Va.Null);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoCreateFileSpecifyDeviceObjectHint(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, Va allocationSize,
        uint fileAttributes, uint shareAccess, uint disposition, uint createOptions, Va eaBuffer, uint eaLength,
        uint createFileType, Va internalParameters, uint options, DeviceObject deviceObject) =>
        CreateFile(fileHandle, objectAttributes, ioStatusBlock, allocationSize,
            new OpenOptions(desiredAccess, shareAccess, disposition, createOptions, fileAttributes),
            (eaBuffer, eaLength), (createFileType, internalParameters), options, deviceObject.Address);

    /// <summary>IO_DRIVER_CREATE_CONTEXT says to which device of the stack it goes.</summary>
    [Export(Support.Partial, NoContext), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoCreateFileEx(
        Va fileHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va ioStatusBlock, Va allocationSize,
        uint fileAttributes, uint shareAccess, uint disposition, uint createOptions, Va eaBuffer, uint eaLength,
        uint createFileType, Va internalParameters, uint options, Va driverContext)
    {
        const int hintOffset = 0x10;
        Va hint = driverContext.IsNull ? Va.Null : nt.Memory.Read<Va>(driverContext + hintOffset);
        return CreateFile(fileHandle, objectAttributes, ioStatusBlock, allocationSize,
            new OpenOptions(desiredAccess, shareAccess, disposition, createOptions, fileAttributes),
            (eaBuffer, eaLength), (createFileType, internalParameters), options, hint);
    }

    NtStatus CreateFile(
        Va fileHandle, ObjectAttributes attributes, Va iosb, Va allocationSize, OpenOptions create,
        (Va Buffer, uint Length) ea, (uint Type, Va Parameters) kind, uint options, Va hint)
    {
        IrpMajor[] majors = [IRP_MJ_CREATE, IRP_MJ_CREATE_NAMED_PIPE, IRP_MJ_CREATE_MAILSLOT];
        if (kind.Type >= majors.Length) return STATUS_INVALID_PARAMETER;
        DeviceObject? target = null;
        if (!hint.IsNull)
        {
            if (nt.Ob.Find(hint)?.Type != nt.Ob.DeviceType) return STATUS_INVALID_PARAMETER;
            target = DeviceObject.At(nt.Memory, hint);
        }
        bool forces = (options & IO_FORCE_ACCESS_CHECK) != 0;
        return nt.Zw.CreateFile(fileHandle, attributes, iosb, allocationSize, create, ea, ProcessorMode.KernelMode,
            open => open with
            {
                Major = majors[kind.Type],
                Parameters = kind.Parameters,
                Hint = target,
                LocationFlags = (options & IO_OPEN_TARGET_DIRECTORY) != 0 ? SL_OPEN_TARGET_DIRECTORY : (byte)0,
                Request = !forces ? open.Request : open.Request with
                {
                    Attributes = open.Request.Attributes | ObjectRequest.OBJ_FORCE_ACCESS_CHECK,
                },
            });
    }

    /// <summary>FILE_FULL_EA_INFORMATION entries: each whole, with a name that ends, and the next one aligned and
    /// behind it.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoCheckEaBufferValidity(Va eaBuffer, uint eaLength, Va errorOffset)
    {
        const uint most = 1 << 20;
        if (eaLength > most) return STATUS_EA_LIST_INCONSISTENT;
        NtStatus status = CheckEaList(nt.Memory.ReadBytes(eaBuffer, (int)eaLength), out uint offset);
        nt.Memory.Write(errorOffset, offset);
        return status;
    }

    public static NtStatus CheckEaList(byte[] list, out uint errorOffset)
    {
        const int headerBytes = 8;
        for (int at = 0; ;)
        {
            errorOffset = (uint)at;
            if (list.Length - at < headerBytes) return STATUS_EA_LIST_INCONSISTENT;
            uint next = BitConverter.ToUInt32(list, at);
            int name = list[at + 5], size = headerBytes + name + 1 + BitConverter.ToUInt16(list, at + 6);
            if (size > list.Length - at || list[at + headerBytes + name] != 0) return STATUS_EA_LIST_INCONSISTENT;
            if (next == 0)
            {
                errorOffset = 0;
                return STATUS_SUCCESS;
            }
            if (next != (uint)(size + 3 & ~3) || next > list.Length - at) return STATUS_EA_LIST_INCONSISTENT;
            at += (int)next;
        }
    }

    /// <summary>FILE_QUOTA_INFORMATION entries.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoCheckQuotaBufferValidity(Va quotaBuffer, uint quotaLength, Va errorOffset)
    {
        const uint most = 1 << 20;
        if (quotaLength > most) return STATUS_QUOTA_LIST_INCONSISTENT;
        NtStatus status = CheckQuotaList(nt.Memory.ReadBytes(quotaBuffer, (int)quotaLength), out uint offset);
        nt.Memory.Write(errorOffset, offset);
        return status;
    }

    public static NtStatus CheckQuotaList(byte[] list, out uint errorOffset)
    {
        const int headerBytes = 0x28, sidHeaderBytes = 8;
        for (int at = 0; ;)
        {
            errorOffset = (uint)at;
            if (list.Length - at < headerBytes + sidHeaderBytes) return STATUS_QUOTA_LIST_INCONSISTENT;
            uint next = BitConverter.ToUInt32(list, at), sidLength = BitConverter.ToUInt32(list, at + 4);
            int sid = sidHeaderBytes + list[at + headerBytes + 1] * 4;
            if (sidLength != sid || headerBytes + sid > list.Length - at) return STATUS_QUOTA_LIST_INCONSISTENT;
            if (next == 0)
            {
                errorOffset = 0;
                return STATUS_SUCCESS;
            }
            if (next < headerBytes + sid || (next & 7) != 0 || next > list.Length - at)
                return STATUS_QUOTA_LIST_INCONSISTENT;
            at += (int)next;
        }
    }
}
