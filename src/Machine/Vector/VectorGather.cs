using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>
/// VPGATHERDD and its like: elements from addresses that a vector gives, those whose mask has its top bit set.
/// </summary>
/// <remarks>
/// B is the base, X the vector of indices, S the mask, D the destination; Imm has the bytes of the destination. A fault
/// leaves
/// the elements that were done, with their masks cleared.
/// </remarks>
static unsafe class Gather<T, TIndex> where T : unmanaged where TIndex : unmanaged
{
    /// <summary>In Imm: addresses have 32 bits.</summary>
    public const long Narrow = 64;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Uop* Run(Uop* op, CpuState* s)
    {
        byte* d = (byte*)s + op->D, mask = (byte*)s + op->S, index = (byte*)s + op->X;
        bool narrow = (op->Imm & Narrow) != 0;
        int count = ((int)op->Imm & 63) / Math.Max(sizeof(T), sizeof(TIndex));
        ulong origin = *(ulong*)((byte*)s + op->B) + (ulong)(long)op->Disp;
        for (int i = 0; i < count; i++)
        {
            byte* own = mask + i * sizeof(T);
            bool wanted = (sbyte)own[sizeof(T) - 1] < 0;
            long at = sizeof(TIndex) == 4 ? ((int*)index)[i] : ((long*)index)[i];
            ulong address = origin + ((ulong)at << op->Scale);
            if (narrow) address = (uint)address;
            byte* p = wanted ? Probe.Read(s, address, sizeof(T)) : null;
            if (wanted && p == null) return Fault.At(op, s);
            if (wanted) ((T*)d)[i] = *(T*)p;
            new Span<byte>(own, sizeof(T)).Clear();
        }
        int bytes = count * sizeof(T);
        new Span<byte>(mask, 32).Clear();
        new Span<byte>(d + bytes, 32 - bytes).Clear();
        return op + 1;
    }
}
