using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>
/// An x86-64 processor in kernel mode: interprets guest code out of a <see cref="Memory"/> until its owner is needed.
/// </summary>
/// <remarks>
/// Nothing that guest code does makes it throw; what a device or a port of the owner throws comes through. RIP and the
/// registers are exact at every stop. Within a block, an arithmetic flag that is set again before anything reads it may
/// be stale when an instruction faults. One processor runs on one host thread at a time, as does its memory.
/// </remarks>
public sealed unsafe partial class Processor : IDisposable
{
    readonly Memory _memory;
    readonly CodeCache _code;
    readonly IPortSpace? _ports;
    readonly Tlb _tlb;
    GCHandle _handle;

    public Processor(Memory memory, CodeCache code, IPortSpace? ports = null, int number = 0)
    {
        (_memory, _code, _ports) = (memory, code, ports);
        State = (CpuState*)NativeMemory.AlignedAlloc(CpuState.AllocationBytes, 64);
        new Span<byte>(State, CpuState.AllocationBytes).Clear();
        _bounce = (byte*)NativeMemory.AlignedAlloc(BounceBytes, 64);
        _tlb = new Tlb((TlbEntry*)((byte*)State + CpuState.TlbOffset));
        _handle = GCHandle.Alloc(this, GCHandleType.Weak);
        State->Owner = GCHandle.ToIntPtr(_handle);
        State->Number = number;
        Reset();
        ForgetJumps();
        memory.Attach(_tlb);
        memory.CodeChanged += OnCodeChanged;
        memory.MappingsChanged += OnMappingsChanged;
        memory.UserHalfChanged += OnUserHalfChanged;
        memory.PagedOut += OnPagedOut;
    }

    /// <summary>The processor's state, valid until it is disposed.</summary>
    public CpuState* State { get; private set; }

    public Memory Memory => _memory;

    public ulong this[int gpr]
    {
        get => State->Gpr[gpr & 15];
        set => State->Gpr[gpr & 15] = value;
    }

    public ulong Rax { get => State->Gpr[0]; set => State->Gpr[0] = value; }
    public ulong Rcx { get => State->Gpr[1]; set => State->Gpr[1] = value; }
    public ulong Rdx { get => State->Gpr[2]; set => State->Gpr[2] = value; }
    public ulong Rbx { get => State->Gpr[3]; set => State->Gpr[3] = value; }
    public ulong Rsp { get => State->Gpr[4]; set => State->Gpr[4] = value; }
    public ulong Rbp { get => State->Gpr[5]; set => State->Gpr[5] = value; }
    public ulong Rsi { get => State->Gpr[6]; set => State->Gpr[6] = value; }
    public ulong Rdi { get => State->Gpr[7]; set => State->Gpr[7] = value; }
    public ulong R8 { get => State->Gpr[8]; set => State->Gpr[8] = value; }
    public ulong R9 { get => State->Gpr[9]; set => State->Gpr[9] = value; }
    public ulong R10 { get => State->Gpr[10]; set => State->Gpr[10] = value; }
    public ulong R11 { get => State->Gpr[11]; set => State->Gpr[11] = value; }
    public ulong R12 { get => State->Gpr[12]; set => State->Gpr[12] = value; }
    public ulong R13 { get => State->Gpr[13]; set => State->Gpr[13] = value; }
    public ulong R14 { get => State->Gpr[14]; set => State->Gpr[14] = value; }
    public ulong R15 { get => State->Gpr[15]; set => State->Gpr[15] = value; }
    public ulong Rip { get => State->Rip; set => State->Rip = value; }
    public ulong Rflags { get => State->Rflags; set => State->Rflags = value; }

    /// <summary>RFLAGS.IF.</summary>
    public bool InterruptsEnabled => (State->SystemFlags & Flags.IF) != 0;

    public ulong Cr8 { get => State->Cr8; set => State->Cr8 = value & 15; }

    /// <summary>Saves what the running thread owns.</summary>
    public void CopyTo(CpuContext context) => new ReadOnlySpan<byte>(State, CpuState.ThreadBytes).CopyTo(context.Bytes);

    /// <summary>Puts back what a thread owns.</summary>
    public void CopyFrom(CpuContext context) => context.Bytes.CopyTo(new Span<byte>(State, CpuState.ThreadBytes));

    /// <summary>Bytes of MXCSR, the x87 and the vector registers, as <see cref="SaveExtended"/> keeps them.</summary>
    public const int ExtendedBytes = CpuState.ThreadBytes - CpuState.MxcsrOffset;

    /// <summary>Copies the registers that XSAVE would: MXCSR, x87, SSE, AVX.</summary>
    public void SaveExtended(Span<byte> area) =>
        new ReadOnlySpan<byte>((byte*)State + CpuState.MxcsrOffset, ExtendedBytes).CopyTo(area);

    public void RestoreExtended(ReadOnlySpan<byte> area) =>
        area[..ExtendedBytes].CopyTo(new Span<byte>((byte*)State + CpuState.MxcsrOffset, ExtendedBytes));

    void Reset()
    {
        CpuContext.Reset(State);
        Msr.Reset(State);
        State->Cr0 = 0x8005_0033;
        State->Cr4 = 0x0037_06F8;
        State->Xcr0 = 7;
        State->Dr[6] = 0xFFFF_0FF0;
        State->Dr[7] = 0x400;
        State->TscAux = (uint)State->Number;
        State->RandomState = 0x9E37_79B9_7F4A_7C15 * (ulong)(State->Number + 1);
        // NT's selectors.
        State->Segment[0] = State->Segment[3] = State->Segment[5] = 0x2B;
        State->Segment[1] = 0x10;
        State->Segment[2] = 0x18;
        State->Segment[4] = 0x53;
        State->TaskRegister = 0x40;
    }

    /// <summary>Whether code that was decoded has been given up since the present instruction began.</summary>
    internal bool CodeDropped => _codeDropped;

    internal uint ReadPort(Uop* op, ushort port, int size)
    {
        if (_ports is null) return uint.MaxValue;
        BeforePort(op);
        uint value = _ports.Read(port, size);
        State->BudgetAtStart = State->Budget;
        return value;
    }

    internal void WritePort(Uop* op, ushort port, int size, uint value)
    {
        if (_ports is null) return;
        BeforePort(op);
        _ports.Write(port, size, value);
        State->BudgetAtStart = State->Budget;
    }

    // The owner may look at the count of instructions and may change the budget.
    void BeforePort(Uop* op)
    {
        State->Rip = State->BlockRip + op->RipOffset;
        Settle();
        _codeDropped = false;
    }

    internal static Processor Of(CpuState* s) => (Processor)GCHandle.FromIntPtr(s->Owner).Target!;

    public void Dispose()
    {
        if (State == null) return;
        _memory.CodeChanged -= OnCodeChanged;
        _memory.MappingsChanged -= OnMappingsChanged;
        _memory.UserHalfChanged -= OnUserHalfChanged;
        _memory.PagedOut -= OnPagedOut;
        _memory.Detach(_tlb);
        foreach (PageCode page in _pages.Values) _code.Release(page.Code);
        _pages.Clear();
        ReleaseDropped();
        _handle.Free();
        NativeMemory.AlignedFree(_bounce);
        NativeMemory.AlignedFree(State);
        State = null;
    }
}
