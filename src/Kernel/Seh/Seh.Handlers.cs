using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What handlers are shown of an exception, on the guest's stack below where it happened.</summary>
sealed class DispatchArea
{
    readonly NtKernel _nt;
    readonly DispatcherContext _dispatcher;

    public DispatchArea(NtKernel nt, CpuContext context, ExceptionRecord record)
    {
        _nt = nt;
        // Below the present stack pointer: handlers run while the frames of the exception are still there.
        Va top = new((Math.Min(nt.Routines.StackTop, context.Rsp) - 0x80) & ~0xFUL);
        Context = ContextView.At(nt.Memory, top - (ulong)ContextView.Size);
        Record = ExceptionRecordView.At(nt.Memory, Context.Address - 0xA0);
        _dispatcher = DispatcherContext.At(nt.Memory, Record.Address - (ulong)DispatcherContext.Size);
        Context.Save(context);
        ExceptionRecordView shown = Record;
        (shown.ExceptionCode, shown.ExceptionFlags) = (record.Code, record.Flags);
        (shown.ExceptionRecord, shown.ExceptionAddress) = (Va.Null, record.Address);
        shown.NumberParameters = (uint)record.Parameters.Length;
        for (int i = 0; i < record.Parameters.Length; i++) Record.SetParameter(i, record.Parameters[i]);
    }

    /// <summary>Takes a record that lies in guest memory already, for an unwind.</summary>
    public DispatchArea(NtKernel nt, CpuContext context, ExceptionRecordView record)
        : this(nt, context, new ExceptionRecord(
            record.IsNull ? 0xC000_0027 : record.ExceptionCode, new Va(context.Rip)))
    {
    }

    public ContextView Context { get; }
    public ExceptionRecordView Record { get; }

    /// <summary>Calls a frame's termination handler; <paramref name="at"/> is the frame's own context.</summary>
    public void CallTerminationHandler(UnwoundFrame frame, CpuContext at, Va targetIp, uint scope)
    {
        Stack<TerminationCall> calls = _nt.Ke.Scheduler.Current.Terminations;
        var copy = new CpuContext();
        at.CopyTo(copy);
        calls.Push(new TerminationCall(_nt.Routines.ReturnRspOf(Stack), copy, _dispatcher));
        try
        {
            CallHandler(frame, targetIp, scope);
        }
        finally
        {
            calls.Pop();
        }
    }

    ulong Stack => _dispatcher.Address.Value - 0x40;

    /// <summary>Calls a frame's language handler. Returns its EXCEPTION_DISPOSITION.</summary>
    /// <param name="scope">The scope to begin with.</param>
    public uint CallHandler(UnwoundFrame frame, Va targetIp, uint scope)
    {
        DispatcherContext dispatcher = _dispatcher;
        (dispatcher.ControlPc, dispatcher.ImageBase, dispatcher.FunctionEntry) =
            (frame.ControlPc, frame.ImageBase, frame.FunctionEntry);
        (dispatcher.EstablisherFrame, dispatcher.TargetIp, dispatcher.ContextRecord) =
            (frame.Establisher, targetIp, Context);
        (dispatcher.LanguageHandler, dispatcher.HandlerData) = (frame.Handler!.Value.Routine, frame.Handler.Value.Data);
        (dispatcher.HistoryTable, dispatcher.ScopeIndex) = (Va.Null, scope);

        var before = new CpuContext();
        _nt.Cpu.CopyTo(before);
        uint disposition = (uint)_nt.Routines.CallBelow(Stack, frame.Handler.Value.Routine,
            Record.Address.Value, frame.Establisher.Value, Context.Address.Value, dispatcher.Address.Value);
        _nt.Cpu.CopyFrom(before);
        return disposition;
    }
}

/// <summary>A termination handler that an unwind called: an exception in it goes on where this unwind was.</summary>
readonly record struct TerminationCall(ulong ReturnRsp, CpuContext Frame, DispatcherContext Dispatcher);

/// <summary>The handler that compilers name for <c>__try</c>, and unwinding to the <c>__except</c> that it
/// chooses.</summary>
sealed partial class Seh
{
    /// <summary>Walks a function's scope table: filters first, and on the way up <c>__finally</c> blocks.</summary>
    [Export]
    public uint __C_specific_handler(
        ExceptionRecordView exceptionRecord, Va establisherFrame, ContextView contextRecord,
            DispatcherContext dispatcherContext)
    {
        var scopes = new ScopeTable(nt.Memory, dispatcherContext.HandlerData);
        uint pc = (uint)(dispatcherContext.ControlPc - dispatcherContext.ImageBase);
        bool unwinding = (exceptionRecord.ExceptionFlags & (
            ExceptionRecord.Unwinding | ExceptionRecord.ExitUnwind)) != 0;
        return unwinding
            ? RunTerminationHandlers(scopes, pc, exceptionRecord, establisherFrame, dispatcherContext)
            : AskFilters(scopes, pc, exceptionRecord, establisherFrame, contextRecord, dispatcherContext);
    }

    uint AskFilters(
        ScopeTable scopes, uint pc, ExceptionRecordView record, Va frame, ContextView context,
            DispatcherContext dispatcher)
    {
        for (uint i = dispatcher.ScopeIndex; i < scopes.Count; i++)
        {
            Scope scope = scopes[i];
            if (pc < scope.Begin || pc >= scope.End || scope.Target == 0) continue;
            int verdict = 1;
            if (scope.Handler != 1)
            {
                // EXCEPTION_POINTERS in the home space of this very call.
                Va pointers = new Va(nt.Cpu.Rsp) + 8;
                nt.Memory.Write(pointers, record.Address);
                nt.Memory.Write(pointers + 8, context.Address);
                verdict = (int)nt.Routines.Call(dispatcher.ImageBase + scope.Handler, pointers.Value, frame.Value);
            }
            if (verdict < 0) return ContinueExecution;
            if (verdict > 0)
                RtlUnwindEx(frame, dispatcher.ImageBase
                    + scope.Target, record, record.ExceptionCode, context, dispatcher.HistoryTable);
        }
        return ContinueSearch;
    }

    uint RunTerminationHandlers(
        ScopeTable scopes, uint pc, ExceptionRecordView record, Va frame, DispatcherContext dispatcher)
    {
        uint target = (uint)(dispatcher.TargetIp - dispatcher.ImageBase);
        bool isTarget = (record.ExceptionFlags & ExceptionRecord.TargetUnwind) != 0;
        for (uint i = dispatcher.ScopeIndex; i < scopes.Count; i++)
        {
            Scope scope = scopes[i];
            if (pc < scope.Begin || pc >= scope.End) continue;
            // The block that execution goes on in is not left.
            if (isTarget && (scope.Target == target || target >= scope.Begin && target < scope.End
                && scope.Target == 0))
                return ContinueSearch;
            if (scope.Target != 0) continue;
            dispatcher.ScopeIndex = i + 1;
            nt.Routines.Call(dispatcher.ImageBase + scope.Handler, 1, frame.Value);
        }
        return ContinueSearch;
    }

    /// <summary>Leaves all frames below one, running their termination handlers, and goes on at an address in
    /// it.</summary>
    [Export]
    public void RtlUnwindEx(
        Va targetFrame, Va targetIp, ExceptionRecordView exceptionRecord, ulong returnValue, ContextView contextRecord,
            Va historyTable)
    {
        var at = new CpuContext();
        nt.Cpu.CopyTo(at);
        var area = new DispatchArea(nt, at, exceptionRecord);
        var here = new CpuContext();
        ExceptionRecordView record = area.Record;
        for (int i = 0; i < MaximumFrames; i++)
        {
            uint scope = Collide(at);
            at.CopyTo(here);
            if (!_unwinder.Step(at, 2, out UnwoundFrame frame) && frame.Handler is null) break;
            bool isTarget = frame.Establisher == targetFrame && !frame.FunctionEntry.IsNull;
            if (frame.Handler is not null)
            {
                record.ExceptionFlags = ExceptionRecord.Unwinding | (isTarget ? ExceptionRecord.TargetUnwind : 0);
                area.CallTerminationHandler(frame, here, targetIp, scope);
            }
            if (!isTarget) continue;
            here.Rip = targetIp.Value;
            here[0] = returnValue;
            throw new UnwindTo(here);
        }
        throw new BugCheck(BugCheckCode.KMODE_EXCEPTION_NOT_HANDLED, Status.STATUS_BAD_STACK.Value, targetIp.Value);
    }

    [Export]
    public void RtlUnwind(Va targetFrame, Va targetIp, ExceptionRecordView exceptionRecord, ulong returnValue) =>
        RtlUnwindEx(targetFrame, targetIp, exceptionRecord, returnValue, ContextView.At(nt.Memory, Va.Null), Va.Null);

    /// <summary>Leaves the blocks of the caller's own function up to an address in it: a goto out of
    /// <c>__try</c>.</summary>
    [Export]
    public void _local_unwind(Va targetFrame, Va targetIp) => RtlUnwindEx(
        targetFrame, targetIp, ExceptionRecordView.At(nt.Memory, Va.Null), 0, ContextView.At(nt.Memory, Va.Null),
        Va.Null);

    readonly record struct Scope(uint Begin, uint End, uint Handler, uint Target);

    /// <summary>SCOPE_TABLE: which part of a function is guarded by what.</summary>
    readonly struct ScopeTable(Memory memory, Va address)
    {
        public uint Count => Math.Min(memory.Read<uint>(address), 4096);

        public Scope this[uint i]
        {
            get
            {
                Va at = address + 4 + (ulong)i * 16;
                return new(memory.Read<uint>(at), memory.Read<uint>(at + 4), memory.Read<uint>(at + 8),
                    memory.Read<uint>(at + 12));
            }
        }
    }
}
