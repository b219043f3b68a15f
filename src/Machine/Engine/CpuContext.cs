using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>
/// What a thread owns of a processor while it does not run: general, vector and x87 registers, RIP, RFLAGS, MXCSR.
/// </summary>
public sealed unsafe class CpuContext
{
    readonly byte[] _bytes = new byte[CpuState.TlbOffset];

    /// <summary>
    /// The state of a new thread: registers zero, interrupts enabled, NT's x87 and SSE control words.
    /// </summary>
    public CpuContext()
    {
        fixed (byte* p = _bytes) Reset((CpuState*)p);
    }

    internal Span<byte> Bytes => _bytes.AsSpan(0, CpuState.ThreadBytes);

    ref CpuState State => ref MemoryMarshal.AsRef<CpuState>(_bytes.AsSpan());

    public ulong this[int gpr]
    {
        get => State.Gpr[gpr & 15];
        set => State.Gpr[gpr & 15] = value;
    }

    public ulong Rip { get => State.Rip; set => State.Rip = value; }
    public ulong Rsp { get => this[4]; set => this[4] = value; }
    public ulong Rflags { get => State.Rflags; set => State.Rflags = value; }

    /// <summary>The 16 bytes of an XMM register.</summary>
    public Span<byte> Xmm(int n) => _bytes.AsSpan(CpuState.VectorOffset + (n & 15) * 32, 16);

    public void CopyTo(CpuContext other) => _bytes.CopyTo(other._bytes, 0);

    internal static void Reset(CpuState* s)
    {
        s->Rflags = Flags.IF;
        s->Mxcsr = 0x1F80;
        s->FpuControl = 0x27F;
        s->FpuStatus = s->FpuTag = 0;
    }
}
