// A highest-level driver that splits a read: its device reads from another one, which gives 512 bytes at a time, with
// an associated IRP for each part. The last part that is complete completes the read itself.
#include "sample.h"

#define PART 512
#define PARTS 16
#define CAPACITY 4096           // of the lower device

static PDEVICE_OBJECT s_top, s_lower;

// The lower device: byte n of it is n modulo 251.
static NTSTATUS ReadLower(PIRP irp, PIO_STACK_LOCATION stack)
{
    ULONG length = stack->Parameters.Read.Length;
    LONGLONG offset = stack->Parameters.Read.ByteOffset.QuadPart;
    // Of no bytes there is no MDL.
    if (length == 0) return Complete(irp, STATUS_SUCCESS, 0);
    if (length > PART) return Complete(irp, STATUS_INVALID_PARAMETER, 0);
    if (offset < 0 || offset > CAPACITY - length) return Complete(irp, STATUS_END_OF_FILE, 0);
    PUCHAR data = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
    if (data == NULL) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    for (ULONG i = 0; i < length; i++) data[i] = (UCHAR)((offset + i) % 251);
    return Complete(irp, STATUS_SUCCESS, length);
}

// A part has failed: then so has the whole. The I/O manager frees the part and its MDL, and counts it.
static NTSTATUS NTAPI PartDone(PDEVICE_OBJECT device, PIRP part, PVOID context)
{
    PIRP master = context;
    if (!NT_SUCCESS(part->IoStatus.Status)) {
        master->IoStatus.Status = part->IoStatus.Status;
        master->IoStatus.Information = 0;
    }
    return STATUS_SUCCESS;
}

static PIRP MakePart(PIRP irp, PIO_STACK_LOCATION stack, ULONG from, ULONG length)
{
    PIRP part = IoMakeAssociatedIrp(irp, s_lower->StackSize);
    if (part == NULL) return NULL;
    PVOID address = (PUCHAR)MmGetMdlVirtualAddress(irp->MdlAddress) + from;
    PMDL mdl = IoAllocateMdl(address, length, FALSE, FALSE, NULL);
    if (mdl == NULL) {
        IoFreeIrp(part);
        return NULL;
    }
    // The pages are the master's, and are locked as long as that is not complete.
    IoBuildPartialMdl(irp->MdlAddress, mdl, address, length);
    part->MdlAddress = mdl;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(part);
    next->MajorFunction = IRP_MJ_READ;
    next->Parameters.Read.Length = length;
    next->Parameters.Read.ByteOffset.QuadPart = stack->Parameters.Read.ByteOffset.QuadPart + from;
    IoSetCompletionRoutine(part, PartDone, irp, TRUE, TRUE, TRUE);
    return part;
}

static NTSTATUS ReadTop(PIRP irp, PIO_STACK_LOCATION stack)
{
    PIRP parts[PARTS];
    ULONG length = stack->Parameters.Read.Length;
    ULONG count = (length + PART - 1) / PART;
    if (length == 0) return Complete(irp, STATUS_SUCCESS, 0);
    if (length > PART * PARTS) return Complete(irp, STATUS_INVALID_PARAMETER, 0);
    // Not only for a better answer: a sum of what a user gives can overflow.
    if (stack->Parameters.Read.ByteOffset.QuadPart < 0 || stack->Parameters.Read.ByteOffset.QuadPart > CAPACITY)
        return Complete(irp, STATUS_END_OF_FILE, 0);
    // All of them are made before the first is sent: from then on there is no way back.
    for (ULONG i = 0; i < count; i++) {
        ULONG from = i * PART, rest = length - from;
        parts[i] = MakePart(irp, stack, from, rest < PART ? rest : PART);
        if (parts[i] != NULL) continue;
        while (i-- > 0) {
            IoFreeMdl(parts[i]->MdlAddress);
            IoFreeIrp(parts[i]);
        }
        return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    irp->AssociatedIrp.IrpCount = (LONG)count;
    irp->IoStatus.Status = STATUS_SUCCESS;
    irp->IoStatus.Information = length;
    IoMarkIrpPending(irp);
    // With the last call the master may be gone.
    for (ULONG i = 0; i < count; i++) IoCallDriver(s_lower, parts[i]);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI Read(PDEVICE_OBJECT device, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    return device == s_top ? ReadTop(irp, stack) : ReadLower(irp, stack);
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
    DeleteNamed(s_top, L"Associated");
    DeleteNamed(s_lower, L"AssociatedLower");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    SetOpenClose(driver);
    driver->MajorFunction[IRP_MJ_READ] = Read;
    driver->DriverUnload = Unload;
    NTSTATUS status = CreateNamed(driver, L"AssociatedLower", 0, DO_DIRECT_IO, &s_lower);
    if (!NT_SUCCESS(status)) return status;
    status = CreateNamed(driver, L"Associated", 0, DO_DIRECT_IO, &s_top);
    if (!NT_SUCCESS(status)) {
        DeleteNamed(s_lower, L"AssociatedLower");
        return status;
    }
    s_lower->Flags &= ~DO_DEVICE_INITIALIZING;
    s_top->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
