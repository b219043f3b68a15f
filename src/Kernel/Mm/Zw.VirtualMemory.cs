using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Virtual memory of processes.</summary>
sealed partial class Zw
{
    const string NotAllTypes = "No large pages, no write watch, no mapped physical pages (AWE).";

    NtStatus InProcess(Handle handle, Func<NtStatus> body)
    {
        if (nt.Ob.Lookup(handle) is not { } process) return STATUS_INVALID_HANDLE;
        if (process.Type != nt.Ob.ProcessType) return STATUS_OBJECT_TYPE_MISMATCH;
        return nt.Mm.InProcess(EProcess.At(nt.Memory, process.Body), body);
    }

    /// <summary>The page below which an address must be so that its highest bits are zero; null if none can be.
    /// </summary>
    public static ulong? LimitOf(ulong zeroBits) => zeroBits switch
    {
        0 => UserSpace.End,
        // Up to 21 they count from bit 31 down, from 32 on they are a mask.
        <= 20 => 1UL << (int)(20 - zeroBits),
        21 => null,
        < 32 => null,
        _ => (ulong.MaxValue >> System.Numerics.BitOperations.LeadingZeroCount(zeroBits)) >> 12,
    };

    // The services take an address and a length by pointer and give back what they became.
    delegate NtStatus OnRange(ref Va start, ref ulong bytes);

    NtStatus ForRange(Handle process, Va baseAddress, Va regionSize, OnRange body) => InProcess(process, () =>
    {
        Va start = nt.Memory.Read<Va>(baseAddress);
        ulong bytes = nt.Memory.Read<ulong>(regionSize);
        NtStatus status = body(ref start, ref bytes);
        if (!status.IsSuccess) return status;
        nt.Memory.Write(baseAddress, start);
        nt.Memory.Write(regionSize, bytes);
        return status;
    });

    [Export(Support.Partial, NotAllTypes), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwAllocateVirtualMemory(
        Handle processHandle, Va baseAddress, ulong zeroBits, Va regionSize, uint allocationType, uint protect)
    {
        if (LimitOf(zeroBits) is not { } limit) return STATUS_INVALID_PARAMETER_3;
        return ForRange(processHandle, baseAddress, regionSize, (ref start, ref bytes) =>
            nt.Mm.Space.Allocate(ref start, ref bytes, allocationType, protect, limit));
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwFreeVirtualMemory(Handle processHandle, Va baseAddress, Va regionSize, uint freeType) =>
        ForRange(processHandle, baseAddress, regionSize, (ref start, ref bytes) =>
            nt.Mm.Space.Free(ref start, ref bytes, freeType));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwProtectVirtualMemory(
        Handle processHandle, Va baseAddress, Va regionSize, uint newProtect, Va oldProtect) =>
        ForRange(processHandle, baseAddress, regionSize, (ref start, ref bytes) =>
        {
            NtStatus status = nt.Mm.Space.Protect(ref start, ref bytes, newProtect, out uint old);
            if (status.IsSuccess) nt.Memory.Write(oldProtect, old);
            return status;
        });

    [Export(Support.Partial, "MemoryBasicInformation; other classes STATUS_INVALID_INFO_CLASS.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryVirtualMemory(
        Handle processHandle, Va baseAddress, uint memoryInformationClass, Va memoryInformation,
        ulong memoryInformationLength, Va returnLength)
    {
        if (memoryInformationClass != 0) return STATUS_INVALID_INFO_CLASS;
        if (memoryInformationLength < 0x30) return STATUS_INFO_LENGTH_MISMATCH;
        if (baseAddress.Page >= UserSpace.End) return STATUS_INVALID_PARAMETER;
        return InProcess(processHandle, () =>
        {
            nt.Memory.Write(memoryInformation, nt.Mm.Space.Query(baseAddress));
            if (!returnLength.IsNull) nt.Memory.Write(returnLength, 0x30UL);
            return STATUS_SUCCESS;
        });
    }

    /// <summary>Keeps pages in memory: all of a process's are here, so it is the counts that show.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwLockVirtualMemory(Handle processHandle, Va baseAddress, Va regionSize, uint mapType) =>
        Lock(processHandle, baseAddress, regionSize, mapType, 1);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwUnlockVirtualMemory(Handle processHandle, Va baseAddress, Va regionSize, uint mapType) =>
        Lock(processHandle, baseAddress, regionSize, mapType, -1);

    NtStatus Lock(Handle process, Va baseAddress, Va regionSize, uint mapType, int by)
    {
        if (mapType is not (1 or 2 or 3)) return STATUS_INVALID_PARAMETER;
        return ForRange(process, baseAddress, regionSize, (ref start, ref bytes) =>
        {
            UserSpace space = nt.Mm.Space;
            if (start.Page >= UserSpace.End || bytes is 0 or > UserSpace.End << 12) return STATUS_INVALID_PARAMETER;
            ulong first = start.Page, end = (start.Value + bytes + 0xFFF) >> 12;
            if (space.Find(first) is not { } vad || end > vad.End || !vad.Committed.Covers(first, end))
                return STATUS_ACCESS_VIOLATION;
            bool was = space.IsLocked(first);
            if (!space.Lock(first, end, by)) return STATUS_NOT_LOCKED;
            (start, bytes) = (new Va(first << 12), (end - first) << 12);
            return by > 0 && was ? STATUS_WAS_LOCKED : STATUS_SUCCESS;
        });
    }

    /// <summary>Writes a file's view back. No view here is a file's.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwFlushVirtualMemory(Handle processHandle, Va baseAddress, Va regionSize, Va ioStatus) =>
        ForRange(processHandle, baseAddress, regionSize, (ref start, ref bytes) =>
            nt.Mm.Space.Find(start.Page) is null ? STATUS_INVALID_VIEW_SIZE : STATUS_NOT_MAPPED_DATA);

    [Export(Support.Partial, NotAllTypes), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtAllocateVirtualMemory(
        Handle processHandle, Va baseAddress, ulong zeroBits, Va regionSize, uint allocationType, uint protect) =>
        ZwAllocateVirtualMemory(processHandle, baseAddress, zeroBits, regionSize, allocationType, protect);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtFreeVirtualMemory(Handle processHandle, Va baseAddress, Va regionSize, uint freeType) =>
        ZwFreeVirtualMemory(processHandle, baseAddress, regionSize, freeType);
}
