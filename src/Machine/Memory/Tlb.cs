using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>One line of a <see cref="Tlb"/>: the page it translates, once for reads and once for writes.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct TlbEntry
{
    public ulong TagRead, TagWrite;
    public byte* Host;
    public ulong Reserved;
}

/// <summary>The translation cache that every access goes through: 256 lines, direct mapped by page number.</summary>
/// <remarks>
/// One compare, <c>address - tag &lt;= 4096 - size</c>, covers a miss, missing permission, an access that crosses a
/// page,
/// MMIO, the first write after a snapshot and pages with decoded code: all of them have no tag here, and the slow path
/// in <see cref="Memory"/> tells them apart.
/// </remarks>
public readonly unsafe struct Tlb(TlbEntry* entries)
{
    public const int Count = 256, EntryBytes = 32;

    /// <summary>Bytes that a TLB takes wherever it is placed.</summary>
    public const int Bytes = Count * EntryBytes;

    public TlbEntry* Entries => entries;

    /// <summary>The host address of a readable guest address, or null: then ask the slow path.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Read(TlbEntry* entries, ulong address, int size)
    {
        TlbEntry* e = Line(entries, address);
        ulong offset = address - e->TagRead;
        return offset <= (ulong)(Va.PageSize - size) ? e->Host + offset : null;
    }

    /// <summary>The host address of a writable guest address, or null: then ask the slow path.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Write(TlbEntry* entries, ulong address, int size)
    {
        TlbEntry* e = Line(entries, address);
        ulong offset = address - e->TagWrite;
        return offset <= (ulong)(Va.PageSize - size) ? e->Host + offset : null;
    }

    /// <summary>The line of an address: bits 19 to 12 choose it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TlbEntry* Line(TlbEntry* entries, ulong address) =>
        (TlbEntry*)((byte*)entries + ((address >> 7) & ((Count - 1) << 5)));

    public void Flush()
    {
        for (int i = 0; i < Count; i++) FlushLine(i);
    }

    /// <summary>Forgets what is not the kernel's: a line of the kernel's has a tag in the upper half.</summary>
    public void FlushUserHalf()
    {
        for (int i = 0; i < Count; i++)
            if ((long)(entries[i].TagRead | entries[i].TagWrite) >= 0) FlushLine(i);
    }

    public void FlushPage(ulong page) => FlushLine((int)(page & (Count - 1)));

    public void FlushWrites()
    {
        for (int i = 0; i < Count; i++) entries[i].TagWrite = NoTag(i);
    }

    void FlushLine(int i) => entries[i] = new TlbEntry { TagRead = NoTag(i), TagWrite = NoTag(i) };

    // A page that this line never serves, so no address that selects the line can match it.
    internal static ulong NoTag(int line) => (ulong)(line ^ 128) << 12;
}
