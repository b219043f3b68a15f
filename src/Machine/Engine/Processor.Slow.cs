using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>Accesses that the TLB does not serve: page crossings, devices, pages with code.</summary>
/// <remarks>
/// An instruction with such an access is run again alone in slow mode: it gets a buffer of the processor's instead of
/// the guest's memory, and what it wrote there is stored when it has completed. All checks are made when the buffer is
/// given.
/// </remarks>
public sealed unsafe partial class Processor
{
    const int BounceBytes = 4096, MaxBounces = 16;

    /// <summary>What a handler does with memory.</summary>
    internal enum Use : byte { Read, Write, Modify }

    record struct Bounce(ulong Address, int Offset, int Size, bool Store, bool Force);

    readonly byte* _bounce;
    readonly Bounce[] _bounces = new Bounce[MaxBounces];
    int _bounceCount, _bounceUsed;
    bool _retry;

    /// <summary>Makes the translation available to a handler whose probe missed, and lets it run again.</summary>
    internal Uop* Retry(Uop* op, ulong address, int size, Use use)
    {
        int bounces = _bounceCount;
        byte* host = Translate(address, size, use);
        if (host == null) return Fault.At(op, State);
        if (_bounceCount == bounces) return op;

        // A buffer: for the rest of the instruction its TLB line stands for exactly this address.
        TlbEntry* line = Tlb.Line(_tlb.Entries, address);
        ulong none = Tlb.NoTag((int)((address >> 12) & (Tlb.Count - 1)));
        *line = new TlbEntry
        {
            Host = host,
            TagRead = use == Use.Read ? address : none,
            TagWrite = use == Use.Read ? none : address,
        };
        _retry = true;
        return op;
    }

    internal byte* Translate(ulong address, int size, Use use)
    {
        CpuState* s = State;
        Access access = use == Use.Read ? Access.Read : Access.Write;
        bool crosses = (address & 0xFFF) + (ulong)size > Va.PageSize, force = false;
        if (!crosses)
        {
            byte* host = _memory.Translate(_tlb, new Va(address), access, out Miss miss, out FaultCause cause);
            if (host != null) return host;
            force = miss == Miss.Fault && IsForced(access, address, cause);
            if (miss == Miss.Fault && !force) return AccessFault(address, access, cause);
        }
        else
        {
            ulong second = (address | 0xFFF) + 1;
            if (!IsAllowed(address, access, ref force) || !IsAllowed(second, access, ref force)) return null;
        }
        if (s->SlowMode == 0)
        {
            s->Exit = Exit.Slow;
            return null;
        }
        return MakeBounce(address, size, use, force);
    }

    bool IsAllowed(ulong address, Access access, ref bool force)
    {
        FaultCause cause = _memory.CauseOf(new Va(address), access, out _);
        if (cause == FaultCause.None) return true;
        if (IsForced(access, address, cause)) return force = true;
        AccessFault(address, access, cause);
        return false;
    }

    // With CR0.WP clear the kernel may write to pages that are only readable.
    bool IsForced(Access access, ulong address, FaultCause cause) =>
        access == Access.Write && cause == FaultCause.Protection && (State->Cr0 & 0x10000) == 0
        && (_memory.ProtectionOf(new Va(address)) & Protection.Read) != 0;

    byte* AccessFault(ulong address, Access access, FaultCause cause)
    {
        CpuState* s = State;
        s->Exit = Exit.Exception;
        bool canonical = cause != FaultCause.NonCanonical;
        s->ExceptionVector = (byte)(canonical ? Fault.PageFault : Fault.GeneralProtection);
        s->ErrorCode = !canonical ? 0
            : (cause == FaultCause.Protection ? 1u : 0) | (access == Access.Write ? 2u : 0);
        (s->FaultAddress, s->FaultCause) = (address, cause);
        return null;
    }

    byte* MakeBounce(ulong address, int size, Use use, bool force)
    {
        Invariant.Holds(_bounceCount < MaxBounces && _bounceUsed + size <= BounceBytes);
        byte* buffer = _bounce + _bounceUsed;
        var bytes = new Span<byte>(buffer, size);
        if (use == Use.Write) bytes.Clear();
        else if (force) _memory.TryPeek(new Va(address), bytes);
        else _memory.Read(new Va(address), bytes);
        _bounces[_bounceCount++] = new Bounce(address, _bounceUsed, size, use != Use.Read, force);
        _bounceUsed += (size + 63) & ~63;
        return buffer;
    }

    /// <summary>Runs the instruction of <see cref="CpuState.ExitOp"/> in slow mode and goes on behind it.</summary>
    Uop* RunSlow()
    {
        CpuState* s = State;
        Uop* op = s->ExitOp, next;
        ushort offset = op->RipOffset;
        s->Rip = s->BlockRip + offset;
        Settle();
        (_bounceCount, _bounceUsed, _codeDropped) = (0, 0, false);
        s->SlowMode = 1;
        try
        {
            while (true)
            {
                next = op->Handler(op, s);
                if (_retry) _retry = false;
                else if (next != op + 1 || next->RipOffset != offset) break;
                op = next;
            }
        }
        finally
        {
            s->SlowMode = 0;
            _retry = false;
            for (int i = 0; i < _bounceCount; i++) _tlb.FlushPage(_bounces[i].Address >> 12);
        }
        if (next == null && s->Exit is Exit.Exception or Exit.Unsupported or Exit.Trap) return null;
        Commit();
        s->BudgetAtStart = s->Budget;
        if (!_codeDropped) return next;

        // The code behind may be another now.
        s->Pending = null;
        if (next == null) return null;
        Back(next);
        s->Exit = Exit.Lookup;
        return null;
    }

    void Commit()
    {
        for (int i = 0; i < _bounceCount; i++)
        {
            Bounce bounce = _bounces[i];
            if (!bounce.Store) continue;
            var bytes = new ReadOnlySpan<byte>(_bounce + bounce.Offset, bounce.Size);
            if (bounce.Force) _memory.Poke(new Va(bounce.Address), bytes);
            else _memory.Write(new Va(bounce.Address), bytes);
        }
    }
}

/// <summary>The way of a handler to <see cref="Processor"/> when the TLB has no answer.</summary>
static unsafe class SlowAccess
{
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static byte* Read(CpuState* s, ulong address, int size) =>
        Processor.Of(s).Translate(address, size, Processor.Use.Read);

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static byte* Write(CpuState* s, ulong address, int size) =>
        Processor.Of(s).Translate(address, size, Processor.Use.Write);

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static byte* Modify(CpuState* s, ulong address, int size) =>
        Processor.Of(s).Translate(address, size, Processor.Use.Modify);
}

/// <summary>
/// How a handler with one access ends when its probe missed: it is run again, or the instruction faults.
/// </summary>
static unsafe class Retry
{
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Uop* Read(Uop* op, CpuState* s, ulong address, int size) =>
        Processor.Of(s).Retry(op, address, size, Processor.Use.Read);

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Uop* Write(Uop* op, CpuState* s, ulong address, int size) =>
        Processor.Of(s).Retry(op, address, size, Processor.Use.Write);

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Uop* Modify(Uop* op, CpuState* s, ulong address, int size) =>
        Processor.Of(s).Retry(op, address, size, Processor.Use.Modify);
}
