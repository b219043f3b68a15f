using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The system's own reads and writes of the pages of files.</summary>
sealed partial class Io
{
    const uint IRP_NOCACHE = 1;

    /// <summary>Reads or writes pages of a file past its cache, and waits until that is done.</summary>
    /// <param name="pages">Addresses of whole pages that are mapped in the kernel.</param>
    public IoStatusBlock PageIo(FileObject file, bool write, Va pages, long offset, uint length)
    {
        Irp irp = NewSystemIrp(file, write ? IrpMajor.IRP_MJ_WRITE : IrpMajor.IRP_MJ_READ);
        IoStackLocation location = irp.CurrentStackLocation.Below;
        (location.Parameter1, location.Parameter3) = (length, (ulong)offset);
        Mdl mdl = nt.Mm.CreateMdl(pages, length);
        nt.Mm.MmBuildMdlForNonPagedPool(mdl);
        irp.MdlAddress = mdl;
        irp.UserBuffer = pages;
        irp.Flags |= IRP_NOCACHE | IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO;
        return SendAndWait(file, irp);
    }

    /// <summary>IRP_MJ_QUERY_INFORMATION or IRP_MJ_SET_INFORMATION of the system's own.</summary>
    public IoStatusBlock FileInformation(
        FileObject file, IrpMajor major, uint informationClass, Va buffer, uint length, bool advanceOnly = false)
    {
        Irp irp = NewSystemIrp(file, major);
        IoStackLocation location = irp.CurrentStackLocation.Below;
        (location.Parameter1, location.Parameter2) = (length, informationClass);
        if (major == IrpMajor.IRP_MJ_SET_INFORMATION)
            (location.Parameter3, location.Parameter4) = (file.Address.Value, advanceOnly ? 0x100u : 0);
        irp.SystemBuffer = buffer;
        return SendAndWait(file, irp);
    }

    Irp NewSystemIrp(FileObject file, IrpMajor major)
    {
        Irp irp = AllocateIrp(TopOf(file.DeviceObject).StackSize, Va.Null);
        (irp.Thread, irp.OriginalFileObject) = (nt.Ke.CurrentThread, file);
        IoStackLocation location = irp.CurrentStackLocation.Below;
        (location.MajorFunction, location.FileObject) = (major, file);
        Va result = nt.Mm.Pool.Allocate(16 + KEvent.Size, IrpTag);
        irp.UserIosb = result;
        KEvent done = KEvent.At(nt.Memory, result + 16);
        done.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        irp.UserEvent = done;
        return irp;
    }

    IoStatusBlock SendAndWait(FileObject file, Irp irp)
    {
        (Va result, KEvent done) = (irp.UserIosb, irp.UserEvent);
        IofCallDriver(TopOf(file.DeviceObject), irp);
        if (done.SignalState == 0) nt.Ke.WaitFor([done.Header], all: false, deadline: null);
        var status = nt.Memory.Read<IoStatusBlock>(result);
        nt.Mm.Pool.Free(result);
        return status;
    }
}
