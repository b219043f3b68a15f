using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>IO_STATUS_BLOCK. Small, so it is a value: read it, or set both halves at once.</summary>
public record struct IoStatusBlock
{
    ulong _status;

    public IoStatusBlock(NtStatus status, ulong information) => (_status, Information) = (status.Value, information);

    public readonly NtStatus Status => new((uint)_status);
    public ulong Information;
}

[Layout("_DRIVER_OBJECT", Size = 0x150)]
public readonly partial struct DriverObject
{
    const int MajorFunctionOffset = 0x70;

    [Field(0x00)] public partial short Type { get; set; }
    [Field(0x02, Name = "Size")] public partial short ObjectSize { get; set; }
    [Field(0x08)] public partial DeviceObject DeviceObject { get; set; }
    [Field(0x10)] public partial uint Flags { get; set; }
    [Field(0x18)] public partial Va DriverStart { get; set; }
    [Field(0x20)] public partial uint DriverSize { get; set; }
    [Field(0x28)] public partial Va DriverSection { get; set; }
    [Field(0x30)] public partial DriverExtension DriverExtension { get; set; }
    [Embedded(0x38)] public partial UnicodeString DriverName { get; }
    [Field(0x48)] public partial Va HardwareDatabase { get; set; }
    [Field(0x50)] public partial Va FastIoDispatch { get; set; }
    [Field(0x58)] public partial Va DriverInit { get; set; }
    [Field(0x60)] public partial Va DriverStartIo { get; set; }
    [Field(0x68)] public partial Va DriverUnload { get; set; }

    public Va MajorFunction(IrpMajor major) => _memory.Read<Va>(Address + MajorFunctionOffset + (int)major * 8);
    public void SetMajorFunction(IrpMajor major, Va routine) =>
        _memory.Write(Address + MajorFunctionOffset + (int)major * 8, routine);
}

[Layout("_DRIVER_EXTENSION", Size = 0x28)]
public readonly partial struct DriverExtension
{
    [Field(0x00)] public partial DriverObject DriverObject { get; set; }
    [Field(0x08)] public partial Va AddDevice { get; set; }
    [Field(0x10)] public partial uint Count { get; set; }
    [Embedded(0x18)] public partial UnicodeString ServiceKeyName { get; }
}

[Layout("_DEVICE_OBJECT", Size = 0x150)]
public readonly partial struct DeviceObject
{
    [Field(0x00)] public partial short Type { get; set; }
    [Field(0x02, Name = "Size")] public partial ushort ObjectSize { get; set; }
    [Field(0x04)] public partial int ReferenceCount { get; set; }
    [Field(0x08)] public partial DriverObject DriverObject { get; set; }
    [Field(0x10)] public partial DeviceObject NextDevice { get; set; }
    [Field(0x18)] public partial DeviceObject AttachedDevice { get; set; }
    [Field(0x20)] public partial Irp CurrentIrp { get; set; }
    [Field(0x28)] public partial Va Timer { get; set; }
    [Field(0x30)] public partial uint Flags { get; set; }
    [Field(0x34)] public partial uint Characteristics { get; set; }
    [Field(0x38)] public partial Vpb Vpb { get; set; }
    [Field(0x40)] public partial Va DeviceExtension { get; set; }
    [Field(0x48)] public partial uint DeviceType { get; set; }
    [Field(0x4C)] public partial sbyte StackSize { get; set; }
    [Field(0x98)] public partial uint AlignmentRequirement { get; set; }
    [Embedded(0xA0)] public partial KDeviceQueue DeviceQueue { get; }
    [Embedded(0xC8)] public partial KDpc Dpc { get; }
    [Field(0x110)] public partial Va SecurityDescriptor { get; set; }
    [Embedded(0x118)] public partial KEvent DeviceLock { get; }
    [Field(0x130)] public partial ushort SectorSize { get; set; }
    [Field(0x138)] public partial DevobjExtension DeviceObjectExtension { get; set; }
}

[Layout("_DEVOBJ_EXTENSION", Size = 0x70)]
public readonly partial struct DevobjExtension
{
    [Field(0x00)] public partial short Type { get; set; }
    [Field(0x02, Name = "Size")] public partial ushort ObjectSize { get; set; }
    [Field(0x08)] public partial DeviceObject DeviceObject { get; set; }
    [Field(0x10)] public partial uint PowerFlags { get; set; }
    [Field(0x20)] public partial uint ExtensionFlags { get; set; }
    [Field(0x28)] public partial Va DeviceNode { get; set; }
    [Field(0x30)] public partial DeviceObject AttachedTo { get; set; }
    [Field(0x38)] public partial int StartIoCount { get; set; }
    [Field(0x3C)] public partial uint StartIoKey { get; set; }
    [Field(0x40)] public partial StartIoFlags StartIoFlags { get; set; }

    /// <summary>Of a file system's volume device: the volume that it is mounted on.</summary>
    [Field(0x48)] public partial Vpb Vpb { get; set; }
}

[Layout("_IRP", Size = 0xD0)]
public readonly partial struct Irp
{
    const int DeviceQueueEntryOffset = 0x78;

    [Field(0x00)] public partial short Type { get; set; }
    [Field(0x02, Name = "Size")] public partial ushort ObjectSize { get; set; }
    [Field(0x08)] public partial Mdl MdlAddress { get; set; }
    [Field(0x10)] public partial uint Flags { get; set; }
    [Field(0x18, Name = "AssociatedIrp.SystemBuffer")] public partial Va SystemBuffer { get; set; }

    /// <summary>Of an IRP with associated ones: how many of them are not complete.</summary>
    [Field(0x18, Name = "AssociatedIrp.IrpCount")] public partial int IrpCount { get; set; }

    /// <summary>Of an associated IRP.</summary>
    [Field(0x18, Name = "AssociatedIrp.MasterIrp")] public partial Irp MasterIrp { get; set; }
    [Embedded(0x20)] public partial ListEntry ThreadListEntry { get; }
    [Field(0x30)] public partial IoStatusBlock IoStatus { get; set; }
    [Field(0x40)] public partial ProcessorMode RequestorMode { get; set; }
    [Field(0x41)] public partial bool PendingReturned { get; set; }
    [Field(0x42)] public partial sbyte StackCount { get; set; }
    [Field(0x43)] public partial sbyte CurrentLocation { get; set; }
    [Field(0x44)] public partial bool Cancel { get; set; }
    [Field(0x45)] public partial Irql CancelIrql { get; set; }
    [Field(0x47)] public partial byte AllocationFlags { get; set; }
    [Field(0x48)] public partial Va UserIosb { get; set; }
    [Field(0x50)] public partial KEvent UserEvent { get; set; }
    [Field(0x58, Name = "Overlay.AllocationSize")] public partial long AllocationSize { get; set; }
    [Field(0x58, Name = "Overlay.AsynchronousParameters.UserApcRoutine")] public partial Va UserApcRoutine { get; set; }
    [Field(0x60, Name = "Overlay.AsynchronousParameters.UserApcContext")] public partial Va UserApcContext { get; set; }
    [Field(0x68)] public partial Va CancelRoutine { get; set; }
    [Field(0x70)] public partial Va UserBuffer { get; set; }
    [Field(0x78, Name = "Tail.Overlay.DriverContext[0]")] public partial Va DriverContext0 { get; set; }
    [Field(0x90, Name = "Tail.Overlay.DriverContext[3]")] public partial Va DriverContext3 { get; set; }
    [Field(0x98, Name = "Tail.Overlay.Thread")] public partial KThread Thread { get; set; }

    /// <summary>A buffer of the system's that goes with the IRP.</summary>
    [Field(0xA0, Name = "Tail.Overlay.AuxiliaryBuffer")] public partial Va AuxiliaryBuffer { get; set; }
    [Embedded(0xA8, Name = "Tail.Overlay.ListEntry")] public partial ListEntry ListEntry { get; }
    [Field(0xB8, Name = "Tail.Overlay.CurrentStackLocation")]
    public partial IoStackLocation CurrentStackLocation { get; set; }
    [Field(0xC0, Name = "Tail.Overlay.OriginalFileObject")] public partial FileObject OriginalFileObject { get; set; }

    /// <summary>Tail.Overlay.DeviceQueueEntry: by it an IRP waits in a device queue.</summary>
    public Va DeviceQueueEntry => Address + DeviceQueueEntryOffset;

    public static Irp FromDeviceQueueEntry(Memory memory, Va entry) => At(memory, entry - DeviceQueueEntryOffset);

    /// <summary>The n-th location, 1 for the lowest driver's up to <see cref="StackCount"/> for the highest
    /// one's.</summary>
    public IoStackLocation Location(int n) =>
        IoStackLocation.At(_memory, Address + Size + (n - 1) * IoStackLocation.Size);
}

[Layout("_IO_STACK_LOCATION", Size = 0x48)]
public readonly partial struct IoStackLocation
{
    [Field(0x00)] public partial IrpMajor MajorFunction { get; set; }
    [Field(0x01)] public partial byte MinorFunction { get; set; }
    [Field(0x02)] public partial byte Flags { get; set; }
    [Field(0x03)] public partial StackControl Control { get; set; }

    /// <summary>Parameters: Read/Write.Length, DeviceIoControl.OutputBufferLength, Create.SecurityContext.</summary>
    [Field(0x08, Name = "Parameters")] public partial ulong Parameter1 { get; set; }

    /// <summary>Read/Write.Key, DeviceIoControl.InputBufferLength, Create.Options.</summary>
    [Field(0x10, Name = "Parameters.Others.Argument2")] public partial ulong Parameter2 { get; set; }

    /// <summary>Read/Write.ByteOffset, DeviceIoControl.IoControlCode, Create.FileAttributes and ShareAccess.</summary>
    [Field(0x18, Name = "Parameters.Others.Argument3")] public partial ulong Parameter3 { get; set; }

    /// <summary>DeviceIoControl.Type3InputBuffer, Create.EaLength.</summary>
    [Field(0x20, Name = "Parameters.Others.Argument4")] public partial ulong Parameter4 { get; set; }

    // The parameters of each major function, by their own names.
    [Field(0x08, Name = "Parameters.Read.Length")] public partial uint Length { get; set; }
    [Field(0x10, Name = "Parameters.Read.Key")] public partial uint Key { get; set; }
    [Field(0x18, Name = "Parameters.Read.ByteOffset")] public partial long ByteOffset { get; set; }
    [Field(0x08, Name = "Parameters.DeviceIoControl.OutputBufferLength")]
    public partial uint OutputBufferLength { get; set; }
    [Field(0x10, Name = "Parameters.DeviceIoControl.InputBufferLength")]
    public partial uint InputBufferLength { get; set; }
    [Field(0x18, Name = "Parameters.DeviceIoControl.IoControlCode")] public partial uint IoControlCode { get; set; }
    [Field(0x20, Name = "Parameters.DeviceIoControl.Type3InputBuffer")]
    public partial Va Type3InputBuffer { get; set; }
    [Field(0x08, Name = "Parameters.Create.SecurityContext")] public partial Va SecurityContext { get; set; }
    [Field(0x10, Name = "Parameters.Create.Options")] public partial uint CreateOptions { get; set; }
    [Field(0x1A, Name = "Parameters.Create.ShareAccess")] public partial ushort ShareAccess { get; set; }
    [Field(0x10, Name = "Parameters.QueryFile.FileInformationClass")]
    public partial uint FileInformationClass { get; set; }

    [Field(0x28)] public partial DeviceObject DeviceObject { get; set; }
    [Field(0x30)] public partial FileObject FileObject { get; set; }
    [Field(0x38)] public partial Va CompletionRoutine { get; set; }
    [Field(0x40)] public partial Va Context { get; set; }

    /// <summary>The location of the next lower driver. Locations are an array that is used from its end.</summary>
    public IoStackLocation Below => At(_memory, Address - (ulong)Size);
    public IoStackLocation Above => At(_memory, Address + Size);

    /// <summary>IoCopyCurrentIrpStackLocationToNext copies all but the completion routine and its context.</summary>
    public void CopyTo(IoStackLocation other)
    {
        other._memory.Write(other.Address, _memory.ReadBytes(Address, 0x38));
        other.Control = StackControl.None;
    }
}

[Layout("_FILE_OBJECT", Size = 0xD8)]
public readonly partial struct FileObject
{
    [Field(0x00)] public partial short Type { get; set; }
    [Field(0x02, Name = "Size")] public partial short ObjectSize { get; set; }
    [Field(0x08)] public partial DeviceObject DeviceObject { get; set; }
    [Field(0x10)] public partial Vpb Vpb { get; set; }
    [Field(0x18)] public partial Va FsContext { get; set; }
    [Field(0x20)] public partial Va FsContext2 { get; set; }
    [Field(0x28)] public partial SectionObjectPointers SectionObjectPointer { get; set; }
    [Field(0x30)] public partial Va PrivateCacheMap { get; set; }
    [Field(0x38)] public partial NtStatus FinalStatus { get; set; }
    [Field(0x40)] public partial FileObject RelatedFileObject { get; set; }
    [Field(0x48)] public partial bool LockOperation { get; set; }
    [Field(0x49)] public partial bool DeletePending { get; set; }
    [Field(0x4A)] public partial bool ReadAccess { get; set; }
    [Field(0x4B)] public partial bool WriteAccess { get; set; }
    [Field(0x4C)] public partial bool DeleteAccess { get; set; }
    [Field(0x4D)] public partial bool SharedRead { get; set; }
    [Field(0x4E)] public partial bool SharedWrite { get; set; }
    [Field(0x4F)] public partial bool SharedDelete { get; set; }
    [Field(0x50)] public partial uint Flags { get; set; }
    [Embedded(0x58)] public partial UnicodeString FileName { get; }
    [Field(0x68)] public partial long CurrentByteOffset { get; set; }
    [Field(0x70)] public partial uint Waiters { get; set; }
    [Field(0x74)] public partial uint Busy { get; set; }
    [Embedded(0x80)] public partial KEvent Lock { get; }
    [Embedded(0x98)] public partial KEvent Event { get; }
    [Field(0xB0)] public partial Va CompletionContext { get; set; }
}

[Layout("_MDL", Size = 0x30)]
public readonly partial struct Mdl
{
    [Field(0x00)] public partial Mdl Next { get; set; }
    [Field(0x08, Name = "Size")] public partial short ObjectSize { get; set; }
    [Field(0x0A)] public partial MdlFlags MdlFlags { get; set; }
    [Field(0x10)] public partial Va Process { get; set; }
    [Field(0x18)] public partial Va MappedSystemVa { get; set; }
    [Field(0x20)] public partial Va StartVa { get; set; }
    [Field(0x28)] public partial uint ByteCount { get; set; }
    [Field(0x2C)] public partial uint ByteOffset { get; set; }

    /// <summary>Where the described buffer starts in the address space that it was described in.</summary>
    public Va VirtualAddress => StartVa + ByteOffset;

    /// <summary>ADDRESS_AND_SIZE_TO_SPAN_PAGES of the buffer.</summary>
    public int PageCount => (int)(((ulong)ByteOffset + ByteCount + 0xFFF) >> 12);

    public ulong Frame(int n) => _memory.Read<ulong>(Address + Size + n * 8);
    public void SetFrame(int n, ulong pfn) => _memory.Write(Address + Size + n * 8, pfn);
}

[Flags]
public enum MdlFlags : short
{
    None = 0,
    MappedToSystemVa = 0x0001,
    PagesLocked = 0x0002,
    SourceIsNonpagedPool = 0x0004,
    AllocatedFixedSize = 0x0008,
    Partial = 0x0010,
    PartialHasBeenMapped = 0x0020,
    IoPageRead = 0x0040,
    WriteOperation = 0x0080,
    LockedPageTables = 0x0100,
    FreeExtraPtes = 0x0200,
    DescribesAwe = 0x0400,
    IoSpace = 0x0800,
    MappingCanFail = 0x2000,
}

/// <summary>KPROCESSOR_MODE.</summary>
public enum ProcessorMode : byte { KernelMode = 0, UserMode = 1 }

/// <summary>SL_* in IO_STACK_LOCATION.Control.</summary>
[Flags]
public enum StackControl : byte
{
    None = 0,
    SL_PENDING_RETURNED = 0x01,
    SL_ERROR_RETURNED = 0x02,
    SL_INVOKE_ON_CANCEL = 0x20,
    SL_INVOKE_ON_SUCCESS = 0x40,
    SL_INVOKE_ON_ERROR = 0x80,
    SL_INVOKE_ALWAYS = SL_INVOKE_ON_CANCEL | SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR,
}

public enum IrpMajor : byte
{
    IRP_MJ_CREATE, IRP_MJ_CREATE_NAMED_PIPE, IRP_MJ_CLOSE, IRP_MJ_READ, IRP_MJ_WRITE, IRP_MJ_QUERY_INFORMATION,
    IRP_MJ_SET_INFORMATION, IRP_MJ_QUERY_EA, IRP_MJ_SET_EA, IRP_MJ_FLUSH_BUFFERS, IRP_MJ_QUERY_VOLUME_INFORMATION,
    IRP_MJ_SET_VOLUME_INFORMATION, IRP_MJ_DIRECTORY_CONTROL, IRP_MJ_FILE_SYSTEM_CONTROL, IRP_MJ_DEVICE_CONTROL,
    IRP_MJ_INTERNAL_DEVICE_CONTROL, IRP_MJ_SHUTDOWN, IRP_MJ_LOCK_CONTROL, IRP_MJ_CLEANUP, IRP_MJ_CREATE_MAILSLOT,
    IRP_MJ_QUERY_SECURITY, IRP_MJ_SET_SECURITY, IRP_MJ_POWER, IRP_MJ_SYSTEM_CONTROL, IRP_MJ_DEVICE_CHANGE,
    IRP_MJ_QUERY_QUOTA, IRP_MJ_SET_QUOTA, IRP_MJ_PNP,
}
