// Pageable code and data, and what the headers do inline with lookaside lists, fast mutexes and sequenced lists.
#include "guest.h"

#define LINK L"\\DosDevices\\Executive"
#define IOCTL(n) (0x222000 + 4 * (n))

enum { PagedCodePassive, PagedCodeRaised, PagedCodeLocked, PagedDataRaised, RaisesInPagedCode, WholeDriverRaised,
    WholeDriverReset, Lookaside, SequencedList, FastMutex, LeaveMemory };

static __attribute__((section("PAGEDAT"))) volatile LONG g_paged = 7;
static volatile LONG g_calls;
static NPAGED_LOOKASIDE_LIST g_list;

// The call leads out of this section, so that it is the first instruction here that is looked at.
static __attribute__((section("PAGE"), noinline)) LONG Paged(LONG value)
{
    return value + InterlockedIncrement(&g_calls);
}

static __attribute__((section("PAGE"), noinline)) LONG RaiseInPaged(void)
{
    KIRQL old;
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    g_calls++;
    KeLowerIrql(old);
    return g_calls;
}

static LONG CallRaised(void)
{
    KIRQL old;
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    LONG result = Paged(1);
    KeLowerIrql(old);
    return result;
}

static LONG ReadRaised(void)
{
    KIRQL old;
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    LONG result = g_paged;
    KeLowerIrql(old);
    return result;
}

static LONG WithLookaside(void)
{
    LONG good = 0;
    for (int i = 0; i < 10; i++) {
        PULONG entry = ExAllocateFromNPagedLookasideList(&g_list);
        if (entry == NULL) return -1;
        entry[5] = i;
        good += entry[5] == (ULONG)i;
        ExFreeToNPagedLookasideList(&g_list, entry);
    }
    return good;
}

static LONG WithList(void)
{
    __attribute__((aligned(16))) SLIST_HEADER head;
    __attribute__((aligned(16))) SLIST_ENTRY entries[3];
    ExInitializeSListHead(&head);
    for (int i = 0; i < 3; i++) ExpInterlockedPushEntrySList(&head, &entries[i]);
    LONG depth = ExQueryDepthSList(&head);
    return depth == 3 && ExpInterlockedPopEntrySList(&head) == &entries[2] ? 1 : 0;
}

static LONG WithMutex(void)
{
    FAST_MUTEX mutex;
    ExInitializeFastMutex(&mutex);
    ExAcquireFastMutex(&mutex);
    BOOLEAN second = ExTryToAcquireFastMutex(&mutex);
    ExReleaseFastMutex(&mutex);
    return !second;
}

// Everything here is still there after DriverUnload.
static LONG Leave(void)
{
    PHYSICAL_ADDRESS any, screen;
    any.QuadPart = -1;
    screen.QuadPart = 0xE0000000;
    PVOID block = MmAllocateContiguousMemory(0x3000, any), bus = MmMapIoSpace(screen, 0x1000, MmNonCached);
    return block != NULL && bus != NULL && IoAllocateMdl(block, 0x3000, FALSE, FALSE, NULL) != NULL;
}

static LONG Do(ULONG what)
{
    PVOID handle;
    LONG result = 0;
    switch (what) {
    case PagedCodePassive: return Paged(1);
    case PagedCodeRaised: return CallRaised();
    case PagedCodeLocked:
        handle = MmLockPagableDataSection((PVOID)(ULONG_PTR)Paged);
        result = CallRaised();
        MmUnlockPagableImageSection(handle);
        return result;
    case PagedDataRaised: return ReadRaised();
    case RaisesInPagedCode: return RaiseInPaged();
    case WholeDriverRaised:
        MmPageEntireDriver((PVOID)(ULONG_PTR)Do);
        return ReadRaised();
    case WholeDriverReset:
        MmPageEntireDriver((PVOID)(ULONG_PTR)Do);
        MmResetDriverPaging((PVOID)(ULONG_PTR)Do);
        return WithMutex();
    case Lookaside: return WithLookaside();
    case SequencedList: return WithList();
    case FastMutex: return WithMutex();
    case LeaveMemory: return Leave();
    default: return -1;
    }
}

static NTSTATUS NTAPI Create(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG code = stack->Parameters.DeviceIoControl.IoControlCode;
    if (code < IOCTL(0) || code > IOCTL(LeaveMemory) || stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(LONG))
        return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    *(PLONG)irp->AssociatedIrp.SystemBuffer = Do((code - IOCTL(0)) / 4);
    return Complete(irp, STATUS_SUCCESS, sizeof(LONG));
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    ExDeleteNPagedLookasideList(&g_list);
    DeleteNamed(driver->DeviceObject, LINK);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    PDEVICE_OBJECT device;
    driver->DriverUnload = Unload;
    driver->MajorFunction[IRP_MJ_CREATE] = Create;
    driver->MajorFunction[IRP_MJ_CLEANUP] = Create;
    driver->MajorFunction[IRP_MJ_CLOSE] = Create;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    NTSTATUS status = CreateNamed(driver, L"\\Device\\Executive", LINK, 0, &device);
    if (!NT_SUCCESS(status)) return status;
    ExInitializeNPagedLookasideList(&g_list, NULL, NULL, 0, 64, TAG, 0);
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    return status;
}
