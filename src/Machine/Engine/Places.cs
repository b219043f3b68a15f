using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>Where an operand is: a register, an immediate or memory. Handlers are generic over it.</summary>
/// <remarks>
/// Read, Write and Modify give a host pointer to the operand. A place in memory may give null: the access faults or
/// needs the slow mode; the handler then returns <see cref="Fault.At"/> and must not have changed anything but Scratch.
///
/// A handler with a single access to memory is faster with the other way: if CanRead (CanWrite) says no, it returns
/// <see cref="Retry.Read"/> (Write, Modify), which comes back to it when the translation is at hand; else it uses
/// ReadAt (WriteAt). So it calls nothing and needs no stack frame.
/// </remarks>
unsafe interface IPlace
{
    static abstract bool IsMemory { get; }
    static abstract byte* Read(Uop* op, CpuState* s, int size);

    /// <summary>To be overwritten whole, and not read: what is there may be undefined.</summary>
    static abstract byte* Write(Uop* op, CpuState* s, int size);

    /// <summary>To be read and written.</summary>
    static abstract byte* Modify(Uop* op, CpuState* s, int size);

    static abstract bool CanRead(Uop* op, CpuState* s, int size);
    static abstract bool CanWrite(Uop* op, CpuState* s, int size);
    static abstract byte* ReadAt(Uop* op, CpuState* s);
    static abstract byte* WriteAt(Uop* op, CpuState* s);

    /// <summary>The guest address; 0 for what is not in memory.</summary>
    static abstract ulong AddressOf(Uop* op, CpuState* s);
}

/// <summary>The register <see cref="Uop.D"/>.</summary>
unsafe struct RegD : IPlace
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    public static bool IsMemory => false;
    [MethodImpl(Inline)] public static byte* Read(Uop* op, CpuState* s, int size) => (byte*)s + op->D;
    [MethodImpl(Inline)] public static byte* Write(Uop* op, CpuState* s, int size) => (byte*)s + op->D;
    [MethodImpl(Inline)] public static byte* Modify(Uop* op, CpuState* s, int size) => (byte*)s + op->D;
    [MethodImpl(Inline)] public static bool CanRead(Uop* op, CpuState* s, int size) => true;
    [MethodImpl(Inline)] public static bool CanWrite(Uop* op, CpuState* s, int size) => true;
    [MethodImpl(Inline)] public static byte* ReadAt(Uop* op, CpuState* s) => (byte*)s + op->D;
    [MethodImpl(Inline)] public static byte* WriteAt(Uop* op, CpuState* s) => (byte*)s + op->D;
    public static ulong AddressOf(Uop* op, CpuState* s) => 0;
}

/// <summary>The register <see cref="Uop.S"/>.</summary>
unsafe struct RegS : IPlace
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    public static bool IsMemory => false;
    [MethodImpl(Inline)] public static byte* Read(Uop* op, CpuState* s, int size) => (byte*)s + op->S;
    [MethodImpl(Inline)] public static byte* Write(Uop* op, CpuState* s, int size) => (byte*)s + op->S;
    [MethodImpl(Inline)] public static byte* Modify(Uop* op, CpuState* s, int size) => (byte*)s + op->S;
    [MethodImpl(Inline)] public static bool CanRead(Uop* op, CpuState* s, int size) => true;
    [MethodImpl(Inline)] public static bool CanWrite(Uop* op, CpuState* s, int size) => true;
    [MethodImpl(Inline)] public static byte* ReadAt(Uop* op, CpuState* s) => (byte*)s + op->S;
    [MethodImpl(Inline)] public static byte* WriteAt(Uop* op, CpuState* s) => (byte*)s + op->S;
    public static ulong AddressOf(Uop* op, CpuState* s) => 0;
}

/// <summary>The register <see cref="Uop.B"/>, for a third operand where there is no address.</summary>
unsafe struct RegB : IPlace
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    public static bool IsMemory => false;
    [MethodImpl(Inline)] public static byte* Read(Uop* op, CpuState* s, int size) => (byte*)s + op->B;
    [MethodImpl(Inline)] public static byte* Write(Uop* op, CpuState* s, int size) => (byte*)s + op->B;
    [MethodImpl(Inline)] public static byte* Modify(Uop* op, CpuState* s, int size) => (byte*)s + op->B;
    [MethodImpl(Inline)] public static bool CanRead(Uop* op, CpuState* s, int size) => true;
    [MethodImpl(Inline)] public static bool CanWrite(Uop* op, CpuState* s, int size) => true;
    [MethodImpl(Inline)] public static byte* ReadAt(Uop* op, CpuState* s) => (byte*)s + op->B;
    [MethodImpl(Inline)] public static byte* WriteAt(Uop* op, CpuState* s) => (byte*)s + op->B;
    public static ulong AddressOf(Uop* op, CpuState* s) => 0;
}

/// <summary>The immediate, already extended to 64 bits.</summary>
unsafe struct Immediate : IPlace
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    public static bool IsMemory => false;
    [MethodImpl(Inline)] public static byte* Read(Uop* op, CpuState* s, int size) => (byte*)&op->Imm;
    static InvariantException Written => new("an immediate is written");
    public static byte* Write(Uop* op, CpuState* s, int size) => throw Written;
    public static byte* Modify(Uop* op, CpuState* s, int size) => throw Written;
    [MethodImpl(Inline)] public static bool CanRead(Uop* op, CpuState* s, int size) => true;
    public static bool CanWrite(Uop* op, CpuState* s, int size) => throw Written;
    [MethodImpl(Inline)] public static byte* ReadAt(Uop* op, CpuState* s) => (byte*)&op->Imm;
    public static byte* WriteAt(Uop* op, CpuState* s) => throw Written;
    public static ulong AddressOf(Uop* op, CpuState* s) => 0;
}

/// <summary>Memory at [base + disp].</summary>
unsafe struct Mem : IPlace, IAddress
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    public static bool IsMemory => true;

    [MethodImpl(Inline)]
    public static ulong Of(Uop* op, CpuState* s) => *(ulong*)((byte*)s + op->B) + (ulong)(long)op->Disp;

    [MethodImpl(Inline)]
    public static byte* Read(Uop* op, CpuState* s, int size) => Probe.Read(s, Of(op, s), size);

    [MethodImpl(Inline)]
    public static byte* Write(Uop* op, CpuState* s, int size) => Probe.Write(s, Of(op, s), size);

    [MethodImpl(Inline)]
    public static byte* Modify(Uop* op, CpuState* s, int size) => Probe.Modify(s, Of(op, s), size);

    [MethodImpl(Inline)]
    public static bool CanRead(Uop* op, CpuState* s, int size) => Probe.CanRead(s, Of(op, s), size);

    [MethodImpl(Inline)]
    public static bool CanWrite(Uop* op, CpuState* s, int size) => Probe.CanWrite(s, Of(op, s), size);

    [MethodImpl(Inline)]
    public static byte* ReadAt(Uop* op, CpuState* s) => Probe.ReadAt(s, Of(op, s));

    [MethodImpl(Inline)]
    public static byte* WriteAt(Uop* op, CpuState* s) => Probe.WriteAt(s, Of(op, s));

    [MethodImpl(Inline)]
    public static ulong AddressOf(Uop* op, CpuState* s) => Of(op, s);
}

/// <summary>Memory at [base + index * scale + disp].</summary>
unsafe struct MemX : IPlace, IAddress
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    public static bool IsMemory => true;

    [MethodImpl(Inline)]
    public static ulong Of(Uop* op, CpuState* s) =>
        *(ulong*)((byte*)s + op->B) + (*(ulong*)((byte*)s + op->X) << op->Scale) + (ulong)(long)op->Disp;

    [MethodImpl(Inline)]
    public static byte* Read(Uop* op, CpuState* s, int size) => Probe.Read(s, Of(op, s), size);

    [MethodImpl(Inline)]
    public static byte* Write(Uop* op, CpuState* s, int size) => Probe.Write(s, Of(op, s), size);

    [MethodImpl(Inline)]
    public static byte* Modify(Uop* op, CpuState* s, int size) => Probe.Modify(s, Of(op, s), size);

    [MethodImpl(Inline)]
    public static bool CanRead(Uop* op, CpuState* s, int size) => Probe.CanRead(s, Of(op, s), size);

    [MethodImpl(Inline)]
    public static bool CanWrite(Uop* op, CpuState* s, int size) => Probe.CanWrite(s, Of(op, s), size);

    [MethodImpl(Inline)]
    public static byte* ReadAt(Uop* op, CpuState* s) => Probe.ReadAt(s, Of(op, s));

    [MethodImpl(Inline)]
    public static byte* WriteAt(Uop* op, CpuState* s) => Probe.WriteAt(s, Of(op, s));

    [MethodImpl(Inline)]
    public static ulong AddressOf(Uop* op, CpuState* s) => Of(op, s);
}

/// <summary>How an effective address is made.</summary>
unsafe interface IAddress
{
    static abstract ulong Of(Uop* op, CpuState* s);
}

/// <summary>From a guest address to a host pointer, or null with the reason left in the state.</summary>
static unsafe class Probe
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool CanRead(CpuState* s, ulong address, int size) =>
        address - Tlb.Line(CpuState.TlbOf(s), address)->TagRead <= (ulong)(Va.PageSize - size);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool CanWrite(CpuState* s, ulong address, int size) =>
        address - Tlb.Line(CpuState.TlbOf(s), address)->TagWrite <= (ulong)(Va.PageSize - size);

    /// <summary>The host pointer, after <see cref="CanRead"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* ReadAt(CpuState* s, ulong address)
    {
        TlbEntry* line = Tlb.Line(CpuState.TlbOf(s), address);
        return line->Host + (address - line->TagRead);
    }

    /// <summary>The host pointer, after <see cref="CanWrite"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* WriteAt(CpuState* s, ulong address)
    {
        TlbEntry* line = Tlb.Line(CpuState.TlbOf(s), address);
        return line->Host + (address - line->TagWrite);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Read(CpuState* s, ulong address, int size)
    {
        byte* host = Tlb.Read(CpuState.TlbOf(s), address, size);
        return host != null ? host : SlowAccess.Read(s, address, size);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Write(CpuState* s, ulong address, int size)
    {
        byte* host = Tlb.Write(CpuState.TlbOf(s), address, size);
        return host != null ? host : SlowAccess.Write(s, address, size);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Modify(CpuState* s, ulong address, int size)
    {
        byte* host = Tlb.Write(CpuState.TlbOf(s), address, size);
        return host != null ? host : SlowAccess.Modify(s, address, size);
    }
}

/// <summary>How a handler ends when its instruction does not.</summary>
static unsafe class Fault
{
    public const int DivideError = 0, Debug = 1, Breakpoint = 3, Overflow = 4, InvalidOpcode = 6, NoDevice = 7,
        DoubleFault = 8, GeneralProtection = 13, PageFault = 14, FpuError = 16, Alignment = 17, SimdError = 19;

    /// <summary>After a place gave null: the reason is in the state already.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Uop* At(Uop* op, CpuState* s)
    {
        s->ExitOp = op;
        return null;
    }

    /// <summary>A fault of the instruction: RIP stays on it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Uop* Raise(Uop* op, CpuState* s, int vector, uint errorCode = 0)
    {
        s->Exit = Exit.Exception;
        s->ExceptionVector = (byte)vector;
        s->ErrorCode = errorCode;
        s->FaultAddress = 0;
        s->FaultCause = FaultCause.None;
        return At(op, s);
    }

    /// <summary>#GP for an address that is not canonical.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Uop* NonCanonical(Uop* op, CpuState* s, ulong address)
    {
        Raise(op, s, GeneralProtection);
        s->FaultAddress = address;
        s->FaultCause = FaultCause.NonCanonical;
        return null;
    }
}
