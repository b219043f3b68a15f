using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>
/// The engine beside the host: the same pages at the same addresses, the same registers in, its registers out.
/// </summary>
sealed unsafe class GuestProcessor : IDisposable
{
    const int Pages = 3;

    readonly HostProcessor _host;
    readonly Memory _memory = new();
    readonly CodeCache _code = new();
    readonly Processor _processor;
    readonly byte*[] _data = new byte*[Pages];
    readonly byte* _stack;

    public GuestProcessor(HostProcessor host)
    {
        _host = host;
        _processor = new Processor(_memory, _code);
        _memory.Map(new Va((ulong)host.Slot), Va.PageSize, Protection.All);
        _memory.Map(new Va((ulong)host.Data), HostProcessor.WritableBytes, Protection.ReadWrite);
        _memory.Map(new Va((ulong)host.Data + HostProcessor.WritableBytes), Va.PageSize, Protection.Read);
        _memory.Map(new Va((ulong)host.Stack), Va.PageSize, Protection.ReadWrite);
        for (int i = 0; i < Pages; i++) _data[i] = Page(host.Data + i * Va.PageSize);
        _stack = Page(host.Stack);
        _memory.Poke(new Va((ulong)host.Slot), new ReadOnlySpan<byte>(host.Slot, Va.PageSize));
    }

    byte* Page(byte* address) => _memory.Physical.Host(_memory.FrameOf(new Va((ulong)address)));

    /// <summary>Puts an instruction where the host has it.</summary>
    public void Load(ReadOnlySpan<byte> instruction) => _memory.Poke(new Va((ulong)_host.Slot), instruction);

    /// <summary>Takes over the host's memory, all of it.</summary>
    public void CopyMemory()
    {
        for (int i = 0; i < Pages; i++)
            Buffer.MemoryCopy(_host.Data + i * Va.PageSize, _data[i], Va.PageSize, Va.PageSize);
        Buffer.MemoryCopy(_host.Stack, _stack, Va.PageSize, Va.PageSize);
    }

    /// <summary>
    /// Address of the first byte that differs from the host's, or 0. The stack counts from an offset of its page.
    /// </summary>
    public ulong MemoryDifference(int stackFrom)
    {
        for (int i = 0; i < Pages; i++)
            if (Difference(_host.Data + i * Va.PageSize, _data[i], 0, Va.PageSize) is var d and not 0) return d;
        return Difference(_host.Stack, _stack, stackFrom, Va.PageSize);
    }

    static ulong Difference(byte* host, byte* guest, int from, int to)
    {
        int at = new ReadOnlySpan<byte>(host + from, to - from).CommonPrefixLength(
            new ReadOnlySpan<byte>(guest + from, to - from));
        return at == to - from ? 0 : (ulong)(host + from + at);
    }

    /// <summary>Takes four bytes from the host's memory, if they are in a writable part.</summary>
    public void Overwrite(ulong address)
    {
        ulong offset = address - (ulong)_host.Data;
        ulong stackOffset = address - (ulong)_host.Stack;
        if (offset < HostProcessor.WritableBytes) *(uint*)(_data[offset >> 12] + (offset & 0xFFF)) = *(uint*)address;
        if (stackOffset < Va.PageSize) *(uint*)(_stack + stackOffset) = *(uint*)address;
    }

    public ulong Peek(ulong address) => _memory.TryPeek(new Va(address & ~7UL), out ulong value) ? value : 0;

    public Stop Run(OracleState* from, out ulong rip)
    {
        CpuState* s = _processor.State;
        for (int i = 0; i < 16; i++) s->Gpr[i] = from->Gpr[i];
        s->Rflags = from->Rflags;
        s->Rip = (ulong)_host.Slot;
        s->Mxcsr = from->Mxcsr;
        (s->FpuControl, s->FpuStatus, s->FpuTag) = (from->ControlWord, from->StatusWord, from->Tags);
        (s->FpuOpcode, s->FpuInstruction, s->FpuData) = (from->LastOpcode, from->LastInstruction, from->LastOperand);
        for (int i = 0; i < 16; i++)
        {
            ulong* v = (ulong*)(s->Vector + 32 * i);
            (v[0], v[1]) = (OracleState.Low(from, i)[0], OracleState.Low(from, i)[1]);
            (v[2], v[3]) = (OracleState.High(from, i)[0], OracleState.High(from, i)[1]);
        }
        for (int i = 0, top = from->StatusWord >> 11; i < 8; i++)
            Buffer.MemoryCopy(OracleState.St(from, i), s->Fpu + ((top + i) & 7) * 16, 16, 10);
        Stop stop = _processor.Step();
        rip = s->Rip;
        return stop;
    }

    public void Store(OracleState* to)
    {
        CpuState* s = _processor.State;
        for (int i = 0; i < 16; i++) to->Gpr[i] = s->Gpr[i];
        to->Rflags = s->Rflags;
        to->Mxcsr = s->Mxcsr;
        (to->ControlWord, to->StatusWord, to->Tags) = (s->FpuControl, s->FpuStatus, (byte)s->FpuTag);
        for (int i = 0; i < 16; i++)
        {
            ulong* v = (ulong*)(s->Vector + 32 * i);
            (OracleState.Low(to, i)[0], OracleState.Low(to, i)[1]) = (v[0], v[1]);
            (OracleState.High(to, i)[0], OracleState.High(to, i)[1]) = (v[2], v[3]);
        }
        for (int i = 0, top = to->StatusWord >> 11; i < 8; i++)
            Buffer.MemoryCopy(s->Fpu + ((top + i) & 7) * 16, OracleState.St(to, i), 16, 10);
    }

    public void Dispose()
    {
        _processor.Dispose();
        _code.Dispose();
        _memory.Dispose();
    }
}
