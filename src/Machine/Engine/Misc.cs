using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

static unsafe class MiscHandlers
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* ScratchAddress(Uop* op, CpuState* s)
    {
        s->Scratch = MemX.Of(op, s);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* ScratchAddress32(Uop* op, CpuState* s)
    {
        s->Scratch = (uint)MemX.Of(op, s);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* ScratchValue(Uop* op, CpuState* s)
    {
        s->Scratch = (ulong)op->Imm;
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Nop(Uop* op, CpuState* s) => op + 1;

    /// <summary>What the processor does not know. Its dispatcher adds the text.</summary>
    public static Uop* Unsupported(Uop* op, CpuState* s)
    {
        s->Exit = Exit.Unsupported;
        return Fault.At(op, s);
    }

    /// <summary>UD2 and encodings that are no instruction.</summary>
    public static Uop* InvalidOpcode(Uop* op, CpuState* s) => Fault.Raise(op, s, Fault.InvalidOpcode);

    /// <summary>
    /// INT n, INT3: a trap, so RIP goes behind it. The vector is in <see cref="Uop.D"/>, the length in Imm.
    /// </summary>
    public static Uop* Interrupt(Uop* op, CpuState* s)
    {
        Fault.Raise(op, s, op->D);
        s->Exit = Exit.Trap;
        return null;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* HostCall(Uop* op, CpuState* s)
    {
        s->Rip = s->BlockRip;
        s->Exit = Exit.HostCall;
        return null;
    }

    /// <summary>Ends the instruction and lets the owner look for something to deliver. The length is in Imm.</summary>
    public static Uop* Poll(Uop* op, CpuState* s)
    {
        s->Rip = s->BlockRip + op->RipOffset + (ulong)op->Imm;
        s->Exit = Exit.Poll;
        return null;
    }

    public static Uop* Halt(Uop* op, CpuState* s)
    {
        s->Rip = s->BlockRip + op->RipOffset + (ulong)op->Imm;
        s->Exit = Exit.Halt;
        return null;
    }

    /// <summary>Leaves the block behind an instruction, so that what is next is looked up afresh.</summary>
    public static Uop* Continue(Uop* op, CpuState* s)
    {
        s->Rip = s->BlockRip + op->RipOffset + (ulong)op->Imm;
        s->Pending = null;
        s->Exit = Exit.Lookup;
        return null;
    }
}
