using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Reinitialization: routines that a driver wants called once more when DriverEntry is over.</summary>
sealed partial class Io
{
    const uint DRVO_REINIT_REGISTERED = 0x08, DRVO_BOOTREINIT_REGISTERED = 0x20;

    readonly Queue<(DriverObject Driver, Va Routine, Va Context)> _reinitialize = new(), _bootReinitialize = new();

    /// <summary>The routine is called after the entry points of all drivers that are loaded together.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoRegisterDriverReinitialization(
        DriverObject driverObject, Va driverReinitializationRoutine, Va context)
    {
        driverObject.Flags |= DRVO_REINIT_REGISTERED;
        _reinitialize.Enqueue((driverObject, driverReinitializationRoutine, context));
    }

    /// <summary>The same, before the others: when all devices have been started.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoRegisterBootDriverReinitialization(
        DriverObject driverObject, Va driverReinitializationRoutine, Va context)
    {
        driverObject.Flags |= DRVO_BOOTREINIT_REGISTERED;
        _bootReinitialize.Enqueue((driverObject, driverReinitializationRoutine, context));
    }

    /// <summary>Calls the registered routines in turn; one that registers itself again is called again, with a higher
    /// count.</summary>
    public void RunReinitialize()
    {
        Run(_bootReinitialize, DRVO_BOOTREINIT_REGISTERED);
        Run(_reinitialize, DRVO_REINIT_REGISTERED);
    }

    void Run(Queue<(DriverObject Driver, Va Routine, Va Context)> queue, uint flag)
    {
        while (queue.TryDequeue(out var next))
        {
            nt.Ke.Clock.Spend();
            DriverObject driver = next.Driver;
            driver.Flags &= ~flag;
            DriverExtension extension = driver.DriverExtension;
            extension.Count++;
            nt.Routines.Call(next.Routine, driver.Address.Value, next.Context.Value, extension.Count);
        }
    }

    /// <summary>A driver whose entry point has failed is not called again.</summary>
    public void ForgetReinitialize(DriverObject driver)
    {
        foreach (var queue in (ReadOnlySpan<Queue<(DriverObject Driver, Va Routine, Va Context)>>)
            [_reinitialize, _bootReinitialize])
        {
            for (int i = queue.Count; i > 0; i--)
                if (queue.Dequeue() is var kept && kept.Driver != driver) queue.Enqueue(kept);
        }
    }
}
