namespace Ringdown.Machine;

/// <summary>An 8254 as a PC has it: counter 0 on line 0, counter 2 with a gate and an output at port 0x61.</summary>
/// <remarks>The counters run at 1,193,182 Hz. Only counter 0 plans something, and only once it was
/// programmed.</remarks>
public sealed class Pit8254 : ILosesState
{
    const ushort FirstPort = 0x40, SpeakerPort = 0x61;

    // Memory is refreshed every 15 us: port 0x61 shows it.
    const long RefreshTicks = 150;

    readonly PitCounter[] _counters;
    readonly IDeviceClock _clock;
    byte _speaker;

    public Pit8254(IDeviceClock clock, InterruptLine? line)
    {
        _clock = clock;
        _counters = [new PitCounter(clock, line), new PitCounter(clock, null), new PitCounter(clock, null)];
        Registers = new RegisterBlock()
            .Add("COUNTER0", 0, 1, _counters[0].Read, v => _counters[0].Write((byte)v), writeOnly: true)
            .Add("COUNTER1", 1, 1, _counters[1].Read, v => _counters[1].Write((byte)v), writeOnly: true)
            .Add("COUNTER2", 2, 1, _counters[2].Read, v => _counters[2].Write((byte)v), writeOnly: true)
            .Add("CONTROL", 3, 1, () => 0xFF, v => Command((byte)v), writeOnly: true);
        Speaker = new RegisterBlock().Add("SPEAKER", 0, 1, ReadSpeaker, v => WriteSpeaker((byte)v), writeOnly: true);
        _counters[2].SetGate(false);
    }

    /// <summary>Three counters and the control word: four bytes.</summary>
    public RegisterBlock Registers { get; }

    /// <summary>Gate and output of counter 2: a byte.</summary>
    public RegisterBlock Speaker { get; }

    internal static Pit8254 Make(Computer computer, ChipPlace place)
    {
        place.Only("speaker");
        place.Identify("PNP0100", "System timer");
        var pit = new Pit8254(computer.Clock, place.FindLine(computer, 0));
        place.PutPorts(computer, place.Ports ?? FirstPort, 4, pit.Registers, "ports");
        place.PutPorts(computer, (ushort)(place.Description.Number("speaker", ushort.MaxValue) ?? SpeakerPort), 1,
            pit.Speaker, "speaker");
        return pit;
    }

    void Command(byte value)
    {
        int counter = value >> 6;
        if (counter < 3)
        {
            if ((value & 0x30) == 0) _counters[counter].Latch();
            else _counters[counter].Program(value);
            return;
        }
        for (int i = 0; i < 3; i++)
        {
            if ((value & 2 << i) == 0) continue;
            if ((value & 0x20) == 0) _counters[i].Latch();
            if ((value & 0x10) == 0) _counters[i].LatchStatus();
        }
    }

    ulong ReadSpeaker() => (ulong)(_speaker & 0xF | (_clock.Now / RefreshTicks % 2 == 0 ? 0 : 0x10)
        | (_counters[2].Output ? 0x20 : 0));

    void WriteSpeaker(byte value)
    {
        _speaker = (byte)(value & 0xF);
        _counters[2].SetGate((value & 1) != 0);
    }

    public void Exchange(ChipState state)
    {
        state.Value(ref _speaker);
        foreach (PitCounter counter in _counters) counter.Exchange(state);
    }
}
