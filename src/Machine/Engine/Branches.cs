using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>How a branch gets to its target.</summary>
static unsafe class Flow
{
    /// <summary>Starts a block: charges it, or stops in front of it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Uop* Enter(CpuState* s, Block* block)
    {
        long left = s->Budget - block->Instructions;
        if (left < 0) return OutOfBudget(s, block->Rip);
        s->Budget = left;
        s->BlockRip = block->Rip;
        return block->Ops;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Uop* Follow(CpuState* s, Link* link)
    {
        Block* block = link->Block;
        return block != null ? Enter(s, block) : FollowFar(s, link);
    }

    /// <summary>The block at an address, if this processor has it at hand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Block* Find(CpuState* s, ulong rip)
    {
        JumpEntry* entry = Entry(s, rip);
        return entry->Rip == rip ? entry->Block : null;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static JumpEntry* Entry(CpuState* s, ulong rip) =>
        (JumpEntry*)((byte*)s + CpuState.JumpOffset + (((rip ^ (rip >> 10)) & (CpuState.JumpCount - 1)) << 4));

    /// <summary>Goes to an address, whose line of the jump cache may know its block.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Uop* Go(CpuState* s, JumpEntry* entry, ulong rip) =>
        entry->Rip == rip ? Enter(s, entry->Block) : Leave(s, rip);

    [MethodImpl(MethodImplOptions.NoInlining)]
    static Uop* FollowFar(CpuState* s, Link* link)
    {
        if (!link->CanSet)
        {
            Block* block = Find(s, link->Rip);
            if (block != null) return Enter(s, block);
        }
        s->Pending = link->CanSet ? link : null;
        s->Exit = Exit.Lookup;
        s->Rip = link->Rip;
        return null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    static Uop* Leave(CpuState* s, ulong rip)
    {
        s->Pending = null;
        s->Exit = Exit.Lookup;
        s->Rip = rip;
        return null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    static Uop* OutOfBudget(CpuState* s, ulong rip)
    {
        s->Exit = Exit.Budget;
        s->Rip = rip;
        return null;
    }
}

static unsafe class BranchHandlers
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Jump(Uop* op, CpuState* s) => Flow.Follow(s, (Link*)op->Imm);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Call(Uop* op, CpuState* s)
    {
        ulong top = s->Gpr[4] - 8;
        if (!Probe.CanWrite(s, top, 8)) return Retry.Write(op, s, top, 8);
        Link* links = (Link*)op->Imm;
        *(ulong*)Probe.WriteAt(s, top) = links[1].Rip;
        s->Gpr[4] = top;
        return Flow.Follow(s, links);
    }

    /// <summary>RET n; n is in <see cref="Uop.Imm"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Return(Uop* op, CpuState* s)
    {
        ulong top = s->Gpr[4];
        if (!Probe.CanRead(s, top, 8)) return Retry.Read(op, s, top, 8);
        ulong target = *(ulong*)Probe.ReadAt(s, top);
        JumpEntry* entry = Flow.Entry(s, target);
        if (entry->Rip != target && !new Va(target).IsCanonical) return Fault.NonCanonical(op, s, target);
        s->Gpr[4] = top + 8 + (ulong)op->Imm;
        return Flow.Go(s, entry, target);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* JumpIndirect<TPlace>(Uop* op, CpuState* s) where TPlace : IPlace
    {
        if (!TPlace.CanRead(op, s, 8)) return Retry.Read(op, s, TPlace.AddressOf(op, s), 8);
        ulong target = *(ulong*)TPlace.ReadAt(op, s);
        JumpEntry* entry = Flow.Entry(s, target);
        if (entry->Rip != target && !new Va(target).IsCanonical) return Fault.NonCanonical(op, s, target);
        return Flow.Go(s, entry, target);
    }

    /// <summary>CALL through a register or memory; the length of the instruction is in <see cref="Uop.Imm"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* CallIndirect<TPlace>(Uop* op, CpuState* s) where TPlace : IPlace
    {
        byte* p = TPlace.Read(op, s, 8);
        if (TPlace.IsMemory && p == null) return Fault.At(op, s);
        ulong target = *(ulong*)p, top = s->Gpr[4] - 8;
        // With a target in memory there are two accesses, so the one to the stack must not start again.
        if (!TPlace.IsMemory && !Probe.CanWrite(s, top, 8)) return Retry.Write(op, s, top, 8);
        byte* stack = TPlace.IsMemory ? Probe.Write(s, top, 8) : Probe.WriteAt(s, top);
        if (TPlace.IsMemory && stack == null) return Fault.At(op, s);
        JumpEntry* entry = Flow.Entry(s, target);
        if (entry->Rip != target && !new Va(target).IsCanonical) return Fault.NonCanonical(op, s, target);
        *(ulong*)stack = s->BlockRip + op->RipOffset + (ulong)op->Imm;
        s->Gpr[4] = top;
        return Flow.Go(s, entry, target);
    }

    /// <summary>
    /// LOOP, LOOPE, LOOPNE: <see cref="Uop.D"/> is 0 for any, 1 for while equal, 2 for while not equal.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Loop<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        ulong count = Width.Truncate<T>(Width.Load<T>((byte*)s + 8) - 1);
        Width.StoreRegister<T>((byte*)s + 8, count);
        bool zero = s->FlagResult == 0;
        bool taken = count != 0 && (op->D == 0 || zero == (op->D == 1));
        return Flow.Follow(s, (Link*)op->Imm + (taken ? 0 : 1));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* JumpIfCounterZero<T>(Uop* op, CpuState* s) where T : unmanaged =>
        Flow.Follow(s, (Link*)op->Imm + (Width.Load<T>((byte*)s + 8) == 0 ? 0 : 1));
}

/// <summary>Jcc on the flags.</summary>
unsafe struct JumpIf : IConditional
{
    public static Handler Pick<TCondition>(PlaceKind place, int size) where TCondition : ICondition => &Run<TCondition>;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<TCondition>(Uop* op, CpuState* s) where TCondition : ICondition =>
        Flow.Follow(s, (Link*)op->Imm + (TCondition.Holds(s) ? 0 : 1));
}

/// <summary>CMP or TEST with the Jcc behind it, as one micro-op. An immediate lies in <see cref="Uop.Disp"/>.</summary>
unsafe struct CompareJump<TOp, TFlags> : IConditional where TOp : IBinary where TFlags : IFlag
{
    public static Handler Pick<TCondition>(PlaceKind place, int size)
        where TCondition : ICondition => (place, size) switch
        {
            (PlaceKind.Register, 1) => &Registers<TCondition, byte>,
            (PlaceKind.Register, 2) => &Registers<TCondition, ushort>,
            (PlaceKind.Register, 4) => &Registers<TCondition, uint>,
            (PlaceKind.Register, 8) => &Registers<TCondition, ulong>,
            (PlaceKind.Immediate, 1) => &Constant<TCondition, byte>,
            (PlaceKind.Immediate, 2) => &Constant<TCondition, ushort>,
            (PlaceKind.Immediate, 4) => &Constant<TCondition, uint>,
            (PlaceKind.Immediate, 8) => &Constant<TCondition, ulong>,
            _ => null,
        };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Registers<TCondition, T>(Uop* op, CpuState* s) where TCondition : ICondition where T : unmanaged =>
        Decide<TCondition, T>(op, s, Width.Load<T>((byte*)s + op->D), Width.Load<T>((byte*)s + op->S));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Constant<TCondition, T>(Uop* op, CpuState* s) where TCondition : ICondition where T : unmanaged =>
        Decide<TCondition, T>(op, s, Width.Load<T>((byte*)s + op->D), Width.Truncate<T>((ulong)(long)op->Disp));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static Uop* Decide<TCondition, T>(Uop* op, CpuState* s, ulong a, ulong b)
        where TCondition : ICondition where T : unmanaged
    {
        bool isTest = typeof(TOp) == typeof(Test);
        if (TFlags.Value) TOp.SetFlags<T>(s, a, b, TOp.Apply(a, b, 0));
        bool taken = isTest ? TCondition.AfterTest<T>(a & b) : TCondition.AfterCmp<T>(a, b);
        return Flow.Follow(s, (Link*)op->Imm + (taken ? 0 : 1));
    }
}
