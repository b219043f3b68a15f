namespace Ringdown.Machine;

/// <summary>Collects the lines of all devices, and tells which of them is to interrupt a processor next.</summary>
public sealed class InterruptController : IChipState
{
    readonly SortedDictionary<int, InterruptLine> _lines = [], _messages = [];
    bool _mayBePending;

    /// <summary>Called when a line may have become pending.</summary>
    public Action? Raised { get; set; }

    /// <summary>A line by its number, made when it is first asked for. Those below 16 are edge triggered, as on an ISA
    /// bus, until somebody says otherwise.</summary>
    public InterruptLine Line(int number)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(number);
        if (!_lines.TryGetValue(number, out InterruptLine? line))
        {
            line = new InterruptLine(OnChanged, number)
            {
                Trigger = number < 16 ? InterruptTrigger.Edge : InterruptTrigger.Level,
            };
            _lines.Add(number, line);
        }
        return line;
    }

    /// <summary>The line that a processor should service first: that of the highest vector, and of equal ones that of
    /// the lowest number. Null if none is pending.</summary>
    public InterruptLine? Next(int processor)
    {
        if (!_mayBePending) return null;
        InterruptLine? best = null;
        bool any = false;
        foreach (InterruptLine line in _lines.Values) Consider(line);
        foreach (InterruptLine message in _messages.Values) Consider(message);
        _mayBePending = any;
        return best;

        void Consider(InterruptLine line)
        {
            if (!line.IsPending) return;
            any = true;
            if (line.Processor == processor && (best is null || line.Vector > best.Vector)) best = line;
        }
    }

    /// <summary>A message: interrupts a processor by a vector, as an edge does. Sent again before it was serviced it
    /// is one.</summary>
    public void Send(int processor, byte vector)
    {
        int key = processor << 8 | vector;
        if (!_messages.TryGetValue(key, out InterruptLine? line))
        {
            line = new InterruptLine(OnChanged, -1)
            {
                Trigger = InterruptTrigger.Edge,
                Vector = vector,
                Processor = processor,
                IsMasked = false,
            };
            _messages.Add(key, line);
        }
        line.Set(this, true);
        line.Set(this, false);
    }

    public void Exchange(ChipState state)
    {
        InterruptLine[] lines = [.. _lines.Values];
        int count = lines.Length;
        state.Value(ref count);
        // Those that are not among what was kept, nobody had asked for then.
        if (state.IsRestoring) Array.ForEach(lines, l => l.Reset());
        for (int i = 0; i < count; i++)
        {
            int number = state.IsRestoring ? 0 : lines[i].Number;
            state.Value(ref number);
            Line(number).Exchange(state);
        }
        ExchangeMessages(state);
        OnChanged();
    }

    void ExchangeMessages(ChipState state)
    {
        int[] waiting = [.. _messages.Where(m => m.Value.IsLatched).Select(m => m.Key)];
        int count = waiting.Length;
        state.Value(ref count);
        if (state.IsRestoring)
            foreach (InterruptLine message in _messages.Values) message.Accept();
        for (int i = 0; i < count; i++)
        {
            int key = state.IsRestoring ? 0 : waiting[i];
            state.Value(ref key);
            if (state.IsRestoring) Send(key >> 8, (byte)key);
        }
    }

    void OnChanged()
    {
        _mayBePending = true;
        Raised?.Invoke();
    }
}
