using System.Text;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The C library's functions that the kernel exports: memory, strings, printf.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Crt(NtKernel nt)
{
    /// <summary>Longest text that is read from the guest: a string without an end is somebody's mistake.</summary>
    const int MaximumText = 1 << 20;

    /// <summary>A zero-terminated string of bytes.</summary>
    public string ReadAnsi(Va address, int maximum = MaximumText)
    {
        var text = new StringBuilder();
        for (int i = 0; i < maximum; i++)
        {
            byte c = nt.Memory.Read<byte>(address + i);
            if (c == 0) break;
            text.Append((char)c);
        }
        return text.ToString();
    }

    /// <summary>A zero-terminated string of UTF-16 units.</summary>
    public string ReadWide(Va address, int maximum = MaximumText)
    {
        var text = new StringBuilder();
        for (int i = 0; i < maximum; i++)
        {
            ushort c = nt.Memory.Read<ushort>(address + i * 2);
            if (c == 0) break;
            text.Append((char)c);
        }
        return text.ToString();
    }

    public string FormatAnsi(Va format, VarArgs arguments) =>
        new Printf(nt, arguments, wide: false).Format(ReadAnsi(format));

    public string FormatWide(Va format, VarArgs arguments) =>
        new Printf(nt, arguments, wide: true).Format(ReadWide(format));
}
