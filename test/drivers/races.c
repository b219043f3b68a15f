// Mistakes that only another processor, or a switch at the wrong moment, brings to light. Each control code starts
// threads that work in parallel and waits for them.
#include "guest.h"

#define DEVICE L"\\Device\\Races"
#define LINK L"\\DosDevices\\Races"
#define IOCTL(n) (0x222000 + 4 * (n))
#define ROUNDS 4

static PDEVICE_OBJECT s_device;

typedef struct {
    KSPIN_LOCK First, Second;
    FAST_MUTEX A, B;
    LIST_ENTRY List;
    LIST_ENTRY Entries[2 * ROUNDS];
    PVOID Shared;
    KDPC Dpc;
    KEVENT Go;
} STATE;

static STATE s;

static void NTAPI StartTogether(PVOID routine)
{
    KeWaitForSingleObject(&s.Go, Executive, KernelMode, FALSE, NULL);
    ((PKSTART_ROUTINE)routine)(NULL);
}

static void RunBoth(PKSTART_ROUTINE one, PKSTART_ROUTINE other)
{
    PKSTART_ROUTINE routines[2] = { one, other };
    PVOID threads[2];
    KeInitializeEvent(&s.Go, NotificationEvent, FALSE);
    for (int i = 0; i < 2; i++) {
        HANDLE handle;
        PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, StartTogether, routines[i]);
        ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, NULL, KernelMode, &threads[i], NULL);
        ZwClose(handle);
    }
    KeSetEvent(&s.Go, IO_NO_INCREMENT, FALSE);
    for (int i = 0; i < 2; i++) {
        KeWaitForSingleObject(threads[i], Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(threads[i]);
    }
}

// Looks, then acts: between the two another thread may have done the same.
static void NTAPI FreeIfThere(PVOID context)
{
    if (s.Shared != NULL) {
        PVOID mine = s.Shared;
        ExFreePoolWithTag(mine, TAG);
        s.Shared = NULL;
    }
}

static void NTAPI TakeAThenB(PVOID context)
{
    for (int i = 0; i < ROUNDS; i++) {
        ExAcquireFastMutex(&s.A);
        ExAcquireFastMutex(&s.B);
        ExReleaseFastMutex(&s.B);
        ExReleaseFastMutex(&s.A);
    }
}

static void NTAPI TakeBThenA(PVOID context)
{
    for (int i = 0; i < ROUNDS; i++) {
        ExAcquireFastMutex(&s.B);
        ExAcquireFastMutex(&s.A);
        ExReleaseFastMutex(&s.A);
        ExReleaseFastMutex(&s.B);
    }
}

static void Spin(PKSPIN_LOCK outer, PKSPIN_LOCK inner)
{
    for (int i = 0; i < ROUNDS; i++) {
        KIRQL old;
        KeAcquireSpinLock(outer, &old);
        KeAcquireSpinLockAtDpcLevel(inner);
        KeReleaseSpinLockFromDpcLevel(inner);
        KeReleaseSpinLock(outer, old);
    }
}

static __attribute__((noinline)) void NTAPI SpinOne(PVOID context) { Spin(&s.First, &s.Second); }
static __attribute__((noinline)) void NTAPI SpinOther(PVOID context) { Spin(&s.Second, &s.First); }

// Both orders, one after the other: nothing can go wrong today.
static void LockOrder(void)
{
    SpinOne(NULL);
    SpinOther(NULL);
}

static void NTAPI InsertDpc(PKDPC dpc, PVOID context, PVOID a, PVOID b)
{
    KeAcquireSpinLockAtDpcLevel(&s.First);
    for (int i = 0; i < ROUNDS; i++) InsertTailList(&s.List, &s.Entries[ROUNDS + i]);
    KeReleaseSpinLockFromDpcLevel(&s.First);
}

// The DPC takes the lock, this thread does not.
static void NTAPI InsertUnlocked(PVOID context)
{
    KeInsertQueueDpc(&s.Dpc, NULL, NULL);
    for (int i = 0; i < ROUNDS; i++) InsertTailList(&s.List, &s.Entries[i]);
}

static void NTAPI Nothing(PVOID context) { }

static void InsertTogether(void)
{
    InitializeListHead(&s.List);
    KeInitializeDpc(&s.Dpc, InsertDpc, NULL);
    KeSetTargetProcessorDpc(&s.Dpc, 1);
    RunBoth(InsertUnlocked, Nothing);
    KeFlushQueuedDpcs();
    int count = 0;
    for (PLIST_ENTRY e = s.List.Flink; e != &s.List && count <= 2 * ROUNDS; e = e->Flink) count++;
    if (count != 2 * ROUNDS) KeBugCheckEx(MANUALLY_INITIATED_CRASH, 2 * ROUNDS, count, 0, 0);
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    switch (IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL(0):
        s.Shared = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
        RunBoth(FreeIfThere, FreeIfThere);
        break;
    case IOCTL(1): RunBoth(TakeAThenB, TakeBThenA); break;
    case IOCTL(2): RunBoth(SpinOne, SpinOther); break;
    case IOCTL(3): LockOrder(); break;
    case IOCTL(4): InsertTogether(); break;
    default: return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    return Complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    DeleteNamed(s_device, LINK);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    driver->DriverUnload = Unload;
    KeInitializeSpinLock(&s.First);
    KeInitializeSpinLock(&s.Second);
    ExInitializeFastMutex(&s.A);
    ExInitializeFastMutex(&s.B);
    return CreateNamed(driver, DEVICE, LINK, 0, &s_device);
}
