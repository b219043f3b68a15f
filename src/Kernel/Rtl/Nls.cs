using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What drivers read of the code pages: neither has characters of two bytes.</summary>
[NtModule("ntoskrnl.exe")]
sealed class Nls(NtKernel nt)
{
    const uint NlsTag = 0x2073_6C4E;    // 'Nls '
    const int LeadByteTableBytes = 512;

    Va _leadBytes;

    [ExportData] public byte NlsMbCodePageTag => 0;
    [ExportData] public byte NlsMbOemCodePageTag => 0;
    [ExportData] public ushort NlsAnsiCodePage => NlsCodePage.Ansi.Number;
    [ExportData] public ushort NlsOemCodePage => NlsCodePage.Oem.Number;

    /// <summary>One entry for each byte, zero as it leads no other.</summary>
    [ExportData] public Va NlsOemLeadByteInfo => LeadBytes;
    [ExportData] public Va NlsLeadByteInfo => LeadBytes;

    Va LeadBytes => _leadBytes.IsNull ? _leadBytes = nt.Mm.Pool.Allocate(LeadByteTableBytes, NlsTag) : _leadBytes;
}
