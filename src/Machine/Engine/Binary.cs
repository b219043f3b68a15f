using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>
/// An operation on two values, zero-extended to 64 bits. The result may have rubbish above the operand size.
/// </summary>
unsafe interface IBinary
{
    /// <summary>False for CMP and TEST, which only set flags.</summary>
    static abstract bool Stores { get; }
    static abstract bool UsesCarry { get; }
    static abstract ulong Apply(ulong a, ulong b, ulong carry);
    static abstract void SetFlags<T>(CpuState* s, ulong a, ulong b, ulong result) where T : unmanaged;
}

struct Add : IBinary
{
    public static bool Stores => true;
    public static bool UsesCarry => false;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply(ulong a, ulong b, ulong carry) => a + b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void SetFlags<T>(CpuState* s, ulong a, ulong b, ulong r) where T : unmanaged =>
        Width.SetFlags<T>(s, r, (a & b) | ((a | b) & ~r));
}

struct Adc : IBinary
{
    public static bool Stores => true;
    public static bool UsesCarry => true;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply(ulong a, ulong b, ulong carry) => a + b + carry;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void SetFlags<T>(CpuState* s, ulong a, ulong b, ulong r) where T : unmanaged =>
        Width.SetFlags<T>(s, r, (a & b) | ((a | b) & ~r));
}

struct Sub : IBinary
{
    public static bool Stores => true;
    public static bool UsesCarry => false;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply(ulong a, ulong b, ulong carry) => a - b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void SetFlags<T>(CpuState* s, ulong a, ulong b, ulong r) where T : unmanaged =>
        Width.SetFlags<T>(s, r, (~a & b) | (~(a ^ b) & r));
}

struct Sbb : IBinary
{
    public static bool Stores => true;
    public static bool UsesCarry => true;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply(ulong a, ulong b, ulong carry) => a - b - carry;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void SetFlags<T>(CpuState* s, ulong a, ulong b, ulong r) where T : unmanaged =>
        Width.SetFlags<T>(s, r, (~a & b) | (~(a ^ b) & r));
}

struct Cmp : IBinary
{
    public static bool Stores => false;
    public static bool UsesCarry => false;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply(ulong a, ulong b, ulong carry) => a - b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void SetFlags<T>(CpuState* s, ulong a, ulong b, ulong r) where T : unmanaged =>
        Width.SetFlags<T>(s, r, (~a & b) | (~(a ^ b) & r));
}

struct And : IBinary
{
    public static bool Stores => true;
    public static bool UsesCarry => false;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply(ulong a, ulong b, ulong carry) => a & b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void SetFlags<T>(CpuState* s, ulong a, ulong b, ulong r) where T : unmanaged =>
        Width.SetFlags<T>(s, r, 0);
}

struct Test : IBinary
{
    public static bool Stores => false;
    public static bool UsesCarry => false;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply(ulong a, ulong b, ulong carry) => a & b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void SetFlags<T>(CpuState* s, ulong a, ulong b, ulong r) where T : unmanaged =>
        Width.SetFlags<T>(s, r, 0);
}

struct Or : IBinary
{
    public static bool Stores => true;
    public static bool UsesCarry => false;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply(ulong a, ulong b, ulong carry) => a | b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void SetFlags<T>(CpuState* s, ulong a, ulong b, ulong r) where T : unmanaged =>
        Width.SetFlags<T>(s, r, 0);
}

struct Xor : IBinary
{
    public static bool Stores => true;
    public static bool UsesCarry => false;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply(ulong a, ulong b, ulong carry) => a ^ b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void SetFlags<T>(CpuState* s, ulong a, ulong b, ulong r) where T : unmanaged =>
        Width.SetFlags<T>(s, r, 0);
}

/// <summary>Handlers of a two-operand operation for every place and size.</summary>
unsafe struct Binary<TOp> : IFamily where TOp : IBinary
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged =>
        flags ? Setting<T>(shape) : Plain<T>(shape);

    static Handler Setting<T>(Shape shape) where T : unmanaged => shape switch
    {
        Shape.RegReg => &Run<T, RegD, RegS>,
        Shape.RegImm => &Run<T, RegD, Immediate>,
        Shape.RegMem => &Run<T, RegD, Mem>,
        Shape.RegMemX => &Run<T, RegD, MemX>,
        Shape.MemReg => &Run<T, Mem, RegS>,
        Shape.MemXReg => &Run<T, MemX, RegS>,
        Shape.MemImm => &Run<T, Mem, Immediate>,
        Shape.MemXImm => &Run<T, MemX, Immediate>,
        _ => null,
    };

    static Handler Plain<T>(Shape shape) where T : unmanaged => shape switch
    {
        Shape.RegReg => &RunPlain<T, RegD, RegS>,
        Shape.RegImm => &RunPlain<T, RegD, Immediate>,
        Shape.RegMem => &RunPlain<T, RegD, Mem>,
        Shape.RegMemX => &RunPlain<T, RegD, MemX>,
        Shape.MemReg => &RunPlain<T, Mem, RegS>,
        Shape.MemXReg => &RunPlain<T, MemX, RegS>,
        Shape.MemImm => &RunPlain<T, Mem, Immediate>,
        Shape.MemXImm => &RunPlain<T, MemX, Immediate>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TTo, TFrom>(Uop* op, CpuState* s) where T : unmanaged where TTo : IPlace where TFrom : IPlace
    {
        if (TOp.Stores && !TTo.CanWrite(op, s, sizeof(T))) return Retry.Modify(op, s, TTo.AddressOf(op, s), sizeof(T));
        if (!TOp.Stores && !TTo.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TTo.AddressOf(op, s), sizeof(T));
        if (!TFrom.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TFrom.AddressOf(op, s), sizeof(T));
        byte* to = TOp.Stores ? TTo.WriteAt(op, s) : TTo.ReadAt(op, s), from = TFrom.ReadAt(op, s);
        ulong a = Width.Load<T>(to), b = Width.Load<T>(from);
        ulong r = TOp.Apply(a, b, TOp.UsesCarry ? s->FlagCarry >> 63 : 0);
        TOp.SetFlags<T>(s, a, b, r);
        Store<T, TTo>(to, r);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* RunPlain<T, TTo, TFrom>(Uop* op, CpuState* s)
        where T : unmanaged where TTo : IPlace where TFrom : IPlace
    {
        if (TOp.Stores && !TTo.CanWrite(op, s, sizeof(T))) return Retry.Modify(op, s, TTo.AddressOf(op, s), sizeof(T));
        if (!TOp.Stores && !TTo.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TTo.AddressOf(op, s), sizeof(T));
        if (!TFrom.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TFrom.AddressOf(op, s), sizeof(T));
        byte* to = TOp.Stores ? TTo.WriteAt(op, s) : TTo.ReadAt(op, s), from = TFrom.ReadAt(op, s);
        ulong a = Width.Load<T>(to), b = Width.Load<T>(from);
        Store<T, TTo>(to, TOp.Apply(a, b, TOp.UsesCarry ? s->FlagCarry >> 63 : 0));
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Store<T, TTo>(byte* to, ulong r) where T : unmanaged where TTo : IPlace
    {
        if (!TOp.Stores) return;
        if (TTo.IsMemory) Width.Store<T>(to, r);
        else Width.StoreRegister<T>(to, r);
    }
}
