using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Gives C# routines addresses in the guest, and calls an address whoever is behind it.</summary>
/// <remarks>This is why a C# driver can sit above a .sys, and a .sys above a C# driver.</remarks>
public sealed class Routines
{
    const ulong Spacing = 16;

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
        Bind(address, new HostRoutine(name, routine, null));
        return address;
    }

    void MapPage(Va page) => _nt.Memory.Map(page, Va.PageSize, Protection.ReadExecute | Protection.Host);

    /// <summary>Puts a routine at an address that exists already: a stub of a synthetic image.</summary>
    internal void Bind(Va address, HostRoutine routine) => _routines[address.Value] = routine;

    /// <summary>The C# routine at an address, if there is one.</summary>
    internal bool TryFind(Va address, out HostRoutine routine) => _routines.TryGetValue(address.Value, out routine);

    internal static bool IsReturn(Va address) => address == s_return;

    /// <summary>Calls a routine with integer arguments and returns RAX. Runs until it returns, whatever happens
    /// meanwhile.</summary>
    /// <exception cref="MachineStop">The machine stopped.</exception>
    public ulong Call(Va routine, params ReadOnlySpan<ulong> arguments) => CallBelow(_nt.Cpu.Rsp, routine, arguments);

    /// <summary>As <see cref="Call"/>, on a part of the stack further down.</summary>
    internal ulong CallBelow(ulong stack, Va routine, params ReadOnlySpan<ulong> arguments)
    {
        Processor cpu = _nt.Cpu;
        ulong rip = cpu.Rip, rsp = cpu.Rsp;
        int onStack = Math.Max(0, arguments.Length - 4);
        ulong top = ReturnRspOf(stack - (ulong)onStack * 8) - 8;
        _nt.Memory.Write(new Va(top), s_return.Value);
        for (int i = 4; i < arguments.Length; i++) _nt.Memory.Write(new Va(top) + 8 + i * 8, arguments[i]);
        if (arguments.Length > 0) cpu.Rcx = arguments[0];
        if (arguments.Length > 1) cpu.Rdx = arguments[1];
        if (arguments.Length > 2) cpu.R8 = arguments[2];
        if (arguments.Length > 3) cpu.R9 = arguments[3];
        (cpu.Rsp, cpu.Rip) = (top, routine.Value);

        List<NestedCall> calls = Calls;
        calls.Add(new NestedCall(rip, rsp, top + 8));
        Run(top + 8);
        calls.RemoveAt(calls.Count - 1);
        (cpu.Rsp, cpu.Rip) = (rsp, rip);
        return cpu.Rax;
    }

    /// <summary>Where the stack pointer will be when a call on this stack returns.</summary>
    internal ulong ReturnRspOf(ulong stack) => (stack - 0x28) & ~0xFUL;

    void Run(ulong returnRsp)
    {
        int depth = Calls.Count;
        while (true)
        {
            try
            {
                RunUntilReturn(returnRsp);
                return;
            }
            catch (UnwindTo unwind) when (unwind.Context.Rsp < returnRsp)
            {
                Calls.RemoveRange(depth, Calls.Count - depth);
                _nt.Cpu.CopyFrom(unwind.Context);
            }
            catch (MachineStop stop) when (_nt.Ke.Report(stop))
            {
                throw;
            }
            catch (PageFault fault)
            {
                // Not even the exception could be put on the stack: what the processor calls a double fault.
                var stop = new BugCheck(BugCheckCode.UNEXPECTED_KERNEL_MODE_TRAP, 8, fault.Address.Value);
                _nt.Ke.Report(stop);
                throw stop;
            }
        }
    }

    void RunUntilReturn(ulong returnRsp)
    {
        Processor cpu = _nt.Cpu;
        while (true)
        {
            Stop stop = cpu.Run();
            if (stop.Kind == StopKind.HostCall)
            {
                if (cpu.Rip == s_return.Value && cpu.Rsp == returnRsp) return;
                CallHost(cpu);
            }
            else _nt.Ke.OnStop(stop);
        }
    }

    void CallHost(Processor cpu)
    {
        if (!_routines.TryGetValue(cpu.Rip, out HostRoutine routine))
            throw new BugCheck(BugCheckCode.KMODE_EXCEPTION_NOT_HANDLED, Status.STATUS_ILLEGAL_INSTRUCTION.Value,
                cpu.Rip);
        try
        {
            routine.Invoke(_nt, new GuestCall(cpu, _nt.Memory));
            Va rsp = new(cpu.Rsp);
            cpu.Rip = _nt.Memory.Read<ulong>(rsp);
            cpu.Rsp = rsp.Value + 8;
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
}

/// <summary>A routine on the host: its name for stacks and traces, and what it does.</summary>
readonly record struct HostRoutine(string Name, Action<NtKernel, GuestCall> Invoke, Export? Export);

/// <summary>A call of guest code that C# made: where the guest stood outside, and the stack pointer at the inner
/// return.</summary>
readonly record struct NestedCall(ulong OuterRip, ulong OuterRsp, ulong ReturnRsp);
