using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Sends power IRPs by the rules of the system: of one physical device one IRP for its own state and one for
/// the system's at a time, one that needs inrush current in the whole system, and one that waits for a wake signal.
/// What has to wait is sent when the one before is complete and its requestor knows.</summary>
sealed class PowerIrps(NtKernel nt)
{
    const long WatchdogTicks = 10 * 60 * 10_000_000L;
    const uint TriageTag = 0x5472_6F50, TriageSignature = 0x8000, TriageRevision = 1;
    const int TriageBytes = 0x20;
    const ulong Blocked = 3;

    readonly Dictionary<Va, PowerIrp> _live = [];
    readonly Dictionary<(Va Physical, bool IsDevice), Queue<PowerIrp>> _lanes = [];
    readonly Dictionary<Va, PowerIrp> _wakes = [];
    readonly Queue<PowerIrp> _inrushWaiting = new();
    readonly HashSet<NtThread> _completing = [];
    PowerIrp? _inrush;

    /// <summary>IRPs that wait for a wake signal.</summary>
    public IEnumerable<PowerIrp> Wakes => _wakes.Values;

    /// <summary>Makes an IRP for the stack that a device is in. It is not sent yet.</summary>
    public PowerIrp Make(DeviceObject device, PowerRequest request)
    {
        DeviceObject top = nt.Io.TopOf(device);
        nt.Ob.Reference(nt.Ob.At(top.Address));
        Irp irp = nt.Io.NewPowerIrp(top, Completion, request.Fill);
        var made = new PowerIrp(irp, top, Io.BottomOf(device), request);
        _live.Add(irp.Address, made);
        return made;
    }

    /// <summary>Sends it, now or as soon as the rules allow.</summary>
    public void Submit(PowerIrp irp)
    {
        if (irp.Request.IsWaitWake)
        {
            if (_wakes.TryAdd(irp.Physical.Address, irp)) Send(irp);
            else
            {
                // The device waits already: no driver hears of this one.
                Irp made = irp.Irp;
                made.IoStatus = new(STATUS_DEVICE_BUSY, 0);
                End(irp);
            }
            return;
        }
        var lane = (irp.Physical.Address, irp.Request.IsDevice);
        if (_lanes.TryGetValue(lane, out Queue<PowerIrp>? waiting)) waiting.Enqueue(irp);
        else
        {
            _lanes.Add(lane, new Queue<PowerIrp>());
            SendInrush(irp);
        }
    }

    void SendInrush(PowerIrp irp)
    {
        if (NeedsInrush(irp))
        {
            if (_inrush is not null)
            {
                _inrushWaiting.Enqueue(irp);
                return;
            }
            _inrush = irp;
        }
        Send(irp);
    }

    bool NeedsInrush(PowerIrp irp) =>
        irp.Request is { Minor: PowerRequest.SetPower, IsDevice: true, State: PowerRequest.D0 }
            && StackHas(irp, Wdm.DO_POWER_INRUSH);

    static bool StackHas(PowerIrp irp, uint flag)
    {
        DeviceObject device = irp.Physical;
        for (int i = 0; i < 256 && !device.IsNull; i++, device = device.AttachedDevice)
            if ((device.Flags & flag) != 0) return true;
        return false;
    }

    // Drivers whose device is pageable are called at PASSIVE_LEVEL; and who is told of one IRP's end and asks for the
    // next does not get it on the same stack.
    void Send(PowerIrp irp)
    {
        bool isPassive = nt.Ke.Irql == PASSIVE_LEVEL && nt.Ke.Scheduler.Active.Nesting == 0;
        bool mayBeRaised = !irp.Request.IsWaitWake && !StackHas(irp, Wdm.DO_POWER_PAGABLE);
        if ((isPassive || mayBeRaised) && !_completing.Contains(nt.Ke.Scheduler.Current)) SendNow(irp);
        else nt.Ex.PoolOf(Wdm.CriticalWorkQueue).Queue(() => SendNow(irp));
    }

    void SendNow(PowerIrp irp)
    {
        irp.IsSent = true;
        if (irp.Request.Minor == PowerRequest.SetPower)
            irp.Watchdog = nt.Ke.Timers.Add(nt.Ke.Clock.Now + WatchdogTicks, () => throw Bite(irp));
        nt.Io.IofCallDriver(irp.Top, irp.Irp);
    }

    /// <summary>PopRequestCompletion: above all drivers' completion routines.</summary>
    Va Completion
    {
        get
        {
            if (field.IsNull) field = nt.Routines.Add("PopRequestCompletion", static (kernel, call) =>
            {
                PowerIrps irps = kernel.Po.Irps;
                if (irps._live.TryGetValue(new Va(call.Argument(1)), out PowerIrp? done)) irps.End(done);
                call.Return(STATUS_MORE_PROCESSING_REQUIRED.Value);
            });
            return field;
        }
    }

    void End(PowerIrp irp)
    {
        if (irp.Watchdog is { } watchdog) nt.Ke.Timers.Remove(watchdog);
        IoStatusBlock result = irp.Irp.IoStatus;
        if (_wakes.GetValueOrDefault(irp.Physical.Address) == irp) _wakes.Remove(irp.Physical.Address);
        NtThread thread = nt.Ke.Scheduler.Current;
        bool isFirst = _completing.Add(thread);
        try
        {
            irp.Request.Completed(result, irp.Irp.Address + StatusOffset);
            _live.Remove(irp.Irp.Address);
            nt.Io.FreeIrp(irp.Irp);
            if (!irp.Request.IsWaitWake) GoOn(irp);
            if (nt.Ob.Find(irp.Top.Address) is { } top) nt.Ob.Dereference(top);
        }
        finally
        {
            if (isFirst) _completing.Remove(thread);
        }
    }

    const int StatusOffset = 0x30;

    void GoOn(PowerIrp done)
    {
        var lane = (done.Physical.Address, done.Request.IsDevice);
        PowerIrp? next = null;
        if (_lanes.TryGetValue(lane, out Queue<PowerIrp>? waiting) && !waiting.TryDequeue(out next))
            _lanes.Remove(lane);
        if (_inrush == done)
        {
            _inrush = null;
            if (_inrushWaiting.TryDequeue(out PowerIrp? other)) SendInrush(other);
        }
        if (next is not null) SendInrush(next);
    }

    /// <summary>Whether a power IRP of a device is watched, and how long it has still.</summary>
    public long? TicksLeft(DeviceObject device)
    {
        Va physical = Io.BottomOf(device).Address;
        long? left = null;
        foreach (PowerIrp irp in _live.Values)
            if (irp.Physical.Address == physical && irp.Watchdog is { } watchdog)
                left = Math.Min(left ?? long.MaxValue, Math.Max(0, watchdog.Due - nt.Ke.Clock.Now));
        return left;
    }

    /// <summary>Whether a power IRP is under way at a stack with this device at its bottom.</summary>
    public bool IsUnderWay(DeviceObject physical) =>
        _live.Values.Any(i => i.IsSent && !i.Request.IsWaitWake && i.Physical == physical);

    BugCheck Bite(PowerIrp irp)
    {
        IoStackLocation at = irp.Irp.CurrentStackLocation;
        bool hasDriver = irp.Irp.CurrentLocation <= irp.Irp.StackCount && !at.DeviceObject.IsNull;
        string? driver = hasDriver ? nt.DriverOfDevice(at.DeviceObject.Address) : null;
        Va triage = nt.Mm.Pool.Allocate(TriageBytes, TriageTag);
        nt.Memory.Write(triage, TriageSignature | TriageRevision << 16);
        return new BugCheck(BugCheckCode.DRIVER_POWER_STATE_FAILURE, Blocked, irp.Physical.Address.Value, triage.Value,
            irp.Irp.Address.Value)
        {
            Blamed = driver,
            Known = $"{irp.Request} to the stack of {nt.DescribeDevice(irp.Physical.Address)} is not complete after "
                + $"ten minutes; {driver ?? "nobody"} has it.",
        };
    }
}
