using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>IRPs that drivers have made for them.</summary>
sealed partial class Io
{
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Irp IoBuildDeviceIoControlRequest(
        uint ioControlCode, DeviceObject deviceObject, Va inputBuffer, uint inputBufferLength, Va outputBuffer,
        uint outputBufferLength, bool internalDeviceIoControl, KEvent @event, Va ioStatusBlock)
    {
        Irp irp = AllocateIrp(deviceObject.StackSize, nt.Caller);
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
        return Built(irp, SetUpControl(irp, location, request), @event, ioStatusBlock, isQueued: true);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Irp IoBuildSynchronousFsdRequest(
        uint majorFunction, DeviceObject deviceObject, Va buffer, uint length, Va startingOffset, KEvent @event,
            Va ioStatusBlock)
    {
        Irp irp = BuildTransfer(majorFunction, deviceObject, buffer, length, startingOffset);
        return irp.IsNull ? irp : Built(irp, STATUS_SUCCESS, @event, ioStatusBlock, isQueued: true);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Irp IoBuildAsynchronousFsdRequest(
        uint majorFunction, DeviceObject deviceObject, Va buffer, uint length, Va startingOffset, Va ioStatusBlock)
    {
        Irp irp = BuildTransfer(majorFunction, deviceObject, buffer, length, startingOffset);
        return irp.IsNull ? irp : Built(irp, STATUS_SUCCESS, KEvent.At(nt.Memory, Va.Null), ioStatusBlock);
    }

    Irp BuildTransfer(uint major, DeviceObject device, Va buffer, uint length, Va startingOffset)
    {
        Irp irp = AllocateIrp(device.StackSize, nt.Caller);
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

    /// <param name="isQueued">It ends in its thread, and with it.</param>
    Irp Built(Irp irp, NtStatus status, KEvent @event, Va ioStatusBlock, bool isQueued = false)
    {
        if (!status.IsSuccess)
        {
            FreeIrp(irp);
            return Irp.At(nt.Memory, Va.Null);
        }
        (irp.UserEvent, irp.UserIosb, irp.Thread) = (@event, ioStatusBlock, nt.Ke.CurrentThread);
        if (isQueued) Enlist(irp, Record(irp), nt.Ke.Scheduler.Current);
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
