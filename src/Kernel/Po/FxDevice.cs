using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What a driver registers.</summary>
/// <param name="Handle">A pool block, as POHANDLE.</param>
/// <param name="DirectedSeconds">How long a directed transition may take.</param>
sealed record FxRegistration(Va Handle, DeviceObject Physical, IReadOnlyDictionary<FxCallback, Va> Routines, Va Context,
    IReadOnlyList<FxComponent> Components, uint DirectedSeconds);

/// <summary>A device whose driver leaves it to the power framework when its parts, and the device itself, are
/// on.</summary>
/// <remarks>Each call of the driver's changes what is wanted; then steps are made until one has to wait for the
/// driver.</remarks>
sealed class FxDevice(NtKernel nt, FxRegistration registered)
{
    const long LongestTicks = long.MaxValue / 4, TicksPerSecond = 10_000_000;
    const ulong DirectedTimeout = 5;

    bool _isStepping, _isStarted, _isRequired, _isEnding;
    (long Due, long Order)? _idle, _directedWatchdog;

    readonly IReadOnlyDictionary<FxCallback, Va> _routines = registered.Routines;

    public Va Handle => registered.Handle;
    public DeviceObject Physical => registered.Physical;
    public IReadOnlyList<FxComponent> Components => registered.Components;

    /// <summary>The driver has said that the device has power, and was not told since that it is not needed.</summary>
    public bool IsPowered { get; private set; } = true;

    /// <summary>DevicePowerNotRequired was called, and the driver has not said that it is done with that.</summary>
    public bool IsLettingGo { get; private set; }

    /// <summary>For how long all must be idle before the device needs no power.</summary>
    public ulong IdleTimeoutTicks { get; set; }

    /// <summary>The system has taken its power, whatever its components are.</summary>
    public bool IsDirectedDown { get; private set; }

    public void Start()
    {
        _isStarted = true;
        Step();
    }

    public void End()
    {
        _isEnding = true;
        StopTimer(ref _idle);
        StopTimer(ref _directedWatchdog);
    }

    void StopTimer(ref (long, long)? timer)
    {
        if (timer is { } key) nt.Ke.Timers.Remove(key);
        timer = null;
    }

    /// <summary>Makes all steps that can be made now.</summary>
    public void Step()
    {
        if (_isStepping || !_isStarted) return;
        _isStepping = true;
        try
        {
            while (!_isEnding && Next() is { } call)
            {
                // A driver that has no idle state routine has nothing to do for one, and says so at once.
                if (!Tell(call) && call.Component is { } index)
                    Components[(int)index].Waits = FxComponent.Awaited.Nothing;
                nt.Ke.Clock.Spend();
            }
        }
        finally
        {
            _isStepping = false;
        }
        if (!_isEnding) WatchIdle();
    }

    FxCall? Next()
    {
        if (IsLettingGo || IsDirectedDown) return null;
        if (!IsPowered)
        {
            if (_isRequired || !Components.Any(c => c.IsWanted)) return null;
            _isRequired = true;
            return new FxCall(FxCallback.DevicePowerRequired, null, null);
        }
        foreach (FxComponent component in Components)
            if (component.Step() is { } call) return call;
        return null;
    }

    /// <returns>False if the driver has no such routine.</returns>
    bool Tell(FxCall call)
    {
        if (_routines.GetValueOrDefault(call.Routine) is not { IsNull: false } routine) return false;
        if (call.State is { } state) nt.Routines.Call(routine, registered.Context.Value, call.Component!.Value, state);
        else if (call.Component is { } component) nt.Routines.Call(routine, registered.Context.Value, component);
        else nt.Routines.Call(routine, registered.Context.Value, 0);
        return true;
    }

    void WatchIdle()
    {
        bool isIdle = IsPowered && !IsLettingGo && !IsDirectedDown && Components.All(c => c.IsAtRest);
        if (!isIdle) StopTimer(ref _idle);
        else if (_idle is null)
        {
            if (IdleTimeoutTicks == 0) LetGo();
            else _idle = nt.Ke.Timers.Add(nt.Ke.Clock.Now + (long)Math.Min(IdleTimeoutTicks, LongestTicks), () =>
                nt.Ex.PoolOf(Wdm.CriticalWorkQueue).Queue(OnIdle));
        }
    }

    void OnIdle()
    {
        // Somebody may have come between the timer and its worker.
        if (_isEnding || _idle is null) return;
        _idle = null;
        if (IsPowered && !IsLettingGo && Components.All(c => c.IsAtRest)) LetGo();
    }

    void LetGo()
    {
        (IsPowered, IsLettingGo) = (false, true);
        if (!Tell(new FxCall(FxCallback.DevicePowerNotRequired, null, null))) OnLetGo();
    }

    /// <summary>The driver is done with DevicePowerNotRequired.</summary>
    public void OnLetGo()
    {
        IsLettingGo = false;
        Step();
    }

    /// <summary>The device has power: because it was required, because the system is back, because a directed
    /// transition ends.</summary>
    public void OnPoweredOn()
    {
        (IsPowered, _isRequired) = (true, false);
        if (IsDirectedDown) StopTimer(ref _directedWatchdog);
        IsDirectedDown = false;
        Step();
    }

    /// <summary>Somebody else has turned it on: it is used, and idle again.</summary>
    public void OnSurprisePower()
    {
        if (IsPowered || _isRequired || IsLettingGo) return;
        _isRequired = true;
        if (!Tell(new FxCall(FxCallback.DevicePowerRequired, null, null))) OnPoweredOn();
    }

    /// <summary>The system takes the device's power, or gives it back, without asking.</summary>
    /// <returns>False if its driver takes no such direction.</returns>
    public bool Direct(bool down)
    {
        FxCallback routine = down ? FxCallback.DirectedPowerDown : FxCallback.DirectedPowerUp;
        if (_routines.GetValueOrDefault(routine).IsNull || down == IsDirectedDown) return false;
        if (down) IsDirectedDown = true;
        StopTimer(ref _idle);
        _directedWatchdog = nt.Ke.Timers.Add(nt.Ke.Clock.Now + registered.DirectedSeconds * TicksPerSecond, () =>
            throw new BugCheck(BugCheckCode.DRIVER_POWER_STATE_FAILURE, DirectedTimeout, Handle.Value, down ? 0UL : 1)
            {
                Blamed = nt.DriverOfDevice(nt.Io.TopOf(Physical).Address),
                Known = $"The driver of {nt.DescribeDevice(Physical.Address)} has not completed its directed power "
                    + $"{(down ? "down" : "up")} in {registered.DirectedSeconds} s.",
            });
        Tell(new FxCall(routine, null, null));
        return true;
    }

    /// <summary>The driver has turned it off, as directed.</summary>
    public void OnDirectedDown()
    {
        StopTimer(ref _directedWatchdog);
        IsPowered = false;
    }
}
