using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>IRPs that drivers have made for them.</summary>
sealed partial class Io
{
    /// <summary>An IRP of the running thread, which the system frees when it is complete. The status block and the
    /// event must outlive it.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Irp IoBuildDeviceIoControlRequest(
        uint ioControlCode, DeviceObject deviceObject, Va inputBuffer, uint inputBufferLength, Va outputBuffer,
        uint outputBufferLength, bool internalDeviceIoControl, KEvent @event, Va ioStatusBlock)
    {
        Irp irp = AllocateIrp(deviceObject.StackSize, nt.Caller, IrpOrigin.Threaded);
        if (irp.IsNull) return irp;
        IoStackLocation location = irp.CurrentStackLocation.Below;
        location.MajorFunction = internalDeviceIoControl ? IRP_MJ_INTERNAL_DEVICE_CONTROL : IRP_MJ_DEVICE_CONTROL;
        (location.Parameter1, location.Parameter2, location.Parameter3) =
            (outputBufferLength, inputBufferLength, ioControlCode);
        var request = new IoRequest(location.MajorFunction, FileObject.At(nt.Memory, Va.Null))
        {
            ControlCode = ioControlCode,
            InputBuffer = inputBuffer,
            InputLength = inputBufferLength,
            OutputBuffer = outputBuffer,
            OutputLength = outputBufferLength,
        };
        return Built(irp, SetUpControl(irp, location, request), @event, ioStatusBlock);
    }

    /// <summary>A read, write, flush, shutdown or PnP request of the running thread; else as
    /// IoBuildDeviceIoControlRequest.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Irp IoBuildSynchronousFsdRequest(
        uint majorFunction, DeviceObject deviceObject, Va buffer, uint length, Va startingOffset, KEvent @event,
            Va ioStatusBlock)
    {
        Irp irp = BuildTransfer(IrpOrigin.Threaded, majorFunction, deviceObject, buffer, length, startingOffset);
        return irp.IsNull ? irp : Built(irp, STATUS_SUCCESS, @event, ioStatusBlock);
    }

    /// <summary>The same, of no thread's list: its driver's completion routine frees it and its buffers.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Irp IoBuildAsynchronousFsdRequest(
        uint majorFunction, DeviceObject deviceObject, Va buffer, uint length, Va startingOffset, Va ioStatusBlock)
    {
        Irp irp = BuildTransfer(IrpOrigin.Asynchronous, majorFunction, deviceObject, buffer, length, startingOffset);
        return irp.IsNull ? irp : Built(irp, STATUS_SUCCESS, KEvent.At(nt.Memory, Va.Null), ioStatusBlock);
    }

    Irp BuildTransfer(
        IrpOrigin origin, uint major, DeviceObject device, Va buffer, uint length, Va startingOffset)
    {
        Irp irp = AllocateIrp(device.StackSize, nt.Caller, origin);
        if (irp.IsNull) return irp;
        IoStackLocation location = irp.CurrentStackLocation.Below;
        location.MajorFunction = (IrpMajor)(byte)major;
        if (location.MajorFunction is not (IRP_MJ_READ or IRP_MJ_WRITE)) return irp;
        bool write = location.MajorFunction == IRP_MJ_WRITE;
        (location.Parameter1, location.Parameter3) =
            (length, startingOffset.IsNull ? 0 : nt.Memory.Read<ulong>(startingOffset));
        var request = new IoRequest(location.MajorFunction, FileObject.At(nt.Memory, Va.Null))
        {
            InputBuffer = write ? buffer : Va.Null,
            InputLength = write ? length : 0,
            OutputBuffer = write ? Va.Null : buffer,
            OutputLength = write ? 0 : length,
        };
        if (SetUpTransfer(irp, request, device).IsSuccess) return irp;
        FreeIrp(irp);
        return Irp.At(nt.Memory, Va.Null);
    }

    Irp Built(Irp irp, NtStatus status, KEvent @event, Va ioStatusBlock)
    {
        if (!status.IsSuccess)
        {
            FreeSystemBuffer(irp);
            FreeIrp(irp);
            return Irp.At(nt.Memory, Va.Null);
        }
        (irp.UserEvent, irp.UserIosb, irp.Thread) = (@event, ioStatusBlock, nt.Ke.CurrentThread);
        if (Record(irp).Origin == IrpOrigin.Threaded) Enlist(irp, Record(irp), nt.Ke.Scheduler.Current);
        return irp;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool IoForwardIrpSynchronously(DeviceObject deviceObject, Irp irp)
    {
        if (irp.CurrentLocation <= 1) return false;
        irp.CurrentStackLocation.CopyTo(irp.CurrentStackLocation.Below);
        KEvent done = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, IrpTag));
        done.Header.Initialize(DispatcherType.SynchronizationEvent, KEvent.Size, 0);
        IoStackLocation next = irp.CurrentStackLocation.Below;
        (next.CompletionRoutine, next.Context) = (Forwarded, done.Address);
        next.Control = StackControl.SL_INVOKE_ALWAYS;
        IofCallDriver(deviceObject, irp);
        nt.Ke.WaitFor([done.Header], all: false, deadline: null);
        nt.Mm.Pool.Free(done.Address);
        return true;
    }

    Va Forwarded
    {
        get
        {
            if (field.IsNull) field = nt.Routines.Add("IopForwardedIrpCompletion", static (nt, call) =>
            {
                nt.Ke.KeSetEvent(KEvent.At(nt.Memory, new Va(call.Argument(2))), 0, false);
                call.Return(STATUS_MORE_PROCESSING_REQUIRED.Value);
            });
            return field;
        }
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public EProcess IoGetRequestorProcess(Irp irp) =>
        EProcess.At(nt.Memory, irp.Thread.IsNull ? Va.Null : irp.Thread.Process);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool IoIs32bitProcess(Irp irp) => false;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool IoIsWdmVersionAvailable(byte majorVersion, byte minorVersion) =>
        majorVersion < 6 || majorVersion == 6 && minorVersion == 0;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va IoGetInitialStack() => nt.Ke.CurrentThread.InitialStack;
}
