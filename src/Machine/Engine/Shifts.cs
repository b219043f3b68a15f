using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>
/// A shift or rotation of a zero-extended value by 1 to 63; the result may have rubbish above the operand size.
/// </summary>
unsafe interface IShift
{
    static abstract ulong Apply<T>(CpuState* s, ulong a, int count, bool flags) where T : unmanaged;
}

struct Shl : IShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, int count, bool flags) where T : unmanaged
    {
        int bits = Width.Bits<T>();
        ulong r = a << count;
        if (!flags) return r;
        ulong carry = sizeof(T) >= 4 || count <= bits ? (a >> (bits - count)) & 1 : 0;
        Width.SetFlags<T>(s, r, carry, carry ^ ((r >> (bits - 1)) & 1));
        return r;
    }
}

struct Shr : IShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, int count, bool flags) where T : unmanaged
    {
        ulong r = a >> count;
        if (flags) Width.SetFlags<T>(s, r, (a >> (count - 1)) & 1, a >> (Width.Bits<T>() - 1));
        return r;
    }
}

struct Sar : IShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, int count, bool flags) where T : unmanaged
    {
        long value = (long)Width.SignExtend<T>(a);
        ulong r = (ulong)(value >> count);
        if (flags) Width.SetFlags<T>(s, r, (ulong)(value >> (count - 1)) & 1, 0);
        return r;
    }
}

struct Rol : IShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, int count, bool flags) where T : unmanaged
    {
        int bits = Width.Bits<T>(), by = count & (bits - 1);
        ulong r = (a << by) | (a >> ((bits - by) & 63) & (by == 0 ? 0 : ~0UL));
        if (flags) Width.SetCarryOverflow(s, r & 1, (r ^ (r >> (bits - 1))) & 1);
        return r;
    }
}

struct Ror : IShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, int count, bool flags) where T : unmanaged
    {
        int bits = Width.Bits<T>(), by = count & (bits - 1);
        ulong r = (a >> by) | (a << ((bits - by) & 63) & (by == 0 ? 0 : ~0UL));
        ulong top = (r >> (bits - 1)) & 1;
        if (flags) Width.SetCarryOverflow(s, top, top ^ ((r >> (bits - 2)) & 1));
        return r;
    }
}

struct Rcl : IShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, int count, bool flags) where T : unmanaged
    {
        int bits = Width.Bits<T>(), by = sizeof(T) >= 4 ? count : count % (bits + 1);
        if (by == 0) return a;
        ulong carry = s->FlagCarry >> 63, r = (a << by) | (carry << (by - 1)) | (a >> (bits - by) >> 1);
        ulong last = (a >> (bits - by)) & 1;
        Width.SetCarryOverflow(s, last, last ^ ((r >> (bits - 1)) & 1));
        return r;
    }
}

struct Rcr : IShift
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe ulong Apply<T>(CpuState* s, ulong a, int count, bool flags) where T : unmanaged
    {
        int bits = Width.Bits<T>(), by = sizeof(T) >= 4 ? count : count % (bits + 1);
        if (by == 0) return a;
        ulong carry = s->FlagCarry >> 63, r = (a >> by) | (carry << (bits - by)) | (a << (bits - by) << 1);
        Width.SetCarryOverflow(s, (a >> (by - 1)) & 1, ((r >> (bits - 1)) ^ (r >> (bits - 2))) & 1);
        return r;
    }
}

/// <summary>Handlers of a shift by an immediate or by CL.</summary>
unsafe struct Shift<TOp> : IFamily where TOp : IShift
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged =>
        flags ? Pick<T, Yes>(shape) : Pick<T, No>(shape);

    static Handler Pick<T, TFlags>(Shape shape) where T : unmanaged where TFlags : IFlag => shape switch
    {
        Shape.RegReg => &Run<T, RegD, RegS, TFlags>,
        Shape.RegImm => &Run<T, RegD, Immediate, TFlags>,
        Shape.MemReg => &Run<T, Mem, RegS, TFlags>,
        Shape.MemXReg => &Run<T, MemX, RegS, TFlags>,
        Shape.MemImm => &Run<T, Mem, Immediate, TFlags>,
        Shape.MemXImm => &Run<T, MemX, Immediate, TFlags>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TPlace, TCount, TFlags>(Uop* op, CpuState* s)
        where T : unmanaged where TPlace : IPlace where TCount : IPlace where TFlags : IFlag
    {
        if (!TPlace.CanWrite(op, s, sizeof(T))) return Retry.Modify(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.WriteAt(op, s);
        int count = *TCount.ReadAt(op, s) & (sizeof(T) == 8 ? 63 : 31);
        ulong value = Width.Load<T>(p);
        if (count != 0) value = TOp.Apply<T>(s, value, count, TFlags.Value);
        if (TPlace.IsMemory) Width.Store<T>(p, value);
        else Width.StoreRegister<T>(p, value);
        return op + 1;
    }
}

/// <summary>
/// SHLD and SHRD: D or memory, filled from S. The count is in <see cref="Uop.Imm"/>, or CL if that is negative.
/// </summary>
unsafe struct DoubleShift<TLeft> : IFamily where TLeft : IFlag
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.RegReg => &Run<T, RegD>,
        Shape.MemReg => &Run<T, Mem>,
        Shape.MemXReg => &Run<T, MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TPlace>(Uop* op, CpuState* s) where T : unmanaged where TPlace : IPlace
    {
        byte* p = TPlace.Modify(op, s, sizeof(T));
        if (TPlace.IsMemory && p == null) return Fault.At(op, s);
        int bits = Width.Bits<T>(), count = (int)(op->Imm < 0 ? s->Gpr[1] : (ulong)op->Imm) & (bits == 64 ? 63 : 31);
        ulong a = Width.Load<T>(p), b = Width.Load<T>((byte*)s + op->S), r = a;
        if (count != 0)
        {
            // With 16 bits and a count above 16 the result is undefined; it goes on with the destination again.
            UInt128 wide = TLeft.Value
                ? (((UInt128)a << (2 * bits)) | ((UInt128)b << bits) | a) << count >> (2 * bits)
                : (((UInt128)a << (2 * bits)) | ((UInt128)b << bits) | a) >> count;
            if (bits == 64)
                wide = TLeft.Value ? (a << count) | (b >> (64 - count)) : (a >> count) | (b << (64 - count));
            r = Width.Truncate<T>((ulong)wide);
            ulong last = !TLeft.Value ? a >> (count - 1)
                : count <= bits ? a >> (bits - count) : b >> (2 * bits - count);
            Width.SetFlags<T>(s, r, last & 1, ((r ^ a) >> (bits - 1)) & 1);
        }
        if (TPlace.IsMemory) Width.Store<T>(p, r);
        else Width.StoreRegister<T>(p, r);
        return op + 1;
    }
}
