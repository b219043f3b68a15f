using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What the power manager tells of the machine, and what it can be asked to do.</summary>
sealed partial class Zw
{
    const string FewLevels = "Batteries, capabilities, processors, wake time and execution state; nothing can be set.";

    [Export(Support.Partial, FewLevels), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwPowerInformation(
        uint informationLevel, Va inputBuffer, uint inputBufferLength, Va outputBuffer, uint outputBufferLength) =>
        PowerInformation(informationLevel, outputBuffer, outputBufferLength, ProcessorMode.KernelMode);

    [Export(Support.Partial, FewLevels), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtPowerInformation(
        uint informationLevel, Va inputBuffer, uint inputBufferLength, Va outputBuffer, uint outputBufferLength) =>
        Service(mode => PowerInformation(informationLevel, outputBuffer, outputBufferLength, mode));

    NtStatus PowerInformation(uint level, Va buffer, uint length, ProcessorMode mode)
    {
        if (PowerAnswer(level) is not { } bytes) return STATUS_NOT_SUPPORTED;
        if (length < bytes.Length) return STATUS_BUFFER_TOO_SMALL;
        nt.Ob.Probe(buffer, bytes.Length, mode);
        nt.Memory.Write(buffer, bytes);
        return STATUS_SUCCESS;
    }

    byte[]? PowerAnswer(uint level)
    {
        const uint systemPowerCapabilities = 4, systemBatteryState = 5, processorInformation = 11,
            lastWakeTime = 14, lastSleepTime = 15, systemExecutionState = 16;
        switch (level)
        {
            case systemPowerCapabilities:
                byte[] capabilities = new byte[0x4C];
                // PowerButtonPresent, SleepButtonPresent, SystemS1, S3, S4, S5, HiberFilePresent.
                foreach (int at in (ReadOnlySpan<int>)[0, 1, 3, 5, 6, 7, 8]) capabilities[at] = 1;
                capabilities[0x40] = (byte)SystemState.Sleeping3;     // RtcWake
                return capabilities;
            case systemBatteryState:
                byte[] battery = new byte[0x20];
                battery[0] = 1;    // AcOnLine, and no battery
                return battery;
            case processorInformation:
                byte[] all = new byte[nt.Ke.Scheduler.Processors.Count * 0x18];
                for (int i = 0; i < all.Length / 0x18; i++)
                {
                    BitConverter.TryWriteBytes(all.AsSpan(i * 0x18), i);
                    foreach (int at in (ReadOnlySpan<int>)[4, 8, 12])
                        BitConverter.TryWriteBytes(all.AsSpan(i * 0x18 + at), ProcessorMegahertz);
                }
                return all;
            case lastWakeTime:
                return BitConverter.GetBytes(nt.Po.System.LastWakeTime);
            case lastSleepTime:
                return BitConverter.GetBytes(nt.Po.System.LastSleepTime);
            case systemExecutionState:
                return BitConverter.GetBytes(nt.Po.IsHeldAwake ? 1 : 0);
            default:
                return null;
        }
    }

    const int ProcessorMegahertz = 3000;

    /// <summary>Puts the system to sleep, or turns it off. Synchronous, it returns when the system is awake
    /// again.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwInitiatePowerAction(uint systemAction, uint lightestSystemState, uint flags, bool asynchronous)
    {
        SystemState state = (SystemState)lightestSystemState;
        if (systemAction is 0 or 1 or > (uint)PowerAction.ShutdownOff
            || state is < SystemState.Sleeping1 or > SystemState.Shutdown) return STATUS_INVALID_PARAMETER;
        var action = (PowerAction)systemAction;
        if (action == PowerAction.Hibernate) state = SystemState.Hibernate;
        if (action >= PowerAction.Shutdown) state = SystemState.Shutdown;
        if (!asynchronous) return nt.Po.SetSystemState(state, action);
        nt.Ex.PoolOf(Wdm.CriticalWorkQueue).Queue(() => nt.Po.System.Change(state, action, null));
        return STATUS_SUCCESS;
    }
}
