using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>Ports to read and write from a program: those of one range, which the device was started with, and no
/// others.</summary>
public sealed partial class GenPort : PlugSample
{
    const uint MmNonCached = 0;

    public static readonly Guid Interface = new("6f0c3a52-8c55-4c39-9f3d-52494e474643");

    public static uint ReadCode(uint size) =>
        CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + size, METHOD_BUFFERED, FILE_READ_ACCESS);

    public static uint WriteCode(uint size) =>
        CTL_CODE(FILE_DEVICE_UNKNOWN, 0x810 + size, METHOD_BUFFERED, FILE_WRITE_ACCESS);

    sealed class Range(DeviceObject self, Extension x) : Device(self, x)
    {
        public Va Ports { get; set; }
        public Va Mapped { get; set; }
        public uint Length { get; set; }
    }

    protected override Device New(DeviceObject self, Extension x) => new Range(self, x);

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        PlugSet(driverObject, Routine(AddDevice));
        return STATUS_SUCCESS;
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        NtStatus status = PlugAdd(
            driverObject, physical, Extension.Size, FILE_DEVICE_UNKNOWN, Interface, out DeviceObject device);
        if (status.IsSuccess) device.Flags &= ~DO_DEVICE_INITIALIZING;
        return status;
    }

    protected override NtStatus Start(Device device, IoStackLocation location)
    {
        var x = (Range)device;
        CmResourceList resources = location.AllocatedResourcesTranslated;
        if (resources.IsNull || resources.Count != 1) return STATUS_INSUFFICIENT_RESOURCES;
        for (int i = 0; i < (int)resources.DescriptorCount; i++)
        {
            CmPartialResourceDescriptor d = resources.Descriptor(i);
            bool isMapped = d.Type == ResourceType.Memory && (d.Flags & CM_RESOURCE_PORT_IO) != 0;
            if (d.Type != ResourceType.Port && !isMapped) continue;
            // Where ports are translated to memory, they are mapped.
            if (isMapped) x.Mapped = Nt.MmMapIoSpace(d.Start, d.Length, MmNonCached);
            if (isMapped && x.Mapped.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
            (x.Ports, x.Length) = (isMapped ? x.Mapped : new Va(d.Start), d.Length);
            return STATUS_SUCCESS;
        }
        return STATUS_INSUFFICIENT_RESOURCES;
    }

    protected override void Stop(Device device)
    {
        var x = (Range)device;
        if (!x.Mapped.IsNull) Nt.MmUnmapIoSpace(x.Mapped, x.Length);
        (x.Mapped, x.Ports, x.Length) = (Va.Null, Va.Null, 0);
    }

    // Subtracted, so that nothing wraps. An access lies at a multiple of its size.
    static bool IsInside(Range x, uint offset, uint size) =>
        x.Length >= size && offset <= x.Length - size && offset % size == 0;

    uint Read(Range x, Va port, uint size) => (size, !x.Mapped.IsNull) switch
    {
        (1, false) => Nt.READ_PORT_UCHAR(port),
        (2, false) => Nt.READ_PORT_USHORT(port),
        (_, false) => Nt.READ_PORT_ULONG(port),
        (1, true) => Nt.READ_REGISTER_UCHAR(port),
        (2, true) => Nt.READ_REGISTER_USHORT(port),
        (_, true) => Nt.READ_REGISTER_ULONG(port),
    };

    void Write(Range x, Va port, uint size, uint value)
    {
        switch (size, !x.Mapped.IsNull)
        {
            case (1, false): Nt.WRITE_PORT_UCHAR(port, (byte)value); break;
            case (2, false): Nt.WRITE_PORT_USHORT(port, (ushort)value); break;
            case (_, false): Nt.WRITE_PORT_ULONG(port, value); break;
            case (1, true): Nt.WRITE_REGISTER_UCHAR(port, (byte)value); break;
            case (2, true): Nt.WRITE_REGISTER_USHORT(port, (ushort)value); break;
            case (_, true): Nt.WRITE_REGISTER_ULONG(port, value); break;
        }
    }

    // In: the offset, and for a write the value behind it. Out: what was read. A value is as long as its access.
    protected override NtStatus Control(Device device, Irp irp, IoStackLocation location, out ulong information)
    {
        var x = (Range)device;
        uint code = location.IoControlCode, size = code >> 2 & 0xF;
        bool isRead = code == ReadCode(size);
        information = 0;
        if (size is not (1 or 2 or 4) || !isRead && code != WriteCode(size)) return STATUS_INVALID_DEVICE_REQUEST;
        if (location.InputBufferLength != 4 + (isRead ? 0 : size)) return STATUS_INFO_LENGTH_MISMATCH;
        uint offset = Memory.Read<uint>(irp.SystemBuffer);
        if (!IsInside(x, offset, size)) return STATUS_INVALID_PARAMETER;
        Span<byte> value = stackalloc byte[4];
        if (!isRead)
        {
            Memory.ReadBytes(irp.SystemBuffer + 4, (int)size).CopyTo(value);
            Write(x, x.Ports + offset, size, BitConverter.ToUInt32(value));
            return STATUS_SUCCESS;
        }
        if (location.OutputBufferLength < size) return STATUS_BUFFER_TOO_SMALL;
        BitConverter.TryWriteBytes(value, Read(x, x.Ports + offset, size));
        Memory.Write(irp.SystemBuffer, value[..(int)size]);
        information = size;
        return STATUS_SUCCESS;
    }
}
