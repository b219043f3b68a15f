using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Pool quota: what is charged to a process is counted in EPROCESS.</summary>
sealed partial class Ps
{
    /// <summary>What a process may have charged of a kind of pool, in bytes: the machine's own limit of a
    /// block.</summary>
    const ulong QuotaLimit = 1UL << 30;

    NtStatus Charge(EProcess process, uint poolType, ulong amount)
    {
        At(process);
        bool isPaged = (poolType & 1) != 0;
        ulong before = isPaged ? process.PagedUsage : process.NonPagedUsage, sum = before + amount;
        // The System process has no quota.
        if (process == SystemProcess) return STATUS_SUCCESS;
        if (sum < before || sum > QuotaLimit) return STATUS_QUOTA_EXCEEDED;
        if (isPaged) (process.PagedUsage, process.PagedPeak) = (sum, Math.Max(process.PagedPeak, sum));
        else (process.NonPagedUsage, process.NonPagedPeak) = (sum, Math.Max(process.NonPagedPeak, sum));
        return STATUS_SUCCESS;
    }

    void Return(EProcess process, uint poolType, ulong amount)
    {
        At(process);
        if (process == SystemProcess) return;
        bool isPaged = (poolType & 1) != 0;
        ulong before = isPaged ? process.PagedUsage : process.NonPagedUsage;
        if (amount > before)
            throw new BugCheck(BugCheckCode.QUOTA_UNDERFLOW, process.Address.Value, poolType, before, amount);
        if (isPaged) process.PagedUsage = before - amount;
        else process.NonPagedUsage = before - amount;
    }

    /// <summary>Raises STATUS_QUOTA_EXCEEDED where it is too much.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PsChargePoolQuota(EProcess process, uint poolType, ulong amount)
    {
        NtStatus status = Charge(process, poolType, amount);
        if (!status.IsSuccess) throw new GuestException(status.Value);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PsChargeProcessPoolQuota(EProcess process, uint poolType, ulong amount) =>
        Charge(process, poolType, amount);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PsChargeProcessPagedPoolQuota(EProcess process, ulong amount) => Charge(process, 1, amount);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PsChargeProcessNonPagedPoolQuota(EProcess process, ulong amount) => Charge(process, 0, amount);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PsReturnPoolQuota(EProcess process, uint poolType, ulong amount) =>
        Return(process, poolType, amount);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PsReturnProcessPagedPoolQuota(EProcess process, ulong amount) => Return(process, 1, amount);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PsReturnProcessNonPagedPoolQuota(EProcess process, ulong amount) => Return(process, 0, amount);
}
