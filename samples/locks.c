// Each lock of a driver, used as it should be: what it guards, who may take it, and at which IRQL.
#include "sample.h"

#define CODE(n) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + (n), METHOD_BUFFERED, FILE_ANY_ACCESS)

// Each gives a ULONG: the number that its lock guards, which all but SHARED count up.
#define IOCTL_LOCKS_SPIN      CODE(0)
#define IOCTL_LOCKS_QUEUED    CODE(1)
#define IOCTL_LOCKS_MUTEX     CODE(2)
#define IOCTL_LOCKS_EXCLUSIVE CODE(3)
#define IOCTL_LOCKS_SHARED    CODE(4)
// A ULONG into a list, and out of it: the oldest; the newest.
#define IOCTL_LOCKS_INSERT    CODE(5)
#define IOCTL_LOCKS_REMOVE    CODE(6)
#define IOCTL_LOCKS_PUSH      CODE(7)
#define IOCTL_LOCKS_POP       CODE(8)
// Waits until no other request is in the driver; after it there are no more.
#define IOCTL_LOCKS_CLOSE     CODE(9)

typedef struct {
    SLIST_HEADER Stack;         // first: it has to be on a boundary of 16 bytes
    KSPIN_LOCK Spin, Queued, ListLock;
    ULONG Numbers[4];
    LIST_ENTRY List;
    FAST_MUTEX Mutex;
    ERESOURCE Resource;
    IO_REMOVE_LOCK RemoveLock;
} LOCKS_EXTENSION, *PLOCKS_EXTENSION;

typedef struct {
    union {
        LIST_ENTRY Entry;
        SLIST_ENTRY StackEntry;
    };
    ULONG Value;
} NODE, *PNODE;

static PDEVICE_OBJECT s_device;

// To DISPATCH_LEVEL: what is done under it is short, and touches memory that is never paged.
static ULONG CountSpin(PLOCKS_EXTENSION x)
{
    KIRQL irql;
    KeAcquireSpinLock(&x->Spin, &irql);
    ULONG number = ++x->Numbers[0];
    KeReleaseSpinLock(&x->Spin, irql);
    return number;
}

// The same, but who comes first is served first: for a lock that many processors want.
static ULONG CountQueued(PLOCKS_EXTENSION x)
{
    KLOCK_QUEUE_HANDLE handle;
    KeAcquireInStackQueuedSpinLock(&x->Queued, &handle);
    ULONG number = ++x->Numbers[1];
    KeReleaseInStackQueuedSpinLock(&handle);
    return number;
}

// To APC_LEVEL: its owner may wait and touch paged memory, but is not interrupted by the end of his own I/O.
static ULONG CountMutex(PLOCKS_EXTENSION x)
{
    ExAcquireFastMutex(&x->Mutex);
    ULONG number = ++x->Numbers[2];
    ExReleaseFastMutex(&x->Mutex);
    return number;
}

// Many who read or one who writes, at PASSIVE_LEVEL. Kernel APCs are off, so that the owner cannot be suspended.
static ULONG CountResource(PLOCKS_EXTENSION x, BOOLEAN exclusive)
{
    KeEnterCriticalRegion();
    if (exclusive) ExAcquireResourceExclusiveLite(&x->Resource, TRUE);
    else ExAcquireResourceSharedLite(&x->Resource, TRUE);
    ULONG number = exclusive ? ++x->Numbers[3] : x->Numbers[3];
    ExReleaseResourceLite(&x->Resource);
    KeLeaveCriticalRegion();
    return number;
}

static NTSTATUS Answer(PIRP irp, ULONG value)
{
    *(PULONG)irp->AssociatedIrp.SystemBuffer = value;
    return Complete(irp, STATUS_SUCCESS, sizeof(ULONG));
}

static NTSTATUS Put(PLOCKS_EXTENSION x, PIRP irp, BOOLEAN stack)
{
    if (IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.InputBufferLength < sizeof(ULONG))
        return Complete(irp, STATUS_INVALID_PARAMETER, 0);
    PNODE node = ExAllocatePoolWithTag(NonPagedPool, sizeof(NODE), TAG);
    if (node == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    node->Value = *(PULONG)irp->AssociatedIrp.SystemBuffer;
    // Behind these calls the node may be gone. The list's lock is only for calls of this kind.
    if (stack) ExInterlockedPushEntrySList(&x->Stack, &node->StackEntry, NULL);
    else ExInterlockedInsertTailList(&x->List, &node->Entry, &x->ListLock);
    return Complete(irp, STATUS_SUCCESS, 0);
}

static PNODE Take(PLOCKS_EXTENSION x, BOOLEAN stack)
{
    // The entry stands first in the node, in either way.
    if (stack) return (PNODE)ExInterlockedPopEntrySList(&x->Stack, NULL);
    return (PNODE)ExInterlockedRemoveHeadList(&x->List, &x->ListLock);
}

static NTSTATUS Get(PLOCKS_EXTENSION x, PIRP irp, BOOLEAN stack)
{
    PNODE node = Take(x, stack);
    if (node == NULL) return Complete(irp, STATUS_NO_MORE_ENTRIES, 0);
    ULONG value = node->Value;
    ExFreePoolWithTag(node, TAG);
    return Answer(irp, value);
}

static NTSTATUS Control(PLOCKS_EXTENSION x, PIRP irp, ULONG code)
{
    switch (code) {
    case IOCTL_LOCKS_SPIN: return Answer(irp, CountSpin(x));
    case IOCTL_LOCKS_QUEUED: return Answer(irp, CountQueued(x));
    case IOCTL_LOCKS_MUTEX: return Answer(irp, CountMutex(x));
    case IOCTL_LOCKS_EXCLUSIVE: return Answer(irp, CountResource(x, TRUE));
    case IOCTL_LOCKS_SHARED: return Answer(irp, CountResource(x, FALSE));
    case IOCTL_LOCKS_INSERT: return Put(x, irp, FALSE);
    case IOCTL_LOCKS_REMOVE: return Get(x, irp, FALSE);
    case IOCTL_LOCKS_PUSH: return Put(x, irp, TRUE);
    case IOCTL_LOCKS_POP: return Get(x, irp, TRUE);
    default: return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PLOCKS_EXTENSION x = device->DeviceExtension;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG code = stack->Parameters.DeviceIoControl.IoControlCode;
    if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(ULONG))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    if (code == IOCTL_LOCKS_CLOSE) {
        IoReleaseRemoveLockAndWait(&x->RemoveLock, irp);
        return Complete(irp, STATUS_SUCCESS, 0);
    }
    status = Control(x, irp, code);
    // The tag is only a number here: the request is complete.
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    PLOCKS_EXTENSION x = s_device->DeviceExtension;
    PNODE node;
    while ((node = Take(x, FALSE)) != NULL) ExFreePoolWithTag(node, TAG);
    while ((node = Take(x, TRUE)) != NULL) ExFreePoolWithTag(node, TAG);
    // The system has all resources in a list of its own.
    ExDeleteResourceLite(&x->Resource);
    DeleteNamed(s_device, L"Locks");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, L"Locks", sizeof(LOCKS_EXTENSION), 0, &s_device);
    if (!NT_SUCCESS(status)) return status;
    PLOCKS_EXTENSION x = s_device->DeviceExtension;
    ExInitializeSListHead(&x->Stack);
    KeInitializeSpinLock(&x->Spin);
    KeInitializeSpinLock(&x->Queued);
    KeInitializeSpinLock(&x->ListLock);
    InitializeListHead(&x->List);
    ExInitializeFastMutex(&x->Mutex);
    IoInitializeRemoveLock(&x->RemoveLock, TAG, 0, 0);
    status = ExInitializeResourceLite(&x->Resource);
    if (!NT_SUCCESS(status)) {
        DeleteNamed(s_device, L"Locks");
        return status;
    }
    s_device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
