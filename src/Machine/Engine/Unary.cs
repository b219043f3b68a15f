using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>An operation that changes one place.</summary>
unsafe interface IUnary
{
    /// <summary>Gives the new value; sets flags only if <paramref name="flags"/>.</summary>
    static abstract ulong Apply<T>(CpuState* s, ulong a, bool flags) where T : unmanaged;
}

struct Inc : IUnary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, bool flags) where T : unmanaged
    {
        ulong r = a + 1;
        if (!flags) return r;
        ulong carry = s->FlagCarry >> 63;
        // The carries of a + 1 are those of a & ~r; CF is not among them.
        Width.SetFlags<T>(s, r, a & ~r);
        Width.SetCarry(s, carry);
        return r;
    }
}

struct Dec : IUnary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, bool flags) where T : unmanaged
    {
        ulong r = a - 1;
        if (!flags) return r;
        ulong carry = s->FlagCarry >> 63;
        Width.SetFlags<T>(s, r, ~a & r);
        Width.SetCarry(s, carry);
        return r;
    }
}

struct Neg : IUnary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, bool flags) where T : unmanaged
    {
        ulong r = 0 - a;
        if (flags) Width.SetFlags<T>(s, r, a | r);
        return r;
    }
}

struct Not : IUnary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, bool flags) where T : unmanaged => ~a;
}

struct Bswap : IUnary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, bool flags) where T : unmanaged => sizeof(T) switch
    {
        8 => BinaryPrimitives.ReverseEndianness(a),
        4 => BinaryPrimitives.ReverseEndianness((uint)a),
        // Undefined by the manuals; processors give 0.
        _ => 0,
    };
}

/// <summary>Handlers of a one-operand operation.</summary>
unsafe struct Unary<TOp> : IFamily where TOp : IUnary
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => (shape, flags) switch
    {
        (Shape.Reg, true) => &Run<T, RegD>,
        (Shape.Mem, true) => &Run<T, Mem>,
        (Shape.MemX, true) => &Run<T, MemX>,
        (Shape.Reg, false) => &RunPlain<T, RegD>,
        (Shape.Mem, false) => &RunPlain<T, Mem>,
        (Shape.MemX, false) => &RunPlain<T, MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TPlace>(Uop* op, CpuState* s) where T : unmanaged where TPlace : IPlace
    {
        if (!TPlace.CanWrite(op, s, sizeof(T))) return Retry.Modify(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.WriteAt(op, s);
        ulong r = TOp.Apply<T>(s, Width.Load<T>(p), flags: true);
        if (TPlace.IsMemory) Width.Store<T>(p, r);
        else Width.StoreRegister<T>(p, r);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* RunPlain<T, TPlace>(Uop* op, CpuState* s) where T : unmanaged where TPlace : IPlace
    {
        if (!TPlace.CanWrite(op, s, sizeof(T))) return Retry.Modify(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.WriteAt(op, s);
        ulong r = TOp.Apply<T>(s, Width.Load<T>(p), flags: false);
        if (TPlace.IsMemory) Width.Store<T>(p, r);
        else Width.StoreRegister<T>(p, r);
        return op + 1;
    }
}
