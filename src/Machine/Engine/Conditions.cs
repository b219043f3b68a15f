using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>A condition code: on the flags words, and directly on the operands of a CMP or TEST.</summary>
unsafe interface ICondition
{
    static abstract bool Holds(CpuState* s);

    /// <summary>After CMP a, b, both zero-extended.</summary>
    static abstract bool AfterCmp<T>(ulong a, ulong b) where T : unmanaged;

    /// <summary>After TEST with the result r, zero-extended.</summary>
    static abstract bool AfterTest<T>(ulong r) where T : unmanaged;
}

/// <summary>The opposite of a condition.</summary>
unsafe struct Unless<TCondition> : ICondition where TCondition : ICondition
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    [MethodImpl(Inline)] public static bool Holds(CpuState* s) => !TCondition.Holds(s);
    [MethodImpl(Inline)]
    public static bool AfterCmp<T>(ulong a, ulong b) where T : unmanaged => !TCondition.AfterCmp<T>(a, b);
    [MethodImpl(Inline)] public static bool AfterTest<T>(ulong r) where T : unmanaged => !TCondition.AfterTest<T>(r);
}

unsafe struct IfOverflow : ICondition
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    [MethodImpl(Inline)] public static bool Holds(CpuState* s) => (long)(s->FlagCarry ^ (s->FlagCarry << 1)) < 0;
    [MethodImpl(Inline)]
    public static bool AfterCmp<T>(ulong a, ulong b) where T : unmanaged =>
        (long)Width.SignExtend<T>((a ^ b) & (a ^ (a - b))) < 0;
    [MethodImpl(Inline)] public static bool AfterTest<T>(ulong r) where T : unmanaged => false;
}

unsafe struct IfBelow : ICondition
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    [MethodImpl(Inline)] public static bool Holds(CpuState* s) => (long)s->FlagCarry < 0;
    [MethodImpl(Inline)] public static bool AfterCmp<T>(ulong a, ulong b) where T : unmanaged => a < b;
    [MethodImpl(Inline)] public static bool AfterTest<T>(ulong r) where T : unmanaged => false;
}

unsafe struct IfEqual : ICondition
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    [MethodImpl(Inline)] public static bool Holds(CpuState* s) => s->FlagResult == 0;
    [MethodImpl(Inline)] public static bool AfterCmp<T>(ulong a, ulong b) where T : unmanaged => a == b;
    [MethodImpl(Inline)] public static bool AfterTest<T>(ulong r) where T : unmanaged => r == 0;
}

unsafe struct IfBelowOrEqual : ICondition
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    [MethodImpl(Inline)] public static bool Holds(CpuState* s) => (long)s->FlagCarry < 0 || s->FlagResult == 0;
    [MethodImpl(Inline)] public static bool AfterCmp<T>(ulong a, ulong b) where T : unmanaged => a <= b;
    [MethodImpl(Inline)] public static bool AfterTest<T>(ulong r) where T : unmanaged => r == 0;
}

unsafe struct IfSign : ICondition
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    [MethodImpl(Inline)] public static bool Holds(CpuState* s) => Flags.Sign(s->FlagResult, s->FlagCarry);
    [MethodImpl(Inline)]
    public static bool AfterCmp<T>(ulong a, ulong b) where T : unmanaged => (long)Width.SignExtend<T>(a - b) < 0;
    [MethodImpl(Inline)]
    public static bool AfterTest<T>(ulong r) where T : unmanaged => (long)Width.SignExtend<T>(r) < 0;
}

unsafe struct IfParity : ICondition
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    [MethodImpl(Inline)] public static bool Holds(CpuState* s) => Flags.Parity(s->FlagResult, s->FlagCarry);
    [MethodImpl(Inline)] public static bool AfterCmp<T>(ulong a, ulong b) where T : unmanaged => Flags.Parity(a - b, 0);
    [MethodImpl(Inline)] public static bool AfterTest<T>(ulong r) where T : unmanaged => Flags.Parity(r, 0);
}

unsafe struct IfLess : ICondition
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    [MethodImpl(Inline)]
    public static bool Holds(CpuState* s) =>
        (long)(s->FlagResult ^ (s->FlagCarry << 63) ^ s->FlagCarry ^ (s->FlagCarry << 1)) < 0;
    [MethodImpl(Inline)]
    public static bool AfterCmp<T>(ulong a, ulong b) where T : unmanaged =>
        (long)Width.SignExtend<T>(a) < (long)Width.SignExtend<T>(b);
    [MethodImpl(Inline)]
    public static bool AfterTest<T>(ulong r) where T : unmanaged => (long)Width.SignExtend<T>(r) < 0;
}

unsafe struct IfLessOrEqual : ICondition
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    [MethodImpl(Inline)] public static bool Holds(CpuState* s) => s->FlagResult == 0 || IfLess.Holds(s);
    [MethodImpl(Inline)]
    public static bool AfterCmp<T>(ulong a, ulong b) where T : unmanaged =>
        (long)Width.SignExtend<T>(a) <= (long)Width.SignExtend<T>(b);
    [MethodImpl(Inline)]
    public static bool AfterTest<T>(ulong r) where T : unmanaged => (long)Width.SignExtend<T>(r) <= 0;
}

/// <summary>Something that has handlers for each condition.</summary>
unsafe interface IConditional
{
    static abstract Handler Pick<TCondition>(PlaceKind place, int size) where TCondition : ICondition;
}

static unsafe class Conditions
{
    /// <summary>The handler for an Iced condition code.</summary>
    public static Handler Pick<TFamily>(Iced.Intel.ConditionCode code, PlaceKind place, int size)
        where TFamily : IConditional => code switch
        {
            Iced.Intel.ConditionCode.o => TFamily.Pick<IfOverflow>(place, size),
            Iced.Intel.ConditionCode.no => TFamily.Pick<Unless<IfOverflow>>(place, size),
            Iced.Intel.ConditionCode.b => TFamily.Pick<IfBelow>(place, size),
            Iced.Intel.ConditionCode.ae => TFamily.Pick<Unless<IfBelow>>(place, size),
            Iced.Intel.ConditionCode.e => TFamily.Pick<IfEqual>(place, size),
            Iced.Intel.ConditionCode.ne => TFamily.Pick<Unless<IfEqual>>(place, size),
            Iced.Intel.ConditionCode.be => TFamily.Pick<IfBelowOrEqual>(place, size),
            Iced.Intel.ConditionCode.a => TFamily.Pick<Unless<IfBelowOrEqual>>(place, size),
            Iced.Intel.ConditionCode.s => TFamily.Pick<IfSign>(place, size),
            Iced.Intel.ConditionCode.ns => TFamily.Pick<Unless<IfSign>>(place, size),
            Iced.Intel.ConditionCode.p => TFamily.Pick<IfParity>(place, size),
            Iced.Intel.ConditionCode.np => TFamily.Pick<Unless<IfParity>>(place, size),
            Iced.Intel.ConditionCode.l => TFamily.Pick<IfLess>(place, size),
            Iced.Intel.ConditionCode.ge => TFamily.Pick<Unless<IfLess>>(place, size),
            Iced.Intel.ConditionCode.le => TFamily.Pick<IfLessOrEqual>(place, size),
            Iced.Intel.ConditionCode.g => TFamily.Pick<Unless<IfLessOrEqual>>(place, size),
            _ => null,
        };
}
