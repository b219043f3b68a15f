namespace Ringdown.Kernel;

/// <summary>The power manager.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Po(NtKernel nt)
{
    readonly NtKernel _nt = nt;
}
