using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Questions about the system.</summary>
sealed partial class Zw
{
    const string Classes = "Classes: basic, processor, performance (counts of memory and pool), time of day, "
        + "processes, processor times, modules, range start, debugger, firmware tables, code integrity, secure boot; "
        + "others STATUS_INVALID_INFO_CLASS.";

    /// <summary>Answers whole, or says how many bytes it would be.</summary>
    [Export(Support.Partial, Classes), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQuerySystemInformation(
        uint systemInformationClass, Va systemInformation, uint systemInformationLength, Va returnLength)
    {
        NtStatus status = new SystemInformation(nt).Query(
            systemInformationClass, systemInformation, systemInformationLength, out byte[] bytes, out uint needed);
        if (!returnLength.IsNull && status != STATUS_INVALID_INFO_CLASS) nt.Memory.Write(returnLength, needed);
        if (status.IsSuccess) nt.Memory.Write(systemInformation, bytes);
        return status;
    }

    [Export(Support.Partial, Classes), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtQuerySystemInformation(
        uint systemInformationClass, Va systemInformation, uint systemInformationLength, Va returnLength) =>
        ZwQuerySystemInformation(systemInformationClass, systemInformation, systemInformationLength, returnLength);
}
