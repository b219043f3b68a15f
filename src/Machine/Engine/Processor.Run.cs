using System.Runtime.CompilerServices;
using Iced.Intel;

namespace Ringdown.Machine;

public sealed unsafe partial class Processor
{
    /// <summary>Runs from RIP until the owner is needed.</summary>
    /// <remarks>
    /// The budget is charged for a whole block when it is entered and what did not run of it is given back at a fault,
    /// so at every stop it has fallen by the number of instructions that completed; one that faulted did not. A host
    /// call is free. If it does not cover a block, the run stops in front of it: <see cref="Step"/> goes on from there.
    /// </remarks>
    public Stop Run()
    {
        CpuState* s = State;
        if ((s->SystemFlags & Flags.TF) != 0) return RunTraced();
        s->BudgetAtStart = s->Budget;
        s->Pending = null;
        Block* block = Flow.Find(s, s->Rip);
        Uop* op = block != null ? Flow.Enter(s, block) : Resolve();
        while (true)
        {
            if (op != null) Execute(op, s);
            if (s->Exit == Exit.HostCall)
            {
                // By far the most frequent stop.
                Settle();
                return new Stop(StopKind.HostCall, 0, 0, default, FaultCause.None, null);
            }
            if (s->Exit == Exit.Lookup) op = Resolve();
            else if (s->Exit == Exit.Slow) op = RunSlow();
            else break;
            if (op == null && s->Exit is not (Exit.Lookup or Exit.Slow)) break;
        }
        return Finish();
    }

    /// <summary>Runs one instruction; a string instruction with a prefix completely, or up to its fault.</summary>
    /// <returns><see cref="StopKind.Budget"/> when it is done. The budget falls by one and may become
    /// negative.</returns>
    public Stop Step()
    {
        CpuState* s = State;
        long budget = s->Budget;
        s->Budget = s->BudgetAtStart = 1;
        s->Pending = null;
        bool traced = (s->SystemFlags & Flags.TF) != 0;
        try
        {
            Block* block = FindBlock(s->Rip, single: true);
            if (block != null && Flow.Enter(s, block) is var op && op != null) Execute(op, s);
            while (s->Exit == Exit.Slow)
            {
                op = RunSlow();
                if (op != null) Execute(op, s);
            }
            // The instruction led to a block, which the budget did not let begin or nobody has looked for.
            if (s->Exit == Exit.Lookup) s->Exit = Exit.Budget;
            Stop stop = Finish();
            if (!traced || stop.Kind != StopKind.Budget) return stop;
            s->Dr[6] |= 0x4000;
            return stop with { Kind = StopKind.Exception, Vector = Fault.Debug };
        }
        finally
        {
            s->Budget += budget - 1;
        }
    }

    // With the trap flag each instruction is followed by #DB.
    Stop RunTraced()
    {
        if (State->Budget > 0) return Step();
        return new Stop(StopKind.Budget, 0, 0, default, FaultCause.None, null);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    static void Execute(Uop* op, CpuState* s)
    {
        do op = op->Handler(op, s);
        while (op != null);
    }

    Stop Finish()
    {
        CpuState* s = State;
        Stop stop = s->Exit switch
        {
            Exit.Exception => Exception(null),
            Exit.Unsupported => Unsupported(),
            Exit.Trap => Trap(),
            Exit.Fetch => new Stop(
                StopKind.Exception, s->ExceptionVector, s->ErrorCode, new Va(s->FaultAddress), s->FaultCause, null),
            Exit.HostCall => new Stop(StopKind.HostCall, 0, 0, default, FaultCause.None, null),
            Exit.Halt => new Stop(StopKind.Halt, 0, 0, default, FaultCause.None, null),
            Exit.Poll => new Stop(StopKind.Poll, 0, 0, default, FaultCause.None, null),
            _ => new Stop(StopKind.Budget, 0, 0, default, FaultCause.None, null),
        };
        Settle();
        return stop;
    }

    /// <summary>Brings <see cref="CpuState.Retired"/> up to date.</summary>
    void Settle()
    {
        State->Retired += (ulong)(State->BudgetAtStart - State->Budget);
        State->BudgetAtStart = State->Budget;
    }

    Stop Exception(string? detail)
    {
        CpuState* s = State;
        Back(s->ExitOp);
        if (s->ExceptionVector == Fault.PageFault) s->Cr2 = s->FaultAddress;
        return new Stop(
            StopKind.Exception, s->ExceptionVector, s->ErrorCode, new Va(s->FaultAddress), s->FaultCause, detail);
    }

    // RIP to the instruction, and what has not run of the block back to the budget. A jump that only ends a block is no
    // instruction: its Remaining is 255.
    void Back(Uop* op)
    {
        State->Rip = State->BlockRip + op->RipOffset;
        State->Budget += (byte)(op->Remaining + 1);
    }

    Stop Trap()
    {
        CpuState* s = State;
        s->Rip = s->BlockRip + s->ExitOp->RipOffset + (ulong)s->ExitOp->Imm;
        s->Budget += s->ExitOp->Remaining;
        return new Stop(StopKind.Exception, s->ExceptionVector, 0, default, FaultCause.None, null);
    }

    Stop Unsupported()
    {
        State->ExceptionVector = Fault.InvalidOpcode;
        (State->ErrorCode, State->FaultAddress, State->FaultCause) = (0, 0, FaultCause.None);
        ulong rip = State->BlockRip + State->ExitOp->RipOffset;
        return Exception("unsupported instruction: " + Disassemble(rip));
    }

    string Disassemble(ulong rip)
    {
        byte[] bytes = new byte[15];
        int count = 0;
        while (count < bytes.Length && _memory.TryPeek(new Va(rip + (ulong)count), bytes.AsSpan(count, 1))) count++;
        Decoder decoder = Decoder.Create(64, bytes.AsSpan(0, count).ToArray(), rip);
        Instruction instruction = decoder.Decode();
        return $"{instruction} ({Convert.ToHexString(bytes, 0, Math.Min(count, instruction.Length))})";
    }
}
