using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A filter above a disk that measures: how many reads and writes, how many bytes, and how long they take.
/// IOCTL_DISK_PERFORMANCE tells; all else passes.</summary>
public sealed partial class DiskPerf : FilterSample
{
    public const uint PerformanceCode = 0x70020;
    public const int PerformanceSize = 0x58;
    const uint FILE_FLOPPY_DISKETTE = 4, DeviceUsageTypePaging = 1;

    // What follows what all have in the extension.
    [Layout("DISKPERF", Size = 0x78)]
    public readonly partial struct Counters
    {
        [Field(0x28)] public partial long Frequency { get; set; }
        [Embedded(0x30)] public partial KSpinLock Lock { get; }

        // With the lock. Times in ticks of the performance counter.
        [Field(0x38)] public partial uint Reads { get; set; }
        [Field(0x3C)] public partial uint Writes { get; set; }
        [Field(0x40)] public partial uint Depth { get; set; }
        [Field(0x48)] public partial long BytesRead { get; set; }
        [Field(0x50)] public partial long BytesWritten { get; set; }
        [Field(0x58)] public partial long ReadTicks { get; set; }
        [Field(0x60)] public partial long WriteTicks { get; set; }
        [Field(0x68)] public partial long IdleTicks { get; set; }
        [Field(0x70)] public partial long IdleSince { get; set; }
    }

    Counters CountersOf(Extension x) => At<Counters>(x.Address);

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        FilterSet(driverObject, Routine(AddDevice), Routine(Plug));
        driverObject.SetMajorFunction(IRP_MJ_READ, Routine(Transfer));
        driverObject.SetMajorFunction(IRP_MJ_WRITE, Routine(Transfer));
        driverObject.SetMajorFunction(IRP_MJ_DEVICE_CONTROL, Routine(Control));
        return STATUS_SUCCESS;
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        NtStatus status = FilterAdd(driverObject, physical, Counters.Size, out DeviceObject device);
        if (!status.IsSuccess) return status;
        Counters x = CountersOf(FilterOf(device));
        Nt.KeInitializeSpinLock(x.Lock);
        Va frequency = Local(8);
        x.IdleSince = Nt.KeQueryPerformanceCounter(frequency);
        x.Frequency = Memory.Read<long>(frequency);
        device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    NtStatus Transfer(DeviceObject device, Irp irp)
    {
        Extension x = FilterOf(device);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        irp.CopyCurrentStackLocationToNext();
        long now = Nt.KeQueryPerformanceCounter(Va.Null);
        IoStackLocation location = irp.CurrentStackLocation;
        location.ByteOffset = now;
        Counters counters = CountersOf(x);
        Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(counters.Lock);
        if (counters.Depth++ == 0) counters.IdleTicks += now - counters.IdleSince;
        Nt.KeReleaseSpinLock(counters.Lock, irql);
        irp.SetCompletionRoutine(Routine(Measured), x.Address);
        return Nt.IofCallDriver(x.Below, irp);
    }

    // When it was sent stands in this driver's own stack location, where the drivers below do not look.
    NtStatus Measured(DeviceObject device, Irp irp, Counters x)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        long now = Nt.KeQueryPerformanceCounter(Va.Null), took = now - location.ByteOffset;
        long bytes = irp.IoStatus.Status.IsSuccess ? (long)irp.IoStatus.Information : 0;
        Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(x.Lock);
        if (location.MajorFunction == IRP_MJ_READ)
            (x.Reads, x.BytesRead, x.ReadTicks) = (x.Reads + 1, x.BytesRead + bytes, x.ReadTicks + took);
        else (x.Writes, x.BytesWritten, x.WriteTicks) = (x.Writes + 1, x.BytesWritten + bytes, x.WriteTicks + took);
        if (--x.Depth == 0) x.IdleSince = now;
        Nt.KeReleaseSpinLock(x.Lock, irql);
        return FilterDone(device, irp, At<Extension>(x.Address));
    }

    // Of 100 ns; in two parts, so that nothing overflows.
    static long Time(Counters x, long ticks) =>
        ticks / x.Frequency * 10_000_000 + ticks % x.Frequency * 10_000_000 / x.Frequency;

    void Tell(Counters x, Va to)
    {
        long now = Nt.KeQueryPerformanceCounter(Va.Null);
        Memory.Fill(to, (ulong)PerformanceSize, 0);
        Nt.KeQuerySystemTimePrecise(to + 0x38);
        Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(x.Lock);
        long idle = x.IdleTicks + (x.Depth == 0 ? now - x.IdleSince : 0);
        long[] numbers = [x.BytesRead, x.BytesWritten, Time(x, x.ReadTicks), Time(x, x.WriteTicks), Time(x, idle)];
        for (int i = 0; i < numbers.Length; i++) Memory.Write(to + i * 8, numbers[i]);
        Memory.Write(to + 0x28, x.Reads);
        Memory.Write(to + 0x2C, x.Writes);
        Memory.Write(to + 0x30, x.Depth);
        Nt.KeReleaseSpinLock(x.Lock, irql);
        Memory.Write(to + 0x44, Encoding.Unicode.GetBytes("DISKPERF"));
    }

    NtStatus Control(DeviceObject device, Irp irp)
    {
        Extension x = FilterOf(device);
        IoStackLocation location = irp.CurrentStackLocation;
        if (location.IoControlCode != PerformanceCode) return FilterPass(device, irp);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        bool fits = location.OutputBufferLength >= PerformanceSize;
        if (fits) Tell(CountersOf(x), irp.SystemBuffer);
        status = fits ? Complete(irp, STATUS_SUCCESS, PerformanceSize) : Complete(irp, STATUS_BUFFER_TOO_SMALL);
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return status;
    }

    NtStatus Plug(DeviceObject device, Irp irp)
    {
        Extension x = FilterOf(device);
        byte minor = irp.CurrentStackLocation.MinorFunction;
        if (minor is not (IRP_MN_START_DEVICE or IRP_MN_REMOVE_DEVICE or IRP_MN_DEVICE_USAGE_NOTIFICATION))
            return FilterPass(device, irp);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        return minor == IRP_MN_REMOVE_DEVICE ? FilterRemove(device, irp) : AfterBelow(device, x, irp, minor);
    }

    // First the drivers below. What the device below can do, its filter can do.
    NtStatus AfterBelow(DeviceObject device, Extension x, Irp irp, byte minor)
    {
        const uint inherited = FILE_REMOVABLE_MEDIA | FILE_READ_ONLY_DEVICE | FILE_FLOPPY_DISKETTE;
        Counters counters = CountersOf(x);
        NtStatus status = FilterBelow(x, irp);
        if (minor == IRP_MN_START_DEVICE && status.IsSuccess)
        {
            device.Characteristics |= x.Below.Characteristics & inherited;
            counters.IdleSince = Nt.KeQueryPerformanceCounter(Va.Null);
        }
        // Paging makes drivers below answer at a raised IRQL: then the filter is no longer pageable either.
        if (minor == IRP_MN_DEVICE_USAGE_NOTIFICATION && status.IsSuccess
            && irp.CurrentStackLocation.UsageType == DeviceUsageTypePaging && (x.Below.Flags & DO_POWER_PAGABLE) == 0)
            device.Flags &= ~DO_POWER_PAGABLE;
        return FilterFinish(x, irp, status);
    }
}
