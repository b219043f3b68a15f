namespace Ringdown.Kernel;

/// <summary>PO_FX_COMPONENT_IDLE_STATE: what a component costs in a state, in 100 ns.</summary>
readonly record struct FxIdleState(ulong TransitionLatency, ulong ResidencyRequirement, uint NominalPower);

/// <summary>A part of a device whose power the framework manages: active while somebody holds it, else idle in F0 or
/// deeper.</summary>
sealed class FxComponent(uint index, IReadOnlyList<FxIdleState> states, uint deepestWakeable)
{
    /// <summary>What the driver has still to say.</summary>
    public enum Awaited { Nothing, IdleCondition, IdleState }

    public uint Index { get; } = index;
    public int References { get; set; }

    /// <summary>The driver was told that it is active, and not since that it is idle.</summary>
    public bool IsActive { get; private set; }

    /// <summary>F0, F1, ...: the number of the state that it is in, or goes into.</summary>
    public uint State { get; private set; }
    public Awaited Waits { get; set; }

    /// <summary>How long the driver can wait for it, how long it will probably be idle, and whether it must be able to
    /// wake.</summary>
    public ulong Latency { get; set; } = ulong.MaxValue;
    public ulong Residency { get; set; } = ulong.MaxValue;
    public bool Wakes { get; set; }

    /// <summary>The deepest state that everything allows.</summary>
    uint Wanted
    {
        get
        {
            uint best = 0;
            for (uint i = 1; i < states.Count; i++)
                if (states[(int)i].TransitionLatency <= Latency && states[(int)i].ResidencyRequirement <= Residency
                    && (!Wakes || i <= deepestWakeable)) best = i;
            return best;
        }
    }

    /// <summary>It is idle, and as deep as it may be.</summary>
    public bool IsAtRest => References == 0 && !IsActive && Waits == Awaited.Nothing && State == Wanted;

    /// <summary>Somebody holds it, and it is not there yet.</summary>
    public bool IsWanted => References > 0 && !IsActive;

    /// <summary>Makes the next step that can be made, if the device has power.</summary>
    /// <returns>What to tell the driver; null: there is nothing to do now.</returns>
    public FxCall? Step()
    {
        if (Waits != Awaited.Nothing) return null;
        if (References > 0)
        {
            if (IsActive) return null;
            if (State != 0) return GoInto(0);
            IsActive = true;
            return new FxCall(FxCallback.ComponentActiveCondition, Index, null);
        }
        if (IsActive)
        {
            (IsActive, Waits) = (false, Awaited.IdleCondition);
            return new FxCall(FxCallback.ComponentIdleCondition, Index, null);
        }
        // From one state below F0 into another one it goes by F0.
        return State == Wanted ? null : GoInto(State == 0 ? Wanted : 0);
    }

    FxCall GoInto(uint state)
    {
        (State, Waits) = (state, Awaited.IdleState);
        return new FxCall(FxCallback.ComponentIdleState, Index, state);
    }
}

/// <summary>The routines that a driver registers.</summary>
enum FxCallback
{
    ComponentActiveCondition, ComponentIdleCondition, ComponentIdleState, DevicePowerRequired, DevicePowerNotRequired,
    PowerControl, DirectedPowerUp, DirectedPowerDown,
}

/// <summary>A call of one of them: for a component, with a state.</summary>
readonly record struct FxCall(FxCallback Routine, uint? Component, uint? State);
