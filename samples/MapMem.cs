using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A device's memory in a program's address space: the device's own, and nothing else. What a program has
/// mapped goes with its handle, and when the device goes.</summary>
public sealed partial class MapMem : PlugSample
{
    const int Most = 16, MutexOffset = 0x48, ExtensionSize = MutexOffset + 0x38;
    const uint PageSize = 0x1000, Granularity = 0x10000, PAGE_READWRITE = 4, PAGE_NOCACHE = 0x200;
    const uint OBJ_CASE_INSENSITIVE = 0x40, OBJ_KERNEL_HANDLE = 0x200, SECTION_MAP_WRITE = 2, SECTION_MAP_READ = 4;
    const uint ViewUnmap = 2;
    static readonly NtStatus s_mappedAlignment = new(0xC0000220);
    static readonly Handle s_currentProcess = new(ulong.MaxValue);

    public static readonly Guid Interface = new("6f0c3a52-8c55-4c39-9f3d-52494e474644");

    /// <summary>In: offset and length, 8 bytes each; out: the address. In: the address.</summary>
    public const uint MapCode = 0x22E000, UnmapCode = 0x22E004;

    sealed class Window(DeviceObject self, Extension x, FastMutex mutex) : Device(self, x)
    {
        public FastMutex Mutex { get; } = mutex;
        public List<Mapping> Mappings { get; } = [];
        public ulong First { get; set; }
        public ulong Length { get; set; }
        public int Count { get; set; }
    }

    sealed record Mapping(FileObject File, EProcess Process, Va View, Va Address);

    protected override Device New(DeviceObject self, Extension x) =>
        new Window(self, x, At<FastMutex>(x.Address + MutexOffset));

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        PlugSet(driverObject, Routine(AddDevice));
        driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(End));
        driverObject.SetMajorFunction(IRP_MJ_CLOSE, Routine(End));
        return STATUS_SUCCESS;
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        NtStatus status = PlugAdd(
            driverObject, physical, ExtensionSize, FILE_DEVICE_UNKNOWN, Interface, out DeviceObject device);
        if (!status.IsSuccess) return status;
        ExInitializeFastMutex(((Window)DeviceOf(device)).Mutex);
        device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    protected override NtStatus Start(Device device, IoStackLocation location)
    {
        var x = (Window)device;
        CmResourceList resources = location.AllocatedResourcesTranslated;
        if (resources.IsNull || resources.Count != 1) return STATUS_INSUFFICIENT_RESOURCES;
        for (int i = 0; i < (int)resources.DescriptorCount; i++)
        {
            CmPartialResourceDescriptor d = resources.Descriptor(i);
            if (d.Type != ResourceType.Memory) continue;
            (x.First, x.Length) = (d.Start, d.Length);
            return STATUS_SUCCESS;
        }
        return STATUS_INSUFFICIENT_RESOURCES;
    }

    // The process that has the view is not always the present one.
    void Unmap(Window x, Mapping mapping)
    {
        using LocalFrame frame = Frame();
        Va state = Local(0x30);
        Nt.KeStackAttachProcess(mapping.Process, state);
        Nt.ZwUnmapViewOfSection(s_currentProcess, mapping.View);
        Nt.KeUnstackDetachProcess(state);
        Nt.ObfDereferenceObject(mapping.Process.Address);
        x.Count--;
    }

    Mapping? Take(Window x, Predicate<Mapping> wanted)
    {
        Nt.ExAcquireFastMutex(x.Mutex);
        Mapping? found = x.Mappings.Find(wanted);
        if (found is not null) x.Mappings.Remove(found);
        Nt.ExReleaseFastMutex(x.Mutex);
        return found;
    }

    void UnmapAll(Window x, Predicate<Mapping> wanted)
    {
        while (Take(x, wanted) is { } mapping) Unmap(x, mapping);
    }

    protected override void Stop(Device device)
    {
        var x = (Window)device;
        UnmapAll(x, _ => true);
        (x.First, x.Length) = (0, 0);
    }

    // The registers must not move under a program.
    protected override bool MayStop(Device device) => ((Window)device).Count == 0;

    // A view of physical memory begins at a multiple of 64 KiB and ends with a page: what lies there as well, before
    // and behind the part that is wanted, must be the device's too.
    static NtStatus Check(Window x, ulong offset, ulong length)
    {
        if (length == 0 || offset >= x.Length || length > x.Length - offset) return STATUS_INVALID_PARAMETER;
        ulong from = x.First + offset, first = from & ~(ulong)(Granularity - 1);
        ulong end = from + length + PageSize - 1 & ~(ulong)(PageSize - 1);
        return first < x.First || end > x.First + x.Length ? s_mappedAlignment : STATUS_SUCCESS;
    }

    NtStatus MapView(ulong from, ulong length, out Va view, out Va address)
    {
        using LocalFrame frame = Frame();
        Va handle = Local(8), start = Local(8), bytes = Local(8), offset = Local(8);
        var attributes = Local<ObjectAttributes>();
        (view, address) = (Va.Null, Va.Null);
        (attributes.Length, attributes.RootDirectory) = ((uint)ObjectAttributes.Size, default);
        (attributes.ObjectName, attributes.SecurityDescriptor) = (Text(@"\Device\PhysicalMemory"), Va.Null);
        attributes.Attributes = OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE;
        NtStatus status = Nt.ZwOpenSection(handle, SECTION_MAP_READ | SECTION_MAP_WRITE, attributes);
        if (!status.IsSuccess) return status;
        var section = Memory.Read<Handle>(handle);
        Memory.Write(start, 0UL);
        Memory.Write(bytes, length);
        Memory.Write(offset, from);
        status = Nt.ZwMapViewOfSection(section, s_currentProcess, start, 0, length, offset, bytes, ViewUnmap, 0,
            PAGE_READWRITE | PAGE_NOCACHE);
        Nt.ZwClose(section);
        if (!status.IsSuccess) return status;
        view = Memory.Read<Va>(start);
        address = view + (from - Memory.Read<ulong>(offset));
        return status;
    }

    NtStatus Map(Window x, FileObject file, ulong offset, ulong length, out Va address)
    {
        NtStatus status = MapView(x.First + offset, length, out Va view, out address);
        if (!status.IsSuccess) return status;
        EProcess process = Nt.IoGetCurrentProcess();
        Nt.ObfReferenceObject(process.Address);
        Nt.ExAcquireFastMutex(x.Mutex);
        x.Mappings.Add(new Mapping(file, process, view, address));
        Nt.ExReleaseFastMutex(x.Mutex);
        return STATUS_SUCCESS;
    }

    protected override NtStatus Control(Device device, Irp irp, IoStackLocation location, out ulong information)
    {
        var x = (Window)device;
        Va buffer = irp.SystemBuffer;
        uint code = location.IoControlCode, input = location.InputBufferLength;
        information = 0;
        if (code is not (MapCode or UnmapCode)) return STATUS_INVALID_DEVICE_REQUEST;
        // A filter above may have sent it from anywhere: the views are the caller's, and only a program's.
        EProcess process = Nt.IoGetCurrentProcess();
        if (irp.RequestorMode != ProcessorMode.UserMode || Nt.IoGetRequestorProcess(irp) != process)
            return STATUS_ACCESS_DENIED;
        if (code == UnmapCode)
        {
            if (input != 8) return STATUS_INFO_LENGTH_MISMATCH;
            Va address = Memory.Read<Va>(buffer);
            FileObject file = location.FileObject;
            if (Take(x, m => m.File == file && m.Process == process && m.Address == address) is not { } mapping)
                return STATUS_NOT_MAPPED_VIEW;
            Unmap(x, mapping);
            return STATUS_SUCCESS;
        }
        if (input != 16) return STATUS_INFO_LENGTH_MISMATCH;
        if (location.OutputBufferLength < 8) return STATUS_BUFFER_TOO_SMALL;
        ulong offset = Memory.Read<ulong>(buffer), length = Memory.Read<ulong>(buffer + 8);
        NtStatus status = Check(x, offset, length);
        if (!status.IsSuccess) return status;
        if (x.Count == Most) return STATUS_QUOTA_EXCEEDED;
        x.Count++;
        status = Map(x, location.FileObject, offset, length, out Va made);
        if (!status.IsSuccess)
        {
            x.Count--;
            return status;
        }
        Memory.Write(buffer, made);
        information = 8;
        return STATUS_SUCCESS;
    }

    // The last handle goes; then the last request that was still on its way, and may have mapped something meanwhile.
    NtStatus End(DeviceObject device, Irp irp)
    {
        FileObject file = irp.CurrentStackLocation.FileObject;
        UnmapAll((Window)DeviceOf(device), m => m.File == file);
        return Complete(irp, STATUS_SUCCESS);
    }
}
