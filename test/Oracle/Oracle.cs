using System.Runtime.InteropServices;
using System.Text;
using Iced.Intel;
using Ringdown.Machine;

namespace Ringdown.Tests;

enum Verdict
{
    Agreed,

    /// <summary>The engine says #UD where the host runs it: not there. Never counts as agreement.</summary>
    Absent,
    Different,
}

/// <summary>
/// Runs one instruction on the host and on the engine from the same random state and compares all that it left.
/// </summary>
sealed unsafe class Oracle : IDisposable
{
    // Each instruction makes a page of code that the engine keeps for a while.
    const int CasesPerGuest = 256;

    const int InvalidOpcode = 6, PageFault = 14;

    readonly HostProcessor _host = new();
    GuestProcessor _guest;
    int _cases;
    readonly OracleState* _guestOut;
    Chance _chance = new(0);

    public Oracle()
    {
        _guest = new GuestProcessor(_host);
        _guestOut = (OracleState*)NativeMemory.AlignedAlloc((nuint)sizeof(OracleState), 64);
    }

    /// <summary>What differed when <see cref="Verdict.Different"/> came back; empty otherwise.</summary>
    public string Text { get; private set; } = "";

    /// <summary>The instruction judged last.</summary>
    public Instruction Instruction { get; private set; }

    /// <summary>The code of the instruction judged last.</summary>
    public byte[] Bytes { get; private set; } = [];

    /// <summary>
    /// One case, wholly determined by the seed: an instruction of the form (any form if <see cref="Code.INVALID"/>),
    /// run from
    /// several states. Null if chance made no instruction.
    /// </summary>
    public Verdict? Judge(Code code, ulong seed, int states)
    {
        if (++_cases % CasesPerGuest == 0)
        {
            _guest.Dispose();
            _guest = new GuestProcessor(_host);
        }
        _chance = new Chance(seed);
        var maker = new InstructionMaker(_chance);
        ulong rip = (ulong)_host.Slot;
        bool made = code == Code.INVALID
            ? maker.TryMakeRandom(rip, out Instruction instruction, out byte[] bytes)
            : maker.TryMake(code, rip, out instruction, out bytes);
        var addresses = new AddressMaker(_chance, _host);
        if (!made || !addresses.Tame(ref instruction, bytes)) return null;
        (Instruction, Bytes) = (instruction, bytes);
        _host.Load(bytes);
        _guest.Load(new ReadOnlySpan<byte>(_host.Slot, HostProcessor.LandingOffset));
        var values = new StateMaker(_chance);
        values.FillMemory(_host.Data, HostProcessor.WritableBytes);
        values.FillMemory(_host.Stack + HostProcessor.StackPointerOffset - 0x80, 0x880);
        for (int i = 0; i < states; i++)
        {
            values.FillRegisters(_host.In);
            addresses.Aim(instruction, _host.In);
            Verdict verdict = Once(i);
            if (verdict != Verdict.Agreed) return verdict;
        }
        return Verdict.Agreed;
    }

    Verdict Once(int state)
    {
        Text = "";
        _guest.CopyMemory();
        _host.Run();
        Stop stop = _guest.Run(_host.In, out ulong rip);
        _guest.Store(_guestOut);
        bool faulted = stop.Kind == StopKind.Exception;
        if (faulted && stop.Vector == InvalidOpcode && _host.Out->Trap != InvalidOpcode) return Verdict.Absent;
        var text = new StringBuilder();
        CompareEnd(stop, rip, text);
        if (!UndefinedResults.IsResultUndefined(Instruction, _host.In))
        {
            CompareGeneral(faulted, text);
            CompareVectors(text);
            CompareX87(text);
            UndefinedResults.Forget(Instruction, _host, _guest);
            if (_guest.MemoryDifference(StackFrom()) is var at and not 0)
                text.Append($" memory {at:x}: host {*(ulong*)(at & ~7UL):x16} engine {_guest.Peek(at):x16};");
        }
        if (text.Length == 0) return Verdict.Agreed;
        Text = $"[{Convert.ToHexString(Bytes)}] {Instruction} (state {state}):{text}{Inputs()}";
        return Verdict.Different;
    }

    // What lies lower may have been overwritten by a signal's frame.
    int StackFrom() => _host.Out->Trap == 3
        ? (int)(_host.Out->Gpr[4] - (ulong)_host.Stack) : HostProcessor.StackPointerOffset - 0x40;

    void CompareEnd(Stop stop, ulong rip, StringBuilder text)
    {
        OracleState* o = _host.Out;
        ulong next = (ulong)_host.Slot + (ulong)Bytes.Length;
        bool landed = o->Trap == 3;
        if (o->Trap == OracleState.NoTrap || landed)
        {
            if (landed) next = o->FaultRip - 1;
            if (stop.Kind == StopKind.Exception) text.Append($" engine faults: {stop};");
            else if (rip != next) text.Append($" rip: host {next:x} engine {rip:x};");
            return;
        }
        if (stop.Kind != StopKind.Exception)
        {
            text.Append($" host faults: trap {o->Trap} error {o->Error:x} address {o->FaultAddress:x};");
            return;
        }
        if (rip != (ulong)_host.Slot) text.Append($" rip after the fault is {rip:x};");
        bool same = stop.Vector == o->Trap || UndefinedResults.IsEitherFault(Instruction, stop.Vector, o->Trap);
        if (o->Trap == PageFault)
        {
            ulong error = (stop.ErrorCode ^ o->Error) & UndefinedResults.DefinedErrorBits(Instruction);
            ulong address = stop.FaultAddress.Value ^ o->FaultAddress;
            address &= UndefinedResults.DefinedFaultAddress(Instruction);
            same &= error == 0 && address == 0;
        }
        if (same) return;
        text.Append($" host: trap {o->Trap} error {o->Error:x} address {o->FaultAddress:x}, engine: {stop};");
    }

    void CompareGeneral(bool faulted, StringBuilder text)
    {
        for (int i = 0; i < 16; i++)
        {
            ulong defined = UndefinedResults.DefinedBits(Instruction, Register.RAX + i);
            if (((_host.Out->Gpr[i] ^ _guestOut->Gpr[i]) & defined) == 0) continue;
            text.Append($" {Register.RAX + i}: host {_host.Out->Gpr[i]:x} engine {_guestOut->Gpr[i]:x};");
        }
        // A fault inside a repeated string instruction shows flags of the elements done; elsewhere nothing has changed.
        ulong mask = faulted ? 0xCD5 : UndefinedResults.DefinedFlags(Instruction, _host.In);
        ulong host = _host.Out->Rflags & mask, guest = _guestOut->Rflags & mask;
        if (host != guest) text.Append($" flags: host {host:x} engine {guest:x} of {mask:x};");
        if (_host.Out->Mxcsr != _guestOut->Mxcsr)
            text.Append($" mxcsr: host {_host.Out->Mxcsr:x} engine {_guestOut->Mxcsr:x};");
    }

    void CompareVectors(StringBuilder text)
    {
        for (int i = 0; i < 16; i++)
        {
            ulong* hl = OracleState.Low(_host.Out, i), hh = OracleState.High(_host.Out, i);
            ulong* gl = OracleState.Low(_guestOut, i), gh = OracleState.High(_guestOut, i);
            if (hl[0] == gl[0] && hl[1] == gl[1] && hh[0] == gh[0] && hh[1] == gh[1]) continue;
            if (UndefinedResults.IsEstimate(Instruction) && UndefinedResults.AreClose(new(hl, 4), new(gl, 4))
                && UndefinedResults.AreClose(new(hh, 4), new(gh, 4))) continue;
            text.Append($" ymm{i}: host {Hex(hh, hl)} engine {Hex(gh, gl)};");
        }
    }

    void CompareX87(StringBuilder text)
    {
        OracleState* h = _host.Out, g = _guestOut;
        if (h->ControlWord != g->ControlWord) text.Append($" fcw: host {h->ControlWord:x} engine {g->ControlWord:x};");
        bool approximate = UndefinedResults.IsTranscendental(Instruction);
        int status = approximate ? ~0x200 : ~0;
        if (((h->StatusWord ^ g->StatusWord) & status) != 0)
            text.Append($" fsw: host {h->StatusWord:x} engine {g->StatusWord:x};");
        if (h->Tags != g->Tags) text.Append($" tags: host {h->Tags:x} engine {g->Tags:x};");
        if (((h->StatusWord ^ g->StatusWord) & 0x3800) != 0) return;
        for (int i = 0; i < 8; i++)
            if (!new ReadOnlySpan<byte>(OracleState.St(h, i), 10).SequenceEqual(new(OracleState.St(g, i), 10))
                && !(approximate && UndefinedResults.AreNeighbours(OracleState.St(h, i), OracleState.St(g, i))))
                text.Append($" st{i}: host {Extended(h, i)} engine {Extended(g, i)};");
    }

    string Inputs()
    {
        OracleState* s = _host.In;
        var text = new StringBuilder("\n      in:");
        Encoding(text, s);
        text.Append($" flags={s->Rflags:x} mxcsr={s->Mxcsr:x}");
        bool x87 = false;
        for (int i = 0; i < Instruction.OpCount; i++) x87 |= Instruction.GetOpRegister(i).IsST();
        if (x87 || Instruction.CpuidFeatures.Any(f => f.ToString().StartsWith("FPU", StringComparison.Ordinal)))
        {
            text.Append($" fcw={s->ControlWord:x} fsw={s->StatusWord:x} tags={s->Tags:x}");
            for (int i = 0; i < 8; i++) text.Append($" st{i}={Extended(s, i)}");
        }
        return text.ToString();
    }

    void Encoding(StringBuilder text, OracleState* s)
    {
        foreach (UsedRegister used in new InstructionInfoFactory().GetInfo(Instruction).GetUsedRegisters())
        {
            Register full = used.Register.GetFullRegister();
            if (full.IsGPR()) text.Append($" {full}={s->Gpr[full - Register.RAX]:x}");
            if (used.Register.IsXMM() || used.Register.IsYMM())
            {
                int n = used.Register.GetNumber();
                text.Append($" ymm{n}={Hex(OracleState.High(s, n), OracleState.Low(s, n))}");
            }
            if (used.Register.IsMM()) text.Append($" {used.Register}={Extended(s, used.Register.GetNumber())} ");
        }
        if (Instruction.MemoryBase == Register.None && Instruction.MemorySize == MemorySize.Unknown) return;
        ulong ea = Instruction.GetVirtualAddress(MemoryOperand(), 0, (r, _, _) =>
            r.IsGPR() ? s->Gpr[r.GetFullRegister() - Register.RAX] & (r.GetSize() == 4
                ? uint.MaxValue : ulong.MaxValue) : 0);
        text.Append($" ea={ea:x}");
        ulong data = (ulong)_host.Data;
        if (ea < data || ea > data + HostProcessor.WritableBytes - 32) return;
        ulong* m = (ulong*)ea;
        text.Append($" memory now={m[3]:x16}{m[2]:x16}{m[1]:x16}{m[0]:x16}");
    }

    int MemoryOperand()
    {
        for (int i = 0; i < Instruction.OpCount; i++) if (Instruction.GetOpKind(i) == OpKind.Memory) return i;
        return 0;
    }

    static string Hex(ulong* high, ulong* low) => $"{high[1]:x16}{high[0]:x16}'{low[1]:x16}{low[0]:x16}";

    static string Extended(OracleState* s, int i) =>
        $"{*(ushort*)(OracleState.St(s, i) + 8):x4}:{*(ulong*)OracleState.St(s, i):x16}";

    public void Dispose()
    {
        NativeMemory.AlignedFree(_guestOut);
        _guest.Dispose();
        _host.Dispose();
    }
}
