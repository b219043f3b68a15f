using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A power IRP that somebody has asked the power manager for.</summary>
/// <param name="top">The top of the stack, referenced until it is complete.</param>
/// <param name="physical">The device at the bottom of the stack.</param>
sealed class PowerIrp(Irp irp, DeviceObject top, DeviceObject physical, PowerRequest request)
{
    public Irp Irp { get; } = irp;
    public DeviceObject Top { get; } = top;
    public DeviceObject Physical { get; } = physical;
    public PowerRequest Request { get; } = request;

    /// <summary>It has reached its stack.</summary>
    public bool IsSent { get; set; }

    /// <summary>When it is too late for it to be complete; null while nobody watches it.</summary>
    public (long Due, long Order)? Watchdog { get; set; }
}

/// <summary>What a power IRP asks: DEVICE_POWER_STATE or SYSTEM_POWER_STATE.</summary>
/// <param name="Context">SYSTEM_POWER_STATE_CONTEXT.</param>
/// <param name="Action">POWER_ACTION: why.</param>
/// <param name="Completed">Told when it is complete, with where the status block lies; before it is freed.</param>
sealed record PowerRequest(
    byte Minor, bool IsDevice, uint State, uint Context, uint Action, Action<IoStatusBlock, Va> Completed)
{
    public const byte WaitWake = 0, SetPower = 2, QueryPower = 3;
    public const uint D0 = 1, D3 = 4;

    public bool IsWaitWake => Minor == WaitWake;

    public void Fill(IoStackLocation location)
    {
        location.MinorFunction = Minor;
        if (IsWaitWake)
        {
            location.Parameter1 = State;
            return;
        }
        (location.Parameter1, location.Parameter2) = (Context, IsDevice ? 1UL : 0);
        (location.Parameter3, location.Parameter4) = (State, Action);
    }

    public override string ToString() => IsWaitWake ? "IRP_MN_WAIT_WAKE"
        : (Minor == SetPower ? "IRP_MN_SET_POWER " : "IRP_MN_QUERY_POWER ") + (IsDevice ? $"D{State - 1}"
            : $"S{State - 1}");
}
