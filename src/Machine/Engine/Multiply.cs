using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>MUL and IMUL with one operand: RDX:RAX (AX for bytes) = RAX times the operand.</summary>
unsafe struct MultiplyWide<TSigned> : IFamily where TSigned : IFlag
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.Reg => &Run<T, RegD>,
        Shape.Mem => &Run<T, Mem>,
        Shape.MemX => &Run<T, MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TPlace>(Uop* op, CpuState* s) where T : unmanaged where TPlace : IPlace
    {
        if (!TPlace.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.ReadAt(op, s);
        ulong a = Width.Load<T>((byte*)s), b = Width.Load<T>(p), low, high;
        if (sizeof(T) == 8)
        {
            high = TSigned.Value ? (ulong)Math.BigMul((long)a, (long)b, out long l) : Math.BigMul(a, b, out _);
            low = a * b;
        }
        else
        {
            ulong r = TSigned.Value ? Width.SignExtend<T>(a) * Width.SignExtend<T>(b) : a * b;
            (low, high) = (Width.Truncate<T>(r), Width.Truncate<T>(r >> Width.Bits<T>()));
        }
        ulong expected = TSigned.Value ? Width.Truncate<T>((ulong)((long)Width.SignExtend<T>(low) >> 63)) : 0;
        bool over = high != expected;
        Width.SetFlags<T>(s, low, over ? 1UL : 0, over ? 1UL : 0);
        if (sizeof(T) == 1)
        {
            *(ushort*)s = (ushort)(low | (high << 8));
            return op + 1;
        }
        Width.StoreRegister<T>((byte*)s, low);
        Width.StoreRegister<T>((byte*)s + 16, high);
        return op + 1;
    }
}

/// <summary>IMUL with two or three operands; the third is an immediate.</summary>
unsafe struct Multiply<TImmediate> : IFamily where TImmediate : IFlag
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.RegReg => flags ? &Run<T, RegS, Yes> : &Run<T, RegS, No>,
        Shape.RegMem => flags ? &Run<T, Mem, Yes> : &Run<T, Mem, No>,
        Shape.RegMemX => flags ? &Run<T, MemX, Yes> : &Run<T, MemX, No>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TPlace, TFlags>(Uop* op, CpuState* s)
        where T : unmanaged where TPlace : IPlace where TFlags : IFlag
    {
        if (!TPlace.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.ReadAt(op, s);
        long a = (long)Width.SignExtend<T>(Width.Load<T>(p));
        long b = TImmediate.Value ? op->Imm : (long)Width.SignExtend<T>(Width.Load<T>((byte*)s + op->D));
        long r = a * b;
        if (TFlags.Value)
        {
            bool over = sizeof(T) == 8
                ? Math.BigMul(a, b, out long _) != r >> 63 : (long)Width.SignExtend<T>((ulong)r) != r;
            Width.SetFlags<T>(s, (ulong)r, over ? 1UL : 0, over ? 1UL : 0);
        }
        Width.StoreRegister<T>((byte*)s + op->D, (ulong)r);
        return op + 1;
    }
}

/// <summary>DIV and IDIV. #DE for a zero divisor and for a quotient that does not fit. Flags are left alone.</summary>
unsafe struct Divide<TSigned> : IFamily where TSigned : IFlag
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.Reg => &Run<T, RegD>,
        Shape.Mem => &Run<T, Mem>,
        Shape.MemX => &Run<T, MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TPlace>(Uop* op, CpuState* s) where T : unmanaged where TPlace : IPlace
    {
        if (!TPlace.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.ReadAt(op, s);
        ulong b = Width.Load<T>(p), quotient, rest;
        if (b == 0) return Fault.Raise(op, s, Fault.DivideError);
        if (sizeof(T) == 8) return TSigned.Value ? SignedWide(op, s, (long)b) : Wide(op, s, b);
        int bits = Width.Bits<T>();
        ulong a = sizeof(T) == 1 ? *(ushort*)s : (Width.Load<T>((byte*)s + 16) << bits) | Width.Load<T>((byte*)s);
        if (TSigned.Value)
        {
            long n = sizeof(T) == 4 ? (long)a : sizeof(T) == 2 ? (int)a : (short)a, d = (long)Width.SignExtend<T>(b);
            // The one quotient that does not fit into 64 bits, and that the host's own division traps on.
            if (n == long.MinValue && d == -1) return Fault.Raise(op, s, Fault.DivideError);
            long q = n / d;
            if ((long)Width.SignExtend<T>((ulong)q) != q) return Fault.Raise(op, s, Fault.DivideError);
            (quotient, rest) = ((ulong)q, (ulong)(n - q * d));
        }
        else
        {
            quotient = a / b;
            if (quotient >> bits != 0) return Fault.Raise(op, s, Fault.DivideError);
            rest = a - quotient * b;
        }
        if (sizeof(T) == 1)
        {
            *(ushort*)s = (ushort)((byte)quotient | (rest << 8));
            return op + 1;
        }
        Width.StoreRegister<T>((byte*)s, quotient);
        Width.StoreRegister<T>((byte*)s + 16, rest);
        return op + 1;
    }

    static Uop* Wide(Uop* op, CpuState* s, ulong b)
    {
        ulong high = s->Gpr[2], low = s->Gpr[0];
        if (b <= high) return Fault.Raise(op, s, Fault.DivideError);
        if (high == 0)
        {
            (s->Gpr[0], s->Gpr[2]) = (low / b, low % b);
            return op + 1;
        }
        var n = new UInt128(high, low);
        ulong q = (ulong)(n / b);
        (s->Gpr[0], s->Gpr[2]) = (q, low - q * b);
        return op + 1;
    }

    static Uop* SignedWide(Uop* op, CpuState* s, long b)
    {
        ulong high = s->Gpr[2], low = s->Gpr[0];
        bool negative = (long)high < 0;
        UInt128 n = new(high, low);
        if (negative) n = 0 - n;
        ulong d = b < 0 ? 0 - (ulong)b : (ulong)b;
        UInt128 q = n / d;
        ulong limit = negative != b < 0 ? 1UL << 63 : (1UL << 63) - 1;
        if (q > limit) return Fault.Raise(op, s, Fault.DivideError);
        ulong magnitude = (ulong)q, rest = (ulong)(n - q * d);
        s->Gpr[0] = negative != b < 0 ? 0 - magnitude : magnitude;
        s->Gpr[2] = negative ? 0 - rest : rest;
        return op + 1;
    }
}
