using System.Runtime.InteropServices;

namespace Ringdown.Tests;

/// <summary>
/// The processor that this process runs on, one instruction at a time: loads all its registers from <see cref="In"/>,
/// runs the instruction at <see cref="Slot"/>, stores them in <see cref="Out"/>, with the fault if there was one.
/// </summary>
/// <remarks>
/// x64 Linux with AVX2 only. While one lives, machine code of ours stands in front of the runtime's signal handlers; it
/// takes what happens in the slot and hands everything else on. One at a time in a process.
/// </remarks>
sealed unsafe partial class HostProcessor : IDisposable
{
    const int RegionBytes = 0x40000, StatePage = 0, CodePage = 0x4000, SlotPage = 0x8000, SlotCodeBytes = 0x1000,
        DataPage = 0x11000, StackPage = 0x2F000;

    const int Prot = 7, ProtNone = 0, ProtRead = 1, ProtReadWrite = 3, MapPrivateAnonymousFixedNoReplace = 0x100022;

    readonly byte* _region;

    public HostProcessor()
    {
        _region = Reserve();
        for (int i = 0; i < 0x1000; i += 8)
            *(ulong*)(Data + WritableBytes + i) = (ulong)(i + 1) * 0x9E37_79B9_7F4A_7C15;
        int bad = mprotect(_region + 0x10000, 0x1000, ProtNone) | mprotect(Data + WritableBytes, 0x1000, ProtRead)
            | mprotect(Data + WritableBytes + 0x1000, 0x1000, ProtNone)
            | mprotect(_region + 0x30000, 0x10000, ProtNone);
        if (bad != 0) throw new InvalidOperationException("mprotect failed");
        BuildThunk();
        Hook();
    }

    /// <summary>Why the oracle cannot run here, or null if it can.</summary>
    public static string? WhyNot =>
        !OperatingSystem.IsLinux() ? "the oracle needs Linux's signals"
        : RuntimeInformation.ProcessArchitecture != Architecture.X64 ? "the oracle needs an x64 host"
        : !System.Runtime.Intrinsics.X86.Avx2.IsSupported ? "the oracle needs a host with AVX2"
        : null;

    /// <summary>
    /// Bytes at <see cref="Data"/> that may be written. One page to read follows, then one with no access.
    /// </summary>
    public const int WritableBytes = 0x2000;

    /// <summary>
    /// Distance of RSP from the start of the page at <see cref="Stack"/>; a signal frame needs the room below.
    /// </summary>
    public const int StackPointerOffset = 0x800;

    /// <summary>From here to the end of the slot's page a branch may go: nothing but breakpoints.</summary>
    public const int LandingOffset = 0x20;

    public OracleState* In => (OracleState*)(_region + StatePage);
    public OracleState* Out => (OracleState*)(_region + StatePage + 0x800);

    /// <summary>Where the instruction lies: the start of a page.</summary>
    public byte* Slot => _region + SlotPage;

    /// <summary>Memory for the instruction. The page before it has no access.</summary>
    public byte* Data => _region + DataPage;

    /// <summary>The page that RSP points into.</summary>
    public byte* Stack => _region + StackPage;

    /// <summary>Puts an instruction into the slot.</summary>
    public void Load(ReadOnlySpan<byte> instruction)
    {
        instruction.CopyTo(new Span<byte>(Slot, 15));
        byte* jump = Slot + instruction.Length;
        *jump = 0xE9;
        *(int*)(jump + 1) = (int)(_epilogue - (jump + 5));
    }

    /// <summary>
    /// Runs the instruction in the slot once. RSP comes from <see cref="In"/> too and must point into the stack.
    /// </summary>
    public void Run()
    {
        Out->Trap = OracleState.NoTrap;
        Out->XstateBv = 0;
        In->XstateBv = 7;
        ((delegate* unmanaged<void>)_thunk)();
        bool landed = Out->Trap == 3 && Out->FaultRip - (ulong)Slot is > LandingOffset and < SlotCodeBytes;
        if (Out->Trap != OracleState.NoTrap && Out->FaultRip != (ulong)Slot && !landed)
            throw new InvalidOperationException($"trap {Out->Trap} outside the slot, at {Out->FaultRip:x}");
    }

    public void Dispose()
    {
        Unhook();
        munmap(_region, RegionBytes);
    }

    // Below 2 GiB, so that 32-bit addresses and displacements reach it.
    static byte* Reserve()
    {
        for (nint at = 0x6000_0000; at < 0x7000_0000; at += 0x10_0000)
        {
            byte* region = mmap((void*)at, RegionBytes, Prot, MapPrivateAnonymousFixedNoReplace, -1, 0);
            if (region == (void*)at) return region;
            if ((nint)region != -1) munmap(region, RegionBytes);
        }
        throw new InvalidOperationException("no free addresses below 2 GiB");
    }

    [DllImport("libc")] static extern byte* mmap(void* at, nint bytes, int prot, int flags, int file, nint offset);
    [DllImport("libc")] static extern int munmap(void* at, nint bytes);
    [DllImport("libc")] static extern int mprotect(void* at, nint bytes, int prot);
}
