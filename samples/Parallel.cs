using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A device that does several things at once: each request has a slot with a timer of its own, and ends when
/// that is due, in whatever order.</summary>
public sealed partial class Parallel : Sample
{
    /// <summary>Waits so many milliseconds (a ULONG), then gives the number of requests that have ended.</summary>
    const uint IOCTL_PARALLEL_WAIT = 0x222000;
    const int Slots = 4;

    /// <summary>Free if there is no request and its timer's DPC has run, or will not run.</summary>
    [Layout("SLOT", Size = 0x90)]
    public readonly partial struct Slot
    {
        [Embedded(0x00)] public partial KTimer Timer { get; }
        [Embedded(0x40)] public partial KDpc Dpc { get; }
        [Field(0x80)] public partial Irp Irp { get; set; }
        [Field(0x88)] public partial bool Running { get; set; }
    }

    [Layout("PARALLEL_EXTENSION", Size = 0x10 + Slots * 0x90)]
    public readonly partial struct Extension
    {
        [Embedded(0x00)] public partial KSpinLock Lock { get; }
        [Field(0x08)] public partial uint Ended { get; set; }

        public IEnumerable<Slot> All
        {
            get
            {
                for (int i = 0; i < Slots; i++) yield return Slot.At(_memory, Address + 0x10 + i * Slot.Size);
            }
        }
    }

    DeviceObject _device;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_DEVICE_CONTROL, Routine(DeviceControl));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, "Parallel", Extension.Size, 0, out _device);
        if (!status.IsSuccess) return status;
        var x = At<Extension>(_device.DeviceExtension);
        Nt.KeInitializeSpinLock(x.Lock);
        foreach (Slot slot in x.All)
        {
            Nt.KeInitializeTimer(slot.Timer);
            Nt.KeInitializeDpc(slot.Dpc, Routine(SlotDpc), slot.Address);
        }
        _device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
        // No file is open, so no slot has a request; a DPC that had none left to complete may be on its way.
        Nt.KeFlushQueuedDpcs();
        DeleteNamed(_device, "Parallel");
    }

    void Cancel(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(x.Lock);
        var slot = At<Slot>(irp.DriverContext0);
        if (Nt.KeCancelTimer(slot.Timer)) slot.Running = false;
        slot.Irp = default;
        Nt.KeReleaseSpinLock(x.Lock, old);
        Complete(irp, STATUS_CANCELLED);
    }

    void SlotDpc(KDpc dpc, Slot slot, Va argument1, Va argument2)
    {
        var x = At<Extension>(_device.DeviceExtension);
        uint ended = 0;
        Nt.KeAcquireSpinLockAtDpcLevel(x.Lock);
        slot.Running = false;
        Irp irp = slot.Irp;
        // A cancel routine that is about to run has the request, and clears the slot itself.
        if (!irp.IsNull && irp.SetCancelRoutine(Va.Null).IsNull) irp = default;
        if (!irp.IsNull)
        {
            slot.Irp = default;
            ended = ++x.Ended;
        }
        Nt.KeReleaseSpinLockFromDpcLevel(x.Lock);
        if (irp.IsNull) return;
        Memory.Write(irp.SystemBuffer, ended);
        Complete(irp, STATUS_SUCCESS, sizeof(uint));
    }

    NtStatus Start(Extension x, Irp irp, uint milliseconds)
    {
        NtStatus status = STATUS_PENDING;
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(x.Lock);
        Slot slot = x.All.FirstOrDefault(s => s.Irp.IsNull && !s.Running);
        if (slot.IsNull) status = STATUS_DEVICE_BUSY;
        else
        {
            irp.DriverContext0 = slot.Address;
            irp.SetCancelRoutine(Routine(Cancel));
            if (irp.Cancel && !irp.SetCancelRoutine(Va.Null).IsNull) status = STATUS_CANCELLED;
        }
        if (status == STATUS_PENDING)
        {
            irp.MarkPending();
            slot.Irp = irp;
            slot.Running = true;
            Nt.KeSetTimer(slot.Timer, Milliseconds(milliseconds), slot.Dpc);
        }
        Nt.KeReleaseSpinLock(x.Lock, old);
        return status == STATUS_PENDING ? status : Complete(irp, status);
    }

    NtStatus DeviceControl(DeviceObject device, Irp irp)
    {
        IoStackLocation stack = irp.CurrentStackLocation;
        if (stack.IoControlCode != IOCTL_PARALLEL_WAIT) return Complete(irp, STATUS_INVALID_DEVICE_REQUEST);
        if (stack.InputBufferLength < sizeof(uint) || stack.OutputBufferLength < sizeof(uint))
            return Complete(irp, STATUS_BUFFER_TOO_SMALL);
        return Start(At<Extension>(device.DeviceExtension), irp, Memory.Read<uint>(irp.SystemBuffer));
    }
}
