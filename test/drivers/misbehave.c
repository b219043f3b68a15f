// Every control code is one mistake, made for real; misbehave.h names them.
#include "guest.h"
#include "misbehave.h"

#define LINK L"\\DosDevices\\Misbehave"

// int29h's argument, FAST_FAIL_FATAL_APP_EXIT.
#define FATAL_APP_EXIT 7

static BOOLEAN s_leak;
static volatile ULONG_PTR s_sink;
static volatile ULONG s_zero;
static KSPIN_LOCK s_lock;
static KEVENT s_never;

#define NOINLINE __attribute__((noinline))

static NOINLINE void NullWrite(void) { *(volatile ULONG *)s_sink = 1; }
static NOINLINE void NullRead(void) { s_sink = *(volatile ULONG *)s_sink; }
static NOINLINE void WriteOwnText(void) { *(volatile UCHAR *)(ULONG_PTR)NullWrite = 0xC3; }
static NOINLINE void EndlessLoop(void) { for (;;) s_zero = 0; }

static NOINLINE ULONG Recurse(ULONG n)
{
    volatile UCHAR frame[256];
    frame[n & 255] = (UCHAR)n;
    return Recurse(n + 1) + frame[n & 255];
}

static NOINLINE void CallAddress(ULONG_PTR address)
{
    ((void (*)(void))address)();
    s_sink = 0;
}

static NOINLINE void CorruptReturn(void)
{
    void *volatile *frame = __builtin_frame_address(0);
    frame[1] = (void *)0x4141414141414141ULL;
    s_sink = 0;
}

static NOINLINE void UnknownMsr(void)
{
    ULONG low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0x4BADC0DE));
    s_sink = low;
}

static NOINLINE void CliHlt(void)
{
    for (;;) __asm__ volatile("cli; hlt");
}

static NOINLINE void DoubleFree(void)
{
    PVOID block = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
    if (block == NULL) return;
    ExFreePoolWithTag(block, TAG);
    ExFreePoolWithTag(block, TAG);
}

static NOINLINE void UseAfterFree(void)
{
    volatile ULONG *block = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
    if (block == NULL) return;
    ExFreePoolWithTag((PVOID)block, TAG);
    block[4] = 0xDEAD;
}

static NOINLINE void PoolPast(int offset)
{
    volatile UCHAR *block = ExAllocatePoolWithTag(NonPagedPool, 40, TAG);
    if (block == NULL) return;
    block[offset] = 0x41;
    ExFreePoolWithTag((PVOID)block, TAG);
}

static NOINLINE void FreeWrongTag(void)
{
    PVOID block = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
    if (block != NULL) ExFreePoolWithTag(block, 'gnrW');
}

static NOINLINE void PagedAtDispatch(void)
{
    KIRQL irql;
    volatile ULONG *block = ExAllocatePoolWithTag(PagedPool, 64, TAG);
    if (block == NULL) return;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    block[0] = 1;
    KeLowerIrql(irql);
    ExFreePoolWithTag((PVOID)block, TAG);
}

static NOINLINE void ZwAtDispatch(void)
{
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK result;
    HANDLE file;
    KIRQL irql;
    RtlInitUnicodeString(&name, L"\\??\\C:\\misbehave.txt");
    InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, NULL, NULL);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    NTSTATUS status = ZwCreateFile(&file, GENERIC_READ, &attributes, &result, NULL, FILE_ATTRIBUTE_NORMAL, 0,
        FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    KeLowerIrql(irql);
    if (NT_SUCCESS(status)) ZwClose(file);
}

static NOINLINE void WaitAtDispatch(void)
{
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    KeWaitForSingleObject(&s_never, Executive, KernelMode, FALSE, NULL);
    KeLowerIrql(irql);
}

static NOINLINE void IrqlLeftRaised(void)
{
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    s_sink = irql;
}

static NOINLINE void SpinLockTwice(void)
{
    KIRQL first, second;
    KeAcquireSpinLock(&s_lock, &first);
    KeAcquireSpinLock(&s_lock, &second);
    KeReleaseSpinLock(&s_lock, second);
    KeReleaseSpinLock(&s_lock, first);
}

static NOINLINE void ExecutePool(void)
{
    // 512 is NonPagedPoolNx, which these headers do not name.
    PUCHAR block = ExAllocatePoolWithTag((POOL_TYPE)512, 16, TAG);
    if (block == NULL) return;
    block[0] = 0xC3;
    CallAddress((ULONG_PTR)block);
    ExFreePoolWithTag(block, TAG);
}

static NOINLINE void UninitializedPool(void)
{
    ULONG_PTR *block = ExAllocatePoolWithTag(NonPagedPool, 64, TAG);
    if (block == NULL) return;
    if (block[3] & 1) s_zero = 0;
    ExFreePoolWithTag(block, TAG);
}

// Mistakes that stop the machine, or that only a checker sees; the request ends well if they do not.
static BOOLEAN Plain(ULONG code)
{
    switch (code) {
    case MISBEHAVE_NULL_WRITE: s_sink = 0; NullWrite(); break;
    case MISBEHAVE_NULL_READ: s_sink = 0; NullRead(); break;
    case MISBEHAVE_WRITE_OWN_TEXT: WriteOwnText(); break;
    case MISBEHAVE_ENDLESS_LOOP: EndlessLoop(); break;
    case MISBEHAVE_STACK_OVERFLOW: s_sink = Recurse(0); break;
    case MISBEHAVE_CALL_NULL: CallAddress(0); break;
    case MISBEHAVE_CALL_WILD: CallAddress(0xFFFFF80012345678ULL); break;
    case MISBEHAVE_DIVIDE_BY_ZERO: s_zero = 0; s_sink = 1000 / s_zero; break;
    case MISBEHAVE_UNKNOWN_MSR: UnknownMsr(); break;
    case MISBEHAVE_CLI_HLT: CliHlt(); break;
    case MISBEHAVE_UD2: __asm__ volatile("ud2"); break;
    case MISBEHAVE_CORRUPT_RETURN: CorruptReturn(); break;
    case MISBEHAVE_BUG_CHECK: KeBugCheckEx(0xDEADDEAD, 1, 2, 3, 4); break;
    case MISBEHAVE_FAST_FAIL: __asm__ volatile("int $0x29" : : "c"(FATAL_APP_EXIT)); break;
    case MISBEHAVE_DOUBLE_FREE: DoubleFree(); break;
    case MISBEHAVE_USE_AFTER_FREE: UseAfterFree(); break;
    case MISBEHAVE_POOL_OVERRUN: PoolPast(40); break;
    case MISBEHAVE_POOL_UNDERRUN: PoolPast(-1); break;
    case MISBEHAVE_FREE_WRONG_TAG: FreeWrongTag(); break;
    case MISBEHAVE_PAGED_AT_DISPATCH: PagedAtDispatch(); break;
    case MISBEHAVE_ZW_AT_DISPATCH: ZwAtDispatch(); break;
    case MISBEHAVE_WAIT_AT_DISPATCH: WaitAtDispatch(); break;
    case MISBEHAVE_IRQL_LEFT_RAISED: IrqlLeftRaised(); break;
    case MISBEHAVE_SPIN_LOCK_TWICE: SpinLockTwice(); break;
    case MISBEHAVE_LEAK_ON_UNLOAD:
        s_leak = TRUE;
        s_sink = (ULONG_PTR)ExAllocatePoolWithTag(NonPagedPool, 128, TAG);
        break;
    case MISBEHAVE_WAIT_FOREVER: KeWaitForSingleObject(&s_never, Executive, KernelMode, FALSE, NULL); break;
    case MISBEHAVE_NONCANONICAL: *(volatile ULONG *)0x8000DEADBEEF0001ULL = 1; break;
    case MISBEHAVE_EXECUTE_POOL: ExecutePool(); break;
    case MISBEHAVE_UNINITIALIZED_POOL: UninitializedPool(); break;
    case MISBEHAVE_READ_USER_POINTER: s_sink = *(volatile ULONG *)0x10000; break;
    default: return FALSE;
    }
    return TRUE;
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG code = stack->Parameters.DeviceIoControl.IoControlCode;
    switch (code) {
    case MISBEHAVE_COMPLETE_TWICE:
        Complete(irp, STATUS_SUCCESS, 0);
        return Complete(irp, STATUS_SUCCESS, 0);
    case MISBEHAVE_COMPLETE_AS_PENDING:
        return Complete(irp, STATUS_PENDING, 0);
    case MISBEHAVE_PENDING_UNMARKED:
    case MISBEHAVE_RETURN_PENDING_DONE:
        // One is seen by the caller as pending for ever, the other was done before it was called pending.
        if (code == MISBEHAVE_RETURN_PENDING_DONE) Complete(irp, STATUS_SUCCESS, 0);
        return STATUS_PENDING;
    case MISBEHAVE_NEVER_COMPLETE:
        return STATUS_SUCCESS;
    case MISBEHAVE_RETURN_OTHER_STATUS:
        Complete(irp, STATUS_SUCCESS, 0);
        return STATUS_UNSUCCESSFUL;
    case MISBEHAVE_INFORMATION_TOO_LARGE:
        return Complete(irp, STATUS_SUCCESS, stack->Parameters.DeviceIoControl.OutputBufferLength + 0x1000);
    default:
        return Complete(irp, Plain(code) ? STATUS_SUCCESS : STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    if (!s_leak) DeleteNamed(driver->DeviceObject, LINK);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    PDEVICE_OBJECT device;
    KeInitializeSpinLock(&s_lock);
    KeInitializeEvent(&s_never, NotificationEvent, FALSE);
    driver->DriverUnload = Unload;
    driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLEANUP] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    NTSTATUS status = CreateNamed(driver, L"\\Device\\Misbehave", LINK, 0, &device);
    if (NT_SUCCESS(status)) device->Flags &= ~DO_DEVICE_INITIALIZING;
    return status;
}
