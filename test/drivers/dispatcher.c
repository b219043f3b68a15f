// The dispatcher as drivers know it: waits, mutexes, timers, DPCs, APCs, queues, processors. Each control code is one
// test; it answers with 0, or with the line that was wrong.
#include <ntifs.h>
#include "guest.h"

#define DEVICE L"\\Device\\Dispatcher"
#define LINK L"\\DosDevices\\Dispatcher"
#define CHECK(holds) do { if (!(holds)) return __LINE__; } while (0)
#define MS(n) (-10000LL * (n))
#define CURRENT_PROCESSOR ((ULONG)__readgsdword(0x1A4))

typedef VOID (NTAPI *NORMAL_ROUTINE)(PVOID context, PVOID a, PVOID b);
typedef VOID (NTAPI *KERNEL_ROUTINE)(PKAPC apc, NORMAL_ROUTINE *normal, PVOID *context, PVOID *a, PVOID *b);
VOID NTAPI KeInitializeApc(PKAPC, PKTHREAD, ULONG environment, KERNEL_ROUTINE, PVOID rundown, NORMAL_ROUTINE, KPROCESSOR_MODE,
    PVOID);
BOOLEAN NTAPI KeInsertQueueApc(PKAPC, PVOID, PVOID, KPRIORITY);

static PVOID Start(PKSTART_ROUTINE routine, PVOID context)
{
    HANDLE handle;
    PVOID thread;
    if (!NT_SUCCESS(PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, routine, context))) return NULL;
    ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, NULL, KernelMode, &thread, NULL);
    ZwClose(handle);
    return thread;
}

static NTSTATUS Wait(PVOID object, LONGLONG timeout)
{
    LARGE_INTEGER due;
    due.QuadPart = timeout;
    return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, timeout == 1 ? NULL : &due);
}

static void Join(PVOID thread)
{
    Wait(thread, 1);
    ObDereferenceObject(thread);
}

static void Sleep(LONGLONG ms)
{
    LARGE_INTEGER due;
    due.QuadPart = MS(ms);
    KeDelayExecutionThread(KernelMode, FALSE, &due);
}

// ---------------------------------------------------------------- waits

static ULONG WaitForAny(void)
{
    KEVENT events[5];
    PVOID objects[5];
    KWAIT_BLOCK blocks[5];
    LARGE_INTEGER due = { .QuadPart = MS(5) };
    for (int i = 0; i < 5; i++) {
        KeInitializeEvent(&events[i], SynchronizationEvent, FALSE);
        objects[i] = &events[i];
    }
    CHECK(KeWaitForMultipleObjects(5, objects, WaitAny, Executive, KernelMode, FALSE, &due, blocks) == STATUS_TIMEOUT);
    KeSetEvent(&events[3], 0, FALSE);
    KeSetEvent(&events[1], 0, FALSE);
    CHECK(KeWaitForMultipleObjects(5, objects, WaitAny, Executive, KernelMode, FALSE, NULL, blocks) == STATUS_WAIT_1);
    CHECK(KeReadStateEvent(&events[1]) == 0 && KeReadStateEvent(&events[3]) != 0);
    CHECK(KeWaitForMultipleObjects(5, objects, WaitAny, Executive, KernelMode, FALSE, NULL, blocks) == STATUS_WAIT_3);
    return 0;
}

typedef struct {
    KEVENT A, B, Done;
    volatile LONG Woken;
} PAIR;

static void NTAPI WaitForBoth(PVOID context)
{
    PAIR *pair = context;
    PVOID objects[2] = { &pair->A, &pair->B };
    KeWaitForMultipleObjects(2, objects, WaitAll, Executive, KernelMode, FALSE, NULL, NULL);
    InterlockedIncrement(&pair->Woken);
    KeSetEvent(&pair->Done, 0, FALSE);
}

static ULONG WaitForAll(void)
{
    PAIR pair = { 0 };
    KeInitializeEvent(&pair.A, SynchronizationEvent, FALSE);
    KeInitializeEvent(&pair.B, SynchronizationEvent, FALSE);
    KeInitializeEvent(&pair.Done, NotificationEvent, FALSE);
    PVOID thread = Start(WaitForBoth, &pair);
    Sleep(1);
    KeSetEvent(&pair.A, 0, FALSE);
    Sleep(1);
    // One of two is not taken: somebody else may still have it.
    CHECK(pair.Woken == 0 && Wait(&pair.A, 0) == STATUS_SUCCESS);
    KeSetEvent(&pair.B, 0, FALSE);
    Sleep(1);
    CHECK(pair.Woken == 0 && KeReadStateEvent(&pair.B) != 0);
    KeSetEvent(&pair.A, 0, FALSE);
    CHECK(Wait(&pair.Done, 1) == STATUS_SUCCESS);
    CHECK(KeReadStateEvent(&pair.A) == 0 && KeReadStateEvent(&pair.B) == 0);
    Join(thread);
    return 0;
}

typedef struct {
    KEVENT Event;
    KSEMAPHORE Semaphore;
    volatile LONG Passed;
} GATE;

static void NTAPI PassEvent(PVOID context)
{
    GATE *gate = context;
    Wait(&gate->Event, 1);
    InterlockedIncrement(&gate->Passed);
}

static ULONG Events(void)
{
    GATE gate = { 0 };
    PVOID threads[3];
    KeInitializeEvent(&gate.Event, SynchronizationEvent, FALSE);
    for (int i = 0; i < 3; i++) threads[i] = Start(PassEvent, &gate);
    Sleep(1);
    for (int i = 0; i < 3; i++) {
        CHECK(gate.Passed == i);
        CHECK(KeSetEvent(&gate.Event, 0, FALSE) == 0);
        Sleep(1);
    }
    for (int i = 0; i < 3; i++) Join(threads[i]);
    CHECK(gate.Passed == 3 && KeReadStateEvent(&gate.Event) == 0);

    gate.Passed = 0;
    KeInitializeEvent(&gate.Event, NotificationEvent, FALSE);
    for (int i = 0; i < 3; i++) threads[i] = Start(PassEvent, &gate);
    Sleep(1);
    CHECK(gate.Passed == 0);
    KePulseEvent(&gate.Event, 0, FALSE);
    for (int i = 0; i < 3; i++) Join(threads[i]);
    CHECK(gate.Passed == 3 && KeReadStateEvent(&gate.Event) == 0);
    return 0;
}

static void NTAPI PassSemaphore(PVOID context)
{
    GATE *gate = context;
    Wait(&gate->Semaphore, 1);
    InterlockedIncrement(&gate->Passed);
}

static ULONG Semaphores(void)
{
    GATE gate = { 0 };
    PVOID threads[4];
    KeInitializeSemaphore(&gate.Semaphore, 1, 5);
    for (int i = 0; i < 4; i++) threads[i] = Start(PassSemaphore, &gate);
    Sleep(1);
    CHECK(gate.Passed == 1);
    CHECK(KeReleaseSemaphore(&gate.Semaphore, 0, 2, FALSE) == 0);
    Sleep(1);
    CHECK(gate.Passed == 3);
    CHECK(KeReleaseSemaphore(&gate.Semaphore, 0, 2, FALSE) == 0);
    for (int i = 0; i < 4; i++) Join(threads[i]);
    CHECK(KeReadStateSemaphore(&gate.Semaphore) == 1);
    return 0;
}

typedef struct {
    KMUTEX Mutex;
    KEVENT Taken, GiveBack;
    volatile LONG Got;
} OWNED;

static void NTAPI OwnMutex(PVOID context)
{
    OWNED *owned = context;
    Wait(&owned->Mutex, 1);
    KeSetEvent(&owned->Taken, 0, FALSE);
    Wait(&owned->GiveBack, 1);
    KeReleaseMutex(&owned->Mutex, FALSE);
}

static ULONG Mutexes(void)
{
    OWNED owned = { 0 };
    KeInitializeMutex(&owned.Mutex, 0);
    KeInitializeEvent(&owned.Taken, SynchronizationEvent, FALSE);
    KeInitializeEvent(&owned.GiveBack, SynchronizationEvent, FALSE);
    CHECK(Wait(&owned.Mutex, 1) == STATUS_SUCCESS && Wait(&owned.Mutex, 1) == STATUS_SUCCESS);
    CHECK(KeReadStateMutex(&owned.Mutex) == -1 && KeAreApcsDisabled());
    CHECK(KeReleaseMutex(&owned.Mutex, FALSE) == -1 && KeReleaseMutex(&owned.Mutex, FALSE) == 0);
    CHECK(!KeAreApcsDisabled());
    PVOID thread = Start(OwnMutex, &owned);
    Wait(&owned.Taken, 1);
    CHECK(Wait(&owned.Mutex, MS(2)) == STATUS_TIMEOUT && !KeAreApcsDisabled());
    KeSetEvent(&owned.GiveBack, 0, FALSE);
    CHECK(Wait(&owned.Mutex, 1) == STATUS_SUCCESS);
    KeReleaseMutex(&owned.Mutex, FALSE);
    Join(thread);
    return 0;
}

// ---------------------------------------------------------------- timers and DPCs

typedef struct {
    KTIMER Timer;
    KDPC Dpc;
    KEVENT Ran;
    volatile LONG Count, Irql, Processor, Order;
} CALL, *PCALL;

static volatile LONG s_order;

static void NTAPI Note(PKDPC dpc, PVOID context, PVOID a, PVOID b)
{
    PCALL call = context;
    call->Irql = KeGetCurrentIrql();
    call->Processor = CURRENT_PROCESSOR;
    call->Order = InterlockedIncrement(&s_order);
    InterlockedIncrement(&call->Count);
    KeSetEvent(&call->Ran, 0, FALSE);
}

static ULONG Timers(void)
{
    CALL call = { 0 };
    LARGE_INTEGER due = { .QuadPart = MS(3) };
    KeInitializeTimerEx(&call.Timer, SynchronizationTimer);
    KeInitializeDpc(&call.Dpc, Note, &call);
    KeInitializeEvent(&call.Ran, SynchronizationEvent, FALSE);
    ULONGLONG before = KeQueryInterruptTime();
    CHECK(!KeSetTimer(&call.Timer, due, &call.Dpc));
    CHECK(KeSetTimer(&call.Timer, due, &call.Dpc));
    CHECK(Wait(&call.Timer, 1) == STATUS_SUCCESS);
    CHECK(KeQueryInterruptTime() - before >= 30000 && !KeReadStateTimer(&call.Timer));
    Wait(&call.Ran, 1);
    CHECK(call.Count == 1 && call.Irql == DISPATCH_LEVEL);

    due.QuadPart = MS(1);
    KeSetTimerEx(&call.Timer, due, 2, &call.Dpc);
    Sleep(8);
    CHECK(KeCancelTimer(&call.Timer) && call.Count == 5);
    Sleep(5);
    CHECK(call.Count == 5 && !KeCancelTimer(&call.Timer));

    // An absolute time that has passed is due at once.
    KeInitializeTimer(&call.Timer);
    KeQuerySystemTime(&due);
    KeSetTimer(&call.Timer, due, NULL);
    CHECK(Wait(&call.Timer, 1) == STATUS_SUCCESS && KeReadStateTimer(&call.Timer));
    return 0;
}

static ULONG Dpcs(void)
{
    CALL calls[4] = { 0 };
    KIRQL old;
    s_order = 0;
    for (int i = 0; i < 4; i++) {
        KeInitializeDpc(&calls[i].Dpc, Note, &calls[i]);
        KeInitializeEvent(&calls[i].Ran, SynchronizationEvent, FALSE);
    }
    KeSetImportanceDpc(&calls[2].Dpc, HighImportance);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    ULONG here = CURRENT_PROCESSOR;
    for (int i = 0; i < 4; i++) CHECK(KeInsertQueueDpc(&calls[i].Dpc, NULL, NULL));
    CHECK(!KeInsertQueueDpc(&calls[0].Dpc, NULL, NULL));
    CHECK(KeRemoveQueueDpc(&calls[1].Dpc) && !KeRemoveQueueDpc(&calls[1].Dpc));
    CHECK(calls[0].Count == 0);
    KeLowerIrql(old);
    KeFlushQueuedDpcs();
    CHECK(calls[0].Count == 1 && calls[1].Count == 0 && calls[2].Count == 1 && calls[3].Count == 1);
    CHECK(calls[2].Order == 1 && calls[0].Order == 2 && calls[3].Order == 3);
    CHECK((ULONG)calls[0].Processor == here && calls[0].Irql == DISPATCH_LEVEL);

    // Each processor in turn as the target.
    for (ULONG n = 0; n < KeQueryActiveProcessorCountEx(0); n++) {
        KeSetTargetProcessorDpc(&calls[1].Dpc, (CCHAR)n);
        KeInsertQueueDpc(&calls[1].Dpc, NULL, NULL);
        KeFlushQueuedDpcs();
        CHECK(calls[1].Count == (LONG)n + 1 && calls[1].Processor == (LONG)n);
    }
    return 0;
}

static ULONG ThreadedDpc(void)
{
    CALL call = { 0 };
    KeInitializeEvent(&call.Ran, SynchronizationEvent, FALSE);
    KeInitializeThreadedDpc(&call.Dpc, Note, &call);
    KeInsertQueueDpc(&call.Dpc, NULL, NULL);
    Wait(&call.Ran, 1);
    CHECK(call.Count == 1 && call.Irql == PASSIVE_LEVEL);
    KeInsertQueueDpc(&call.Dpc, NULL, NULL);
    KeFlushQueuedDpcs();
    CHECK(call.Count == 2);
    return 0;
}

// ---------------------------------------------------------------- APCs

typedef struct {
    KAPC Apc;
    KEVENT Go, Ready;
    PKTHREAD Thread, RanIn;
    volatile LONG Kernel, Normal, KernelIrql, NormalIrql, During, Woken;
} APC_CASE;

static void NTAPI NormalApc(PVOID context, PVOID a, PVOID b)
{
    APC_CASE *x = context;
    x->NormalIrql = KeGetCurrentIrql();
    x->RanIn = KeGetCurrentThread();
    x->Normal += a == (PVOID)1 && b == (PVOID)2;
}

static void NTAPI KernelApc(PKAPC apc, NORMAL_ROUTINE *normal, PVOID *context, PVOID *a, PVOID *b)
{
    APC_CASE *x = CONTAINING_RECORD(apc, APC_CASE, Apc);
    x->KernelIrql = KeGetCurrentIrql();
    x->RanIn = KeGetCurrentThread();
    x->Kernel++;
}

static void NTAPI ApcTarget(PVOID context)
{
    APC_CASE *x = context;
    x->Thread = KeGetCurrentThread();
    KeSetEvent(&x->Ready, 0, FALSE);
    Wait(&x->Go, 1);
    x->Woken++;
    KeEnterCriticalRegion();
    KeSetEvent(&x->Ready, 0, FALSE);
    Wait(&x->Go, 1);
    x->During = x->Normal;
    KeLeaveCriticalRegion();
}

static ULONG Apcs(void)
{
    APC_CASE x = { 0 };
    KeInitializeEvent(&x.Go, SynchronizationEvent, FALSE);
    KeInitializeEvent(&x.Ready, SynchronizationEvent, FALSE);
    PVOID thread = Start(ApcTarget, &x);
    Wait(&x.Ready, 1);
    Sleep(1);

    // A special kernel APC runs in the waiting thread, which then waits on.
    KeInitializeApc(&x.Apc, x.Thread, 0, KernelApc, NULL, NULL, KernelMode, NULL);
    CHECK(KeInsertQueueApc(&x.Apc, NULL, NULL, 0));
    Sleep(1);
    CHECK(x.Kernel == 1 && x.KernelIrql == APC_LEVEL && x.RanIn == x.Thread && x.Woken == 0);

    // A normal one has both routines.
    KeInitializeApc(&x.Apc, x.Thread, 0, KernelApc, NULL, NormalApc, KernelMode, &x);
    CHECK(KeInsertQueueApc(&x.Apc, (PVOID)1, (PVOID)2, 0));
    Sleep(1);
    CHECK(x.Kernel == 2 && x.Normal == 1 && x.NormalIrql == PASSIVE_LEVEL && x.Woken == 0);

    // In a critical region the normal one has to wait.
    KeSetEvent(&x.Go, 0, FALSE);
    Wait(&x.Ready, 1);
    CHECK(KeInsertQueueApc(&x.Apc, (PVOID)1, (PVOID)2, 0));
    CHECK(!KeInsertQueueApc(&x.Apc, (PVOID)1, (PVOID)2, 0));
    Sleep(1);
    CHECK(x.Normal == 1);
    KeSetEvent(&x.Go, 0, FALSE);
    Join(thread);
    CHECK(x.During == 1 && x.Normal == 2 && x.Kernel == 3);

    // To itself: at once; in a guarded region at its end.
    KeInitializeApc(&x.Apc, KeGetCurrentThread(), 0, KernelApc, NULL, NULL, KernelMode, NULL);
    KeInsertQueueApc(&x.Apc, NULL, NULL, 0);
    CHECK(x.Kernel == 4);
    KeEnterGuardedRegion();
    CHECK(KeAreAllApcsDisabled());
    KeInsertQueueApc(&x.Apc, NULL, NULL, 0);
    CHECK(x.Kernel == 4);
    KeLeaveGuardedRegion();
    CHECK(x.Kernel == 5 && !KeAreAllApcsDisabled());
    return 0;
}

// ---------------------------------------------------------------- queues, threads, processors

typedef struct {
    KQUEUE Queue;
    LIST_ENTRY Entries[8];
    KEVENT Pause;
    volatile LONG Taken, Active, Most, Abandoned;
} QUEUE_CASE;

static void NTAPI TakeEntries(PVOID context)
{
    QUEUE_CASE *x = context;
    while (TRUE) {
        PLIST_ENTRY entry = KeRemoveQueue(&x->Queue, KernelMode, NULL);
        if (entry == (PLIST_ENTRY)(ULONG_PTR)STATUS_ABANDONED) {
            InterlockedIncrement(&x->Abandoned);
            return;
        }
        LONG active = InterlockedIncrement(&x->Active);
        if (active > x->Most) x->Most = active;
        for (volatile int i = 0; i < 20000; i++) { }
        InterlockedDecrement(&x->Active);
        InterlockedIncrement(&x->Taken);
        // While it waits here, another may be active in its place.
        if (entry == &x->Entries[0]) Wait(&x->Pause, 1);
    }
}

static ULONG Queues(void)
{
    QUEUE_CASE x = { 0 };
    PVOID threads[3];
    LARGE_INTEGER due = { .QuadPart = MS(1) };
    KeInitializeQueue(&x.Queue, 1);
    KeInitializeEvent(&x.Pause, SynchronizationEvent, FALSE);
    CHECK(KeRemoveQueue(&x.Queue, KernelMode, &due) == (PLIST_ENTRY)STATUS_TIMEOUT);
    for (int i = 0; i < 3; i++) threads[i] = Start(TakeEntries, &x);
    Sleep(1);
    // This thread took from the queue, so it counts as active until it waits.
    for (int i = 0; i < 8; i++) KeInsertQueue(&x.Queue, &x.Entries[i]);
    Sleep(20);
    CHECK(x.Taken == 8 && x.Most == 1);
    KeSetEvent(&x.Pause, 0, FALSE);
    Sleep(1);
    CHECK(KeRundownQueue(&x.Queue) == NULL);
    for (int i = 0; i < 3; i++) Join(threads[i]);
    CHECK(x.Abandoned == 3);
    return 0;
}

static volatile LONG s_calls;

static ULONG_PTR NTAPI CountCall(ULONG_PTR context)
{
    InterlockedIncrement(&s_calls);
    // All are here at once: each waits for all others.
    while (s_calls < (LONG)context) YieldProcessor();
    return KeGetCurrentIrql();
}

static ULONG Processors(void)
{
    ULONG count = KeQueryActiveProcessorCountEx(0);
    KAFFINITY active;
    CHECK(KeQueryActiveProcessorCount(&active) == count && active == (~0ULL >> (64 - count)));
    for (ULONG n = 0; n < count; n++) {
        KeSetSystemAffinityThreadEx((KAFFINITY)1 << n);
        CHECK(CURRENT_PROCESSOR == n && KeGetCurrentProcessorNumberEx(NULL) == n);
    }
    KeRevertToUserAffinityThreadEx(0);
    s_calls = 0;
    CHECK(KeIpiGenericCall(CountCall, count) == IPI_LEVEL);
    CHECK(s_calls == (LONG)count);
    return 0;
}

typedef struct {
    KSPIN_LOCK Lock;
    volatile LONG Plain, Rounds, Order;
} COUNTER;

static void NTAPI CountLocked(PVOID context)
{
    COUNTER *counter = context;
    for (int i = 0; i < 200; i++) {
        KIRQL old;
        KeAcquireSpinLock(&counter->Lock, &old);
        LONG seen = counter->Plain;
        for (volatile int n = 0; n < 20; n++) { }
        counter->Plain = seen + 1;
        KeReleaseSpinLock(&counter->Lock, old);
    }
}

static ULONG SpinLocks(void)
{
    COUNTER counter = { 0 };
    PVOID threads[4];
    KeInitializeSpinLock(&counter.Lock);
    for (int i = 0; i < 4; i++) threads[i] = Start(CountLocked, &counter);
    for (int i = 0; i < 4; i++) Join(threads[i]);
    CHECK(counter.Plain == 800);
    return 0;
}

static void NTAPI Note16(PVOID context)
{
    COUNTER *counter = context;
    KeSetPriorityThread(KeGetCurrentThread(), 16);
    counter->Order = counter->Order * 10 + 1;
}

static ULONG Priorities(void)
{
    COUNTER counter = { 0 };
    KeSetSystemAffinityThreadEx(1);
    KPRIORITY old = KeSetPriorityThread(KeGetCurrentThread(), 15);
    CHECK(KeQueryPriorityThread(KeGetCurrentThread()) == 15);
    PVOID thread = Start(Note16, &counter);
    // Lower than this thread: on a single processor it has not run.
    LONG seen = counter.Order;
    if (KeQueryActiveProcessorCountEx(0) == 1) CHECK(seen == 0);
    Join(thread);
    CHECK(counter.Order == 1);
    KeSetPriorityThread(KeGetCurrentThread(), old);
    KeRevertToUserAffinityThreadEx(0);
    return 0;
}

static volatile LONG s_deep;

static __attribute__((noinline)) int Descend(int depth)
{
    volatile char use[2000];
    use[depth] = (char)depth;
    return depth == 0 ? 0 : Descend(depth - 1) + use[depth];
}

static void NTAPI Deep(PVOID context)
{
    s_deep = Descend(15);
}

static ULONG Stacks(void)
{
    s_deep = 0;
    CHECK(KeExpandKernelStackAndCallout(Deep, NULL, 40000) == STATUS_SUCCESS);
    CHECK(s_deep == 15 * 16 / 2);
    CHECK(!NT_SUCCESS(KeExpandKernelStackAndCallout(Deep, NULL, 0x20000)));
    return 0;
}

typedef struct {
    PIO_WORKITEM First, Second;
    KEVENT Event, Done;
} WORK_CASE;

static void NTAPI FirstWork(PDEVICE_OBJECT device, PVOID context)
{
    WORK_CASE *x = context;
    Wait(&x->Event, 1);
    KeSetEvent(&x->Done, 0, FALSE);
}

static void NTAPI SecondWork(PDEVICE_OBJECT device, PVOID context)
{
    WORK_CASE *x = context;
    KeSetEvent(&x->Event, 0, FALSE);
}

static ULONG WorkItems(PDEVICE_OBJECT device)
{
    WORK_CASE x;
    KeInitializeEvent(&x.Event, SynchronizationEvent, FALSE);
    KeInitializeEvent(&x.Done, SynchronizationEvent, FALSE);
    x.First = IoAllocateWorkItem(device);
    x.Second = IoAllocateWorkItem(device);
    // The first waits for the second, so there must be a second thread.
    IoQueueWorkItem(x.First, FirstWork, DelayedWorkQueue, &x);
    IoQueueWorkItem(x.Second, SecondWork, DelayedWorkQueue, &x);
    CHECK(Wait(&x.Done, 1) == STATUS_SUCCESS);
    IoFreeWorkItem(x.First);
    IoFreeWorkItem(x.Second);
    return 0;
}

// ---------------------------------------------------------------- the driver

static ULONG Run(PDEVICE_OBJECT device, ULONG number)
{
    switch (number) {
    case 0: return WaitForAny();
    case 1: return WaitForAll();
    case 2: return Events();
    case 3: return Semaphores();
    case 4: return Mutexes();
    case 5: return Timers();
    case 6: return Dpcs();
    case 7: return ThreadedDpc();
    case 8: return Apcs();
    case 9: return Queues();
    case 10: return Processors();
    case 11: return SpinLocks();
    case 12: return Priorities();
    case 13: return Stacks();
    case 14: return WorkItems(device);
    default: return __LINE__;
    }
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG code = stack->Parameters.DeviceIoControl.IoControlCode;
    if ((code & 3) != METHOD_BUFFERED) return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(ULONG))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    *(PULONG)irp->AssociatedIrp.SystemBuffer = Run(device, (code >> 2) & 0x7FF);
    return Complete(irp, STATUS_SUCCESS, sizeof(ULONG));
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static PDEVICE_OBJECT s_device;

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
