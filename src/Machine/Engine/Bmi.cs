using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Ringdown.Machine;

/// <summary>An operation of the VEX kind: a register from a register or memory and a second register.</summary>
unsafe interface IThree
{
    static abstract ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged;
}

struct Andn : IThree
{
    public static unsafe ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged
    {
        ulong r = value & ~other;
        Width.SetFlags<T>(s, r, 0);
        return r;
    }
}

struct Bextr : IThree
{
    public static unsafe ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged
    {
        int start = (byte)other, length = (byte)(other >> 8);
        ulong r = start < 64 ? value >> start : 0;
        if (length < 64) r &= (1UL << length) - 1;
        Width.SetFlags<T>(s, r, 0);
        return r;
    }
}

struct Bzhi : IThree
{
    public static unsafe ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged
    {
        int index = (byte)other;
        ulong r = index < Width.Bits<T>() ? value & ((1UL << index) - 1) : value;
        Width.SetFlags<T>(s, r, index >= Width.Bits<T>() ? 1UL : 0, 0);
        return r;
    }
}

struct Sarx : IThree
{
    public static unsafe ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged =>
        (ulong)((long)Width.SignExtend<T>(value) >> ((int)other & (Width.Bits<T>() - 1)));
}

struct Shlx : IThree
{
    public static unsafe ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged =>
        value << ((int)other & (Width.Bits<T>() - 1));
}

struct Shrx : IThree
{
    public static unsafe ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged =>
        value >> ((int)other & (Width.Bits<T>() - 1));
}

struct Rorx : IThree
{
    public static unsafe ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged =>
        sizeof(T) == 8
            ? BitOperations.RotateRight(value, (int)op->Imm)
            : BitOperations.RotateRight((uint)value, (int)op->Imm);
}

struct Pdep : IThree
{
    public static unsafe ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged
    {
        if (Bmi2.X64.IsSupported) return Bmi2.X64.ParallelBitDeposit(other, value);
        ulong r = 0;
        for (ulong mask = value; mask != 0; mask &= mask - 1, other >>= 1)
            if ((other & 1) != 0) r |= mask & (0 - mask);
        return r;
    }
}

struct Pext : IThree
{
    public static unsafe ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged
    {
        if (Bmi2.X64.IsSupported) return Bmi2.X64.ParallelBitExtract(other, value);
        ulong r = 0;
        int k = 0;
        for (ulong mask = value; mask != 0; mask &= mask - 1, k++)
            if ((other & mask & (0 - mask)) != 0) r |= 1UL << k;
        return r;
    }
}

/// <summary>MULX: the low half to the second register, then the high half to the destination.</summary>
struct Mulx : IThree
{
    public static unsafe ulong Apply<T>(Uop* op, CpuState* s, ulong value, ulong other) where T : unmanaged
    {
        ulong factor = Width.Load<T>((byte*)s + 16), high = Math.BigMul(value, factor, out ulong low);
        if (sizeof(T) == 4) high = low >> 32;
        Width.StoreRegister<T>((byte*)s + op->S, low);
        return high;
    }
}

/// <summary>Handlers of an <see cref="IThree"/>: D = operation of (B or memory, S).</summary>
unsafe struct Three<TOp> : IFamily where TOp : IThree
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.RegReg => &Run<T, RegB>,
        Shape.RegMem => &Run<T, Mem>,
        Shape.RegMemX => &Run<T, MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TPlace>(Uop* op, CpuState* s) where T : unmanaged where TPlace : IPlace
    {
        if (!TPlace.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.ReadAt(op, s);
        ulong r = TOp.Apply<T>(op, s, Width.Load<T>(p), Width.Load<T>((byte*)s + op->S));
        Width.StoreRegister<T>((byte*)s + op->D, r);
        return op + 1;
    }
}

/// <summary>ADCX and ADOX: an addition that carries in and out by one flag only.</summary>
unsafe struct AddCarry<TOverflow> : IFamily where TOverflow : IFlag
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.RegReg => &Run<T, RegS>,
        Shape.RegMem => &Run<T, Mem>,
        Shape.RegMemX => &Run<T, MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TPlace>(Uop* op, CpuState* s) where T : unmanaged where TPlace : IPlace
    {
        if (!TPlace.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.ReadAt(op, s), to = (byte*)s + op->D;
        ulong a = Width.Load<T>(to), b = Width.Load<T>(p), carry = s->FlagCarry >> 63;
        ulong overflow = ((s->FlagCarry >> 62) ^ carry) & 1;
        ulong r = a + b + (TOverflow.Value ? overflow : carry);
        ulong outgoing = (((a & b) | ((a | b) & ~r)) >> (Width.Bits<T>() - 1)) & 1;
        if (TOverflow.Value) Width.SetCarryOverflow(s, carry, outgoing);
        else Width.SetCarryOverflow(s, outgoing, overflow);
        Width.StoreRegister<T>(to, r);
        return op + 1;
    }
}

/// <summary>MOVBE: a move that reverses the bytes.</summary>
unsafe struct MoveReversed : IFamily
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.RegMem => &Run<T, RegD, Mem>,
        Shape.RegMemX => &Run<T, RegD, MemX>,
        Shape.MemReg => &Run<T, Mem, RegS>,
        Shape.MemXReg => &Run<T, MemX, RegS>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TTo, TFrom>(Uop* op, CpuState* s) where T : unmanaged where TTo : IPlace where TFrom : IPlace
    {
        byte* from = TFrom.Read(op, s, sizeof(T));
        if (TFrom.IsMemory && from == null) return Fault.At(op, s);
        byte* to = TTo.Write(op, s, sizeof(T));
        if (TTo.IsMemory && to == null) return Fault.At(op, s);
        ulong r = BinaryPrimitives.ReverseEndianness(Width.Load<T>(from)) >> (64 - Width.Bits<T>());
        if (TTo.IsMemory) Width.Store<T>(to, r);
        else Width.StoreRegister<T>(to, r);
        return op + 1;
    }
}

/// <summary>CRC32 of an operand of <typeparamref name="TFrom"/> into a register.</summary>
unsafe struct Crc32<TFrom> : IFamily where TFrom : unmanaged
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.RegReg => &Run<RegS>,
        Shape.RegMem => &Run<Mem>,
        Shape.RegMemX => &Run<MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<TPlace>(Uop* op, CpuState* s) where TPlace : IPlace
    {
        byte* p = TPlace.Read(op, s, sizeof(TFrom)), to = (byte*)s + op->D;
        if (TPlace.IsMemory && p == null) return Fault.At(op, s);
        uint crc = *(uint*)to;
        ulong value = Width.Load<TFrom>(p);
        *(ulong*)to = sizeof(TFrom) switch
        {
            1 => BitOperations.Crc32C(crc, (byte)value),
            2 => BitOperations.Crc32C(crc, (ushort)value),
            4 => BitOperations.Crc32C(crc, (uint)value),
            _ => BitOperations.Crc32C(crc, value),
        };
        return op + 1;
    }
}
