using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>MOV between registers, immediates and memory.</summary>
unsafe struct Move : IFamily
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TTo, TFrom>(Uop* op, CpuState* s) where T : unmanaged where TTo : IPlace where TFrom : IPlace
    {
        if (!TFrom.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TFrom.AddressOf(op, s), sizeof(T));
        if (!TTo.CanWrite(op, s, sizeof(T))) return Retry.Write(op, s, TTo.AddressOf(op, s), sizeof(T));
        byte* from = TFrom.ReadAt(op, s), to = TTo.WriteAt(op, s);
        if (TTo.IsMemory) Width.Store<T>(to, Width.Load<T>(from));
        else Width.StoreRegister<T>(to, Width.Load<T>(from));
        return op + 1;
    }
}

/// <summary>MOVZX, MOVSX and MOVSXD from a source of <typeparamref name="TFrom"/>.</summary>
unsafe struct Extend<TFrom, TSigned> : IFamily where TFrom : unmanaged where TSigned : IFlag
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
        if (!TPlace.CanRead(op, s, sizeof(TFrom))) return Retry.Read(op, s, TPlace.AddressOf(op, s), sizeof(TFrom));
        byte* p = TPlace.ReadAt(op, s);
        ulong value = Width.Load<TFrom>(p);
        Width.StoreRegister<T>((byte*)s + op->D, TSigned.Value ? Width.SignExtend<TFrom>(value) : value);
        return op + 1;
    }
}

/// <summary>A choice made when a handler is compiled.</summary>
interface IFlag
{
    static abstract bool Value { get; }
}

struct Yes : IFlag
{
    public static bool Value => true;
}

struct No : IFlag
{
    public static bool Value => false;
}

/// <summary>LEA.</summary>
unsafe struct LoadAddress : IFamily
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.RegMem => &Run<T, Mem>,
        Shape.RegMemX => &Run<T, MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TAddress>(Uop* op, CpuState* s) where T : unmanaged where TAddress : IAddress
    {
        Width.StoreRegister<T>((byte*)s + op->D, TAddress.Of(op, s));
        return op + 1;
    }
}

/// <summary>XCHG. With memory it is always atomic, which here every instruction is.</summary>
unsafe struct Exchange : IFamily
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
        if (!TPlace.CanWrite(op, s, sizeof(T))) return Retry.Modify(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.WriteAt(op, s), register = (byte*)s + op->S;
        ulong a = Width.Load<T>(p), b = Width.Load<T>(register);
        if (TPlace.IsMemory) Width.Store<T>(p, b);
        else Width.StoreRegister<T>(p, b);
        Width.StoreRegister<T>(register, a);
        return op + 1;
    }
}

/// <summary>XADD: the sum to the destination, the old destination to the source.</summary>
unsafe struct ExchangeAdd : IFamily
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
        if (!TPlace.CanWrite(op, s, sizeof(T))) return Retry.Modify(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.WriteAt(op, s), register = (byte*)s + op->S;
        ulong a = Width.Load<T>(p), b = Width.Load<T>(register), r = a + b;
        Add.SetFlags<T>(s, a, b, r);
        Width.StoreRegister<T>(register, a);
        if (TPlace.IsMemory) Width.Store<T>(p, r);
        else Width.StoreRegister<T>(p, r);
        return op + 1;
    }
}

/// <summary>CMPXCHG with RAX as the expected value.</summary>
unsafe struct CompareExchange : IFamily
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
        if (!TPlace.CanWrite(op, s, sizeof(T))) return Retry.Modify(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.WriteAt(op, s);
        ulong found = Width.Load<T>(p), expected = Width.Load<T>((byte*)s), value = Width.Load<T>((byte*)s + op->S);
        Sub.SetFlags<T>(s, expected, found, expected - found);
        if (found == expected)
        {
            if (TPlace.IsMemory) Width.Store<T>(p, value);
            else Width.StoreRegister<T>(p, value);
            return op + 1;
        }
        // A 32-bit register destination is written (with itself) even so; so is memory.
        if (!TPlace.IsMemory) Width.StoreRegister<T>(p, found);
        Width.StoreRegister<T>((byte*)s, found);
        return op + 1;
    }
}
