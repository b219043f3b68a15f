using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>Each lock of a driver, used as it should be: what it guards, who may take it, and at which IRQL.</summary>
public sealed partial class Locks : Sample
{
    /// <summary>Each gives a ULONG: the number that its lock guards, which all but SHARED count up.</summary>
    const uint IOCTL_LOCKS_SPIN = 0x222000, IOCTL_LOCKS_QUEUED = 0x222004, IOCTL_LOCKS_MUTEX = 0x222008,
        IOCTL_LOCKS_EXCLUSIVE = 0x22200C, IOCTL_LOCKS_SHARED = 0x222010;

    /// <summary>A ULONG into a list, and out of it: the oldest; the newest.</summary>
    const uint IOCTL_LOCKS_INSERT = 0x222014, IOCTL_LOCKS_REMOVE = 0x222018, IOCTL_LOCKS_PUSH = 0x22201C,
        IOCTL_LOCKS_POP = 0x222020;

    /// <summary>Waits until no other request is in the driver; after it there are no more.</summary>
    const uint IOCTL_LOCKS_CLOSE = 0x222024;

    [Layout("LOCKS_EXTENSION", Size = 0x110)]
    public readonly partial struct Extension
    {
        /// <summary>First: it has to be on a boundary of 16 bytes.</summary>
        [Embedded(0x00)] public partial SListHeader Stack { get; }
        [Embedded(0x10)] public partial KSpinLock Spin { get; }
        [Embedded(0x18)] public partial KSpinLock Queued { get; }
        [Embedded(0x20)] public partial KSpinLock ListLock { get; }
        [Field(0x28)] public partial uint SpinNumber { get; set; }
        [Field(0x2C)] public partial uint QueuedNumber { get; set; }
        [Field(0x30)] public partial uint MutexNumber { get; set; }
        [Field(0x34)] public partial uint ResourceNumber { get; set; }
        [Embedded(0x38)] public partial ListEntry List { get; }
        [Embedded(0x48)] public partial FastMutex Mutex { get; }
        [Embedded(0x80)] public partial EResource Resource { get; }
        [Embedded(0xE8)] public partial RemoveLock RemoveLock { get; }
    }

    [Layout("NODE", Size = 0x20)]
    public readonly partial struct Node
    {
        /// <summary>In a list, or in a stack.</summary>
        [Embedded(0x00)] public partial ListEntry Entry { get; }
        [Field(0x10)] public partial uint Value { get; set; }
    }

    DeviceObject _device;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_DEVICE_CONTROL, Routine(DeviceControl));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, "Locks", Extension.Size, 0, out _device);
        if (!status.IsSuccess) return status;
        var x = At<Extension>(_device.DeviceExtension);
        Nt.InitializeSListHead(x.Stack);
        Nt.KeInitializeSpinLock(x.Spin);
        Nt.KeInitializeSpinLock(x.Queued);
        Nt.KeInitializeSpinLock(x.ListLock);
        x.List.Initialize();
        ExInitializeFastMutex(x.Mutex);
        IoInitializeRemoveLock(x.RemoveLock, Tag("Samp"), 0, 0);
        status = Nt.ExInitializeResourceLite(x.Resource);
        if (!status.IsSuccess)
        {
            DeleteNamed(_device, "Locks");
            return status;
        }
        _device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
        var x = At<Extension>(_device.DeviceExtension);
        while (Take(x, stack: false) is { IsNull: false } node) Nt.ExFreePoolWithTag(node.Address, Tag("Samp"));
        while (Take(x, stack: true) is { IsNull: false } node) Nt.ExFreePoolWithTag(node.Address, Tag("Samp"));
        // The system has all resources in a list of its own.
        Nt.ExDeleteResourceLite(x.Resource);
        DeleteNamed(_device, "Locks");
    }

    NtStatus DeviceControl(DeviceObject device, Irp irp)
    {
        var x = At<Extension>(device.DeviceExtension);
        IoStackLocation stack = irp.CurrentStackLocation;
        uint code = stack.IoControlCode;
        if (stack.OutputBufferLength < sizeof(uint)) return Complete(irp, STATUS_BUFFER_TOO_SMALL);
        NtStatus status = IoAcquireRemoveLock(x.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        if (code == IOCTL_LOCKS_CLOSE)
        {
            IoReleaseRemoveLockAndWait(x.RemoveLock, irp.Address);
            return Complete(irp, STATUS_SUCCESS);
        }
        status = Control(x, irp, code);
        // The tag is only a number here: the request is complete.
        IoReleaseRemoveLock(x.RemoveLock, irp.Address);
        return status;
    }

    NtStatus Control(Extension x, Irp irp, uint code) => code switch
    {
        IOCTL_LOCKS_SPIN => Answer(irp, CountSpin(x)),
        IOCTL_LOCKS_QUEUED => Answer(irp, CountQueued(x)),
        IOCTL_LOCKS_MUTEX => Answer(irp, CountMutex(x)),
        IOCTL_LOCKS_EXCLUSIVE => Answer(irp, CountResource(x, exclusive: true)),
        IOCTL_LOCKS_SHARED => Answer(irp, CountResource(x, exclusive: false)),
        IOCTL_LOCKS_INSERT => Put(x, irp, stack: false),
        IOCTL_LOCKS_REMOVE => Get(x, irp, stack: false),
        IOCTL_LOCKS_PUSH => Put(x, irp, stack: true),
        IOCTL_LOCKS_POP => Get(x, irp, stack: true),
        _ => Complete(irp, STATUS_INVALID_DEVICE_REQUEST),
    };

    NtStatus Answer(Irp irp, uint value)
    {
        Memory.Write(irp.SystemBuffer, value);
        return Complete(irp, STATUS_SUCCESS, sizeof(uint));
    }

    // To DISPATCH_LEVEL: what is done under it is short, and touches memory that is never paged.
    uint CountSpin(Extension x)
    {
        Irql old = Nt.KeAcquireSpinLockRaiseToDpc(x.Spin);
        uint number = ++x.SpinNumber;
        Nt.KeReleaseSpinLock(x.Spin, old);
        return number;
    }

    // The same, but who comes first is served first: for a lock that many processors want.
    uint CountQueued(Extension x)
    {
        var handle = Local<KLockQueueHandle>();
        Nt.KeAcquireInStackQueuedSpinLock(x.Queued, handle);
        uint number = ++x.QueuedNumber;
        Nt.KeReleaseInStackQueuedSpinLock(handle);
        return number;
    }

    // To APC_LEVEL: its owner may wait and touch paged memory, but is not interrupted by the end of his own I/O.
    uint CountMutex(Extension x)
    {
        Nt.ExAcquireFastMutex(x.Mutex);
        uint number = ++x.MutexNumber;
        Nt.ExReleaseFastMutex(x.Mutex);
        return number;
    }

    // Many who read or one who writes, at PASSIVE_LEVEL. Kernel APCs are off, so that the owner cannot be suspended.
    uint CountResource(Extension x, bool exclusive)
    {
        Nt.KeEnterCriticalRegion();
        if (exclusive) Nt.ExAcquireResourceExclusiveLite(x.Resource, true);
        else Nt.ExAcquireResourceSharedLite(x.Resource, true);
        uint number = exclusive ? ++x.ResourceNumber : x.ResourceNumber;
        Nt.ExReleaseResourceLite(x.Resource);
        Nt.KeLeaveCriticalRegion();
        return number;
    }

    NtStatus Put(Extension x, Irp irp, bool stack)
    {
        if (irp.CurrentStackLocation.InputBufferLength < sizeof(uint)) return Complete(irp, STATUS_INVALID_PARAMETER);
        var node = At<Node>(Nt.ExAllocatePoolWithTag(NonPagedPool, (ulong)Node.Size, Tag("Samp")));
        if (node.IsNull) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        node.Value = Memory.Read<uint>(irp.SystemBuffer);
        // Behind these calls the node may be gone. The list's lock is only for calls of this kind.
        if (stack) Nt.ExpInterlockedPushEntrySList(x.Stack, node.Address);
        else Nt.ExInterlockedInsertTailList(x.List, node.Entry, x.ListLock);
        return Complete(irp, STATUS_SUCCESS);
    }

    // The entry stands first in the node, in either way.
    Node Take(Extension x, bool stack) => At<Node>(stack ? Nt.ExpInterlockedPopEntrySList(x.Stack)
        : Nt.ExInterlockedRemoveHeadList(x.List, x.ListLock).Address);

    NtStatus Get(Extension x, Irp irp, bool stack)
    {
        Node node = Take(x, stack);
        if (node.IsNull) return Complete(irp, STATUS_NO_MORE_ENTRIES);
        uint value = node.Value;
        Nt.ExFreePoolWithTag(node.Address, Tag("Samp"));
        return Answer(irp, value);
    }
}
