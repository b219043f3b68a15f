using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Services that load drivers, end the system, and write to its screen.</summary>
sealed partial class Zw
{
    const ulong SE_SHUTDOWN_PRIVILEGE = 19;

    /// <summary>The driver of a service, by the path of its key. Its image comes from
    /// <see cref="KernelOptions.DriverFiles"/>.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwLoadDriver(UnicodeString driverServiceName) => nt.Loader.LoadService(driverServiceName.Text);

    /// <summary>A driver whose devices are in use goes when they are not any more.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwUnloadDriver(UnicodeString driverServiceName) =>
        nt.Loader.UnloadService(driverServiceName.Text);

    /// <summary>The screen of the boot is the debug output.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwDisplayString(UnicodeString displayString)
    {
        nt.Dbg.PrintLine(displayString.Text.TrimEnd('\r', '\n'));
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, "Drivers are told, but the machine does not stop.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtShutdownSystem(uint action) => Service(mode =>
    {
        if (action > 2) return STATUS_INVALID_PARAMETER;
        if (mode == ProcessorMode.UserMode && !nt.Se.HasPrivilege(SE_SHUTDOWN_PRIVILEGE))
            return STATUS_PRIVILEGE_NOT_HELD;
        nt.Io.Shutdown();
        return STATUS_SUCCESS;
    });
}
