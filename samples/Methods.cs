using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>How buffers reach a driver: three devices, one for each way of reads and writes, and the four methods of
/// control codes. What is written to a device can be read from it.</summary>
public sealed partial class Methods : Sample
{
    const uint IOCTL_METHODS_BUFFERED = 0x222000, IOCTL_METHODS_IN_DIRECT = 0x222005,
        IOCTL_METHODS_OUT_DIRECT = 0x22200A, IOCTL_METHODS_NEITHER = 0x22200F;
    const uint Capacity = 256;

    [Layout("METHODS_EXTENSION", Size = 0x140)]
    public readonly partial struct Extension
    {
        /// <summary>Not a spin lock: what is done under it may touch memory that is paged.</summary>
        [Embedded(0x00)] public partial FastMutex Mutex { get; }
        [Field(0x38)] public partial uint Length { get; set; }

        public Va Data => Address + 0x3C;
    }

    DeviceObject _buffered, _direct, _neither;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        const int size = Extension.Size;
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_READ, Routine(Read));
        driverObject.SetMajorFunction(IRP_MJ_WRITE, Routine(Write));
        driverObject.SetMajorFunction(IRP_MJ_DEVICE_CONTROL, Routine(DeviceControl));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, "MethodsBuffered", size, DO_BUFFERED_IO, out _buffered);
        if (status.IsSuccess) status = CreateNamed(driverObject, "MethodsDirect", size, DO_DIRECT_IO, out _direct);
        if (status.IsSuccess) status = CreateNamed(driverObject, "MethodsNeither", size, 0, out _neither);
        if (!status.IsSuccess)
        {
            Unload(driverObject);
            return status;
        }
        Start(_buffered);
        Start(_direct);
        Start(_neither);
        return STATUS_SUCCESS;
    }

    void Start(DeviceObject device)
    {
        ExInitializeFastMutex(At<Extension>(device.DeviceExtension).Mutex);
        device.Flags &= ~DO_DEVICE_INITIALIZING;
    }

    void Unload(DriverObject driverObject)
    {
        if (!_neither.IsNull) DeleteNamed(_neither, "MethodsNeither");
        if (!_direct.IsNull) DeleteNamed(_direct, "MethodsDirect");
        if (!_buffered.IsNull) DeleteNamed(_buffered, "MethodsBuffered");
    }

    // The user can unmap his memory at any moment, from another thread: a probe alone proves nothing.
    NtStatus CopyFromUser(Irp irp, Span<byte> to, Va from)
    {
        try
        {
            if (irp.RequestorMode == ProcessorMode.UserMode) Nt.ProbeForRead(from, (ulong)to.Length, 1);
            Memory.Read(from, to);
            return STATUS_SUCCESS;
        }
        catch (Exception e) when (GetExceptionCode(e) is { } status)
        {
            return status;
        }
    }

    NtStatus CopyToUser(Irp irp, Va to, ReadOnlySpan<byte> from)
    {
        try
        {
            if (irp.RequestorMode == ProcessorMode.UserMode) Nt.ProbeForWrite(to, (ulong)from.Length, 1);
            Memory.Write(to, from);
            return STATUS_SUCCESS;
        }
        catch (Exception e) when (GetExceptionCode(e) is { } status)
        {
            return status;
        }
    }

    // Where the data of a read or a write are in the system's memory; null with METHOD_NEITHER, where they are not.
    NtStatus FindBuffer(DeviceObject device, Irp irp, out Va buffer)
    {
        buffer = device == _buffered ? irp.SystemBuffer : Va.Null;
        if (device != _direct) return STATUS_SUCCESS;
        buffer = MmGetSystemAddressForMdlSafe(irp.MdlAddress);
        return buffer.IsNull ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
    }

    NtStatus Read(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        uint length = irp.CurrentStackLocation.Length;
        // Of no bytes there is no buffer.
        if (length == 0) return Complete(irp, STATUS_SUCCESS);
        NtStatus status = FindBuffer(device, irp, out Va buffer);
        if (!status.IsSuccess) return Complete(irp, status);
        Nt.ExAcquireFastMutex(x.Mutex);
        byte[] data = Memory.ReadBytes(x.Data, (int)Math.Min(length, x.Length));
        if (!buffer.IsNull) Memory.Write(buffer, data);
        else status = CopyToUser(irp, irp.UserBuffer, data);
        Nt.ExReleaseFastMutex(x.Mutex);
        return Complete(irp, status, status.IsSuccess ? (ulong)data.Length : 0);
    }

    NtStatus Write(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        uint length = irp.CurrentStackLocation.Length;
        if (length == 0) return Complete(irp, STATUS_SUCCESS);
        if (length > Capacity) return Complete(irp, STATUS_DISK_FULL);
        NtStatus status = FindBuffer(device, irp, out Va buffer);
        if (!status.IsSuccess) return Complete(irp, status);
        byte[] data = new byte[length];
        Nt.ExAcquireFastMutex(x.Mutex);
        if (!buffer.IsNull) Memory.Read(buffer, data);
        else status = CopyFromUser(irp, data, irp.UserBuffer);
        if (status.IsSuccess)
        {
            Memory.Write(x.Data, data);
            x.Length = length;
        }
        Nt.ExReleaseFastMutex(x.Mutex);
        return Complete(irp, status, status.IsSuccess ? length : 0);
    }

    static byte[] Invert(byte[] bytes) => [.. bytes.Select(b => (byte)~b)];

    NtStatus DeviceControl(DeviceObject device, Irp irp)
    {
        IoStackLocation stack = irp.CurrentStackLocation;
        uint length = Math.Min(stack.InputBufferLength, stack.OutputBufferLength);
        switch (stack.IoControlCode)
        {
            case IOCTL_METHODS_BUFFERED:
                // Input and output are the same buffer.
                Memory.Write(irp.SystemBuffer, Invert(Memory.ReadBytes(irp.SystemBuffer, (int)length)));
                return Complete(irp, STATUS_SUCCESS, length);
            case IOCTL_METHODS_IN_DIRECT:
                return Direct(irp, (int)length, toMdl: false);
            case IOCTL_METHODS_OUT_DIRECT:
                return Direct(irp, (int)length, toMdl: true);
            case IOCTL_METHODS_NEITHER:
                return Neither(irp, stack.Type3InputBuffer, length);
            default:
                return Complete(irp, STATUS_INVALID_DEVICE_REQUEST);
        }
    }

    NtStatus Direct(Irp irp, int length, bool toMdl)
    {
        if (length == 0) return Complete(irp, STATUS_SUCCESS);
        // The first buffer is the system's copy; the second one the user's own pages, locked.
        Va mapped = MmGetSystemAddressForMdlSafe(irp.MdlAddress);
        if (mapped.IsNull) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        byte[] first = Memory.ReadBytes(irp.SystemBuffer, length);
        if (toMdl)
        {
            Memory.Write(mapped, Invert(first));
            return Complete(irp, STATUS_SUCCESS, (ulong)length);
        }
        // METHOD_IN_DIRECT: the pages are for reading only. How many bytes are the same is the answer.
        byte[] second = Memory.ReadBytes(mapped, length);
        return Complete(irp, STATUS_SUCCESS, (ulong)first.Zip(second).Count(p => p.First == p.Second));
    }

    NtStatus Neither(Irp irp, Va input, uint length)
    {
        if (length > 64) return Complete(irp, STATUS_INVALID_BUFFER_SIZE);
        // Copied once, then used: the user can change his buffer between two looks at it.
        byte[] copy = new byte[length];
        NtStatus status = CopyFromUser(irp, copy, input);
        if (status.IsSuccess) status = CopyToUser(irp, irp.UserBuffer, Invert(copy));
        return Complete(irp, status, status.IsSuccess ? length : 0);
    }
}
