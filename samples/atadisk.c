// A disk: a WDM driver for the first drive of an ATA channel (PNP0600). One request at a time by StartIo, data by the bus
// master's DMA where there is one, else by programmed I/O. \Device\AtaDiskN.
#include "sample.h"
#include <ntdddisk.h>

#define SECTOR 512
#define MOST_SECTORS 256
#define MOST_BYTES (MOST_SECTORS * SECTOR)
#define TABLE_BYTES 0x1000
#define TRIES 3
#define SECONDS(n) ((n) * 10000000LL)
#define COMMAND_SECONDS 10

enum { DATA, ERROR_FEATURES, COUNT, LOW, MIDDLE, HIGH, DEVICE, STATUS, PORTS };
enum { MASTER_COMMAND, MASTER_STATUS = 2, MASTER_TABLE = 4 };

#define STATUS_BUSY 0x80
#define STATUS_REQUEST 8
#define STATUS_FAILED 1
#define ERROR_ABORTED 4
#define ERROR_NOT_FOUND 0x10
#define ERROR_UNCORRECTABLE 0x40
#define MASTER_START 1
#define MASTER_TO_MEMORY 8
#define MASTER_ACTIVE 1
#define MASTER_FAILED 2
#define MASTER_INTERRUPT 4
#define CONTROL_RESET 4
#define LAST_REGION 0x80000000

#define READ_SECTORS 0x24
#define WRITE_SECTORS 0x34
#define READ_DMA 0x25
#define WRITE_DMA 0x35
#define WRITE_DMA_FUA 0x3D
#define READ_VERIFY 0x42
#define FLUSH_CACHE 0xEA
#define STANDBY_IMMEDIATE 0xE0
#define IDENTIFY_DEVICE 0xEC
#define SET_FEATURES 0xEF

typedef struct {
    PDEVICE_OBJECT Self, Lower, Physical;
    IO_REMOVE_LOCK RemoveLock;
    UNICODE_STRING Name, Link;
    WCHAR NameText[24], LinkText[32];
    BOOLEAN HasLink, Started, Powered, Gone, Held;
    PUCHAR Port, ControlPort, Master;
    PKINTERRUPT Interrupt;
    PDMA_ADAPTER Adapter;
    PULONG Table;
    PHYSICAL_ADDRESS TableAddress;
    USHORT Identity[256];
    ULONGLONG Sectors;

    // The request that is served: StartIo's, the DPC's and the timer's, who take turns.
    ULONGLONG Sector;
    ULONG Left, Chunk, Tries;
    PUCHAR Data;
    BOOLEAN Writes, Moves, ByDma;
    PSCATTER_GATHER_LIST List;
    KTIMER Timer;
    KDPC TimeOut;
    ULONGLONG Deadline;

    // With the service routine, under the interrupt's lock.
    BOOLEAN Waits;
    UCHAR Status, Error, MasterStatus;
} DISK, *PDISK;

static LONG s_devices;

static void Begin(PDISK x);

static UCHAR In(PDISK x, int port)
{
    return READ_PORT_UCHAR(x->Port + port);
}

static void Out(PDISK x, int port, UCHAR value)
{
    WRITE_PORT_UCHAR(x->Port + port, value);
}

// Waits in place: only for what the drive does at once.
static BOOLEAN Settle(PDISK x, UCHAR wanted)
{
    for (int i = 0; i < 2000; i++) {
        UCHAR status = READ_PORT_UCHAR(x->ControlPort);
        if (status == 0xFF) return FALSE;
        if (!(status & STATUS_BUSY)) return (status & wanted) == wanted;
        KeStallExecutionProcessor(10);
    }
    return FALSE;
}

static BOOLEAN Reset(PDISK x)
{
    WRITE_PORT_UCHAR(x->ControlPort, CONTROL_RESET);
    KeStallExecutionProcessor(5);
    WRITE_PORT_UCHAR(x->ControlPort, 0);
    return Settle(x, 0);
}

// The request is over: the next one begins.
static void End(PDISK x, NTSTATUS status)
{
    PIRP irp = x->Self->CurrentIrp;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    ULONG_PTR done = NT_SUCCESS(status) && x->Moves ? at->Parameters.Read.Length : 0;
    KeCancelTimer(&x->Timer);
    IoStartNextPacket(x->Self, TRUE);
    Complete(irp, status, done);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
}

// Nobody interrupts for the present command any more.
static BOOLEAN TakeBack(PDISK x)
{
    KIRQL irql = KeAcquireInterruptSpinLock(x->Interrupt);
    BOOLEAN waited = x->Waits;
    x->Waits = FALSE;
    KeReleaseInterruptSpinLock(x->Interrupt, irql);
    return waited;
}

static void FreeList(PDISK x)
{
    if (x->Master != NULL) WRITE_PORT_UCHAR(x->Master + MASTER_COMMAND, 0);
    if (x->List != NULL) x->Adapter->DmaOperations->PutScatterGatherList(x->Adapter, x->List, x->Writes);
    x->List = NULL;
}

// What went wrong may go well another time.
static void Retry(PDISK x, NTSTATUS status)
{
    FreeList(x);
    if (x->Gone) {
        End(x, STATUS_DEVICE_REMOVED);
        return;
    }
    BOOLEAN there = Reset(x);
    if (!there || x->Tries++ == TRIES) End(x, there ? status : STATUS_DEVICE_NOT_CONNECTED);
    else Begin(x);
}

// A command on some sectors, with 48 bits of address.
static void Issue(PDISK x, UCHAR command, ULONG count)
{
    LARGE_INTEGER due;
    KIRQL irql = KeAcquireInterruptSpinLock(x->Interrupt);
    x->Waits = TRUE;
    Out(x, DEVICE, 0x40);
    Out(x, COUNT, (UCHAR)(count >> 8));
    Out(x, LOW, (UCHAR)(x->Sector >> 24));
    Out(x, MIDDLE, (UCHAR)(x->Sector >> 32));
    Out(x, HIGH, (UCHAR)(x->Sector >> 40));
    Out(x, COUNT, (UCHAR)count);
    Out(x, LOW, (UCHAR)x->Sector);
    Out(x, MIDDLE, (UCHAR)(x->Sector >> 8));
    Out(x, HIGH, (UCHAR)(x->Sector >> 16));
    Out(x, STATUS, command);
    KeReleaseInterruptSpinLock(x->Interrupt, irql);
    x->Deadline = KeQueryInterruptTime() + SECONDS(COMMAND_SECONDS);
    due.QuadPart = -SECONDS(COMMAND_SECONDS);
    KeSetTimer(&x->Timer, due, &x->TimeOut);
}

// The regions that the device is told: none crosses 64 KiB.
static BOOLEAN FillTable(PDISK x, PSCATTER_GATHER_LIST list)
{
    ULONG used = 0;
    for (ULONG i = 0; i < list->NumberOfElements; i++) {
        ULONGLONG address = list->Elements[i].Address.QuadPart;
        ULONG length = list->Elements[i].Length;
        // The bus master has words only.
        if ((address | length) & 1) return FALSE;
        while (length > 0) {
            ULONG piece = 0x10000 - (ULONG)(address & 0xFFFF);
            if (piece > length) piece = length;
            if (used * 8 == TABLE_BYTES) return FALSE;
            x->Table[used * 2] = (ULONG)address;
            x->Table[used * 2 + 1] = piece & 0xFFFF;
            used++;
            address += piece;
            length -= piece;
        }
    }
    x->Table[used * 2 - 1] |= LAST_REGION;
    return TRUE;
}

static void BeginByHand(PDISK x)
{
    x->ByDma = FALSE;
    if (x->Data == NULL) {
        x->Data = MmGetSystemAddressForMdlSafe(x->Self->CurrentIrp->MdlAddress, NormalPagePriority);
        if (x->Data == NULL) {
            End(x, STATUS_INSUFFICIENT_RESOURCES);
            return;
        }
    }
    Issue(x, x->Writes ? WRITE_SECTORS : READ_SECTORS, x->Chunk);
    if (!x->Writes) return;
    ULONG_PTR done = IoGetCurrentIrpStackLocation(x->Self->CurrentIrp)->Parameters.Write.Length - x->Left * SECTOR;
    if (Settle(x, STATUS_REQUEST)) WRITE_PORT_BUFFER_USHORT((PUSHORT)(x->Port + DATA), (PUSHORT)(x->Data + done), 256);
    // Without it the drive has refused: its interrupt tells.
}

static void NTAPI OnList(PDEVICE_OBJECT device, PIRP irp, PSCATTER_GATHER_LIST list, PVOID context)
{
    PDISK x = context;
    BOOLEAN through = (IoGetCurrentIrpStackLocation(x->Self->CurrentIrp)->Flags & SL_WRITE_THROUGH) != 0;
    x->List = list;
    if (!FillTable(x, list)) {
        FreeList(x);
        BeginByHand(x);
        return;
    }
    UCHAR direction = x->Writes ? 0 : MASTER_TO_MEMORY;
    x->ByDma = TRUE;
    WRITE_PORT_ULONG((PULONG)(x->Master + MASTER_TABLE), x->TableAddress.LowPart);
    WRITE_PORT_UCHAR(x->Master + MASTER_COMMAND, direction);
    WRITE_PORT_UCHAR(x->Master + MASTER_STATUS, 0x60 | MASTER_FAILED | MASTER_INTERRUPT);
    Issue(x, !x->Writes ? READ_DMA : through ? WRITE_DMA_FUA : WRITE_DMA, x->Chunk);
    WRITE_PORT_UCHAR(x->Master + MASTER_COMMAND, direction | MASTER_START);
}

// The next part of the request, or the same again.
static void Begin(PDISK x)
{
    PIRP irp = x->Self->CurrentIrp;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    if (x->Gone || !x->Started) {
        End(x, STATUS_DEVICE_REMOVED);
        return;
    }
    // Without power it waits; power that comes begins it.
    x->Held = !x->Powered;
    if (x->Held) return;
    x->ByDma = FALSE;
    if (!x->Moves) {
        x->Chunk = x->Left < 0x10000 ? x->Left : 0x10000;
        Issue(x, at->MajorFunction == IRP_MJ_DEVICE_CONTROL ? READ_VERIFY : FLUSH_CACHE, x->Chunk);
        return;
    }
    x->Chunk = x->Left < MOST_SECTORS ? x->Left : MOST_SECTORS;
    if (x->Master == NULL || x->Adapter == NULL || !NT_SUCCESS(x->Adapter->DmaOperations->GetScatterGatherList(
        x->Adapter, x->Self, irp->MdlAddress,
        (PUCHAR)MmGetMdlVirtualAddress(irp->MdlAddress) + (at->Parameters.Read.Length - x->Left * SECTOR),
        x->Chunk * SECTOR, OnList, x, x->Writes))) BeginByHand(x);
}

static void NTAPI StartIo(PDEVICE_OBJECT device, PIRP irp)
{
    PDISK x = device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    KIRQL irql;
    IoAcquireCancelSpinLock(&irql);
    IoSetCancelRoutine(irp, NULL);
    BOOLEAN cancelled = irp->Cancel;
    IoReleaseCancelSpinLock(irql);
    x->Writes = at->MajorFunction == IRP_MJ_WRITE;
    x->Moves = x->Writes || at->MajorFunction == IRP_MJ_READ;
    x->Tries = 0;
    x->Data = NULL;
    x->Sector = x->Left = 0;
    if (x->Moves) {
        x->Sector = at->Parameters.Read.ByteOffset.QuadPart / SECTOR;
        x->Left = at->Parameters.Read.Length / SECTOR;
    } else if (at->MajorFunction == IRP_MJ_DEVICE_CONTROL) {
        PVERIFY_INFORMATION verify = irp->AssociatedIrp.SystemBuffer;
        x->Sector = verify->StartingOffset.QuadPart / SECTOR;
        x->Left = verify->Length / SECTOR;
    }
    if (cancelled) End(x, STATUS_CANCELLED);
    else Begin(x);
}

static BOOLEAN NTAPI Isr(PKINTERRUPT interrupt, PVOID context)
{
    PDISK x = context;
    if (!x->Waits) return FALSE;
    if (x->Master != NULL) {
        x->MasterStatus = READ_PORT_UCHAR(x->Master + MASTER_STATUS);
        if (!(x->MasterStatus & MASTER_INTERRUPT)) return FALSE;
        WRITE_PORT_UCHAR(x->Master + MASTER_STATUS, (x->MasterStatus & 0x60) | MASTER_FAILED | MASTER_INTERRUPT);
    }
    // Reading the status quiets the drive.
    x->Status = In(x, STATUS);
    x->Error = In(x, ERROR_FEATURES);
    x->Waits = FALSE;
    IoRequestDpc(x->Self, NULL, x);
    return TRUE;
}

// A sector came, or the next one goes. The drive may interrupt for the one after it at once.
static void MoveByHand(PDISK x)
{
    ULONG_PTR done = IoGetCurrentIrpStackLocation(x->Self->CurrentIrp)->Parameters.Read.Length - x->Left * SECTOR;
    BOOLEAN more = x->Chunk > 1;
    if (more) {
        KIRQL irql = KeAcquireInterruptSpinLock(x->Interrupt);
        x->Waits = TRUE;
        KeReleaseInterruptSpinLock(x->Interrupt, irql);
    }
    x->Sector++;
    x->Left--;
    x->Chunk--;
    if (!x->Writes) READ_PORT_BUFFER_USHORT((PUSHORT)(x->Port + DATA), (PUSHORT)(x->Data + done), 256);
    else if (more)
        WRITE_PORT_BUFFER_USHORT((PUSHORT)(x->Port + DATA), (PUSHORT)(x->Data + done + SECTOR), 256);
    if (more) return;
    if (x->Left == 0) End(x, STATUS_SUCCESS);
    else Begin(x);
}

static NTSTATUS ErrorOf(UCHAR error)
{
    return (error & ERROR_UNCORRECTABLE) ? STATUS_DEVICE_DATA_ERROR
        : (error & ERROR_NOT_FOUND) ? STATUS_NONEXISTENT_SECTOR : STATUS_IO_DEVICE_ERROR;
}

static void NTAPI DpcForIsr(PKDPC dpc, PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PDISK x = context;
    if (x->Status == 0xFF) {
        FreeList(x);
        End(x, STATUS_DEVICE_NOT_CONNECTED);
        return;
    }
    if (x->Status & STATUS_FAILED) {
        Retry(x, ErrorOf(x->Error));
        return;
    }
    if (x->Moves && !x->ByDma) {
        if (!x->Writes && !(x->Status & STATUS_REQUEST)) Retry(x, STATUS_IO_DEVICE_ERROR);
        else MoveByHand(x);
        return;
    }
    if (x->ByDma && (x->MasterStatus & (MASTER_FAILED | MASTER_ACTIVE))) {
        Retry(x, STATUS_IO_DEVICE_ERROR);
        return;
    }
    FreeList(x);
    KeCancelTimer(&x->Timer);
    x->Sector += x->Chunk;
    x->Left -= x->Chunk;
    x->Tries = 0;
    if (x->Left == 0) End(x, STATUS_SUCCESS);
    else Begin(x);
}

// The drive does not answer. The timer may be one of a command that has ended.
static void NTAPI OnTimeOut(PKDPC dpc, PVOID context, PVOID argument1, PVOID argument2)
{
    PDISK x = context;
    if (KeQueryInterruptTime() >= x->Deadline && TakeBack(x)) Retry(x, STATUS_IO_TIMEOUT);
}

static void NTAPI Cancel(PDEVICE_OBJECT device, PIRP irp)
{
    PDISK x = device->DeviceExtension;
    if (irp == device->CurrentIrp) {
        // StartIo is about to take the routine back, and sees the flag.
        IoReleaseCancelSpinLock(irp->CancelIrql);
        return;
    }
    KeRemoveEntryDeviceQueue(&device->DeviceQueue, &irp->Tail.Overlay.DeviceQueueEntry);
    IoReleaseCancelSpinLock(irp->CancelIrql);
    Complete(irp, STATUS_CANCELLED, 0);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
}

static NTSTATUS Queue(PDISK x, PIRP irp)
{
    IoMarkIrpPending(irp);
    IoStartPacket(x->Self, irp, NULL, Cancel);
    return STATUS_PENDING;
}

static NTSTATUS Finish(PDISK x, PIRP irp, NTSTATUS status, ULONG_PTR information)
{
    Complete(irp, status, information);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static BOOLEAN IsOnDisk(PDISK x, LONGLONG offset, ULONG length)
{
    return offset >= 0 && (offset | length) % SECTOR == 0 && (ULONGLONG)offset <= x->Sectors * SECTOR
        && length <= x->Sectors * SECTOR - (ULONGLONG)offset;
}

// STORAGE_DEVICE_DESCRIPTOR, with the model behind it.
static NTSTATUS Describe(PDISK x, PIRP irp, ULONG input, ULONG output)
{
    PSTORAGE_PROPERTY_QUERY query = irp->AssociatedIrp.SystemBuffer;
    UCHAR made[sizeof(STORAGE_DEVICE_DESCRIPTOR) + 44];
    PSTORAGE_DEVICE_DESCRIPTOR d = (PSTORAGE_DEVICE_DESCRIPTOR)made;
    if (input < sizeof(STORAGE_PROPERTY_QUERY)) return Finish(x, irp, STATUS_INVALID_PARAMETER, 0);
    if (query->PropertyId != StorageDeviceProperty) return Finish(x, irp, STATUS_NOT_SUPPORTED, 0);
    if (query->QueryType == PropertyExistsQuery) return Finish(x, irp, STATUS_SUCCESS, 0);
    RtlZeroMemory(made, sizeof(made));
    d->Version = sizeof(STORAGE_DEVICE_DESCRIPTOR);
    d->Size = sizeof(made);
    d->BusType = BusTypeAta;
    d->ProductIdOffset = sizeof(STORAGE_DEVICE_DESCRIPTOR);
    for (int i = 0; i < 20; i++) {
        made[d->ProductIdOffset + 2 * i] = (UCHAR)(x->Identity[27 + i] >> 8);
        made[d->ProductIdOffset + 2 * i + 1] = (UCHAR)x->Identity[27 + i];
    }
    if (output > sizeof(made)) output = sizeof(made);
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, made, output);
    return Finish(x, irp, STATUS_SUCCESS, output);
}

static NTSTATUS Control(PDISK x, PIRP irp, PIO_STACK_LOCATION at)
{
    ULONG input = at->Parameters.DeviceIoControl.InputBufferLength;
    ULONG output = at->Parameters.DeviceIoControl.OutputBufferLength;
    PVOID buffer = irp->AssociatedIrp.SystemBuffer;
    DISK_GEOMETRY geometry = { { .QuadPart = (LONGLONG)(x->Sectors / (255 * 63)) }, FixedMedia, 255, 63, SECTOR };
    switch (at->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_DISK_GET_DRIVE_GEOMETRY:
        if (output < sizeof(geometry)) return Finish(x, irp, STATUS_BUFFER_TOO_SMALL, 0);
        *(PDISK_GEOMETRY)buffer = geometry;
        return Finish(x, irp, STATUS_SUCCESS, sizeof(geometry));
    case IOCTL_DISK_GET_DRIVE_GEOMETRY_EX: {
        PDISK_GEOMETRY_EX ex = buffer;
        ULONG size = FIELD_OFFSET(DISK_GEOMETRY_EX, Data);
        if (output < size) return Finish(x, irp, STATUS_BUFFER_TOO_SMALL, 0);
        ex->Geometry = geometry;
        ex->DiskSize.QuadPart = (LONGLONG)(x->Sectors * SECTOR);
        return Finish(x, irp, STATUS_SUCCESS, size);
    }
    case IOCTL_DISK_GET_LENGTH_INFO:
        if (output < sizeof(LONGLONG)) return Finish(x, irp, STATUS_BUFFER_TOO_SMALL, 0);
        *(PLONGLONG)buffer = (LONGLONG)(x->Sectors * SECTOR);
        return Finish(x, irp, STATUS_SUCCESS, sizeof(LONGLONG));
    case IOCTL_STORAGE_QUERY_PROPERTY:
        return Describe(x, irp, input, output);
    case IOCTL_DISK_VERIFY: {
        PVERIFY_INFORMATION verify = buffer;
        if (input < sizeof(VERIFY_INFORMATION)) return Finish(x, irp, STATUS_INFO_LENGTH_MISMATCH, 0);
        if (verify->Length == 0 || !IsOnDisk(x, verify->StartingOffset.QuadPart, verify->Length))
            return Finish(x, irp, STATUS_INVALID_PARAMETER, 0);
        return Queue(x, irp);
    }
    case IOCTL_DISK_IS_WRITABLE:
    case IOCTL_DISK_CHECK_VERIFY:
    case IOCTL_STORAGE_CHECK_VERIFY:
        return Finish(x, irp, STATUS_SUCCESS, 0);
    default:
        return Finish(x, irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS NTAPI Dispatch(PDEVICE_OBJECT device, PIRP irp)
{
    PDISK x = device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    switch (at->MajorFunction) {
    case IRP_MJ_CREATE:
        return Finish(x, irp, x->Started && !x->Gone ? STATUS_SUCCESS : STATUS_DEVICE_NOT_READY, 0);
    case IRP_MJ_CLEANUP:
    case IRP_MJ_CLOSE:
        return Finish(x, irp, STATUS_SUCCESS, 0);
    }
    if (x->Gone) return Finish(x, irp, STATUS_DEVICE_REMOVED, 0);
    switch (at->MajorFunction) {
    case IRP_MJ_READ:
    case IRP_MJ_WRITE:
        if (!IsOnDisk(x, at->Parameters.Read.ByteOffset.QuadPart, at->Parameters.Read.Length))
            return Finish(x, irp, STATUS_INVALID_PARAMETER, 0);
        return at->Parameters.Read.Length == 0 ? Finish(x, irp, STATUS_SUCCESS, 0) : Queue(x, irp);
    case IRP_MJ_FLUSH_BUFFERS:
    case IRP_MJ_SHUTDOWN:
        return Queue(x, irp);
    case IRP_MJ_DEVICE_CONTROL:
        return Control(x, irp, at);
    default:
        return Finish(x, irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS NTAPI SystemControl(PDEVICE_OBJECT device, PIRP irp)
{
    PDISK x = device->DeviceExtension;
    IoSkipCurrentIrpStackLocation(irp);
    return IoCallDriver(x->Lower, irp);
}

// By looking, since there is no interrupt yet.
static NTSTATUS Identify(PDISK x)
{
    WRITE_PORT_UCHAR(x->ControlPort, 2);
    Out(x, DEVICE, 0);
    if (In(x, STATUS) == 0xFF || !Reset(x)) return STATUS_NO_SUCH_DEVICE;
    WRITE_PORT_UCHAR(x->ControlPort, 2);
    Out(x, STATUS, IDENTIFY_DEVICE);
    if (!Settle(x, STATUS_REQUEST)) return STATUS_NO_SUCH_DEVICE;
    READ_PORT_BUFFER_USHORT((PUSHORT)(x->Port + DATA), x->Identity, 256);
    In(x, STATUS);
    // 48 bits of address are what all commands here have.
    if (!(x->Identity[83] & 0x400)) return STATUS_NOT_SUPPORTED;
    RtlCopyMemory(&x->Sectors, &x->Identity[100], sizeof(x->Sectors));
    // Ultra DMA 5.
    Out(x, ERROR_FEATURES, 3);
    Out(x, COUNT, 0x45);
    Out(x, STATUS, SET_FEATURES);
    Settle(x, 0);
    In(x, STATUS);
    WRITE_PORT_UCHAR(x->ControlPort, 0);
    return STATUS_SUCCESS;
}

static void MakeAdapter(PDISK x)
{
    DEVICE_DESCRIPTION description;
    ULONG registers;
    RtlZeroMemory(&description, sizeof(description));
    description.Version = DEVICE_DESCRIPTION_VERSION;
    description.Master = description.ScatterGather = description.Dma32BitAddresses = TRUE;
    description.InterfaceType = Isa;
    description.MaximumLength = MOST_BYTES;
    x->Adapter = IoGetDmaAdapter(x->Physical, &description, &registers);
    if (x->Adapter == NULL) return;
    x->Table = x->Adapter->DmaOperations->AllocateCommonBuffer(x->Adapter, TABLE_BYTES, &x->TableAddress, FALSE);
    if (x->Table != NULL) return;
    x->Adapter->DmaOperations->PutDmaAdapter(x->Adapter);
    x->Adapter = NULL;
}

static void FreeAdapter(PDISK x)
{
    if (x->Adapter == NULL) return;
    x->Adapter->DmaOperations->FreeCommonBuffer(x->Adapter, TABLE_BYTES, x->TableAddress, x->Table, FALSE);
    x->Adapter->DmaOperations->PutDmaAdapter(x->Adapter);
    x->Adapter = NULL;
}

static void MakeLink(PDISK x)
{
    RtlInitEmptyUnicodeString(&x->Link, x->LinkText, sizeof(x->LinkText));
    RtlAppendUnicodeToString(&x->Link, L"\\DosDevices\\AtaDisk");
    RtlAppendUnicodeToString(&x->Link, x->NameText + 15);
    x->HasLink = NT_SUCCESS(IoCreateSymbolicLink(&x->Link, &x->Name));
}

static NTSTATUS Start(PDISK x, PCM_RESOURCE_LIST resources)
{
    PCM_PARTIAL_RESOURCE_DESCRIPTOR interrupt = NULL;
    x->Port = x->ControlPort = x->Master = NULL;
    if (resources == NULL || resources->Count != 1) return STATUS_INSUFFICIENT_RESOURCES;
    PCM_PARTIAL_RESOURCE_LIST list = &resources->List[0].PartialResourceList;
    for (ULONG i = 0; i < list->Count; i++) {
        PCM_PARTIAL_RESOURCE_DESCRIPTOR d = &list->PartialDescriptors[i];
        PUCHAR port = (PUCHAR)(ULONG_PTR)d->u.Port.Start.QuadPart;
        if (d->Type == CmResourceTypeInterrupt) interrupt = d;
        if (d->Type != CmResourceTypePort) continue;
        // Eight ports, one, and eight: in the order in which they are always told.
        if (d->u.Port.Length < PORTS) x->ControlPort = port;
        else if (x->Port == NULL) x->Port = port;
        else x->Master = port;
    }
    if (x->Port == NULL || x->ControlPort == NULL || interrupt == NULL) return STATUS_INSUFFICIENT_RESOURCES;
    NTSTATUS status = Identify(x);
    if (!NT_SUCCESS(status)) return status;
    if (x->Master != NULL && x->Adapter == NULL) MakeAdapter(x);
    status = IoConnectInterrupt(&x->Interrupt, Isr, x, NULL, interrupt->u.Interrupt.Vector,
        (KIRQL)interrupt->u.Interrupt.Level, (KIRQL)interrupt->u.Interrupt.Level,
        (interrupt->Flags & CM_RESOURCE_INTERRUPT_LATCHED) ? Latched : LevelSensitive,
        interrupt->ShareDisposition == CmResourceShareShared, interrupt->u.Interrupt.Affinity, FALSE);
    if (!NT_SUCCESS(status)) return status;
    x->Started = x->Powered = TRUE;
    if (!x->HasLink) MakeLink(x);
    return STATUS_SUCCESS;
}

// What is under way ends, and all that waits.
static void SetGone(PDISK x)
{
    x->Gone = TRUE;
    if (x->Started) {
        KIRQL irql;
        KeRaiseIrql(DISPATCH_LEVEL, &irql);
        // The request itself, unless its interrupt has come: then the DPC ends it. Each one that follows ends at once.
        if (TakeBack(x)) {
            FreeList(x);
            End(x, STATUS_DEVICE_REMOVED);
        } else if (x->Held) {
            x->Held = FALSE;
            End(x, STATUS_DEVICE_REMOVED);
        }
        KeLowerIrql(irql);
        KeFlushQueuedDpcs();
        x->Started = FALSE;
        IoDisconnectInterrupt(x->Interrupt);
    }
    KeCancelTimer(&x->Timer);
    if (x->HasLink) IoDeleteSymbolicLink(&x->Link);
    x->HasLink = FALSE;
}

static NTSTATUS Remove(PDISK x, PIRP irp)
{
    PDEVICE_OBJECT self = x->Self, lower = x->Lower;
    SetGone(x);
    IoReleaseRemoveLockAndWait(&x->RemoveLock, irp);
    KeFlushQueuedDpcs();
    FreeAdapter(x);
    irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(irp);
    NTSTATUS status = IoCallDriver(lower, irp);
    IoDetachDevice(lower);
    IoDeleteDevice(self);
    return status;
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT device, PIRP irp)
{
    PDISK x = device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
    switch (at->MinorFunction) {
    case IRP_MN_START_DEVICE:
        status = IoForwardIrpSynchronously(x->Lower, irp) ? irp->IoStatus.Status : STATUS_UNSUCCESSFUL;
        if (NT_SUCCESS(status)) status = Start(x, at->Parameters.StartDevice.AllocatedResourcesTranslated);
        return Finish(x, irp, status, 0);
    case IRP_MN_QUERY_STOP_DEVICE:
        // Requests cannot be held up for other resources: it stays where it is.
        return Finish(x, irp, STATUS_UNSUCCESSFUL, 0);
    case IRP_MN_SURPRISE_REMOVAL:
        SetGone(x);
        break;
    case IRP_MN_REMOVE_DEVICE:
        return Remove(x, irp);
    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
        break;
    default:
        IoSkipCurrentIrpStackLocation(irp);
        status = IoCallDriver(x->Lower, irp);
        IoReleaseRemoveLock(&x->RemoveLock, irp);
        return status;
    }
    irp->IoStatus.Status = STATUS_SUCCESS;
    IoSkipCurrentIrpStackLocation(irp);
    status = IoCallDriver(x->Lower, irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

// Power has come back below: what waited begins.
static NTSTATUS NTAPI PoweredUp(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
    PDISK x = context;
    if (irp->PendingReturned) IoMarkIrpPending(irp);
    if (NT_SUCCESS(irp->IoStatus.Status)) {
        POWER_STATE state = { .DeviceState = PowerDeviceD0 };
        KIRQL irql;
        PoSetPowerState(x->Self, DevicePowerState, state);
        KeRaiseIrql(DISPATCH_LEVEL, &irql);
        x->Powered = TRUE;
        if (x->Held) Begin(x);
        KeLowerIrql(irql);
    }
    PoStartNextPowerIrp(irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return STATUS_CONTINUE_COMPLETION;
}

// What is under way ends first; what comes now waits. The cache goes to the disk before power goes.
static void PowerDown(PDISK x, DEVICE_POWER_STATE to)
{
    POWER_STATE state = { .DeviceState = to };
    LARGE_INTEGER pause;
    pause.QuadPart = -10000;
    x->Powered = FALSE;
    while (x->Started && !x->Gone && x->Self->CurrentIrp != NULL && !x->Held)
        KeDelayExecutionThread(KernelMode, FALSE, &pause);
    if (x->Started && !x->Gone) {
        WRITE_PORT_UCHAR(x->ControlPort, 2);
        Out(x, STATUS, STANDBY_IMMEDIATE);
        for (int i = 0; i < 10000 && (READ_PORT_UCHAR(x->ControlPort) & 0x81) == STATUS_BUSY; i++)
            KeDelayExecutionThread(KernelMode, FALSE, &pause);
        In(x, STATUS);
        WRITE_PORT_UCHAR(x->ControlPort, 0);
    }
    PoSetPowerState(x->Self, DevicePowerState, state);
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT device, PIRP irp)
{
    PDISK x = device->DeviceExtension;
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    NTSTATUS status = IoAcquireRemoveLock(&x->RemoveLock, irp);
    if (!NT_SUCCESS(status)) {
        PoStartNextPowerIrp(irp);
        return Complete(irp, status, 0);
    }
    if (at->MinorFunction == IRP_MN_SET_POWER && at->Parameters.Power.Type == DevicePowerState) {
        if (at->Parameters.Power.State.DeviceState == PowerDeviceD0) {
            IoCopyCurrentIrpStackLocationToNext(irp);
            IoSetCompletionRoutine(irp, PoweredUp, x, TRUE, TRUE, TRUE);
            IoMarkIrpPending(irp);
            PoCallDriver(x->Lower, irp);
            return STATUS_PENDING;
        }
        PowerDown(x, at->Parameters.Power.State.DeviceState);
    }
    PoStartNextPowerIrp(irp);
    IoSkipCurrentIrpStackLocation(irp);
    status = PoCallDriver(x->Lower, irp);
    IoReleaseRemoveLock(&x->RemoveLock, irp);
    return status;
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT physical)
{
    WCHAR text[24] = L"\\Device\\AtaDisk0";
    UNICODE_STRING name;
    PDEVICE_OBJECT made;
    text[15] = (WCHAR)(L'0' + (InterlockedIncrement(&s_devices) - 1) % 10);
    RtlInitUnicodeString(&name, text);
    NTSTATUS status = IoCreateDevice(driver, sizeof(DISK), &name, FILE_DEVICE_DISK, FILE_DEVICE_SECURE_OPEN, FALSE, &made);
    if (!NT_SUCCESS(status)) return status;
    PDISK x = made->DeviceExtension;
    x->Self = made;
    x->Physical = physical;
    RtlCopyMemory(x->NameText, text, sizeof(text));
    RtlInitUnicodeString(&x->Name, x->NameText);
    IoInitializeRemoveLock(&x->RemoveLock, TAG, 0, 0);
    IoInitializeDpcRequest(made, DpcForIsr);
    KeInitializeTimer(&x->Timer);
    KeInitializeDpc(&x->TimeOut, OnTimeOut, x);
    // Requests that end at once one after the other must not nest.
    IoSetStartIoAttributes(made, TRUE, FALSE);
    x->Lower = IoAttachDeviceToDeviceStack(made, physical);
    if (x->Lower == NULL) {
        IoDeleteDevice(made);
        return STATUS_NO_SUCH_DEVICE;
    }
    made->Flags |= DO_DIRECT_IO | (x->Lower->Flags & DO_POWER_PAGABLE);
    made->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static void NTAPI Unload(PDRIVER_OBJECT driver)
{
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = Dispatch;
    driver->MajorFunction[IRP_MJ_PNP] = Pnp;
    driver->MajorFunction[IRP_MJ_POWER] = Power;
    driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
    driver->DriverExtension->AddDevice = AddDevice;
    driver->DriverStartIo = StartIo;
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
