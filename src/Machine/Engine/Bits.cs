using System.Numerics;
using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>What BT and its kin do to the bit.</summary>
interface IBitChange
{
    static abstract bool Changes { get; }
    static abstract ulong Apply(ulong value, ulong mask);
}

struct TestBit : IBitChange
{
    public static bool Changes => false;
    public static ulong Apply(ulong value, ulong mask) => value;
}

struct SetBit : IBitChange
{
    public static bool Changes => true;
    public static ulong Apply(ulong value, ulong mask) => value | mask;
}

struct ResetBit : IBitChange
{
    public static bool Changes => true;
    public static ulong Apply(ulong value, ulong mask) => value & ~mask;
}

struct FlipBit : IBitChange
{
    public static bool Changes => true;
    public static ulong Apply(ulong value, ulong mask) => value ^ mask;
}

/// <summary>BT, BTS, BTR, BTC. A register as bit offset into memory reaches beyond the operand, both ways.</summary>
unsafe struct BitTest<TChange> : IFamily where TChange : IBitChange
{
    public static Handler Pick<T>(Shape shape, bool flags) where T : unmanaged => shape switch
    {
        Shape.RegReg => &Run<T, RegD, RegS>,
        Shape.RegImm => &Run<T, RegD, Immediate>,
        Shape.MemImm => &Run<T, Mem, Immediate>,
        Shape.MemXImm => &Run<T, MemX, Immediate>,
        Shape.MemReg => &Far<T, Mem>,
        Shape.MemXReg => &Far<T, MemX>,
        _ => null,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<T, TPlace, TIndex>(Uop* op, CpuState* s)
        where T : unmanaged where TPlace : IPlace where TIndex : IPlace
    {
        if (TChange.Changes && !TPlace.CanWrite(op, s, sizeof(T)))
            return Retry.Modify(op, s, TPlace.AddressOf(op, s), sizeof(T));
        if (!TChange.Changes && !TPlace.CanRead(op, s, sizeof(T)))
            return Retry.Read(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TChange.Changes ? TPlace.WriteAt(op, s) : TPlace.ReadAt(op, s);
        Apply<T>(s, p, *TIndex.Read(op, s, 1), TPlace.IsMemory);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Far<T, TAddress>(Uop* op, CpuState* s) where T : unmanaged where TAddress : IAddress
    {
        long index = (long)Width.SignExtend<T>(Width.Load<T>((byte*)s + op->S));
        ulong address = TAddress.Of(op, s) + (ulong)((index >> int.Log2(Width.Bits<T>())) * sizeof(T));
        byte* p = TChange.Changes ? Probe.Modify(s, address, sizeof(T)) : Probe.Read(s, address, sizeof(T));
        if (p == null) return Fault.At(op, s);
        Apply<T>(s, p, (int)index, isMemory: true);
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Apply<T>(CpuState* s, byte* p, int index, bool isMemory) where T : unmanaged
    {
        index &= Width.Bits<T>() - 1;
        ulong value = Width.Load<T>(p);
        Width.SetCarry(s, (value >> index) & 1);
        if (!TChange.Changes) return;
        value = TChange.Apply(value, 1UL << index);
        if (isMemory) Width.Store<T>(p, value);
        else Width.StoreRegister<T>(p, value);
    }
}

/// <summary>An operation from register or memory to a register.</summary>
unsafe interface IScan
{
    /// <summary>Of 0 there is no result: the register stays as it is, even its upper half.</summary>
    static abstract bool SkipsZero { get; }
    static abstract ulong Apply<T>(CpuState* s, ulong value) where T : unmanaged;
}

struct Bsf : IScan
{
    public static bool SkipsZero => true;
    public static unsafe ulong Apply<T>(CpuState* s, ulong value) where T : unmanaged
    {
        Width.SetFlags<T>(s, value == 0 ? 0UL : 1, 0, 0);
        return (ulong)BitOperations.TrailingZeroCount(value);
    }
}

struct Bsr : IScan
{
    public static bool SkipsZero => true;
    public static unsafe ulong Apply<T>(CpuState* s, ulong value) where T : unmanaged
    {
        Width.SetFlags<T>(s, value == 0 ? 0UL : 1, 0, 0);
        return (ulong)BitOperations.Log2(value);
    }
}

struct Tzcnt : IScan
{
    public static bool SkipsZero => false;
    public static unsafe ulong Apply<T>(CpuState* s, ulong value) where T : unmanaged
    {
        ulong r = value == 0 ? (ulong)Width.Bits<T>() : (ulong)BitOperations.TrailingZeroCount(value);
        Width.SetFlags<T>(s, r, value == 0 ? 1UL : 0, 0);
        return r;
    }
}

struct Lzcnt : IScan
{
    public static bool SkipsZero => false;
    public static unsafe ulong Apply<T>(CpuState* s, ulong value) where T : unmanaged
    {
        ulong r = (ulong)(BitOperations.LeadingZeroCount(value) - (64 - Width.Bits<T>()));
        Width.SetFlags<T>(s, r, value == 0 ? 1UL : 0, 0);
        return r;
    }
}

struct Popcnt : IScan
{
    public static bool SkipsZero => false;
    public static unsafe ulong Apply<T>(CpuState* s, ulong value) where T : unmanaged
    {
        // All other flags are cleared, PF too.
        Width.SetFlags(s, value == 0 ? Flags.ZF : 0);
        return (ulong)BitOperations.PopCount(value);
    }
}

struct Blsi : IScan
{
    public static bool SkipsZero => false;
    public static unsafe ulong Apply<T>(CpuState* s, ulong value) where T : unmanaged
    {
        ulong r = value & (0 - value);
        Width.SetFlags<T>(s, r, value != 0 ? 1UL : 0, 0);
        return r;
    }
}

struct Blsmsk : IScan
{
    public static bool SkipsZero => false;
    public static unsafe ulong Apply<T>(CpuState* s, ulong value) where T : unmanaged
    {
        ulong r = value ^ (value - 1);
        Width.SetFlags<T>(s, r, value == 0 ? 1UL : 0, 0);
        return r;
    }
}

struct Blsr : IScan
{
    public static bool SkipsZero => false;
    public static unsafe ulong Apply<T>(CpuState* s, ulong value) where T : unmanaged
    {
        ulong r = value & (value - 1);
        Width.SetFlags<T>(s, r, value == 0 ? 1UL : 0, 0);
        return r;
    }
}

/// <summary>Handlers of an <see cref="IScan"/>.</summary>
unsafe struct Scan<TOp> : IFamily where TOp : IScan
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
        ulong value = Width.Load<T>(p), result = TOp.Apply<T>(s, value);
        if (!TOp.SkipsZero || value != 0) Width.StoreRegister<T>(to, result);
        return op + 1;
    }
}

/// <summary>SETcc.</summary>
unsafe struct SetIf : IConditional
{
    public static Handler Pick<TCondition>(PlaceKind place, int size) where TCondition : ICondition => place switch
    {
        PlaceKind.Memory => &Run<TCondition, Mem>,
        PlaceKind.MemoryIndexed => &Run<TCondition, MemX>,
        _ => &Run<TCondition, RegD>,
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<TCondition, TPlace>(Uop* op, CpuState* s) where TCondition : ICondition where TPlace : IPlace
    {
        if (!TPlace.CanWrite(op, s, 1)) return Retry.Write(op, s, TPlace.AddressOf(op, s), 1);
        *TPlace.WriteAt(op, s) = TCondition.Holds(s) ? (byte)1 : (byte)0;
        return op + 1;
    }
}

/// <summary>CMOVcc. Memory is read whatever the condition; a 32-bit destination is always extended.</summary>
unsafe struct MoveIf : IConditional
{
    public static Handler Pick<TCondition>(PlaceKind place, int size) where TCondition : ICondition => size switch
    {
        2 => Pick<TCondition, ushort>(place),
        4 => Pick<TCondition, uint>(place),
        _ => Pick<TCondition, ulong>(place),
    };

    static Handler Pick<TCondition, T>(PlaceKind place)
        where TCondition : ICondition where T : unmanaged => place switch
        {
            PlaceKind.Memory => &Run<TCondition, T, Mem>,
            PlaceKind.MemoryIndexed => &Run<TCondition, T, MemX>,
            _ => &Run<TCondition, T, RegS>,
        };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static Uop* Run<TCondition, T, TPlace>(Uop* op, CpuState* s)
        where TCondition : ICondition where T : unmanaged where TPlace : IPlace
    {
        if (!TPlace.CanRead(op, s, sizeof(T))) return Retry.Read(op, s, TPlace.AddressOf(op, s), sizeof(T));
        byte* p = TPlace.ReadAt(op, s), to = (byte*)s + op->D;
        ulong value = Width.Load<T>(p), old = Width.Load<T>(to);
        Width.StoreRegister<T>(to, TCondition.Holds(s) ? value : old);
        return op + 1;
    }
}
