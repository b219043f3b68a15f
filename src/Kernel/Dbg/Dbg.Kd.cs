using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The kernel debugger as drivers ask after it: there is none.</summary>
sealed partial class Dbg
{
    [ExportData] public ulong KdComPortInUse => 0;

    [Export]
    public NtStatus KdDisableDebugger() => STATUS_DEBUGGER_INACTIVE;

    [Export]
    public NtStatus KdEnableDebugger() => STATUS_DEBUGGER_INACTIVE;

    /// <summary>Whether a debugger is absent.</summary>
    [Export]
    public bool KdRefreshDebuggerNotPresent() => true;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus KdChangeOption(
        uint option, uint inBufferBytes, Va inBuffer, uint outBufferBytes, Va outBuffer, Va outBufferNeeded) =>
        STATUS_DEBUGGER_INACTIVE;

    [Export(Support.Partial, "All commands are refused, as without a debugger."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus KdSystemDebugControl(
        uint command, Va inputBuffer, uint inputBufferLength, Va outputBuffer, uint outputBufferLength,
            Va returnLength, byte previousMode) => STATUS_DEBUGGER_INACTIVE;

    /// <summary>Nobody answers the prompt: the answer has no characters.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint DbgPrompt(Va prompt, Va response, uint length)
    {
        Print(nt.Crt.ReadAnsi(prompt));
        if (length > 0) nt.Memory.Write(response, (byte)0);
        return 0;
    }

    /// <summary>The boot screen is gone since the machine is up: the display is not the system's.</summary>
    [Export]
    public bool InbvCheckDisplayOwnership() => false;

    /// <summary>Who calls this takes the display over from the boot screen, which is gone already.</summary>
    [Export]
    public void InbvNotifyDisplayOwnershipLost(Va callback)
    {
    }
}
