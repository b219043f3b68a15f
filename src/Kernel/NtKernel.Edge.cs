using Ringdown.Machine;

namespace Ringdown.Kernel;

// Where the kernel is entered from outside of the machine: what is wrong inside comes out as a stop with its report.
public sealed partial class NtKernel
{
    /// <summary>Work of the kernel's own over structures that a driver can write.</summary>
    /// <exception cref="MachineStop">They led nowhere, or something else stopped the machine.</exception>
    internal T AtEdge<T>(Func<T> work)
    {
        try
        {
            return work();
        }
        catch (PageFault fault)
        {
            throw Reported(StopFor(fault));
        }
        catch (GuestException exception)
        {
            throw Reported(new BugCheck(BugCheckCode.KMODE_EXCEPTION_NOT_HANDLED, exception.Record.Code, Cpu.Rip));
        }
        catch (MachineStop stop) when (Ke.Report(stop))
        {
            throw;
        }
    }

    internal BugCheck Reported(BugCheck stop)
    {
        Ke.Report(stop);
        return stop;
    }

    /// <summary>The stop for a fault in the kernel that no handler of the guest's sees. The caller's buffers were
    /// probed: a structure of the kernel's, which a driver can write, led there.</summary>
    internal BugCheck StopFor(PageFault fault)
    {
        ulong write = fault.Access == Access.Write ? 1UL : 0;
        return fault.Address.Value < Mm.MmUserProbeAddress
            ? new BugCheck(BugCheckCode.SYSTEM_SERVICE_EXCEPTION, Status.STATUS_ACCESS_VIOLATION.Value, Cpu.Rip, write,
                fault.Address.Value)
            : new BugCheck(BugCheckCode.PAGE_FAULT_IN_NONPAGED_AREA, fault.Address.Value, write);
    }
}
