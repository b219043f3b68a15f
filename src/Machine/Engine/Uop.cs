global using unsafe Handler = delegate*<Ringdown.Machine.Uop*, Ringdown.Machine.CpuState*, Ringdown.Machine.Uop*>;

using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>One micro-op: a handler and its operands, which are byte offsets into <see cref="CpuState"/>.</summary>
/// <remarks>Holds no pointer to a machine, so decoded code is shared by all. AH to BH are offset + 1 of their
/// register.</remarks>
[StructLayout(LayoutKind.Explicit, Size = 32)]
unsafe struct Uop
{
    [FieldOffset(0)] public Handler Handler;

    /// <summary>Destination and source register.</summary>
    [FieldOffset(8)] public ushort D;
    [FieldOffset(10)] public ushort S;

    /// <summary>Base and index of the address; a third and fourth register where there is no address.</summary>
    [FieldOffset(12)] public ushort B;
    [FieldOffset(14)] public ushort X;
    [FieldOffset(16)] public int Disp;
    [FieldOffset(20)] public byte Scale;

    /// <summary>Instructions of the block that follow this one.</summary>
    [FieldOffset(21)] public byte Remaining;

    /// <summary>From the start of the block to the instruction.</summary>
    [FieldOffset(22)] public ushort RipOffset;

    /// <summary>The immediate operand; for branches the <see cref="Link"/>s.</summary>
    [FieldOffset(24)] public long Imm;
}

/// <summary>
/// A decoded block: straight-line code up to a transfer of control, the end of its page, or 64 instructions.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
unsafe struct Block
{
    public const int MaxInstructions = 64;

    public ulong Rip;
    public Uop* Ops;
    public int Instructions;
    public int UopCount;

    /// <summary>Reserved for the counter that promotes hot blocks.</summary>
    public ulong Reserved;
}

/// <summary>Where a direct branch leads.</summary>
[StructLayout(LayoutKind.Sequential)]
unsafe struct Link
{
    /// <summary>
    /// The block, once known. Only set for a target in the same page, which is valid as long as the branch itself.
    /// </summary>
    public Block* Block;
    public ulong Rip;
    public bool CanSet;
}

/// <summary>Line of a processor's cache from an address to its block.</summary>
[StructLayout(LayoutKind.Sequential)]
unsafe struct JumpEntry
{
    public ulong Rip;
    public Block* Block;
}

/// <summary>Why the dispatch loop was left.</summary>
static class Exit
{
    /// <summary>The block at <see cref="CpuState.Rip"/> is to be found.</summary>
    public const int Lookup = 0;
    public const int Budget = 1, Exception = 2, Trap = 3, Slow = 4, HostCall = 5, Halt = 6, Poll = 7, Unsupported = 8;

    /// <summary>The next instruction could not be fetched: RIP is already on it.</summary>
    public const int Fetch = 9;
}
