using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Names for FAT.</summary>
sealed partial class Rtl
{
    const int ShortNameBytes = 24;

    /// <summary>Numbers count as Windows counts them; the four digits that stand in for a name are of another
    /// sum.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlGenerate8dot3Name(
        UnicodeString name, bool allowExtendedCharacters, GenerateNameContext context, UnicodeString name8dot3)
    {
        NtStatus status = ShortName.Next(name.Text, allowExtendedCharacters, context, out string made);
        if (!status.IsSuccess) return status;
        if (name8dot3.MaximumLength < ShortNameBytes) return STATUS_BUFFER_OVERFLOW;
        nt.Memory.Write(name8dot3.Buffer, Encoding.Unicode.GetBytes(made));
        name8dot3.Length = (ushort)(made.Length * 2);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool RtlIsNameLegalDOS8Dot3(UnicodeString name, AnsiString oemName, Va nameContainsSpaces)
    {
        string upper = Casing.ToUpper(name.Text);
        if (upper.Length > ShortNameBytes / 2 || !upper.All(NlsCodePage.Oem.Has)) return false;
        bool isShort = ShortName.IsShort(upper, out bool hasSpaces);
        if (!oemName.IsNull)
        {
            if (oemName.MaximumLength < upper.Length) return false;
            nt.Memory.Write(oemName.Buffer, NlsCodePage.Oem.Encode(upper));
            oemName.Length = (ushort)upper.Length;
        }
        if (isShort && !nameContainsSpaces.IsNull) nt.Memory.Write(nameContainsSpaces, (byte)(hasSpaces ? 1 : 0));
        return isShort;
    }
}
