using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>Conversions of the accumulator, single flags, and the wide compare-and-exchange instructions.</summary>
static unsafe class ConvertHandlers
{
    /// <summary>CBW, CWDE, CDQE.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Widen<TFrom, TTo>(Uop* op, CpuState* s) where TFrom : unmanaged where TTo : unmanaged
    {
        Width.StoreRegister<TTo>((byte*)s, Width.SignExtend<TFrom>(Width.Load<TFrom>((byte*)s)));
        return op + 1;
    }

    /// <summary>CWD, CDQ, CQO: the sign of the accumulator all over RDX.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Spread<T>(Uop* op, CpuState* s) where T : unmanaged
    {
        Width.StoreRegister<T>((byte*)s + 16, (ulong)((long)Width.SignExtend<T>(Width.Load<T>((byte*)s)) >> 63));
        return op + 1;
    }

    public static Uop* Lahf(Uop* op, CpuState* s)
    {
        ((byte*)s)[1] = (byte)(Flags.Arithmetic(s->FlagResult, s->FlagCarry) | Flags.AlwaysOne);
        return op + 1;
    }

    public static Uop* Sahf(Uop* op, CpuState* s)
    {
        const uint Changed = Flags.CF | Flags.PF | Flags.AF | Flags.ZF | Flags.SF;
        uint flags = Flags.Arithmetic(s->FlagResult, s->FlagCarry) & ~Changed;
        Width.SetFlags(s, flags | (((byte*)s)[1] & Changed));
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Clc(Uop* op, CpuState* s)
    {
        Width.SetCarry(s, 0);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Stc(Uop* op, CpuState* s)
    {
        Width.SetCarry(s, 1);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Cmc(Uop* op, CpuState* s)
    {
        Width.SetCarry(s, (s->FlagCarry >> 63) ^ 1);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Cld(Uop* op, CpuState* s)
    {
        s->SystemFlags &= ~Flags.DF;
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Std(Uop* op, CpuState* s)
    {
        s->SystemFlags |= Flags.DF;
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* CompareExchange8<TPlace>(Uop* op, CpuState* s) where TPlace : IPlace
    {
        byte* p = TPlace.Modify(op, s, 8);
        if (p == null) return Fault.At(op, s);
        ulong found = *(ulong*)p, expected = (uint)s->Gpr[0] | (s->Gpr[2] << 32);
        Width.SetZero(s, found == expected);
        if (found == expected)
        {
            *(ulong*)p = (uint)s->Gpr[3] | (s->Gpr[1] << 32);
            return op + 1;
        }
        s->Gpr[0] = (uint)found;
        s->Gpr[2] = found >> 32;
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* CompareExchange16<TPlace>(Uop* op, CpuState* s) where TPlace : IPlace, IAddress
    {
        if ((TPlace.Of(op, s) & 15) != 0) return Fault.Raise(op, s, Fault.GeneralProtection);
        byte* p = TPlace.Modify(op, s, 16);
        if (p == null) return Fault.At(op, s);
        ulong low = *(ulong*)p, high = *(ulong*)(p + 8);
        bool equal = low == s->Gpr[0] && high == s->Gpr[2];
        Width.SetZero(s, equal);
        if (equal)
        {
            *(ulong*)p = s->Gpr[3];
            *(ulong*)(p + 8) = s->Gpr[1];
            return op + 1;
        }
        s->Gpr[0] = low;
        s->Gpr[2] = high;
        return op + 1;
    }
}
