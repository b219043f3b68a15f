using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>Counts how often its register is read, and interrupts a millisecond after it was written.</summary>
public sealed class CounterChip : IChip
{
    uint _count;

    public void Attach(Computer computer, ChipPlace place)
    {
        place.Only("start");
        _count = (uint)(place.Description.Number("start") ?? 0);
        InterruptLine? line = place.FindLine(computer);
        place.Put(computer, 8, new RegisterBlock()
            .Add("COUNT", 0, 4, () => _count++, _ => computer.Clock.After(10_000, () => line?.Set(this, true)))
            .Add("ACK", 4, 4, () => 0, _ => line?.Set(this, false), writeOnly: true));
    }
}
