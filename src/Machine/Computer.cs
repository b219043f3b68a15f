namespace Ringdown.Machine;

/// <summary>A computer: a processor, memory and chance. Knows nothing of the system that runs on it.</summary>
public sealed class Computer : IDisposable
{
    bool _disposed;

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
        // What is freed here is native memory: a second time would be our own corruption.
        if (_disposed) return;
        _disposed = true;
        Cpu.Dispose();
        Memory.Dispose();
    }
}
