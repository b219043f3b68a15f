namespace Ringdown.Machine;

/// <summary>How a line tells of an interrupt.</summary>
public enum InterruptTrigger
{
    /// <summary>As long as some device asserts it.</summary>
    Level,

    /// <summary>Each time that it becomes asserted; that is kept until it was serviced.</summary>
    Edge,
}

/// <summary>A wire from devices to the interrupt controller. Several devices may share it: it is asserted as long as
/// one of them asserts it.</summary>
public sealed class InterruptLine
{
    readonly HashSet<object> _asserting = [], _unplugged = [];
    readonly Action _changed;

    internal InterruptLine(Action changed, int number) => (_changed, Number) = (changed, number);

    /// <summary>Negative for one that no pin of the controller has: messages, and the wire of a PCI
    /// function.</summary>
    public int Number { get; }
    public InterruptTrigger Trigger { get; set; }

    /// <summary>By what the processor knows it: the upper four bits are its priority. 0: nobody has asked for
    /// it.</summary>
    public byte Vector { get; set; }

    /// <summary>The processor that it interrupts.</summary>
    public int Processor { get; set; }

    /// <summary>The controller does not pass it on.</summary>
    public bool IsMasked
    {
        get;
        set
        {
            field = value;
            _changed();
        }
    } = true;

    /// <summary>An edge that was not serviced yet.</summary>
    public bool IsLatched { get; private set; }

    public bool IsAsserted => _asserting.Count > 0
        && (_unplugged.Count == 0 || _asserting.Any(device => !_unplugged.Contains(device)));

    public bool IsPending => !IsMasked && (Trigger == InterruptTrigger.Edge ? IsLatched : IsAsserted);

    /// <summary>A device asserts the line, or lets it go.</summary>
    public void Set(object device, bool asserted)
    {
        bool was = IsAsserted;
        if (asserted) _asserting.Add(device);
        else _asserting.Remove(device);
        if (!was && IsAsserted) IsLatched = true;
        if (was != IsAsserted) _changed();
    }

    /// <summary>A device is pulled out: what it asserts does not count until it is back.</summary>
    internal void Connect(object device, bool isThere)
    {
        bool was = IsAsserted;
        if (isThere) _unplugged.Remove(device);
        else _unplugged.Add(device);
        if (!was && IsAsserted) IsLatched = true;
        if (was != IsAsserted) _changed();
    }

    internal void Exchange(ChipState state)
    {
        (InterruptTrigger trigger, byte vector, int processor, bool masked, bool latched) =
            (Trigger, Vector, Processor, IsMasked, IsLatched);
        state.Value(ref trigger);
        state.Value(ref vector);
        state.Value(ref processor);
        state.Value(ref masked);
        state.Value(ref latched);
        (Trigger, Vector, Processor, IsMasked, IsLatched) = (trigger, vector, processor, masked, latched);
    }

    internal void Reset() => (IsMasked, IsLatched) = (true, false);

    /// <summary>The processor has taken it.</summary>
    public void Accept() => IsLatched = false;
}
