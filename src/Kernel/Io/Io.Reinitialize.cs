using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Reinitialization: routines that a driver wants called once more when DriverEntry is over.</summary>
sealed partial class Io
{
    readonly Queue<(DriverObject Driver, Va Routine, Va Context)> _reinitialize = new();

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoRegisterDriverReinitialization(
        DriverObject driverObject, Va driverReinitializationRoutine, Va context) =>
        _reinitialize.Enqueue((driverObject, driverReinitializationRoutine, context));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoRegisterBootDriverReinitialization(
        DriverObject driverObject, Va driverReinitializationRoutine, Va context) =>
        IoRegisterDriverReinitialization(driverObject, driverReinitializationRoutine, context);

    /// <summary>Calls the registered routines in turn; one that registers itself again is called again, with a higher
    /// count.</summary>
    public void RunReinitialize()
    {
        while (_reinitialize.TryDequeue(out var next))
        {
            DriverExtension extension = next.Driver.DriverExtension;
            extension.Count++;
            nt.Routines.Call(next.Routine, next.Driver.Address.Value, next.Context.Value, extension.Count);
        }
    }
}
