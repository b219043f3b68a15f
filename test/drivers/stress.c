// Threads that do what a script of bytes says, all at once, and count what must come out even at the end.
#include <ntifs.h>
#include "guest.h"

typedef VOID (NTAPI *NORMAL_ROUTINE)(PVOID context, PVOID a, PVOID b);
typedef VOID (NTAPI *KERNEL_ROUTINE)(PKAPC apc, NORMAL_ROUTINE *normal, PVOID *context, PVOID *a, PVOID *b);
typedef VOID (NTAPI *RUNDOWN_ROUTINE)(PKAPC apc);
VOID NTAPI KeInitializeApc(PKAPC, PKTHREAD, ULONG environment, KERNEL_ROUTINE, RUNDOWN_ROUTINE, NORMAL_ROUTINE,
    KPROCESSOR_MODE, PVOID context);
BOOLEAN NTAPI KeInsertQueueApc(PKAPC, PVOID, PVOID, KPRIORITY);

#define DEVICE L"\\Device\\Stress"
#define LINK L"\\DosDevices\\Stress"
#define THREADS 12
#define OBJECTS 4

typedef struct {
    const UCHAR *Script;
    ULONG Length, Number;
    PKTHREAD Thread;
    KTIMER Timer;
    KDPC TimerDpc;
    KAPC Apc;
    volatile LONG ApcIsBusy, TimerFired;
    KWAIT_BLOCK Blocks[8];
    WORK_QUEUE_ITEM Work;
    KEVENT WorkDone;
    LIST_ENTRY Entry;
    volatile LONG EntryIsIn;
} WORKER;

static struct {
    KEVENT Go, Event[OBJECTS];
    KSEMAPHORE Semaphore[OBJECTS];
    KMUTEX Mutex[OBJECTS];
    KSPIN_LOCK Lock[OBJECTS];
    KDPC Dpc[OBJECTS];
    KQUEUE Queue;
    LONG InMutex[OBJECTS], InLock[OBJECTS];
    volatile LONG Released[OBJECTS], Taken[OBJECTS], LockSum[OBJECTS], DpcQueued[OBJECTS], DpcRan[OBJECTS];
    LONG Locked[OBJECTS];
    volatile LONG ApcQueued, ApcRan, WorkQueued, WorkRan, EntriesIn, EntriesOut, Ended, Wrong;
    WORKER Worker[THREADS];
    ULONG Threads;
} s;

static PDEVICE_OBJECT s_device;

#define CHECK(what) do { if (!(what)) InterlockedCompareExchange(&s.Wrong, __LINE__, 0); } while (0)

static LARGE_INTEGER Ticks(LONG ticks)
{
    LARGE_INTEGER due;
    due.QuadPart = -(LONGLONG)ticks;
    return due;
}

static void NTAPI CountDpc(PKDPC dpc, PVOID context, PVOID a, PVOID b)
{
    CHECK(KeGetCurrentIrql() == DISPATCH_LEVEL);
    LONG *ran = context;
    InterlockedIncrement(ran);
    KeSetEvent(&s.Event[0], IO_NO_INCREMENT, FALSE);
}

static void NTAPI TimerDpc(PKDPC dpc, PVOID context, PVOID a, PVOID b)
{
    InterlockedIncrement(&((WORKER *)context)->TimerFired);
}

static void NTAPI Apc(PKAPC apc, NORMAL_ROUTINE *normal, PVOID *context, PVOID *a, PVOID *b)
{
    WORKER *from = *a, *to = *b;
    CHECK(KeGetCurrentIrql() == APC_LEVEL && KeGetCurrentThread() == to->Thread);
    InterlockedIncrement(&s.ApcRan);
    InterlockedExchange(&from->ApcIsBusy, 0);
}

static void NTAPI ApcRundown(PKAPC apc)
{
    WORKER *from = CONTAINING_RECORD(apc, WORKER, Apc);
    InterlockedIncrement(&s.ApcRan);
    InterlockedExchange(&from->ApcIsBusy, 0);
}

static void NTAPI NormalApc(PVOID context, PVOID a, PVOID b)
{
    CHECK(KeGetCurrentIrql() == PASSIVE_LEVEL);
    LARGE_INTEGER due = Ticks(50);
    KeDelayExecutionThread(KernelMode, FALSE, &due);
}

static void NTAPI Work(PVOID context)
{
    WORKER *w = context;
    LARGE_INTEGER due = Ticks(20);
    KeDelayExecutionThread(KernelMode, FALSE, &due);
    InterlockedIncrement(&s.WorkRan);
    KeSetEvent(&w->WorkDone, IO_NO_INCREMENT, FALSE);
}

static void HoldMutex(ULONG n)
{
    CHECK(KeWaitForSingleObject(&s.Mutex[n], Executive, KernelMode, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(++s.InMutex[n] == 1);
    // Taken again by its owner.
    KeWaitForSingleObject(&s.Mutex[n], Executive, KernelMode, FALSE, NULL);
    LARGE_INTEGER due = Ticks(10);
    KeDelayExecutionThread(KernelMode, FALSE, &due);
    KeReleaseMutex(&s.Mutex[n], FALSE);
    CHECK(--s.InMutex[n] == 0);
    KeReleaseMutex(&s.Mutex[n], FALSE);
}

static void HoldLock(ULONG n, ULONG times)
{
    KIRQL old;
    KeAcquireSpinLock(&s.Lock[n], &old);
    CHECK(++s.InLock[n] == 1);
    for (volatile ULONG i = 0; i < times; i++) s.Locked[n]++;
    CHECK(--s.InLock[n] == 0);
    KeReleaseSpinLock(&s.Lock[n], old);
    InterlockedExchangeAdd(&s.LockSum[n], times);
}

static void WaitForMany(WORKER *w, ULONG n, ULONG count, BOOLEAN all)
{
    PVOID objects[2 * OBJECTS];
    ULONG semaphores[2 * OBJECTS];
    // Each object once: two at most of each kind.
    count = count % 4 + 1;
    for (ULONG i = 0; i < count; i++) {
        ULONG at = (n + i / 2) % OBJECTS;
        semaphores[i] = i & 1 ? at : OBJECTS;
        objects[i] = i & 1 ? (PVOID)&s.Semaphore[at] : &s.Event[at];
    }
    LARGE_INTEGER due = Ticks(n * 40);
    NTSTATUS status = KeWaitForMultipleObjects(count, objects, all ? WaitAll : WaitAny, Executive, KernelMode, FALSE,
        &due, w->Blocks);
    if (status == STATUS_TIMEOUT) return;
    CHECK(all ? status == STATUS_SUCCESS : (ULONG)status < count);
    for (ULONG i = 0; i < count; i++)
        if ((all || i == (ULONG)status) && semaphores[i] < OBJECTS) InterlockedIncrement(&s.Taken[semaphores[i]]);
}

static void SendApc(WORKER *w, WORKER *to, BOOLEAN normal)
{
    if (InterlockedCompareExchange(&w->ApcIsBusy, 1, 0) != 0) return;
    KeInitializeApc(&w->Apc, to->Thread, 0, Apc, ApcRundown, normal ? NormalApc : NULL, KernelMode, NULL);
    InterlockedIncrement(&s.ApcQueued);
    if (KeInsertQueueApc(&w->Apc, w, to, IO_NO_INCREMENT)) return;
    InterlockedDecrement(&s.ApcQueued);
    InterlockedExchange(&w->ApcIsBusy, 0);
}

static void SetTimer(WORKER *w, ULONG x)
{
    LONG before = w->TimerFired;
    KeInitializeDpc(&w->TimerDpc, TimerDpc, w);
    KeSetTimer(&w->Timer, Ticks(1 + x * 3), &w->TimerDpc);
    if (x & 1 && KeCancelTimer(&w->Timer)) return;
    // Nothing else ends this wait: a lost timer is a deadlock.
    CHECK(KeWaitForSingleObject(&w->Timer, Executive, KernelMode, FALSE, NULL) == STATUS_SUCCESS);
    KeFlushQueuedDpcs();
    CHECK(w->TimerFired == before + 1);
}

static void Entries(WORKER *w, ULONG x)
{
    if (x & 1) {
        if (InterlockedExchange(&w->EntryIsIn, 1) != 0) return;
        InterlockedIncrement(&s.EntriesIn);
        KeInsertQueue(&s.Queue, &w->Entry);
        return;
    }
    LARGE_INTEGER due = Ticks(x * 4);
    PLIST_ENTRY entry = KeRemoveQueue(&s.Queue, KernelMode, &due);
    if ((ULONG_PTR)entry == STATUS_TIMEOUT) return;
    WORKER *from = CONTAINING_RECORD(entry, WORKER, Entry);
    CHECK(from >= s.Worker && from < s.Worker + THREADS && from->EntryIsIn);
    InterlockedIncrement(&s.EntriesOut);
    InterlockedExchange(&from->EntryIsIn, 0);
}

static void QueueDpc(ULONG n, ULONG x)
{
    if (x & 0x80) KeSetTargetProcessorDpc(&s.Dpc[n], (CCHAR)(x % KeQueryActiveProcessorCount(NULL)));
    // Counted first: it may run before this returns.
    InterlockedIncrement(&s.DpcQueued[n]);
    if (!KeInsertQueueDpc(&s.Dpc[n], NULL, NULL)) InterlockedDecrement(&s.DpcQueued[n]);
}

static void QueueWork(WORKER *w, ULONG x)
{
    InterlockedIncrement(&s.WorkQueued);
    ExInitializeWorkItem(&w->Work, Work, w);
    ExQueueWorkItem(&w->Work, x & 1 ? DelayedWorkQueue : CriticalWorkQueue);
    KeWaitForSingleObject(&w->WorkDone, Executive, KernelMode, FALSE, NULL);
}

static void Step(WORKER *w, UCHAR op, UCHAR x)
{
    ULONG n = x % OBJECTS;
    LARGE_INTEGER due = Ticks(x);
    switch (op % 16) {
    case 0: WaitForMany(w, n, x >> 2, FALSE); break;
    case 1: WaitForMany(w, n, x >> 2, TRUE); break;
    case 2: KeSetEvent(&s.Event[n], x >> 6, FALSE); break;
    case 3: if (x & 4) KePulseEvent(&s.Event[n], 1, FALSE); else KeResetEvent(&s.Event[n]); break;
    case 4: case 5:
        InterlockedIncrement(&s.Released[n]);
        KeReleaseSemaphore(&s.Semaphore[n], x >> 6, 1, FALSE);
        break;
    case 6: HoldMutex(n); break;
    case 7: HoldLock(n, x); break;
    case 8: QueueDpc(n, x); break;
    case 9: SetTimer(w, x); break;
    case 10: SendApc(w, &s.Worker[x % s.Threads], (x & 0x40) != 0); break;
    case 11: KeSetPriorityThread(KeGetCurrentThread(), 4 + x % 14); break;
    case 12:
        if (x & 4) KeSetSystemAffinityThreadEx((KAFFINITY)1 << (x >> 3) % KeQueryActiveProcessorCount(NULL));
        else KeRevertToUserAffinityThreadEx(0);
        break;
    case 13: QueueWork(w, x); break;
    case 14: Entries(w, x); break;
    case 15:
        if (x & 1) {
            KeEnterCriticalRegion();
            KeDelayExecutionThread(KernelMode, FALSE, &due);
            KeLeaveCriticalRegion();
        } else for (volatile ULONG i = 0; i < x * 8u; i++) { }
        break;
    }
    CHECK(KeGetCurrentIrql() == PASSIVE_LEVEL);
}

static void NTAPI Thread(PVOID context)
{
    WORKER *w = context;
    KeWaitForSingleObject(&s.Go, Executive, KernelMode, FALSE, NULL);
    for (ULONG i = 0; i + 1 < w->Length; i += 2) Step(w, w->Script[i], w->Script[i + 1]);
    InterlockedIncrement(&s.Ended);
}

static void Prepare(const UCHAR *script, ULONG length, ULONG threads)
{
    RtlZeroMemory(&s, sizeof s);
    s.Threads = threads;
    KeInitializeEvent(&s.Go, NotificationEvent, FALSE);
    KeInitializeQueue(&s.Queue, 2);
    for (ULONG i = 0; i < OBJECTS; i++) {
        KeInitializeEvent(&s.Event[i], i & 1 ? NotificationEvent : SynchronizationEvent, FALSE);
        KeInitializeSemaphore(&s.Semaphore[i], 0, MAXLONG);
        KeInitializeMutex(&s.Mutex[i], 0);
        KeInitializeSpinLock(&s.Lock[i]);
        KeInitializeDpc(&s.Dpc[i], CountDpc, (PVOID)&s.DpcRan[i]);
        KeSetImportanceDpc(&s.Dpc[i], i % 3);
    }
    for (ULONG i = 0; i < threads; i++) {
        WORKER *w = &s.Worker[i];
        ULONG each = length / threads;
        w->Script = script + i * each;
        w->Length = each;
        w->Number = i;
        KeInitializeTimer(&w->Timer);
        KeInitializeEvent(&w->WorkDone, SynchronizationEvent, FALSE);
    }
}

// What was put in has come out again.
static void CheckSums(void)
{
    KeFlushQueuedDpcs();
    CHECK(s.Ended == (LONG)s.Threads && s.ApcQueued == s.ApcRan && s.WorkQueued == s.WorkRan);
    CHECK(s.EntriesIn - s.EntriesOut == KeReadStateQueue(&s.Queue) && s.Queue.CurrentCount == 0);
    for (ULONG i = 0; i < OBJECTS; i++) {
        CHECK(KeReadStateSemaphore(&s.Semaphore[i]) == s.Released[i] - s.Taken[i]);
        CHECK(KeReadStateMutex(&s.Mutex[i]) == 1);
        CHECK(s.Locked[i] == s.LockSum[i]);
        CHECK(s.DpcQueued[i] == s.DpcRan[i]);
    }
}

static ULONG Run(const UCHAR *script, ULONG length, ULONG threads)
{
    Prepare(script, length, threads);
    for (ULONG i = 0; i < threads; i++) {
        HANDLE handle;
        PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Thread, &s.Worker[i]);
        ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, NULL, KernelMode, (PVOID *)&s.Worker[i].Thread, NULL);
        ZwClose(handle);
    }
    KeSetEvent(&s.Go, IO_NO_INCREMENT, FALSE);
    for (ULONG i = 0; i < threads; i++)
        KeWaitForSingleObject(s.Worker[i].Thread, Executive, KernelMode, FALSE, NULL);
    CheckSums();
    for (ULONG i = 0; i < threads; i++) ObDereferenceObject(s.Worker[i].Thread);
    return s.Wrong;
}

// In: how many threads, then their scripts. Out: 0, or the line of the first check that failed.
static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG length = stack->Parameters.DeviceIoControl.InputBufferLength;
    UCHAR *input = irp->AssociatedIrp.SystemBuffer;
    if (length < 2 || input[0] == 0 || input[0] > THREADS
        || stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(ULONG))
        return Complete(irp, STATUS_INVALID_PARAMETER, 0);
    *(PULONG)input = Run(input + 1, length - 1, input[0]);
    return Complete(irp, STATUS_SUCCESS, sizeof(ULONG));
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
    return CreateNamed(driver, DEVICE, LINK, 0, &s_device);
}
