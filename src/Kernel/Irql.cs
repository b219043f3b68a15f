namespace Ringdown.Kernel;

/// <summary>Interrupt request levels of x64.</summary>
public enum Irql : byte
{
    PASSIVE_LEVEL = 0,
    APC_LEVEL = 1,
    DISPATCH_LEVEL = 2,
    CLOCK_LEVEL = 13,
    IPI_LEVEL = 14,
    HIGH_LEVEL = 15,
}
