using Ringdown.Machine;
using static Ringdown.Kernel.BugCheckCode;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Traps and structured exceptions: from the processor's vector to a guest's <c>__except</c>, or to a bug
/// check.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Seh(NtKernel nt)
{
    const int MaximumFrames = 512;
    const uint ContinueExecution = 0, ContinueSearch = 1;

    readonly Unwinder _unwinder = new(nt);

    public Unwinder Unwinder => _unwinder;

    /// <summary>The processor raised an exception, or executed INT n.</summary>
    public void OnTrap(Stop stop)
    {
        Processor cpu = nt.Cpu;
        Va rip = new(cpu.Rip);
        switch (stop.Vector)
        {
            case 14:
                OnPageFault(stop.FaultAddress, stop.ErrorCode, stop.Cause);
                return;
            case 0x29:
                throw new BugCheck(KERNEL_SECURITY_CHECK_FAILURE, cpu.Rcx, 0, 0, 0);
            case 8:
                throw new BugCheck(UNEXPECTED_KERNEL_MODE_TRAP, 8);
            case 3:
                // The trap leaves RIP behind the INT3; NT reports the instruction itself.
                cpu.Rip -= 1;
                break;
        }
        uint code = stop.Vector switch
        {
            0 => STATUS_INTEGER_DIVIDE_BY_ZERO.Value,
            1 => STATUS_SINGLE_STEP.Value,
            3 => STATUS_BREAKPOINT.Value,
            4 => STATUS_INTEGER_OVERFLOW.Value,
            5 => STATUS_ARRAY_BOUNDS_EXCEEDED.Value,
            6 => STATUS_ILLEGAL_INSTRUCTION.Value,
            16 => STATUS_FLOAT_INVALID_OPERATION.Value,
            17 => STATUS_DATATYPE_MISALIGNMENT.Value,
            19 => STATUS_FLOAT_MULTIPLE_TRAPS.Value,
            0x2C => 0xC000_0420,    // STATUS_ASSERTION_FAILURE
            _ => STATUS_ACCESS_VIOLATION.Value,
        };
        // #GP says nothing of an address: NT reports a read of -1.
        ulong[] parameters = code == STATUS_ACCESS_VIOLATION.Value ? [0, ulong.MaxValue] : [];
        Dispatch(new ExceptionRecord(code, new Va(cpu.Rip), parameters));
    }

    /// <summary>A page fault, by the guest or by kernel code in C# on its behalf.</summary>
    public void OnPageFault(Va address, uint errorCode, FaultCause cause)
    {
        ulong operation = (errorCode & 0x10) != 0 ? 8UL : (errorCode & 2) != 0 ? 1UL : 0;
        Va rip = new(nt.Cpu.Rip);
        if (cause == FaultCause.Guard) throw new BugCheck(UNEXPECTED_KERNEL_MODE_TRAP, 8, address.Value);
        if (nt.Io.TryRevive(address)) return;
        if (nt.Ke.Irql >= DISPATCH_LEVEL)
            throw new BugCheck(DRIVER_IRQL_NOT_LESS_OR_EQUAL, address.Value, (ulong)nt.Ke.Irql, operation, rip.Value);
        bool kernelHalf = (long)address.Value < 0 && address.IsCanonical;
        if (cause == FaultCause.Protection && operation == 8)
            throw new BugCheck(ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, address.Value,
                (ulong)nt.Memory.ProtectionOf(address));
        if (kernelHalf && cause == FaultCause.Protection)
            throw new BugCheck(ATTEMPTED_WRITE_TO_READONLY_MEMORY, address.Value,
                (ulong)nt.Memory.ProtectionOf(address));
        if (kernelHalf) throw NotMapped(address, operation, rip);
        // Touched once, a guard page is a page like others.
        if (nt.Mm.Space.TryTouchGuard(address))
        {
            Dispatch(new ExceptionRecord(STATUS_GUARD_PAGE_VIOLATION.Value, rip, operation, address.Value));
            return;
        }
        Dispatch(new ExceptionRecord(STATUS_ACCESS_VIOLATION.Value, rip, operation, address.Value));
    }

    /// <summary>The bug check for a fault of the kernel's own on what a driver has left it.</summary>
    public BugCheck StopFor(PageFault fault) =>
        NotMapped(fault.Address, fault.Access == Access.Write ? 1UL : 0, new Va(nt.Cpu.Rip));

    BugCheck NotMapped(Va address, ulong operation, Va rip) => nt.Mm.Pool.Near(address) switch
    {
        { IsFree: true } => new BugCheck(PAGE_FAULT_IN_FREED_SPECIAL_POOL, address.Value, operation, rip.Value),
        { } => new BugCheck(PAGE_FAULT_BEYOND_END_OF_ALLOCATION, address.Value, operation, rip.Value),
        null => new BugCheck(PAGE_FAULT_IN_NONPAGED_AREA, address.Value, operation, rip.Value),
    };

    /// <summary>Looks for a handler of an exception at the processor's present state, and goes on where it
    /// says.</summary>
    public void Dispatch(ExceptionRecord record)
    {
        var context = new CpuContext();
        nt.Cpu.CopyTo(context);
        if (record.Address.IsNull) record = record with { Address = new Va(context.Rip) };
        NtThread thread = nt.Ke.Scheduler.Current;
        if (thread.Dispatching > 16) throw Unhandled(record, context);
        thread.Dispatching++;
        try
        {
            Search(record, context);
        }
        finally
        {
            thread.Dispatching--;
        }
    }

    void Search(ExceptionRecord record, CpuContext context)
    {
        var frames = new DispatchArea(nt, context, record);
        var at = new CpuContext();
        context.CopyTo(at);
        for (int i = 0; i < MaximumFrames; i++)
        {
            uint scope = Collide(at);
            if (!_unwinder.Step(at, 1, out UnwoundFrame frame) && frame.Handler is null) break;
            if (frame.Handler is null) continue;
            switch (frames.CallHandler(frame, Va.Null, scope))
            {
                case ContinueExecution:
                    frames.Context.Load(context);
                    nt.Cpu.CopyFrom(context);
                    return;
                case ContinueSearch:
                    break;
                default:
                    throw new BugCheck(KMODE_EXCEPTION_NOT_HANDLED, STATUS_INVALID_DISPOSITION.Value,
                        frame.ControlPc.Value);
            }
        }
        throw Unhandled(record, context);
    }

    /// <summary>
    /// The walk has come to a termination handler's caller: an exception in the handler. What that unwind had left
    /// behind is gone,
    /// so the walk goes on in the frame that it was at, behind the scope whose handler it ran.
    /// </summary>
    /// <returns>The scope to begin with.</returns>
    uint Collide(CpuContext at)
    {
        if (!Routines.IsReturn(new Va(at.Rip))) return 0;
        foreach (TerminationCall call in nt.Ke.Scheduler.Current.Terminations)
        {
            if (call.ReturnRsp != at.Rsp) continue;
            call.Frame.CopyTo(at);
            return call.Dispatcher.ScopeIndex;
        }
        return 0;
    }

    BugCheck Unhandled(ExceptionRecord record, CpuContext context)
    {
        bool inService = nt.Ke.Scheduler.Current == nt.Ke.Scheduler.Owner && !nt.Ke.InSystemContext;
        ulong p0 = record.Parameters.Length > 0 ? record.Parameters[0] : 0, p1 = record.Parameters.Length > 1
            ? record.Parameters[1] : 0;
        return nt.Ke.Irql >= DISPATCH_LEVEL
            ? new BugCheck(KMODE_EXCEPTION_NOT_HANDLED, record.Code, record.Address.Value, p0, p1) { Context = context }
            : inService ? new BugCheck(
                SYSTEM_SERVICE_EXCEPTION, record.Code, record.Address.Value, p0, p1)
            { Context = context }
            : new BugCheck(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, record.Code, record.Address.Value, p0,
                p1)
            { Context = context };
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExRaiseStatus(NtStatus status) => throw new GuestException(status.Value);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void ExRaiseAccessViolation() => throw new GuestException(STATUS_ACCESS_VIOLATION.Value);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void ExRaiseDatatypeMisalignment() => throw new GuestException(STATUS_DATATYPE_MISALIGNMENT.Value);

    /// <summary>Raises STATUS_ACCESS_VIOLATION unless a buffer lies in the user half. It does not touch the
    /// buffer.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ProbeForRead(Va address, ulong length, uint alignment)
    {
        if (length == 0) return;
        if ((address.Value & (alignment - 1)) != 0) throw new GuestException(STATUS_DATATYPE_MISALIGNMENT.Value);
        Va end = address + length;
        if (end < address || end.Value > nt.Mm.MmUserProbeAddress)
            throw GuestException.AccessViolation(address, Access.Read);
    }

    /// <summary>As <see cref="ProbeForRead"/>, and touches each page for writing.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ProbeForWrite(Va address, ulong length, uint alignment)
    {
        if (length == 0) return;
        ProbeForRead(address, length, alignment);
        for (Va page = address; page < address + length; page = page.PageStart + Va.PageSize)
        {
            byte value = nt.Memory.Read<byte>(page);
            nt.Memory.Write(page, value);
        }
    }
}
