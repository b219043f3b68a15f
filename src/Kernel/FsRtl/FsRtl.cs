using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What file systems and their filters share: names, locks on ranges, oplocks, change notification, maps of
/// runs.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class FsRtl(NtKernel nt)
{
    const uint FsRtlTag = 0x7274_5346;      // 'FStr'

    readonly PendingIrps _pending = new(nt);

    /// <summary>False for what says that a driver is broken: an access violation and its like.</summary>
    [Export]
    public bool FsRtlIsNtstatusExpected(NtStatus ntstatus) => ntstatus != STATUS_DATATYPE_MISALIGNMENT
        && ntstatus != STATUS_ACCESS_VIOLATION && ntstatus != STATUS_ILLEGAL_INSTRUCTION
        && ntstatus != STATUS_INSTRUCTION_MISALIGNMENT;

    [Export]
    public NtStatus FsRtlNormalizeNtstatus(NtStatus exception, NtStatus genericException) =>
        FsRtlIsNtstatusExpected(exception) ? exception : genericException;

    /// <summary>Whether a failure is the whole device's, and not that of some sectors.</summary>
    [Export]
    public bool FsRtlIsTotalDeviceFailure(NtStatus status) =>
        !status.IsSuccess && status != STATUS_CRC_ERROR && status != STATUS_DEVICE_DATA_ERROR;

    /// <summary>Pool, or STATUS_INSUFFICIENT_RESOURCES raised.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va FsRtlAllocatePool(uint poolType, ulong numberOfBytes) =>
        nt.Ex.ExAllocatePoolWithTag(poolType | RaiseIfAllocationFailure, numberOfBytes, FsRtlTag);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va FsRtlAllocatePoolWithTag(uint poolType, ulong numberOfBytes, uint tag) =>
        nt.Ex.ExAllocatePoolWithTag(poolType | RaiseIfAllocationFailure, numberOfBytes, tag);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va FsRtlAllocatePoolWithQuota(uint poolType, ulong numberOfBytes) =>
        nt.Ex.ExAllocatePoolWithQuotaTag(poolType & ~QuotaFailInsteadOfRaise, numberOfBytes, FsRtlTag);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va FsRtlAllocatePoolWithQuotaTag(uint poolType, ulong numberOfBytes, uint tag) =>
        nt.Ex.ExAllocatePoolWithQuotaTag(poolType & ~QuotaFailInsteadOfRaise, numberOfBytes, tag);

    const uint RaiseIfAllocationFailure = 16, QuotaFailInsteadOfRaise = 8;

    /// <summary>A worker calls the routine with a whole stack below it.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void FsRtlPostStackOverflow(Va context, KEvent @event, Va stackOverflowRoutine) =>
        Post(stackOverflowRoutine, context, @event);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void FsRtlPostPagingFileStackOverflow(Va context, KEvent @event, Va stackOverflowRoutine) =>
        Post(stackOverflowRoutine, context, @event);

    void Post(Va routine, Va context, KEvent @event) => nt.Ex.PoolOf(CriticalQueue).Queue(
        () => nt.Routines.Call(routine, context.Value, @event.Address.Value));

    const uint CriticalQueue = 0;

    /// <summary>As KeWaitForSingleObject, and the wait of a thread that is being terminated ends.</summary>
    [Export(Support.Partial, "Canceling the IRP does not end the wait."), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlCancellableWaitForSingleObject(DispatcherHeader @object, Va timeout, Irp irp) =>
        nt.Ke.KeWaitForSingleObject(@object, 0, 0, false, timeout);

    [Export(Support.Partial, "Canceling the IRP does not end the wait."), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlCancellableWaitForMultipleObjects(
        uint count, Va objectArray, uint waitType, Va timeout, Va waitBlockArray, Irp irp) =>
        nt.Ke.KeWaitForMultipleObjects(count, objectArray, waitType, 0, 0, false, timeout, waitBlockArray);
}
