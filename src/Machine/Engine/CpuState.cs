using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>
/// Everything a processor holds, in unmanaged memory: micro-ops name its parts by their byte offsets.
/// </summary>
/// <remarks>
/// The first <see cref="ThreadBytes"/> belong to the running thread and are what a <see cref="CpuContext"/> keeps.
/// Behind the structure, in the same allocation, lie the TLB and the jump cache.
///
/// The arithmetic flags are kept as two words. <see cref="FlagResult"/> is the last result, sign-extended: ZF, SF and
/// PF follow from it whatever its size was. <see cref="FlagCarry"/> is the vector of carries out: CF is bit 63, OF is
/// bit 63 xor bit 62, AF is bit 3. Its bits 0 and 1 invert SF and PF, for combinations that no result has (POPF, SAHF,
/// PTEST).
/// </remarks>
[StructLayout(LayoutKind.Explicit, Size = TlbOffset)]
public unsafe struct CpuState
{
    internal const int ZeroOffset = 128, BlockRipOffset = 136, ScratchOffset = 1144;
    internal const int MxcsrOffset = 172, FpuOffset = 208, VectorOffset = 352, FsBaseOffset = 880, GsBaseOffset = 888;

    /// <summary>Bytes from the start that belong to the running thread.</summary>
    public const int ThreadBytes = 864;

    /// <summary>Where the inline TLB and the jump cache lie.</summary>
    internal const int TlbOffset = 1536, JumpOffset = TlbOffset + Tlb.Bytes, JumpCount = 1024;
    internal const int AllocationBytes = JumpOffset + JumpCount * 16;

    [FieldOffset(0)] public fixed ulong Gpr[16];

    /// <summary>Always 0: the base or index of an address that has none.</summary>
    [FieldOffset(ZeroOffset)] internal ulong Zero;

    /// <summary>The address of the block being executed: the base of RIP-relative operands.</summary>
    [FieldOffset(BlockRipOffset)] internal ulong BlockRip;

    [FieldOffset(144)] internal ulong FlagResult;
    [FieldOffset(152)] internal ulong FlagCarry;

    /// <summary>The next instruction. True whenever the processor is stopped.</summary>
    [FieldOffset(160)] public ulong Rip;

    /// <summary>RFLAGS without the arithmetic flags: IF, DF, TF, IOPL, NT, RF, AC, ID.</summary>
    [FieldOffset(168)] internal uint SystemFlags;
    [FieldOffset(MxcsrOffset)] public uint Mxcsr;

    // x87: control, status, tag (one bit a register: 1 is in use), last opcode, instruction and data pointer; registers
    // of 16 bytes.
    [FieldOffset(176)] public ushort FpuControl;
    [FieldOffset(178)] public ushort FpuStatus;
    [FieldOffset(180)] public ushort FpuTag;
    [FieldOffset(182)] public ushort FpuOpcode;
    [FieldOffset(184)] public ulong FpuInstruction;
    [FieldOffset(192)] public ulong FpuData;
    [FieldOffset(FpuOffset)] internal fixed byte Fpu[8 * 16];

    /// <summary>YMM0 to YMM15, 32 bytes each; the XMM register is the lower half.</summary>
    [FieldOffset(VectorOffset)] public fixed byte Vector[16 * 32];

    /// <summary>
    /// Instructions that may still run. Charged for a whole block when it is entered; what did not run is given back.
    /// </summary>
    [FieldOffset(864)] public long Budget;
    [FieldOffset(872)] internal int Exit;
    [FieldOffset(876)] internal int SlowMode;
    [FieldOffset(FsBaseOffset)] public ulong FsBase;
    [FieldOffset(GsBaseOffset)] public ulong GsBase;
    [FieldOffset(896)] public ulong KernelGsBase;
    [FieldOffset(904)] public ulong Cr0;
    [FieldOffset(912)] public ulong Cr2;
    [FieldOffset(920)] public ulong Cr3;
    [FieldOffset(928)] public ulong Cr4;

    /// <summary>The task priority, 0 to 15: NT's IRQL.</summary>
    [FieldOffset(936)] public ulong Cr8;
    [FieldOffset(944)] public fixed ulong Dr[8];
    [FieldOffset(1008)] public ulong Xcr0;

    /// <summary>Base and limit that LGDT and LIDT set.</summary>
    [FieldOffset(1016)] public ulong GdtBase;
    [FieldOffset(1024)] public ulong IdtBase;
    [FieldOffset(1032)] public ushort GdtLimit;
    [FieldOffset(1034)] public ushort IdtLimit;
    [FieldOffset(1036)] public ushort Ldtr;
    [FieldOffset(1038)] public ushort TaskRegister;

    /// <summary>ES, CS, SS, DS, FS, GS.</summary>
    [FieldOffset(1040)] public fixed ushort Segment[6];

    /// <summary>Instructions executed so far, as of the last stop.</summary>
    [FieldOffset(1056)] public ulong Retired;
    [FieldOffset(1064)] internal long BudgetAtStart;

    /// <summary>The time-stamp counter is this plus <see cref="Retired"/>.</summary>
    [FieldOffset(1072)] public ulong TscOffset;

    /// <summary>State of the generator behind RDRAND and RDSEED.</summary>
    [FieldOffset(1080)] public ulong RandomState;
    [FieldOffset(1088)] public uint TscAux;
    [FieldOffset(1092)] public int Number;

    // How the last run ended.
    [FieldOffset(1096)] internal Uop* ExitOp;
    [FieldOffset(1104)] internal Link* Pending;
    [FieldOffset(1112)] internal ulong FaultAddress;
    [FieldOffset(1120)] internal uint ErrorCode;
    [FieldOffset(1124)] internal byte ExceptionVector;
    [FieldOffset(1125)] internal FaultCause FaultCause;
    [FieldOffset(1128)] internal nint Owner;
    /// <summary>An address or value that one micro-op leaves for the next of the same instruction.</summary>
    [FieldOffset(ScratchOffset)] internal ulong Scratch;

    /// <summary>The model-specific registers that only hold a value, in the order of <see cref="Msr"/>.</summary>
    [FieldOffset(1160)] internal fixed ulong Msrs[Msr.MostStored];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TlbEntry* TlbOf(CpuState* s) => (TlbEntry*)((byte*)s + TlbOffset);

    /// <summary>RFLAGS as PUSHF would store it; setting it sets all flags that exist.</summary>
    public ulong Rflags
    {
        readonly get => Flags.Arithmetic(FlagResult, FlagCarry) | SystemFlags | Flags.AlwaysOne;
        set
        {
            (FlagResult, FlagCarry) = Flags.Pack((uint)value);
            SystemFlags = (uint)value & Flags.System;
        }
    }
}

/// <summary>RFLAGS: its bits, and how two words stand for the arithmetic ones.</summary>
static class Flags
{
    public const uint CF = 1, AlwaysOne = 2, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, OF = 0x800;
    public const uint TF = 0x100, IF = 0x200, DF = 0x400;
    public const uint Iopl = 0x3000, NT = 0x4000, RF = 0x10000, AC = 0x40000, ID = 0x20_0000;
    public const uint AllArithmetic = CF | PF | AF | ZF | SF | OF;
    public const uint System = TF | IF | DF | Iopl | NT | RF | AC | ID;

    public const ulong InvertSign = 1, InvertParity = 2;

    public static uint Arithmetic(ulong result, ulong carry)
    {
        uint cf = (uint)(carry >> 63), of = cf ^ ((uint)(carry >> 62) & 1);
        uint flags = cf * CF | of * OF | ((uint)(carry >> 3) & 1) * AF;
        if (result == 0) flags |= ZF;
        if (Sign(result, carry)) flags |= SF;
        if (Parity(result, carry)) flags |= PF;
        return flags;
    }

    public static (ulong Result, ulong Carry) Pack(uint flags)
    {
        ulong cf = flags & CF, of = (flags >> 11) & 1, carry = (cf << 63) | ((cf ^ of) << 62) | ((flags & AF) >> 1);
        ulong result = ((flags & PF) != 0 ? 3UL : 1) | (ulong)(flags & SF) << 56;
        if ((flags & ZF) == 0) return (result, carry);
        if ((flags & SF) != 0) carry |= InvertSign;
        if ((flags & PF) == 0) carry |= InvertParity;
        return (0, carry);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Sign(ulong result, ulong carry) => (long)(result ^ (carry << 63)) < 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Parity(ulong result, ulong carry) =>
        ((BitOperations.PopCount((byte)result) ^ (int)(carry >> 1)) & 1) == 0;
}
