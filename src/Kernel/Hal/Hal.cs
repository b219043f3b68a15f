namespace Ringdown.Kernel;

/// <summary>The hardware abstraction layer: ports, buses, DMA.</summary>
[NtModule("hal.dll")]
sealed partial class Hal(NtKernel nt)
{
    readonly NtKernel _nt = nt;
}
