using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Ringdown.Tests;

sealed unsafe partial class HostProcessor
{
    static readonly int[] s_signals = [4, 5, 7, 8, 11];

    readonly Dictionary<int, SignalAction> _old = [];
    byte* _thunk, _epilogue, _handler;
    nint* _chain;

    static readonly AssemblerRegister64[] s_gpr =
        [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];

    void BuildThunk()
    {
        byte* at = _region + CodePage;
        _chain = (nint*)(_region + StatePage + 0x1000);
        _epilogue = at;
        at = Align(at + Place(Epilogue(), at));
        _handler = at;
        at = Align(at + Place(Handler(), at));
        _thunk = at;
        Place(Prologue(), at);
        new Span<byte>(Slot, SlotCodeBytes).Fill(0xCC);
    }

    static byte* Align(byte* p) => (byte*)(((nint)p + 63) & ~63);

    static int Place(Assembler code, byte* at)
    {
        using var bytes = new MemoryStream();
        code.Assemble(new StreamCodeWriter(bytes), (ulong)at);
        bytes.ToArray().CopyTo(new Span<byte>(at, (int)bytes.Length));
        return (int)bytes.Length;
    }

    static AssemblerMemoryOperand At(OracleState* state, int offset) => __[(ulong)state + (ulong)offset];

    Assembler Prologue()
    {
        var a = new Assembler(64);
        foreach (AssemblerRegister64 r in new[] { rbx, rbp, r12, r13, r14, r15 }) a.push(r);
        a.mov(__qword_ptr[At(Out, OracleState.HostRspOffset)], rsp);
        a.mov(eax, 7);
        a.xor(edx, edx);
        a.xrstor64(At(In, OracleState.XsaveOffset));
        a.push(__qword_ptr[At(In, OracleState.RflagsOffset)]);
        a.popfq();
        for (int i = 0; i < 16; i++) a.mov(s_gpr[i], __qword_ptr[At(In, i * 8)]);
        a.jmp((ulong)Slot);
        return a;
    }

    Assembler Epilogue()
    {
        var a = new Assembler(64);
        for (int i = 0; i < 16; i++) a.mov(__qword_ptr[At(Out, i * 8)], s_gpr[i]);
        a.mov(rsp, __qword_ptr[At(Out, OracleState.HostRspOffset)]);
        a.pushfq();
        a.pop(__qword_ptr[At(Out, OracleState.RflagsOffset)]);
        a.cld();
        a.mov(eax, 7);
        a.xor(edx, edx);
        a.xsave64(At(Out, OracleState.XsaveOffset));
        a.fninit();
        *(uint*)(_region + StatePage + 0x1100) = 0x1F80;
        a.ldmxcsr(__dword_ptr[(ulong)(_region + StatePage + 0x1100)]);
        a.vzeroupper();
        foreach (AssemblerRegister64 r in new[] { r15, r14, r13, r12, rbp, rbx }) a.pop(r);
        a.ret();
        return a;
    }

    // handler(rdi = signal, rsi = siginfo, rdx = ucontext), offsets are those of glibc's x86-64 ucontext_t.
    Assembler Handler()
    {
        const int rip = 168, error = 192, trap = 200, address = 216;
        var a = new Assembler(64);
        Label chain = a.CreateLabel();
        a.mov(rax, __qword_ptr[rdx + rip]);
        a.mov(rcx, (ulong)(_region + CodePage));
        a.sub(rax, rcx);
        a.cmp(rax, SlotPage + SlotCodeBytes - CodePage);
        a.jae(chain);
        a.mov(rcx, (ulong)Out);
        (int From, int To)[] moves = [(trap, OracleState.TrapOffset), (error, OracleState.ErrorOffset),
            (address, OracleState.FaultAddressOffset), (rip, OracleState.FaultRipOffset)];
        foreach ((int from, int to) in moves)
        {
            a.mov(rax, __qword_ptr[rdx + from]);
            a.mov(__qword_ptr[rcx + to], rax);
        }
        a.mov(rax, (ulong)_epilogue);
        a.mov(__qword_ptr[rdx + rip], rax);
        a.ret();
        a.Label(ref chain);
        a.mov(eax, edi);
        a.mov(rcx, (ulong)_chain);
        a.jmp(__qword_ptr[rcx + rax * 8]);
        return a;
    }

    void Hook()
    {
        foreach (int signal in s_signals)
        {
            SignalAction action = default;
            if (sigaction(signal, null, &action) != 0) throw new InvalidOperationException("sigaction failed");
            _old[signal] = action;
            if (action.Handler is 0 or 1) throw new InvalidOperationException($"nobody handles signal {signal}");
            _chain[signal] = action.Handler;
            // The runtime's own flags stay: its handlers rely on running on the stack that they chose.
            action.Handler = (nint)_handler;
            action.Flags |= SignalInfo;
            if (sigaction(signal, &action, null) != 0) throw new InvalidOperationException("sigaction failed");
        }
    }

    void Unhook()
    {
        foreach ((int signal, SignalAction old) in _old)
        {
            SignalAction action = old;
            sigaction(signal, &action, null);
        }
    }

    const int SignalInfo = 4;

    [StructLayout(LayoutKind.Explicit, Size = 152)]
    struct SignalAction
    {
        [FieldOffset(0)] public nint Handler;
        [FieldOffset(136)] public int Flags;
    }

    [DllImport("libc")] static extern int sigaction(int signal, SignalAction* set, SignalAction* old);
}
