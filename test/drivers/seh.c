// Structured exceptions: each control code is one shape, its answer { result, trail }, the trail made of decimal digits.
#include "guest.h"

#define IOCTL_SEH(n) (0x222000 + 4 * (n))
#define LINK L"\\DosDevices\\Seh"
#define NOINLINE __attribute__((noinline))

typedef struct {
    ULONG Result;
    ULONG Trail;
} ANSWER, *PANSWER;

NOINLINE ULONG ReadAt(volatile ULONG *address) { return *address; }
NOINLINE void Step(PANSWER a, ULONG digit) { a->Trail = a->Trail * 10 + digit; }
NOINLINE void Raise(NTSTATUS status) { ExRaiseStatus(status); }

// 0: a bad user pointer; the code comes out.
NOINLINE static void BadUserPointer(PANSWER a)
{
    __try {
        Step(a, 1);
        a->Result = ReadAt((volatile ULONG *)0x10);
        Step(a, 2);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        a->Result = GetExceptionCode();
        Step(a, 3);
    }
    Step(a, 4);
}

// 1: __finally runs after the outer filter and before the outer handler: 1 2 4 3 5.
static LONG FilterStep(PANSWER a, ULONG digit, LONG answer)
{
    Step(a, digit);
    return answer;
}

NOINLINE static void FinallyOrder(PANSWER a)
{
    __try {
        Step(a, 1);
        __try {
            Step(a, 2);
            Raise(STATUS_DATA_ERROR);
        } __finally {
            Step(a, 3);
        }
    } __except (FilterStep(a, 4, EXCEPTION_EXECUTE_HANDLER)) {
        a->Result = GetExceptionCode();
        Step(a, 5);
    }
}

// 2: __finally without an exception.
NOINLINE static void FinallyQuiet(PANSWER a)
{
    __try {
        Step(a, 1);
        a->Result = 77;
    } __finally {
        Step(a, AbnormalTermination() ? 9 : 2);
    }
    Step(a, 3);
}

// 3: an exception in a handler is caught by the outer block.
NOINLINE static void Nested(PANSWER a)
{
    __try {
        __try {
            Step(a, 1);
            Raise(STATUS_DATA_ERROR);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            Step(a, 2);
            Raise(STATUS_CRC_ERROR);
        }
        Step(a, 9);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Step(a, 3);
        a->Result = GetExceptionCode();
    }
}

// 4: a status raised and caught.
NOINLINE static void RaiseStatus(PANSWER a)
{
    __try {
        Raise(STATUS_INSUFFICIENT_RESOURCES);
    } __except (GetExceptionCode() == STATUS_INSUFFICIENT_RESOURCES ? EXCEPTION_EXECUTE_HANDLER
                                                                    : EXCEPTION_CONTINUE_SEARCH) {
        a->Result = GetExceptionCode();
        Step(a, 1);
    }
}

// 5: the filter looks at the record: an access violation's second parameter is the address.
static LONG Inspect(PANSWER a, PEXCEPTION_POINTERS p)
{
    Step(a, p->ExceptionRecord->NumberParameters);
    a->Result = (ULONG)p->ExceptionRecord->ExceptionInformation[1];
    return EXCEPTION_EXECUTE_HANDLER;
}

NOINLINE static void Information(PANSWER a)
{
    __try {
        Step(a, ReadAt((volatile ULONG *)0x1230));
    } __except (Inspect(a, GetExceptionInformation())) {
        Step(a, 7);
    }
}

// 6: the inner filter declines, the outer accepts; in another frame.
NOINLINE static void Declines(PANSWER a)
{
    __try {
        Step(a, 1);
        Raise(STATUS_DATA_ERROR);
    } __except (FilterStep(a, 2, EXCEPTION_CONTINUE_SEARCH)) {
        Step(a, 9);
    }
}

NOINLINE static void ContinueSearch(PANSWER a)
{
    __try {
        Declines(a);
        Step(a, 8);
    } __except (FilterStep(a, 3, EXCEPTION_EXECUTE_HANDLER)) {
        Step(a, 4);
        a->Result = GetExceptionCode();
    }
}

// 7 and 8: the probes; a kernel address, then a misaligned one.
NOINLINE static void Probe(PANSWER a, PVOID address, BOOLEAN write)
{
    __try {
        if (write) ProbeForWrite(address, 16, 4);
        else ProbeForRead(address, 16, 4);
        Step(a, 9);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        a->Result = GetExceptionCode();
        Step(a, 1);
    }
}

// 10: the filter repairs what was wrong and goes on where it stopped.
static ULONG s_good = 55;
NOINLINE static LONG Repair(PANSWER a, PEXCEPTION_POINTERS p)
{
    Step(a, 1);
    p->ContextRecord->Rcx = (ULONG_PTR)&s_good;
    return EXCEPTION_CONTINUE_EXECUTION;
}

NOINLINE static void ContinueExecution(PANSWER a)
{
    __try {
        a->Result = ReadAt((volatile ULONG *)0x20);
        Step(a, 2);
    } __except (Repair(a, GetExceptionInformation())) {
        Step(a, 9);
    }
}

// 11: a division fault.
static volatile ULONG s_zero;
NOINLINE ULONG Divide(ULONG by) { return 100 / by; }
NOINLINE static void DivideByZero(PANSWER a)
{
    __try {
        a->Result = Divide(s_zero);
        Step(a, 9);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        a->Result = GetExceptionCode();
        Step(a, 1);
    }
}

// 12: left by return: __finally runs still.
NOINLINE static ULONG ReturnInside(PANSWER a)
{
    __try {
        Step(a, 1);
        if (s_zero == 0) return 12;
        Step(a, 9);
    } __finally {
        Step(a, 2);
    }
    return 0;
}

// 13: an exception in __finally takes the place of the one that is unwinding; no __finally runs twice.
NOINLINE static void Collided(PANSWER a)
{
    __try {
        __try {
            __try {
                Step(a, 1);
                Raise(STATUS_DATA_ERROR);
            } __finally {
                Step(a, 2);
                Raise(STATUS_CRC_ERROR);
            }
        } __finally {
            Step(a, 3);
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        a->Result = GetExceptionCode();
        Step(a, 4);
    }
}

// 14: two threads look for handlers at once, and wait while they do. Result: what was caught as it was raised.
typedef struct {
    NTSTATUS Status;
    volatile LONG *Caught;
    PKSEMAPHORE Done;
} RAISER, *PRAISER;

NOINLINE static LONG Sleep(PRAISER r)
{
    LARGE_INTEGER time;
    time.QuadPart = -1000 * (r->Status & 3);
    KeDelayExecutionThread(KernelMode, FALSE, &time);
    return EXCEPTION_EXECUTE_HANDLER;
}

static void NTAPI RaiseOften(PVOID context)
{
    PRAISER r = context;
    for (int i = 0; i < 5; i++) {
        __try {
            __try {
                Raise(r->Status);
            } __finally {
                Sleep(r);
            }
        } __except (Sleep(r)) {
            if ((NTSTATUS)GetExceptionCode() == r->Status) InterlockedIncrement(r->Caught);
        }
    }
    KeReleaseSemaphore(r->Done, 0, 1, FALSE);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NOINLINE static void Threads(PANSWER a)
{
    volatile LONG caught = 0;
    KSEMAPHORE done;
    RAISER raisers[2] = { { STATUS_DATA_ERROR, &caught, &done }, { STATUS_CRC_ERROR, &caught, &done } };
    KeInitializeSemaphore(&done, 0, 2);
    for (int i = 0; i < 2; i++) {
        HANDLE thread;
        PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, RaiseOften, &raisers[i]);
        ZwClose(thread);
    }
    for (int i = 0; i < 2; i++) KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    a->Result = caught;
}

static BOOLEAN Run(ULONG code, PANSWER a)
{
    switch (code) {
    case IOCTL_SEH(0): BadUserPointer(a); break;
    case IOCTL_SEH(1): FinallyOrder(a); break;
    case IOCTL_SEH(2): FinallyQuiet(a); break;
    case IOCTL_SEH(3): Nested(a); break;
    case IOCTL_SEH(4): RaiseStatus(a); break;
    case IOCTL_SEH(5): Information(a); break;
    case IOCTL_SEH(6): ContinueSearch(a); break;
    case IOCTL_SEH(7): Probe(a, (PVOID)0xFFFFF80000000000ULL, FALSE); break;
    case IOCTL_SEH(8): Probe(a, (PVOID)0x10002, TRUE); break;
    case IOCTL_SEH(9): Raise(STATUS_DATA_ERROR); break;
    case IOCTL_SEH(10): ContinueExecution(a); break;
    case IOCTL_SEH(11): DivideByZero(a); break;
    case IOCTL_SEH(12): a->Result = ReturnInside(a); break;
    case IOCTL_SEH(13): Collided(a); break;
    case IOCTL_SEH(14): Threads(a); break;
    default: return FALSE;
    }
    return TRUE;
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ANSWER answer = { 0, 0 };
    if (stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(ANSWER))
        return Complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
    if (!Run(stack->Parameters.DeviceIoControl.IoControlCode, &answer))
        return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    *(PANSWER)irp->AssociatedIrp.SystemBuffer = answer;
    return Complete(irp, STATUS_SUCCESS, sizeof(ANSWER));
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    DeleteNamed(driver->DeviceObject, LINK);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    PDEVICE_OBJECT device;
    driver->DriverUnload = Unload;
    driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLEANUP] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    return CreateNamed(driver, L"\\Device\\Seh", LINK, 0, &device);
}
