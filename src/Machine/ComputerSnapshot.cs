namespace Ringdown.Machine;

/// <summary>The state of a <see cref="Computer"/> at one moment: memory, processors, chips and lines.</summary>
public sealed class ComputerSnapshot
{
    internal ComputerSnapshot(MemorySnapshot memory, byte[] chips, CpuContext[] processors) =>
        (Memory, Chips, Processors) = (memory, chips, processors);

    internal MemorySnapshot Memory { get; }
    internal byte[] Chips { get; }
    internal CpuContext[] Processors { get; }
}
