using System.Runtime.InteropServices;

namespace Ringdown.Tests;

/// <summary>
/// All that an instruction can read or change in a processor, in the form that the thunk loads and stores.
/// </summary>
/// <remarks>Lies in memory that the thunk reaches; offsets are written into its code.</remarks>
[StructLayout(LayoutKind.Explicit, Size = 0x600)]
unsafe struct OracleState
{
    public const int RflagsOffset = 128, HostRspOffset = 136, TrapOffset = 144, ErrorOffset = 152,
        FaultAddressOffset = 160, FaultRipOffset = 168, XsaveOffset = 192;

    /// <summary>Bytes of an XSAVE area with x87, SSE and AVX state.</summary>
    public const int XsaveBytes = 832;

    /// <summary>No fault: a number that no vector has.</summary>
    public const ulong NoTrap = 99;

    [FieldOffset(0)] public fixed ulong Gpr[16];
    [FieldOffset(RflagsOffset)] public ulong Rflags;
    [FieldOffset(HostRspOffset)] public ulong HostRsp;
    [FieldOffset(TrapOffset)] public ulong Trap;
    [FieldOffset(ErrorOffset)] public ulong Error;
    [FieldOffset(FaultAddressOffset)] public ulong FaultAddress;
    [FieldOffset(FaultRipOffset)] public ulong FaultRip;
    [FieldOffset(XsaveOffset)] public fixed byte Xsave[XsaveBytes];
    [FieldOffset(XsaveOffset)] public ushort ControlWord;
    [FieldOffset(XsaveOffset + 2)] public ushort StatusWord;
    [FieldOffset(XsaveOffset + 4)] public byte Tags;
    [FieldOffset(XsaveOffset + 6)] public ushort LastOpcode;
    [FieldOffset(XsaveOffset + 8)] public ulong LastInstruction;
    [FieldOffset(XsaveOffset + 16)] public ulong LastOperand;
    [FieldOffset(XsaveOffset + 24)] public uint Mxcsr;
    [FieldOffset(XsaveOffset + 28)] public uint MxcsrMask;
    [FieldOffset(XsaveOffset + 512)] public ulong XstateBv;

    /// <summary>Sixteen bytes: ST(i), counted from the top, or MMi where the top is 0.</summary>
    public static byte* St(OracleState* s, int i) => s->Xsave + 32 + 16 * i;

    /// <summary>The low sixteen bytes of YMMi.</summary>
    public static ulong* Low(OracleState* s, int i) => (ulong*)(s->Xsave + 160 + 16 * i);

    /// <summary>The high sixteen bytes of YMMi.</summary>
    public static ulong* High(OracleState* s, int i) => (ulong*)(s->Xsave + 576 + 16 * i);
}
