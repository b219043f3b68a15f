namespace Ringdown.Machine;

/// <summary>A computer: a processor, memory and chance. Knows nothing of the system that runs on it.</summary>
public sealed class Computer : IDisposable
{
    public Computer(ulong seed, CodeCache code, IPortSpace? ports = null)
    {
        Chance = new Chance(seed);
        Cpu = new Processor(Memory, code, ports);
    }

    public Memory Memory { get; } = new();
    public Processor Cpu { get; }
    public Chance Chance { get; }

    public void Dispose()
    {
        Cpu.Dispose();
        Memory.Dispose();
    }
}
