// Does one thing of the kernel's very often, to be timed from outside: the input is how often.
#include "guest.h"

#define DEVICE L"\\Device\\Measure"
#define LINK L"\\DosDevices\\Measure"

static PDEVICE_OBJECT s_device;

typedef struct {
    KEVENT Ping, Pong, Done;
    KSPIN_LOCK Lock;
    KDPC Dpc;
    KTIMER Timer;
    PIO_WORKITEM Item;
    volatile LONG Ran;
    ULONG Times;
} STATE;

static STATE s;

static void NTAPI Partner(PVOID context)
{
    for (ULONG i = 0; i < s.Times; i++) {
        KeWaitForSingleObject(&s.Ping, Executive, KernelMode, FALSE, NULL);
        KeSetEvent(&s.Pong, IO_NO_INCREMENT, FALSE);
    }
}

static void NTAPI Leader(PVOID context)
{
    for (ULONG i = 0; i < s.Times; i++) {
        KeSetEvent(&s.Ping, IO_NO_INCREMENT, FALSE);
        KeWaitForSingleObject(&s.Pong, Executive, KernelMode, FALSE, NULL);
    }
}

// Two threads that take turns: two switches each time.
static void SwitchThreads(ULONG times)
{
    PKSTART_ROUTINE routines[2] = { Partner, Leader };
    PVOID threads[2];
    s.Times = times;
    for (int i = 0; i < 2; i++) {
        HANDLE handle;
        PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, routines[i], NULL);
        ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, NULL, KernelMode, &threads[i], NULL);
        ZwClose(handle);
    }
    for (int i = 0; i < 2; i++) {
        KeWaitForSingleObject(threads[i], Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(threads[i]);
    }
}

static void NTAPI OnDpc(PKDPC dpc, PVOID context, PVOID a, PVOID b)
{
    s.Ran++;
}

static void NTAPI OnWork(PDEVICE_OBJECT device, PVOID context)
{
    KeSetEvent(&s.Done, IO_NO_INCREMENT, FALSE);
}

static void Once(ULONG what)
{
    LARGE_INTEGER due = { .QuadPart = -10 };
    KIRQL old;
    switch (what) {
    case 0: s.Ran++; break;
    case 1: KeReadStateEvent(&s.Done); break;
    case 2:
        KeSetEvent(&s.Done, IO_NO_INCREMENT, FALSE);
        KeWaitForSingleObject(&s.Done, Executive, KernelMode, FALSE, NULL);
        break;
    case 4: KeInsertQueueDpc(&s.Dpc, NULL, NULL); break;
    case 5:
        KeSetTimer(&s.Timer, due, NULL);
        KeWaitForSingleObject(&s.Timer, Executive, KernelMode, FALSE, NULL);
        break;
    case 6: ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPool, 64, TAG), TAG); break;
    case 7:
        KeAcquireSpinLock(&s.Lock, &old);
        KeReleaseSpinLock(&s.Lock, old);
        break;
    case 8:
        IoQueueWorkItem(s.Item, OnWork, DelayedWorkQueue, NULL);
        KeWaitForSingleObject(&s.Done, Executive, KernelMode, FALSE, NULL);
        break;
    }
}

static NTSTATUS NTAPI DeviceControl(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG what = (stack->Parameters.DeviceIoControl.IoControlCode >> 2) & 0x7FF;
    if (stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(ULONG) || what > 8)
        return Complete(irp, STATUS_INVALID_PARAMETER, 0);
    ULONG times = *(PULONG)irp->AssociatedIrp.SystemBuffer;
    KeClearEvent(&s.Done);
    if (what == 3) SwitchThreads(times);
    else for (ULONG i = 0; i < times; i++) Once(what);
    return Complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT device, PIRP irp)
{
    return Complete(irp, STATUS_SUCCESS, 0);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    IoFreeWorkItem(s.Item);
    DeleteNamed(s_device, LINK);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    driver->DriverUnload = Unload;
    KeInitializeEvent(&s.Ping, SynchronizationEvent, FALSE);
    KeInitializeEvent(&s.Pong, SynchronizationEvent, FALSE);
    KeInitializeEvent(&s.Done, SynchronizationEvent, FALSE);
    KeInitializeSpinLock(&s.Lock);
    KeInitializeDpc(&s.Dpc, OnDpc, NULL);
    KeInitializeTimerEx(&s.Timer, SynchronizationTimer);
    NTSTATUS status = CreateNamed(driver, DEVICE, LINK, 0, &s_device);
    if (!NT_SUCCESS(status)) return status;
    s.Item = IoAllocateWorkItem(s_device);
    if (s.Item != NULL) return STATUS_SUCCESS;
    DeleteNamed(s_device, LINK);
    return STATUS_INSUFFICIENT_RESOURCES;
}
