using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Devices, volumes, and who is called when.</summary>
sealed partial class FsRtl
{
    const int MaximumCallbackBytes = 0x100;

    readonly SortedDictionary<Va, byte[]> _filterCallbacks = [];

    [Export(Support.Partial, "The callbacks are kept but not called: there are no sections of files.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus FsRtlRegisterFileSystemFilterCallbacks(DriverObject filterDriverObject, Va callbacks)
    {
        if (filterDriverObject.IsNull || callbacks.IsNull) return STATUS_INVALID_PARAMETER;
        uint size = nt.Memory.Read<uint>(callbacks);
        if (size is < 8 or > MaximumCallbackBytes) return STATUS_INVALID_PARAMETER;
        _filterCallbacks[filterDriverObject.Address] = nt.Memory.ReadBytes(callbacks, (int)size);
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, "Refused: there is no multiple UNC provider."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus FsRtlRegisterUncProvider(
        Va mupHandle, UnicodeString redirectorDeviceName, bool mailslotsSupported)
    {
        nt.Memory.Write(mupHandle, 0UL);
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }

    [Export(Support.Partial, "No handle is valid: there is no multiple UNC provider."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public void FsRtlDeregisterUncProvider(Handle handle)
    {
        if (!handle.IsNull) nt.Zw.ZwClose(handle);
    }

    [Export(Support.Partial, "Nobody waits for dismounts, so nobody is told."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus FsRtlDismountComplete(DeviceObject deviceObject, NtStatus dismountStatus) =>
        deviceObject.IsNull ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;

    /// <summary>Asks a fault-tolerant device to read from any of its mirrors.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus FsRtlBalanceReads(DeviceObject targetDevice)
    {
        const uint ftBalancedReadMode = 0x66_0018;
        KEvent done = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size + 16, FsRtlTag));
        done.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        Va result = done.Address + KEvent.Size;
        try
        {
            Irp irp = nt.Io.IoBuildDeviceIoControlRequest(
                ftBalancedReadMode, targetDevice, Va.Null, 0, Va.Null, 0, false, done, result);
            if (irp.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
            nt.Io.IofCallDriver(targetDevice, irp);
            if (done.SignalState == 0) nt.Ke.WaitFor([done.Header], all: false, deadline: null);
            return nt.Memory.Read<IoStatusBlock>(result).Status;
        }
        finally
        {
            nt.Mm.Pool.Free(done.Address);
        }
    }

    /// <summary>The end of a file's data, asked of its file system.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus FsRtlGetFileSize(FileObject fileObject, Va fileSize)
    {
        const uint fileStandardInformation = 5;
        const int bytes = 0x18, endOfFile = 8, directory = 0x15;
        Va buffer = nt.Mm.Pool.Allocate(bytes, FsRtlTag);
        NtStatus status = nt.Io.FileInformation(
            fileObject, IrpMajor.IRP_MJ_QUERY_INFORMATION, fileStandardInformation, buffer, bytes).Status;
        if (status.IsSuccess && nt.Memory.Read<byte>(buffer + directory) != 0) status = STATUS_FILE_IS_A_DIRECTORY;
        if (status.IsSuccess) nt.Memory.Write(fileSize, nt.Memory.Read<long>(buffer + endOfFile));
        nt.Mm.Pool.Free(buffer);
        return status;
    }

    [Export(Support.Partial, "The device is not asked: a physical sector is as large as a logical one, and aligned.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus FsRtlGetSectorSizeInformation(DeviceObject deviceObject, Va sectorSizeInfo)
    {
        const uint alignedDevice = 1, alignedPartition = 2;
        uint sector = deviceObject.SectorSize;
        if (!uint.IsPow2(sector)) return STATUS_INVALID_PARAMETER;
        for (int i = 0; i < 4; i++) nt.Memory.Write(sectorSizeInfo + i * 4, sector);
        nt.Memory.Write(sectorSizeInfo + 16, alignedDevice | alignedPartition);
        nt.Memory.Write(sectorSizeInfo + 20, 0UL);
        return STATUS_SUCCESS;
    }
}
