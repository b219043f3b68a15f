namespace Ringdown.Kernel;

/// <summary>System services as drivers call them: handles, files, keys, sections.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Zw(NtKernel nt)
{
    readonly NtKernel _nt = nt;
}
