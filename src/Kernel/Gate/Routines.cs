using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Gives C# routines addresses in the guest, and calls an address whoever is behind it.</summary>
/// <remarks>This is why a C# driver can sit above a .sys, and a .sys above a C# driver.</remarks>
public sealed class Routines
{
    const ulong Spacing = 16;

    /// <summary>What a C# driver does from one call of the kernel to the next counts as so many
    /// instructions.</summary>
    const long ManagedCallInstructions = 50;

    /// <summary>Where guest code returns to when C# called it.</summary>
    static readonly Va s_return = new(0xFFFF_F8F0_0000_0000);
    static readonly Va s_first = s_return + Va.PageSize;

    readonly NtKernel _nt;
    readonly Dictionary<ulong, HostRoutine> _routines = [];
    ulong _count;

    internal Routines(NtKernel nt)
    {
        _nt = nt;
        MapPage(s_return);
    }

    /// <summary>Calls of guest code from C# that have not returned, innermost last, of the thread that runs
    /// now.</summary>
    internal List<NestedCall> Calls => _nt.Ke.Scheduler.Current.Calls;

    /// <summary>A guest address for a C# routine. The machine keeps it for as long as it lives.</summary>
    public Va Add(string name, Action<NtKernel, GuestCall> routine)
    {
        Va address = s_first + _count++ * Spacing;
        if (address.PageOffset == 0) MapPage(address);
        _routines[address.Value] = new HostRoutine(name, routine, null);
        return address;
    }

    /// <summary>Gives a C# routine an address in a page that is mapped for such.</summary>
    internal void AddAt(Va address, string name, Action<NtKernel, GuestCall> routine) =>
        _routines[address.Value] = new HostRoutine(name, routine, null);

    void MapPage(Va page) => _nt.Memory.Map(page, Va.PageSize, Protection.ReadExecute | Protection.Host);

    /// <summary>The C# routine at an address, if there is one: an export, or one of this machine's own.</summary>
    internal bool TryFind(Va address, out HostRoutine routine) =>
        KernelImages.TryFind(address, out routine) || _routines.TryGetValue(address.Value, out routine);

    internal static bool IsReturn(Va address) => address == s_return;

    /// <summary>Calls a routine with integer arguments and returns RAX. Runs until it returns, whatever happens
    /// meanwhile.</summary>
    /// <exception cref="MachineStop">The machine stopped.</exception>
    public ulong Call(Va routine, params ReadOnlySpan<ulong> arguments) => CallBelow(StackTop, routine, arguments);

    /// <summary>Below it the stack is free: the stack pointer, or where the variables of the running C# routine
    /// end.</summary>
    internal ulong StackTop => _nt.Cpu.Rsp - _nt.Ke.Scheduler.Current.Locals;

    /// <summary>As <see cref="Call"/>, on a part of the stack further down.</summary>
    internal ulong CallBelow(ulong stack, Va routine, params ReadOnlySpan<ulong> arguments) =>
        CallFrom(stack, _nt.Ke.CurrentStack, barrier: false, routine, arguments);

    /// <summary>As <see cref="Call"/>, on another stack. An exception does not come out of it.</summary>
    internal ulong CallOn(KernelStack stack, Va routine, params ReadOnlySpan<ulong> arguments) =>
        CallFrom(stack.Base.Value - 0x80, stack, barrier: true, routine, arguments);

    /// <summary>As <see cref="CallOn"/>, on a stack that may be in use already: then below that.</summary>
    internal ulong CallInterrupting(KernelStack stack, Va routine, params ReadOnlySpan<ulong> arguments)
    {
        ulong top = stack.Contains(_nt.Cpu.Rsp) ? StackTop & ~0xFUL : stack.Base.Value;
        return CallFrom(top - 0x80, stack, barrier: true, routine, arguments);
    }

    ulong CallFrom(ulong rsp, KernelStack stack, bool barrier, Va routine, ReadOnlySpan<ulong> arguments)
    {
        // Frames of the host's are larger than those of a driver whose calls nest: its stack may last longer.
        if (!System.Runtime.CompilerServices.RuntimeHelpers.TryEnsureSufficientExecutionStack())
            throw new BugCheck(BugCheckCode.UNEXPECTED_KERNEL_MODE_TRAP, 8, rsp);
        Processor cpu = _nt.Cpu;
        (ulong outerRip, ulong outerRsp) = (cpu.Rip, cpu.Rsp);
        ulong top = PushCall(rsp, arguments);
        if (arguments.Length > 0) cpu.Rcx = arguments[0];
        if (arguments.Length > 1) cpu.Rdx = arguments[1];
        if (arguments.Length > 2) cpu.R8 = arguments[2];
        if (arguments.Length > 3) cpu.R9 = arguments[3];
        (cpu.Rsp, cpu.Rip) = (top, routine.Value);

        // Guest code may have put its stack anywhere: then nothing is known of where it ends.
        ulong limit = stack.Contains(top) ? stack.Limit.Value : 0;
        List<NestedCall> calls = Calls;
        var call = new NestedCall(outerRip, outerRsp, top + 8, limit, barrier);
        bool mayPark = MayPark;
        MayPark = false;
        NtThread thread = _nt.Ke.Scheduler.Current;
        ulong locals = thread.Locals;
        thread.Locals = 0;
        calls.Add(call);
        Run(call);
        calls.RemoveAt(calls.Count - 1);
        thread.Locals = locals;
        MayPark = mayPark;
        // Meanwhile the thread may have come to another processor.
        cpu = _nt.Cpu;
        (cpu.Rsp, cpu.Rip) = (outerRsp, outerRip);
        return cpu.Rax;
    }

    // The return address, and above the home space what does not fit into registers.
    ulong PushCall(ulong rsp, ReadOnlySpan<ulong> arguments)
    {
        int onStack = Math.Max(0, arguments.Length - 4);
        ulong top = ReturnRspOf(rsp - (ulong)onStack * 8) - 8;
        _nt.Memory.Write(new Va(top), s_return.Value);
        for (int i = 4; i < arguments.Length; i++) _nt.Memory.Write(new Va(top) + 8 + i * 8, arguments[i]);
        return top;
    }

    /// <summary>Makes a context that enters a routine on a new stack.</summary>
    /// <returns>Where the stack pointer will be when it returns.</returns>
    internal ulong Prepare(CpuContext context, KernelStack stack, Va routine, ulong argument)
    {
        ulong top = PushCall(stack.Base.Value - 0x80, []);
        (context.Rip, context.Rsp, context[1]) = (routine.Value, top, argument);
        return top + 8;
    }

    /// <summary>Where the stack pointer will be when a call on this stack returns.</summary>
    internal ulong ReturnRspOf(ulong stack) => (stack - 0x28) & ~0xFUL;

    void Run(NestedCall call)
    {
        int depth = Calls.Count;
        Scheduler scheduler = _nt.Ke.Scheduler;
        while (true)
        {
            try
            {
                while (true)
                {
                    while (scheduler.Attention) scheduler.Look();
                    Stop stop = RunSlice();
                    if (stop.Kind == StopKind.HostCall)
                    {
                        if (HasReturned(call.ReturnRsp)) return;
                        CallHost();
                    }
                    else _nt.Ke.OnStop(stop);
                }
            }
            catch (UnwindTo unwind) when (call.Contains(unwind.Context.Rsp))
            {
                Calls.RemoveRange(depth, Calls.Count - depth);
                scheduler.Current.Locals = 0;
                _nt.Cpu.CopyFrom(unwind.Context);
            }
            catch (MachineStop stop) when (_nt.Ke.Report(stop))
            {
                throw;
            }
            catch (PageFault fault)
            {
                throw DoubleFault(fault);
            }
        }
    }

    // A slice ends within a block, if it must: the last instructions of it are executed one by one.
    unsafe Stop RunSlice()
    {
        Processor cpu = _nt.Cpu;
        Stop stop = cpu.Run();
        while (stop.Kind == StopKind.Budget && cpu.State->Budget > 0) stop = cpu.Step();
        return stop;
    }

    bool HasReturned(ulong returnRsp) => _nt.Cpu.Rip == s_return.Value && _nt.Cpu.Rsp == returnRsp;

    // Not even the exception could be put on the stack: what the processor calls a double fault.
    BugCheck DoubleFault(PageFault fault)
    {
        var stop = new BugCheck(BugCheckCode.UNEXPECTED_KERNEL_MODE_TRAP, 8, fault.Address.Value);
        _nt.Ke.Report(stop);
        return stop;
    }

    /// <summary>Runs the guest code of a thread that has no C# frames, until the thread waits, gives way or
    /// ends. Then who is current has been decided.</summary>
    internal void RunBase(NtThread thread)
    {
        Scheduler scheduler = _nt.Ke.Scheduler;
        while (true)
        {
            try
            {
                while (thread.Continue is null || GoOn(thread))
                {
                    while (scheduler.Attention)
                        if (!scheduler.LookInPlace()) return;
                    Stop stop = RunSlice();
                    if (stop.Kind == StopKind.HostCall)
                    {
                        if (HasReturned(thread.ReturnRsp)) _nt.Ps.Terminate(Status.STATUS_SUCCESS);
                        CallHostInPlace(thread);
                        if (thread.State == ThreadState.Waiting) break;
                    }
                    else _nt.Ke.OnStop(stop);
                }
                scheduler.LookInPlace();
                return;
            }
            catch (UnwindTo unwind)
            {
                thread.Calls.Clear();
                _nt.Cpu.CopyFrom(unwind.Context);
            }
            catch (PageFault fault)
            {
                throw DoubleFault(fault);
            }
        }
    }

    // The end of a wait, or C# that is a thread's whole life. What guest code would be told of, it is told of here too.
    bool GoOn(NtThread thread)
    {
        Action go = thread.Continue!;
        thread.Continue = null;
        try
        {
            go();
        }
        catch (PageFault fault)
        {
            _nt.Seh.OnPageFault(fault.Address, fault.ErrorCode, fault.Cause);
        }
        catch (GuestException exception)
        {
            _nt.Seh.Dispatch(exception.Record);
        }
        return thread.State == ThreadState.Running;
    }

    /// <summary>The running export may put its thread to sleep by <see cref="NtThread.Continue"/> instead of waiting on
    /// the host's stack: the caller is guest code, and no C# stands below.</summary>
    internal bool MayPark { get; private set; }

    void CallHostInPlace(NtThread thread)
    {
        MayPark = TryFind(new Va(_nt.Cpu.Rip), out HostRoutine routine) && routine.Export is { Parks: true };
        try
        {
            CallHost();
        }
        finally
        {
            MayPark = false;
        }
    }

    /// <summary>Ends the call of an export whose thread had waited without a host's stack.</summary>
    internal void ReturnFromPark(NtStatus result)
    {
        if (TryFind(new Va(_nt.Cpu.Rip), out HostRoutine routine) && routine.Export is { } export)
            _nt.LeaveParked(export, result.Value);
        _nt.Cpu.Rax = result.Value;
        Return();
    }

    /// <summary>C# of a driver calls the kernel: that takes its time, and is where it may be interrupted.</summary>
    internal void OnManagedCall()
    {
        System.Runtime.CompilerServices.RuntimeHelpers.EnsureSufficientExecutionStack();
        unsafe
        {
            CpuState* state = _nt.Cpu.State;
            state->Budget -= ManagedCallInstructions;
            if (state->Budget <= 0) _nt.Ke.OnStop(new Stop(StopKind.Budget, 0, 0, default, FaultCause.None, null));
        }
        Scheduler scheduler = _nt.Ke.Scheduler;
        while (scheduler.Attention) scheduler.Look();
    }

    void CallHost()
    {
        Processor cpu = _nt.Cpu;
        if (!TryFind(new Va(cpu.Rip), out HostRoutine routine))
            throw new BugCheck(BugCheckCode.KMODE_EXCEPTION_NOT_HANDLED, Status.STATUS_ILLEGAL_INSTRUCTION.Value,
                cpu.Rip);
        try
        {
            routine.Invoke(_nt, new GuestCall(_nt.Computer));
            // A thread that waits now has its result, and returns, when it runs again.
            if (!MayPark || _nt.Ke.Scheduler.Current.State == ThreadState.Running) Return();
        }
        catch (PageFault fault)
        {
            _nt.Seh.OnPageFault(fault.Address, fault.ErrorCode, fault.Cause);
        }
        catch (GuestException exception)
        {
            _nt.Seh.Dispatch(exception.Record);
        }
    }

    void Return()
    {
        Processor cpu = _nt.Cpu;
        Va rsp = new(cpu.Rsp);
        Va caller = _nt.Memory.Read<Va>(rsp);
        _nt.Loader.NoteStack(caller, rsp);
        cpu.Rip = caller.Value;
        cpu.Rsp = rsp.Value + 8;
    }
}

/// <summary>A routine on the host: its name for stacks and traces, and what it does.</summary>
readonly record struct HostRoutine(string Name, Action<NtKernel, GuestCall>? Own, Export? Export)
{
    public void Invoke(NtKernel nt, GuestCall call) => (Export?.Thunk ?? Own!)(nt, call);
}

/// <summary>A call of guest code that C# made: where the guest stood outside, and the stack pointer at the inner
/// return.</summary>
/// <param name="StackLimit">Where its stack ends.</param>
/// <param name="IsBarrier">It interrupted what the guest did outside: an exception ends here.</param>
readonly record struct NestedCall(ulong OuterRip, ulong OuterRsp, ulong ReturnRsp, ulong StackLimit, bool IsBarrier)
{
    /// <summary>Whether a frame with this stack pointer belongs to the call.</summary>
    public bool Contains(ulong rsp) => rsp < ReturnRsp && rsp >= StackLimit;
}
