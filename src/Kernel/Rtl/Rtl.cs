using System.Runtime.InteropServices;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The run-time library: counted strings, versions, memory.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Rtl(NtKernel nt)
{
    const uint StringTag = 0x7274_5352;     // 'RStr'

    /// <summary>Gives a string a zero-terminated copy of a text, from the kernel's pool.</summary>
    public void Allocate(UnicodeString target, string text)
    {
        Va buffer = nt.Mm.Pool.Allocate(text.Length * 2 + 2, StringTag);
        nt.Memory.Write(buffer, MemoryMarshal.AsBytes(text.AsSpan()));
        target.Set(buffer, text.Length * 2, text.Length * 2 + 2);
    }

    /// <summary>The same for a driver, which frees it.</summary>
    public void AllocateFor(UnicodeString target, string text, Va owner)
    {
        Va buffer = nt.Mm.Pool.Allocate((ulong)text.Length * 2 + 2, PoolKind.Paged, StringTag, owner, zero: true);
        nt.Memory.Write(buffer, MemoryMarshal.AsBytes(text.AsSpan()));
        target.Set(buffer, text.Length * 2, text.Length * 2 + 2);
    }

    /// <summary>A UNICODE_STRING of its own, from the kernel's pool.</summary>
    public Va AllocateString(string text)
    {
        var made = UnicodeString.At(nt.Memory, nt.Mm.Pool.Allocate(UnicodeString.Size, StringTag));
        Allocate(made, text);
        return made.Address;
    }
}
