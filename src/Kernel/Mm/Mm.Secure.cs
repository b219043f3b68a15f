using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Users' memory as drivers rely on it, and copy it.</summary>
sealed partial class Mm
{
    const ulong MaximumCopy = 1UL << 30;

    /// <summary>Keeps a range from being freed, and from losing the access that the mode asks for (PAGE_READONLY or
    /// PAGE_READWRITE). A handle, or null.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va MmSecureVirtualMemory(Va address, ulong size, uint probeMode)
    {
        if (size == 0 || size > MmUserProbeAddress || address.Value > MmUserProbeAddress - size) return Va.Null;
        if (probeMode is not (PageProtection.PAGE_READONLY or PageProtection.PAGE_READWRITE)) return Va.Null;
        ulong end = (address.Value + size + 0xFFF) >> 12;
        return new Va(Space.Secure(address.Page, end, probeMode == PageProtection.PAGE_READWRITE));
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va MmSecureVirtualMemoryEx(Va address, ulong size, uint probeMode, uint flags) =>
        flags != 0 ? Va.Null : MmSecureVirtualMemory(address, size, probeMode);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void MmUnsecureVirtualMemory(Va secureHandle)
    {
        if (!Space.Unsecure(secureHandle.Value))
            throw new BugCheck(BugCheckCode.MEMORY_MANAGEMENT, 0x1234, secureHandle.Value);
    }

    /// <summary>Copies from one process to another; how far it got is returned.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmCopyVirtualMemory(
        EProcess sourceProcess, Va sourceAddress, EProcess targetProcess, Va targetAddress, ulong bufferSize,
        ProcessorMode previousMode, Va returnSize)
    {
        if (bufferSize > MaximumCopy) return STATUS_INVALID_PARAMETER_5;
        if (previousMode == ProcessorMode.UserMode && (sourceAddress.Value + bufferSize > MmUserProbeAddress
            || targetAddress.Value + bufferSize > MmUserProbeAddress))
            return STATUS_ACCESS_VIOLATION;
        ulong done = 0;
        while (done < bufferSize)
        {
            Va from = sourceAddress + done, to = targetAddress + done;
            int count = (int)Math.Min(bufferSize - done,
                Va.PageSize - (ulong)Math.Max(from.PageOffset, to.PageOffset));
            byte[]? bytes = InProcess(sourceProcess, () => TryRead(from, count, false, out byte[] b) ? b : null);
            if (bytes is null || !InProcess(targetProcess, () => TryWrite(to, bytes))) break;
            done += (ulong)count;
            _nt.Ke.Clock.Spend();
        }
        _nt.Memory.Write(returnSize, done);
        return done == bufferSize ? STATUS_SUCCESS : STATUS_PARTIAL_COPY;
    }

    bool TryWrite(Va to, byte[] bytes)
    {
        if (!_nt.Memory.CanAccess(to, (ulong)bytes.Length, Access.Write)) return false;
        _nt.Memory.Write(to, bytes);
        return true;
    }
}
