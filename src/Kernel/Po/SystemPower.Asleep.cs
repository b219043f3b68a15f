using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The time in which the machine sleeps: its time goes on, its devices may, and nothing else does.</summary>
sealed partial class SystemPower
{
    const long LongestTicks = 60 * 60 * 10_000_000L;

    bool _isAsleep;
    WakeSource _woken;

    /// <summary>What ended the last sleep.</summary>
    public WakeSource LastWake { get; private set; }

    /// <summary>Somebody presses the button, or a device that may do so wakes the machine. Awake it hears
    /// nothing.</summary>
    public void Wake(WakeSource source)
    {
        if (_isAsleep && _woken == WakeSource.None) _woken = source;
    }

    /// <summary>Returns when the machine is awake. No thread runs meanwhile and no timer of a driver fires: those that
    /// are due then fire at once. What devices have planned happens.</summary>
    void StayAsleep(SystemState state, long? wakeAfter)
    {
        (Clock clock, TimerQueue timers) = (nt.Ke.Clock, nt.Ke.Timers);
        long userWakes = clock.Now + Math.Clamp(wakeAfter ?? LongestTicks, 0, long.MaxValue / 4);
        (_isAsleep, _woken) = (true, WakeSource.None);
        if (state >= SystemState.Sleeping3) nt.Computer.LosePower();
        nt.Ke.Interrupts.Ignored = OnInterrupt;
        nt.Computer.Pci.Woken += OnEvent;
        try
        {
            while (_woken == WakeSource.None)
            {
                long? device = timers.NextDeviceDue, wake = timers.NextWakeDue;
                long next = Math.Min(userWakes, Math.Min(device ?? userWakes, wake ?? userWakes));
                clock.SleepTo(next);
                timers.ExpireDevices();
                if (wake <= clock.Now) Wake(WakeSource.Timer);
                else if (userWakes <= clock.Now) Wake(WakeSource.User);
            }
        }
        finally
        {
            _isAsleep = false;
            nt.Ke.Interrupts.Ignored = null;
            nt.Computer.Pci.Woken -= OnEvent;
        }
        LastWake = _woken;
        if (timers.NextDue <= clock.Now) timers.Expire();
        nt.Ke.Scheduler.Notice();
    }

    // A power management event, which the bus's driver hears of too: it completes the IRP that waits for it.
    void OnEvent(PciFunction function) => Wake(WakeSource.Device);

    // A device interrupts: that wakes the machine if somebody waits for its wake signal.
    void OnInterrupt(InterruptLine line)
    {
        foreach (PowerIrp wake in nt.Po.Irps.Wakes)
            if (nt.Pnp.Find(wake.Physical) is { } node && node.Resources.Any(r => r.Type == ResourceType.Interrupt
                && r.Vector == InterruptTable.VectorOf(line.Number)))
                Wake(WakeSource.Device);
    }
}
