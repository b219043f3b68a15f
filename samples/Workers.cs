using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>From DISPATCH_LEVEL to PASSIVE_LEVEL: a timer's DPC hands its request to a work item; and a thread of the
/// driver's own that does jobs, and ends when the driver is unloaded.</summary>
public sealed partial class Workers : Sample
{
    /// <summary>Each gives two ULONGs: where the request came from, and the IRQL at which it was completed.</summary>
    const uint IOCTL_WORKERS_ITEM = 0x222000, IOCTL_WORKERS_THREAD = 0x222004;

    [Layout("WORKERS_EXTENSION", Size = 0x40)]
    public readonly partial struct Extension
    {
        [Embedded(0x00)] public partial ListEntry Jobs { get; }
        [Embedded(0x10)] public partial KSpinLock Lock { get; }
        [Embedded(0x18)] public partial KEvent Wake { get; }
        [Field(0x30)] public partial KThread Thread { get; set; }
        [Field(0x38)] public partial bool Stopping { get; set; }
        [Field(0x3C)] public partial uint Done { get; set; }
    }

    [Layout("JOB", Size = 0x98)]
    public readonly partial struct Job
    {
        [Embedded(0x00)] public partial KTimer Timer { get; }
        [Embedded(0x40)] public partial KDpc Dpc { get; }
        [Field(0x80)] public partial Va Item { get; set; }
        [Field(0x88)] public partial Irp Irp { get; set; }
        [Field(0x90)] public partial uint DpcIrql { get; set; }
    }

    DeviceObject _device;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_DEVICE_CONTROL, Routine(DeviceControl));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, "Workers", Extension.Size, 0, out _device);
        if (!status.IsSuccess) return status;
        var x = At<Extension>(_device.DeviceExtension);
        x.Jobs.Initialize();
        Nt.KeInitializeSpinLock(x.Lock);
        Nt.KeInitializeEvent(x.Wake, SynchronizationEvent, false);
        status = StartThread(x);
        if (!status.IsSuccess)
        {
            DeleteNamed(_device, "Workers");
            return status;
        }
        _device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    NtStatus StartThread(Extension x)
    {
        Va result = Local(8), thread = Local(8);
        NtStatus status = Nt.PsCreateSystemThread(
            result, SYNCHRONIZE, Va.Null, default, Va.Null, Routine(Worker), x.Address);
        if (!status.IsSuccess) return status;
        // To wait for it a pointer is needed: a handle is of the process that it was made in.
        var handle = new Handle(Memory.Read<ulong>(result));
        status = Nt.ObReferenceObjectByHandle(
            handle, SYNCHRONIZE, Va.Null, KernelMode, thread, Va.Null);
        x.Thread = At<KThread>(Memory.Read<Va>(thread));
        Nt.ZwClose(handle);
        return status;
    }

    void Unload(DriverObject driverObject)
    {
        var x = At<Extension>(_device.DeviceExtension);
        // The thread's code goes with the driver: it is waited for, not only told.
        x.Stopping = true;
        Nt.KeSetEvent(x.Wake, IO_NO_INCREMENT, false);
        Nt.KeWaitForSingleObject(x.Thread.Header, Executive, KernelMode, false, Va.Null);
        Nt.ObfDereferenceObject(x.Thread.Address);
        DeleteNamed(_device, "Workers");
    }

    NtStatus DeviceControl(DeviceObject device, Irp irp)
    {
        IoStackLocation stack = irp.CurrentStackLocation;
        if (stack.OutputBufferLength < 8) return Complete(irp, STATUS_BUFFER_TOO_SMALL);
        return stack.IoControlCode switch
        {
            IOCTL_WORKERS_ITEM => StartItem(device, irp),
            IOCTL_WORKERS_THREAD => StartThreadJob(At<Extension>(device.DeviceExtension), irp),
            _ => Complete(irp, STATUS_INVALID_DEVICE_REQUEST),
        };
    }

    void Answer(Irp irp, uint from)
    {
        Memory.Write(irp.SystemBuffer, from);
        Memory.Write(irp.SystemBuffer + 4, (uint)Nt.KeGetCurrentIrql());
        Complete(irp, STATUS_SUCCESS, 8);
    }

    NtStatus StartItem(DeviceObject device, Irp irp)
    {
        var job = At<Job>(Nt.ExAllocatePoolWithTag(NonPagedPool, (ulong)Job.Size, Tag("Samp")));
        if (job.IsNull) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        job.Irp = irp;
        // Allocated while the request can still be refused.
        job.Item = Nt.IoAllocateWorkItem(device);
        if (job.Item.IsNull)
        {
            Nt.ExFreePoolWithTag(job.Address, Tag("Samp"));
            return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        }
        Nt.KeInitializeTimer(job.Timer);
        Nt.KeInitializeDpc(job.Dpc, Routine(TimerDpc), job.Address);
        irp.MarkPending();
        Nt.KeSetTimer(job.Timer, Milliseconds(10), job.Dpc);
        return STATUS_PENDING;
    }

    // What needs to wait or to touch paged memory cannot be done here.
    void TimerDpc(KDpc dpc, Job job, Va argument1, Va argument2)
    {
        job.DpcIrql = (uint)Nt.KeGetCurrentIrql();
        Nt.IoQueueWorkItem(job.Item, Routine(WorkItem), DelayedWorkQueue, job.Address);
    }

    // In a thread of the system's, at PASSIVE_LEVEL. The device stays until this returns, so the driver does.
    void WorkItem(DeviceObject device, Job job)
    {
        Irp irp = job.Irp;
        uint irql = job.DpcIrql;
        Nt.IoFreeWorkItem(job.Item);
        Nt.ExFreePoolWithTag(job.Address, Tag("Samp"));
        Answer(irp, irql);
    }

    NtStatus StartThreadJob(Extension x, Irp irp)
    {
        irp.MarkPending();
        Nt.ExInterlockedInsertTailList(x.Jobs, irp.ListEntry, x.Lock);
        Nt.KeSetEvent(x.Wake, IO_NO_INCREMENT, false);
        return STATUS_PENDING;
    }

    void Worker(Extension x)
    {
        while (!x.Stopping)
        {
            Nt.KeWaitForSingleObject(x.Wake.Header, Executive, KernelMode, false, Va.Null);
            // One signal may stand for several jobs.
            while (Nt.ExInterlockedRemoveHeadList(x.Jobs, x.Lock) is { IsNull: false } entry)
                Answer(Irp.FromListEntry(Memory, entry), ++x.Done);
        }
        Nt.PsTerminateSystemThread(STATUS_SUCCESS);
    }
}
