using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>
/// Operands of 1, 2, 4 and 8 bytes, named by <c>byte</c> to <c>ulong</c>, handled as zero-extended 64-bit values.
/// </summary>
static unsafe class Width
{
    const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;

    [MethodImpl(Inline)]
    public static int Bits<T>() where T : unmanaged => sizeof(T) * 8;

    [MethodImpl(Inline)]
    public static ulong Load<T>(byte* p) where T : unmanaged
    {
        if (sizeof(T) == 1) return *p;
        if (sizeof(T) == 2) return *(ushort*)p;
        if (sizeof(T) == 4) return *(uint*)p;
        return *(ulong*)p;
    }

    [MethodImpl(Inline)]
    public static void Store<T>(byte* p, ulong value) where T : unmanaged
    {
        if (sizeof(T) == 1) *p = (byte)value;
        else if (sizeof(T) == 2) *(ushort*)p = (ushort)value;
        else if (sizeof(T) == 4) *(uint*)p = (uint)value;
        else *(ulong*)p = value;
    }

    /// <summary>Writes a general register: 32 bits clear the upper half, fewer leave the rest alone.</summary>
    [MethodImpl(Inline)]
    public static void StoreRegister<T>(byte* p, ulong value) where T : unmanaged
    {
        if (sizeof(T) == 4) *(ulong*)p = (uint)value;
        else Store<T>(p, value);
    }

    [MethodImpl(Inline)]
    public static ulong SignExtend<T>(ulong value) where T : unmanaged
    {
        if (sizeof(T) == 1) return (ulong)(sbyte)value;
        if (sizeof(T) == 2) return (ulong)(short)value;
        if (sizeof(T) == 4) return (ulong)(int)value;
        return value;
    }

    [MethodImpl(Inline)]
    public static ulong Truncate<T>(ulong value) where T : unmanaged
    {
        if (sizeof(T) == 1) return (byte)value;
        if (sizeof(T) == 2) return (ushort)value;
        if (sizeof(T) == 4) return (uint)value;
        return value;
    }

    /// <summary>Sets all arithmetic flags from a result and the carries out of each bit.</summary>
    [MethodImpl(Inline)]
    public static void SetFlags<T>(CpuState* s, ulong result, ulong carries) where T : unmanaged
    {
        s->FlagResult = SignExtend<T>(result);
        // Bits 0 and 1 are the inversions: they must be clear.
        s->FlagCarry = sizeof(T) == 8 ? carries & ~7UL : (carries << (64 - Bits<T>())) | (carries & 8);
    }

    /// <summary>Sets ZF, SF and PF from a result, CF and OF as given, and clears AF.</summary>
    [MethodImpl(Inline)]
    public static void SetFlags<T>(CpuState* s, ulong result, ulong carry, ulong overflow) where T : unmanaged
    {
        s->FlagResult = SignExtend<T>(result);
        s->FlagCarry = (carry << 63) | ((carry ^ overflow) << 62);
    }

    /// <summary>Sets CF and leaves the other flags alone.</summary>
    [MethodImpl(Inline)]
    public static void SetCarry(CpuState* s, ulong carry)
    {
        ulong change = (s->FlagCarry >> 63) ^ carry;
        s->FlagCarry ^= (change << 63) | (change << 62);
    }

    /// <summary>Sets CF and OF and leaves the other flags alone.</summary>
    [MethodImpl(Inline)]
    public static void SetCarryOverflow(CpuState* s, ulong carry, ulong overflow) =>
        s->FlagCarry = (s->FlagCarry & (~0UL >> 2)) | (carry << 63) | ((carry ^ overflow) << 62);

    /// <summary>Sets the flags as bits of RFLAGS say.</summary>
    public static void SetFlags(CpuState* s, uint flags) => (s->FlagResult, s->FlagCarry) = Flags.Pack(flags);

    /// <summary>Sets ZF and leaves the other flags alone.</summary>
    public static void SetZero(CpuState* s, bool zero)
    {
        uint flags = Flags.Arithmetic(s->FlagResult, s->FlagCarry);
        SetFlags(s, zero ? flags | Flags.ZF : flags & ~Flags.ZF);
    }
}
