namespace Ringdown.Kernel;

/// <summary>Constants of wdm.h and ntddk.h that drivers write by name: <c>using static
/// Ringdown.Kernel.Wdm;</c>.</summary>
public static partial class Wdm
{
    public const uint FILE_DEVICE_CD_ROM = 0x02, FILE_DEVICE_DISK = 0x07, FILE_DEVICE_DISK_FILE_SYSTEM = 0x08,
        FILE_DEVICE_KEYBOARD = 0x0B, FILE_DEVICE_MOUSE = 0x0F, FILE_DEVICE_PARALLEL_PORT = 0x16,
        FILE_DEVICE_SERIAL_PORT = 0x1B, FILE_DEVICE_UNKNOWN = 0x22, FILE_DEVICE_VIRTUAL_DISK = 0x24,
        FILE_DEVICE_BUS_EXTENDER = 0x2A, FILE_DEVICE_CONTROLLER = 0x04;

    public const uint FILE_REMOVABLE_MEDIA = 0x01, FILE_READ_ONLY_DEVICE = 0x02, FILE_DEVICE_SECURE_OPEN = 0x100;

    /// <summary>DEVICE_OBJECT.Flags.</summary>
    public const uint DO_VERIFY_VOLUME = 0x02, DO_BUFFERED_IO = 0x04, DO_EXCLUSIVE = 0x08, DO_DIRECT_IO = 0x10,
        DO_DEVICE_HAS_NAME = 0x40, DO_DEVICE_INITIALIZING = 0x80, DO_SHUTDOWN_REGISTERED = 0x800,
        DO_BUS_ENUMERATED_DEVICE = 0x1000, DO_POWER_PAGABLE = 0x2000, DO_POWER_INRUSH = 0x4000;

    /// <summary>How a control code's buffers reach the driver.</summary>
    public const uint METHOD_BUFFERED = 0, METHOD_IN_DIRECT = 1, METHOD_OUT_DIRECT = 2, METHOD_NEITHER = 3;

    /// <summary>What a file must have been opened for.</summary>
    public const uint FILE_ANY_ACCESS = 0, FILE_READ_ACCESS = 1, FILE_WRITE_ACCESS = 2;

    /// <summary>ACCESS_MASK of a file or a device; of anything that is waited for.</summary>
    public const uint FILE_READ_DATA = 1, FILE_WRITE_DATA = 2, SYNCHRONIZE = 0x10_0000;

    /// <summary>IRP.Flags.</summary>
    public const uint IRP_BUFFERED_IO = 0x10, IRP_DEALLOCATE_BUFFER = 0x20, IRP_INPUT_OPERATION = 0x40;

    /// <summary>How much the priority of the thread that waits is raised.</summary>
    public const sbyte IO_NO_INCREMENT = 0, IO_CD_ROM_INCREMENT = 1, IO_DISK_INCREMENT = 1, IO_KEYBOARD_INCREMENT = 6,
        IO_MOUSE_INCREMENT = 6, IO_NETWORK_INCREMENT = 2, IO_PARALLEL_INCREMENT = 1, IO_SERIAL_INCREMENT = 2,
        IO_SOUND_INCREMENT = 8, IO_VIDEO_INCREMENT = 1;

    /// <summary>POOL_TYPE.</summary>
    public const uint NonPagedPool = 0, PagedPool = 1, NonPagedPoolNx = 512;

    /// <summary>Flags of ExAllocatePool2.</summary>
    public const ulong POOL_FLAG_USE_QUOTA = 0x1, POOL_FLAG_UNINITIALIZED = 0x2, POOL_FLAG_NON_PAGED = 0x40,
        POOL_FLAG_PAGED = 0x100;

    /// <summary>EVENT_TYPE, TIMER_TYPE, and WORK_QUEUE_TYPE.</summary>
    public const uint NotificationEvent = 0, SynchronizationEvent = 1, NotificationTimer = 0, SynchronizationTimer = 1,
        CriticalWorkQueue = 0, DelayedWorkQueue = 1;

    /// <summary>KPROCESSOR_MODE, as waits take it.</summary>
    public const byte KernelMode = 0, UserMode = 1;

    /// <summary>KWAIT_REASON Executive.</summary>
    public const uint Executive = 0;

    /// <summary>LOCK_OPERATION of MmProbeAndLockPages.</summary>
    public const uint IoReadAccess = 0, IoWriteAccess = 1, IoModifyAccess = 2;

    /// <summary>Priorities of a mapping: MmGetSystemAddressForMdlSafe.</summary>
    public const uint LowPagePriority = 0, NormalPagePriority = 16, HighPagePriority = 32,
        MdlMappingNoExecute = 0x4000_0000;

    /// <summary>A control code: device type, access, function and method.</summary>
    public static uint CTL_CODE(uint deviceType, uint function, uint method, uint access) =>
        deviceType << 16 | access << 14 | function << 2 | method;

    /// <summary>A pool tag of four characters, the first in the lowest byte.</summary>
    public static uint Tag(string tag) =>
        (uint)tag[0] | (uint)tag[1] << 8 | (uint)tag[2] << 16 | (uint)tag[3] << 24;

    /// <summary>A due time of a timer or a timeout, so many milliseconds from now: in 100 ns units, negative.</summary>
    public static long Milliseconds(long milliseconds) => -milliseconds * 10_000;
}
