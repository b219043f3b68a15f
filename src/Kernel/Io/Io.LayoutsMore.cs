using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The volume parameter block: which file system has a disk's volume.</summary>
[Layout("_VPB", Size = 0x60)]
public readonly partial struct Vpb
{
    public const ushort Mounted = 0x01, Locked = 0x02, Persistent = 0x04, RemovePending = 0x08, RawMount = 0x10;

    [Field(0x00)] public partial short Type { get; set; }
    [Field(0x02, Name = "Size")] public partial short ObjectSize { get; set; }
    [Field(0x04)] public partial ushort Flags { get; set; }
    [Field(0x06)] public partial ushort VolumeLabelLength { get; set; }

    /// <summary>The file system's device for the volume.</summary>
    [Field(0x08)] public partial DeviceObject DeviceObject { get; set; }

    /// <summary>The disk's device.</summary>
    [Field(0x10)] public partial DeviceObject RealDevice { get; set; }
    [Field(0x18)] public partial uint SerialNumber { get; set; }
    [Field(0x1C)] public partial uint ReferenceCount { get; set; }

    public bool Has(ushort flag) => (Flags & flag) != 0;
}

/// <summary>What IoSetStartIoAttributes asked for, and what StartIo asked for while it ran.</summary>
[Flags]
public enum StartIoFlags : uint
{
    None = 0, Requested = 1, RequestedByKey = 2, Cancelable = 4, Deferred = 8, NonCancelable = 16,
}

[Layout("_SHARE_ACCESS", Size = 0x1C)]
public readonly partial struct ShareAccess
{
    [Field(0x00)] public partial uint OpenCount { get; set; }
    [Field(0x04)] public partial uint Readers { get; set; }
    [Field(0x08)] public partial uint Writers { get; set; }
    [Field(0x0C)] public partial uint Deleters { get; set; }
    [Field(0x10)] public partial uint SharedRead { get; set; }
    [Field(0x14)] public partial uint SharedWrite { get; set; }
    [Field(0x18)] public partial uint SharedDelete { get; set; }
}

/// <summary>LINK_SHARE_ACCESS: who may delete one of a file's links.</summary>
[Layout("_LINK_SHARE_ACCESS", Size = 0x0C)]
public readonly partial struct LinkShareAccess
{
    [Field(0x00)] public partial uint OpenCount { get; set; }
    [Field(0x04)] public partial uint Deleters { get; set; }
    [Field(0x08)] public partial uint SharedDelete { get; set; }
}

/// <summary>A cancel-safe queue: the driver's routines, of which the system makes a queue whose IRPs can be
/// canceled.</summary>
[Layout("_IO_CSQ", Size = 0x40)]
public readonly partial struct IoCsq
{
    public const uint Context = 1, Ordinary = 2, Extended = 3;

    [Field(0x00)] public partial uint Type { get; set; }
    [Field(0x08)] public partial Va CsqInsertIrp { get; set; }
    [Field(0x10)] public partial Va CsqRemoveIrp { get; set; }
    [Field(0x18)] public partial Va CsqPeekNextIrp { get; set; }
    [Field(0x20)] public partial Va CsqAcquireLock { get; set; }
    [Field(0x28)] public partial Va CsqReleaseLock { get; set; }
    [Field(0x30)] public partial Va CsqCompleteCanceledIrp { get; set; }
    [Field(0x38)] public partial Va ReservePointer { get; set; }
}

/// <summary>By it a driver takes one IRP out of a cancel-safe queue.</summary>
[Layout("_IO_CSQ_IRP_CONTEXT", Size = 0x18)]
public readonly partial struct IoCsqIrpContext
{
    [Field(0x00)] public partial uint Type { get; set; }
    [Field(0x08)] public partial Irp Irp { get; set; }
    [Field(0x10)] public partial IoCsq Csq { get; set; }
}

/// <summary>Something that several devices share, and of which one at a time has the use.</summary>
[Layout("_CONTROLLER_OBJECT", Size = 0x48)]
public readonly partial struct ControllerObject
{
    public const short ControllerType = 2;

    [Field(0x00)] public partial short Type { get; set; }
    [Field(0x02, Name = "Size")] public partial short ObjectSize { get; set; }
    [Field(0x08)] public partial Va ControllerExtension { get; set; }

    /// <summary>DeviceWaitQueue: the devices that wait.</summary>
    public Va DeviceWaitQueue => Address + 0x10;
}

/// <summary>WAIT_CONTEXT_BLOCK: what a device waits with; inside the device object.</summary>
[Layout("_WAIT_CONTEXT_BLOCK", Size = 0x48)]
public readonly partial struct WaitContextBlock
{
    public const int OffsetInDevice = 0x50;

    [Field(0x18)] public partial Va DeviceRoutine { get; set; }
    [Field(0x20)] public partial Va DeviceContext { get; set; }
    [Field(0x28)] public partial uint NumberOfMapRegisters { get; set; }
    [Field(0x30)] public partial DeviceObject DeviceObject { get; set; }
    [Field(0x38)] public partial Irp CurrentIrp { get; set; }
    [Field(0x40)] public partial Va BufferChainingDpc { get; set; }
}

[Layout("_CONFIGURATION_INFORMATION", Size = 0x28)]
public readonly partial struct ConfigurationInformation
{
    [Field(0x00)] public partial uint DiskCount { get; set; }
    [Field(0x04)] public partial uint FloppyCount { get; set; }
    [Field(0x08)] public partial uint CdRomCount { get; set; }
    [Field(0x0C)] public partial uint TapeCount { get; set; }
    [Field(0x10)] public partial uint ScsiPortCount { get; set; }
    [Field(0x14)] public partial uint SerialCount { get; set; }
    [Field(0x18)] public partial uint ParallelCount { get; set; }
    [Field(0x1C)] public partial bool AtDiskPrimaryAddressClaimed { get; set; }
    [Field(0x1D)] public partial bool AtDiskSecondaryAddressClaimed { get; set; }
    [Field(0x20)] public partial uint Version { get; set; }
    [Field(0x24)] public partial uint MediumChangerCount { get; set; }
}

public readonly partial struct KThread
{
    /// <summary>Set in CrossThreadFlags by IoSetThreadHardErrorMode(FALSE).</summary>
    public const uint HardErrorsAreDisabled = 0x10;

    /// <summary>IRPs that the thread has sent and that are not complete.</summary>
    [Embedded(0x4B0)] public partial ListEntry IrpList { get; }
    [Field(0x4C0)] public partial Va TopLevelIrp { get; set; }
    [Field(0x4C8)] public partial DeviceObject DeviceToVerify { get; set; }
}
