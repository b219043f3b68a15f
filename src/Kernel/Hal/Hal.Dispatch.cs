using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The table of what the HAL does for the kernel, and what is left of the HAL of old.</summary>
sealed partial class Hal
{
    const int DispatchVersion = 4, DispatchWords = 23;

    /// <summary>HAL_DISPATCH: its version, then a routine a word. What this HAL has not fails, as a default entry of
    /// NT's does.</summary>
    [ExportData(Words = DispatchWords, Module = "ntoskrnl.exe")]
    public ulong[] HalDispatchTable
    {
        get
        {
            Va absent = nt.Routines.Add("xHalNotSupported", static (_, call) =>
                call.Return(STATUS_NOT_SUPPORTED.Value));
            ulong[] table = [.. Enumerable.Repeat(absent.Value, DispatchWords)];
            table[0] = DispatchVersion;
            // Spare1 is no routine. Some drivers look whether it is there.
            table[4] = 0;
            table[5] = nt.Loader.FindExport("HalExamineMBR").Value;
            table[6] = nt.Loader.FindExport("IoReadPartitionTable").Value;
            table[7] = nt.Loader.FindExport("IoSetPartitionInformation").Value;
            table[8] = nt.Loader.FindExport("IoWritePartitionTable").Value;
            table[1] = nt.Routines.Add("HaliQuerySystemInformation", static (nt, call) =>
            {
                // The length is the last argument: nothing is returned.
                nt.Memory.Write(new Va(call.Argument(3)), 0u);
                call.Return(STATUS_INVALID_LEVEL.Value);
            }).Value;
            return table;
        }
    }

    /// <summary>The screen of the boot is the debug output.</summary>
    [Export]
    public void HalDisplayString(Va @string) => nt.Dbg.PrintLine(nt.Crt.ReadAnsi(@string).TrimEnd('\r', '\n'));

    /// <returns>Whether there is a speaker that beeps: there is none.</returns>
    [Export]
    public bool HalMakeBeep(uint frequency) => false;

    /// <summary>Performance counters of the processor, one owner at a time.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus HalAllocateHardwareCounters(Va groupAffinity, uint groupCount, Va resourceList, Va counterSetHandle)
    {
        const ulong handle = 1;
        if (groupCount != 0 || !resourceList.IsNull) return STATUS_NOT_IMPLEMENTED;
        if (_countersTaken) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Write(counterSetHandle, handle);
        _countersTaken = true;
        return STATUS_SUCCESS;
    }

    bool _countersTaken;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus HalFreeHardwareCounters(Handle counterSetHandle)
    {
        if (counterSetHandle.Value != 1 || !_countersTaken) return STATUS_INVALID_PARAMETER;
        _countersTaken = false;
        return STATUS_SUCCESS;
    }
}
