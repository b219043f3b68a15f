using System.Runtime.CompilerServices;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Memory management: what the machine has, pool, stacks, and users' memory.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Mm
{
    const uint MdlTag = 0x206C_644D;    // 'Mdl '

    readonly NtKernel _nt;
    readonly ConditionalWeakTable<AddressSpace, UserSpace> _spaces = [];
    Va _nextPte = new(0xFFFF_B800_0000_0000), _nextStack = new(0xFFFF_C000_0000_0000), _nextUser = new(0x1_0000_0000);

    public Mm(NtKernel nt)
    {
        _nt = nt;
        Pool = new Pool(nt);
        Paging = new DriverPaging(nt);
    }

    public Pool Pool { get; }

    /// <summary>What processes pay for of pool.</summary>
    public PoolQuota Quota { get; } = new();

    /// <summary>Which sections of drivers may be paged out.</summary>
    public DriverPaging Paging { get; }

    /// <summary>The machine has 2 GiB.</summary>
    public const ulong MemoryPages = PhysicalMemory.EndFrame - PhysicalMemory.FirstFrame;

    const ulong MustSucceedPages = 0x100;

    /// <summary>Pages that somebody was promised: pool, stacks, sections, users' memory.</summary>
    public ulong CommittedPages { get; private set; }

    /// <summary>Pages that can still be promised. Frames that are locked stay after their memory was
    /// freed.</summary>
    public ulong AvailablePages
    {
        get
        {
            ulong held = Math.Max(CommittedPages, (ulong)_nt.Memory.Physical.InUse);
            return held < MemoryPages ? MemoryPages - held : 0;
        }
    }

    /// <summary>Promises pages. Who may be refused has looked before; what the system must have and has not stops the
    /// machine.</summary>
    public void Commit(ulong pages)
    {
        if (pages > MemoryPages + MustSucceedPages - CommittedPages)
            throw new BugCheck(BugCheckCode.MUST_SUCCEED_POOL_EMPTY, pages << 12, CommittedPages, MemoryPages);
        CommittedPages += pages;
    }

    public void Uncommit(ulong pages) => CommittedPages -= pages;

    /// <summary>So many pages are worked on: for many of them that counts as instructions of the request.</summary>
    public void Spend(ulong pages)
    {
        for (ulong i = 64; i <= pages; i += 4) _nt.Ke.Clock.Spend();
    }

    public const int StackBytes = 6 * Va.PageSize;

    /// <summary>A kernel stack with a guard page below it. Its addresses are not used again.</summary>
    public KernelStack NewStack(int bytes)
    {
        Va guard = _nextStack, start = guard + Va.PageSize;
        _nextStack = start + bytes;
        _nt.Memory.Map(guard, Va.PageSize, Protection.Guard);
        _nt.Memory.Map(start, (ulong)bytes, Protection.ReadWrite);
        Commit((ulong)bytes >> 12);
        return new KernelStack(start + bytes, start);
    }

    public void FreeStack(KernelStack stack)
    {
        ulong bytes = stack.Base - stack.Limit;
        _nt.Memory.Unmap(stack.Limit - Va.PageSize, bytes + Va.PageSize);
        Uncommit(bytes >> 12);
    }

    /// <summary>What a process's user half has where.</summary>
    public UserSpace SpaceOf(AddressSpace space) => _spaces.GetValue(space, _ => new UserSpace(_nt));

    /// <summary>The user half that is seen now.</summary>
    public UserSpace Space => SpaceOf(_nt.Memory.Current);

    /// <summary>Memory in the user half of the current process, as VirtualAlloc gives; a page that is not there follows
    /// it, and its addresses are not used again.</summary>
    public Va AllocateUser(ulong bytes, Protection protection = Protection.ReadWrite)
    {
        ulong pages = (Math.Max(1, bytes) + 0xFFF) >> 12;
        while (Space.FirstIn(_nextUser.Page, _nextUser.Page + pages + 1) is { } taken) _nextUser = new(taken.End << 12);
        // A driver can take all addresses that there are.
        if (_nextUser.Page + pages + 1 > UserSpace.End) throw new BugCheck(BugCheckCode.NO_PAGES_AVAILABLE, pages);
        Va start = _nextUser;
        _nextUser += (pages + 1) << 12;
        uint protect = PageProtection.From(protection);
        var vad = new Vad(start.Page, start.Page + pages, VadKind.Private, protect);
        Space.Add(vad);
        Space.Commit(vad, vad.Start, vad.End, protect);
        return start;
    }

    /// <summary>Gives back what <see cref="AllocateUser"/> gave; null is nothing.</summary>
    public void FreeUser(Va start, ulong bytes)
    {
        if (Space.Find(start.Page) is { Kind: VadKind.Private } vad) Space.Remove(vad, vad.Start, vad.End);
    }

    /// <summary>A process is over: all of its user half, which must be the current one, goes.</summary>
    /// <exception cref="BugCheck">Pages of it are still locked by a driver.</exception>
    public void DeleteSpace(EProcess process)
    {
        if (LockedPagesOf(process.Address) is > 0 and var locked)
            throw new BugCheck(BugCheckCode.PROCESS_HAS_LOCKED_PAGES, 0, process.Address.Value, (ulong)locked);
        foreach (Vad vad in Space.Vads.ToArray())
        {
            if (vad.Kind == VadKind.Section) UnmapView(vad);
            else if (vad.Kind == VadKind.Private) Space.Remove(vad, vad.Start, vad.End);
        }
        _spaces.Remove(_nt.Memory.Current);
    }

    /// <summary>Does something in another process, or at once if it is the current one.</summary>
    public T InProcess<T>(EProcess process, Func<T> body)
    {
        if (process == _nt.Ps.CurrentProcess) return body();
        const int apcStateSize = 0x30;
        Va state = Pool.Allocate(apcStateSize, MdlTag);
        _nt.Ke.KeStackAttachProcess(process, state);
        try
        {
            return body();
        }
        finally
        {
            _nt.Ke.KeUnstackDetachProcess(state);
            Pool.Free(state);
        }
    }

    /// <summary>Free addresses for a mapping of so many pages, and one page between it and the next.</summary>
    public Va ReservePtes(int pages)
    {
        Va start = _nextPte;
        _nextPte += (ulong)(pages + 1) << 12;
        return start;
    }

    /// <summary>MmLargeSystem: 2 GiB.</summary>
    [Export]
    public uint MmQuerySystemSize() => 2;

    /// <summary>False: a client.</summary>
    [Export]
    public bool MmIsThisAnNtAsSystem() => false;

    // Ringdown's own rules are always on; Windows' Driver Verifier, whose settings these ask for, is not there.
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint MmIsDriverVerifying(DriverObject driverObject) => 0;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint MmIsDriverVerifyingByAddress(Va addressWithinSection) => 0;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint MmIsDriverSuspectForVerifier(DriverObject driverObject) => 0;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmIsVerifierEnabled(Va verifierFlags)
    {
        _nt.Memory.Write(verifierFlags, 0u);
        return Status.STATUS_NOT_SUPPORTED;
    }

    /// <summary>Refused, as where Driver Verifier is off.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmAddVerifierThunks(Va thunkBuffer, uint thunkBufferSize) => Status.STATUS_NOT_SUPPORTED;

    [ExportData] public ulong MmHighestUserAddress => 0x7FFF_FFFE_FFFF;
    [ExportData] public ulong MmSystemRangeStart => 0xFFFF_8000_0000_0000;
    [ExportData] public ulong MmUserProbeAddress => 0x7FFF_FFFF_0000;
    [ExportData] public ulong Mm64BitPhysicalAddress => 1;
    [ExportData] public ulong MmBadPointer => 0xFFFF_F6FF_FFFF_FFF0;
}
