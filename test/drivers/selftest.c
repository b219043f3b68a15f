// The kernel's exports, called as a driver calls them. IOCTL 0x222000 + 4n runs area n; the answer is { line, value }:
// line 0 when all held, else the line of the first check that did not and the value found there.
#include "guest.h"

#define LINK L"\\DosDevices\\SelfTest"

typedef struct {
    ULONG Line;
    ULONG Checks;
    ULONG64 Value;
} RESULT, *PRESULT;

#define CHECK(x) do { r->Checks++; if (!(x)) { r->Line = __LINE__; r->Value = 0; return; } } while (0)
#define EQUAL(expected, actual) do { \
        ULONG64 v_ = (ULONG64)(actual); \
        r->Checks++; \
        if (v_ != (ULONG64)(expected)) { r->Line = __LINE__; r->Value = v_; return; } \
    } while (0)

static UNICODE_STRING s_path;

static void Strings(PRESULT r)
{
    UNICODE_STRING a, b, c;
    WCHAR room[32];
    ULONG number;
    RtlInitUnicodeString(&a, L"Ringdown");
    EQUAL(16, a.Length);
    EQUAL(18, a.MaximumLength);
    RtlInitUnicodeString(&b, L"RINGDOWN");
    EQUAL(0, RtlCompareUnicodeString(&a, &b, TRUE));
    CHECK(RtlCompareUnicodeString(&a, &b, FALSE) > 0);
    CHECK(RtlEqualUnicodeString(&a, &b, TRUE));
    CHECK(!RtlEqualUnicodeString(&a, &b, FALSE));
    EQUAL('A', RtlUpcaseUnicodeChar('a'));
    c.Buffer = room;
    c.Length = 0;
    c.MaximumLength = sizeof(room);
    RtlCopyUnicodeString(&c, &a);
    EQUAL(16, c.Length);
    EQUAL(STATUS_SUCCESS, RtlAppendUnicodeToString(&c, L"!42"));
    EQUAL(22, c.Length);
    EQUAL('!', room[8]);
    EQUAL(STATUS_SUCCESS, RtlAppendUnicodeStringToString(&c, &b));
    EQUAL(38, c.Length);
    c.MaximumLength = 40;
    EQUAL(STATUS_BUFFER_TOO_SMALL, RtlAppendUnicodeStringToString(&c, &b));
    EQUAL(38, c.Length);
    c.MaximumLength = sizeof(room);
    EQUAL(STATUS_SUCCESS, RtlIntegerToUnicodeString(48879, 16, &c));
    EQUAL(8, c.Length);
    EQUAL('B', room[0]);
    EQUAL(STATUS_SUCCESS, RtlUnicodeStringToInteger(&c, 16, &number));
    EQUAL(48879, number);
    RtlInitUnicodeString(&c, NULL);
    EQUAL(0, c.Length);
}

static void Memory(PRESULT r)
{
    UCHAR a[32], b[32];
    RtlFillMemory(a, sizeof(a), 0xAB);
    EQUAL(0xAB, a[31]);
    RtlZeroMemory(b, sizeof(b));
    EQUAL(0, RtlCompareMemory(a, b, sizeof(a)));
    RtlCopyMemory(b, a, 20);
    EQUAL(20, RtlCompareMemory(a, b, sizeof(a)));
    for (int i = 0; i < 32; i++) a[i] = (UCHAR)i;
    RtlMoveMemory(a + 4, a, 16);
    EQUAL(0, a[4]);
    EQUAL(15, a[19]);
}

static void Pool(PRESULT r)
{
    PUCHAR blocks[16];
    for (ULONG i = 0; i < 16; i++) {
        blocks[i] = ExAllocatePoolWithTag(i & 1 ? PagedPool : NonPagedPool, 16 << i % 12, TAG);
        CHECK(blocks[i] != NULL);
        EQUAL(0, (ULONG_PTR)blocks[i] & 15);
        RtlFillMemory(blocks[i], 16 << i % 12, (UCHAR)i);
    }
    for (ULONG i = 0; i < 16; i++) {
        EQUAL(i, blocks[i][0]);
        EQUAL(i, blocks[i][(16 << i % 12) - 1]);
        ExFreePoolWithTag(blocks[i], TAG);
    }
    PVOID page = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, TAG);
    CHECK(page != NULL);
    EQUAL(0, (ULONG_PTR)page & (PAGE_SIZE - 1));
    ExFreePool(page);
}

typedef struct {
    LIST_ENTRY Entry;
    ULONG Value;
} NODE;

static void Lists(PRESULT r)
{
    LIST_ENTRY head;
    KSPIN_LOCK lock;
    NODE nodes[4];
    InitializeListHead(&head);
    KeInitializeSpinLock(&lock);
    for (ULONG i = 0; i < 4; i++) nodes[i].Value = i;
    CHECK(ExInterlockedInsertTailList(&head, &nodes[0].Entry, &lock) == NULL);
    CHECK(ExInterlockedInsertTailList(&head, &nodes[1].Entry, &lock) == &nodes[0].Entry);
    CHECK(ExInterlockedInsertHeadList(&head, &nodes[2].Entry, &lock) == &nodes[0].Entry);
    EQUAL(2, CONTAINING_RECORD(ExInterlockedRemoveHeadList(&head, &lock), NODE, Entry)->Value);
    EQUAL(0, CONTAINING_RECORD(ExInterlockedRemoveHeadList(&head, &lock), NODE, Entry)->Value);
    EQUAL(1, CONTAINING_RECORD(ExInterlockedRemoveHeadList(&head, &lock), NODE, Entry)->Value);
    CHECK(ExInterlockedRemoveHeadList(&head, &lock) == NULL);
    EQUAL(0, lock);
}

static void Events(PRESULT r)
{
    KEVENT manual, automatic;
    LARGE_INTEGER none;
    none.QuadPart = 0;
    KeInitializeEvent(&manual, NotificationEvent, FALSE);
    KeInitializeEvent(&automatic, SynchronizationEvent, TRUE);
    EQUAL(STATUS_TIMEOUT, KeWaitForSingleObject(&manual, Executive, KernelMode, FALSE, &none));
    EQUAL(0, KeSetEvent(&manual, 0, FALSE));
    EQUAL(STATUS_SUCCESS, KeWaitForSingleObject(&manual, Executive, KernelMode, FALSE, &none));
    EQUAL(1, KeReadStateEvent(&manual));
    EQUAL(1, KeResetEvent(&manual));
    EQUAL(0, KeReadStateEvent(&manual));
    EQUAL(STATUS_SUCCESS, KeWaitForSingleObject(&automatic, Executive, KernelMode, FALSE, NULL));
    EQUAL(STATUS_TIMEOUT, KeWaitForSingleObject(&automatic, Executive, KernelMode, FALSE, &none));
    KeSetEvent(&automatic, 0, FALSE);
    KeClearEvent(&automatic);
    EQUAL(0, KeReadStateEvent(&automatic));
}

static void Mutexes(PRESULT r)
{
    KMUTEX mutex;
    KSEMAPHORE semaphore;
    LARGE_INTEGER none;
    none.QuadPart = 0;
    KeInitializeMutex(&mutex, 0);
    EQUAL(1, KeReadStateMutex(&mutex));
    EQUAL(STATUS_SUCCESS, KeWaitForSingleObject(&mutex, Executive, KernelMode, FALSE, NULL));
    EQUAL(STATUS_SUCCESS, KeWaitForSingleObject(&mutex, Executive, KernelMode, FALSE, NULL));
    CHECK(KeReleaseMutex(&mutex, FALSE) != 0);
    EQUAL(0, KeReleaseMutex(&mutex, FALSE));
    KeInitializeSemaphore(&semaphore, 1, 3);
    EQUAL(STATUS_SUCCESS, KeWaitForSingleObject(&semaphore, Executive, KernelMode, FALSE, &none));
    EQUAL(STATUS_TIMEOUT, KeWaitForSingleObject(&semaphore, Executive, KernelMode, FALSE, &none));
    EQUAL(0, KeReleaseSemaphore(&semaphore, 0, 3, FALSE));
    EQUAL(3, KeReadStateSemaphore(&semaphore));
}

static void NTAPI Tick(PKDPC dpc, PVOID context, PVOID a, PVOID b)
{
    InterlockedIncrement(context);
}

static void Timers(PRESULT r)
{
    KTIMER timer;
    KDPC dpc;
    LARGE_INTEGER due;
    volatile LONG ticks = 0;
    due.QuadPart = -20000;
    KeInitializeTimer(&timer);
    KeInitializeDpc(&dpc, Tick, (PVOID)&ticks);
    EQUAL(FALSE, KeSetTimer(&timer, due, &dpc));
    EQUAL(TRUE, KeSetTimer(&timer, due, &dpc));
    EQUAL(STATUS_SUCCESS, KeWaitForSingleObject(&timer, Executive, KernelMode, FALSE, NULL));
    KeFlushQueuedDpcs();
    EQUAL(1, ticks);
    EQUAL(FALSE, KeCancelTimer(&timer));
    CHECK(KeInsertQueueDpc(&dpc, NULL, NULL));
    KeFlushQueuedDpcs();
    EQUAL(2, ticks);
}

static void Irql(PRESULT r)
{
    KIRQL old, older;
    EQUAL(PASSIVE_LEVEL, KeGetCurrentIrql());
    KeRaiseIrql(APC_LEVEL, &old);
    EQUAL(PASSIVE_LEVEL, old);
    KeRaiseIrql(DISPATCH_LEVEL, &older);
    EQUAL(APC_LEVEL, older);
    EQUAL(DISPATCH_LEVEL, KeGetCurrentIrql());
    KeLowerIrql(older);
    KeLowerIrql(old);
    EQUAL(PASSIVE_LEVEL, KeGetCurrentIrql());
}

// The service's key, by the path that DriverEntry was given: its value Number is the answer when all held.
static void Registry(PRESULT r)
{
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;
    HANDLE key;
    ULONG length, room[8];
    PKEY_VALUE_PARTIAL_INFORMATION value = (PKEY_VALUE_PARTIAL_INFORMATION)room;
    InitializeObjectAttributes(&attributes, &s_path, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    EQUAL(STATUS_SUCCESS, ZwOpenKey(&key, KEY_READ, &attributes));
    RtlInitUnicodeString(&name, L"Number");
    NTSTATUS status = ZwQueryValueKey(key, &name, KeyValuePartialInformation, value, sizeof(room), &length);
    ZwClose(key);
    EQUAL(STATUS_SUCCESS, status);
    EQUAL(REG_DWORD, value->Type);
    EQUAL(sizeof(ULONG), value->DataLength);
    r->Value = *(PULONG)value->Data;
}

typedef void (*AREA)(PRESULT);
static const AREA s_areas[] = { Strings, Memory, Pool, Lists, Events, Mutexes, Timers, Irql, Registry };

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG code = stack->Parameters.DeviceIoControl.IoControlCode, area = (code - 0x222000) / 4;
    RESULT result = { 0, 0, 0 };
    // Only METHOD_BUFFERED has the system buffer that the answer goes to.
    if ((code & 3) != METHOD_BUFFERED || area >= ARRAYSIZE(s_areas)) return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(RESULT))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    s_areas[area](&result);
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &result, sizeof(RESULT));
    return Complete(irp, STATUS_SUCCESS, sizeof(RESULT));
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    DeleteNamed(driver->DeviceObject, LINK);
    ExFreePoolWithTag(s_path.Buffer, TAG);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    PDEVICE_OBJECT device;
    // The string is the caller's and goes away when this returns.
    s_path.Buffer = ExAllocatePoolWithTag(PagedPool, path->Length, TAG);
    if (s_path.Buffer == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    s_path.MaximumLength = path->Length;
    RtlCopyUnicodeString(&s_path, path);
    driver->DriverUnload = Unload;
    driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLEANUP] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    NTSTATUS status = CreateNamed(driver, L"\\Device\\SelfTest", LINK, 0, &device);
    if (!NT_SUCCESS(status)) ExFreePoolWithTag(s_path.Buffer, TAG);
    return status;
}
