using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Counted strings of bytes: STRING, ANSI_STRING, OEM_STRING, UTF8_STRING are one structure.</summary>
sealed partial class Rtl
{
    const int MaximumAnsiBytes = 0xFFFE;

    [Export]
    public void RtlInitAnsiString(AnsiString destinationString, Va sourceString)
    {
        int bytes = sourceString.IsNull ? 0 : Math.Min(nt.Crt.ReadAnsi(sourceString, 0x10000).Length, MaximumAnsiBytes);
        destinationString.Set(sourceString, bytes, sourceString.IsNull ? 0 : bytes + 1);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void RtlInitString(AnsiString destinationString, Va sourceString) =>
        RtlInitAnsiString(destinationString, sourceString);

    [Export]
    public void RtlInitUTF8String(AnsiString destinationString, Va sourceString) =>
        RtlInitAnsiString(destinationString, sourceString);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus RtlInitAnsiStringEx(AnsiString destinationString, Va sourceString)
    {
        if (!sourceString.IsNull && nt.Crt.ReadAnsi(sourceString, 0x10000).Length > MaximumAnsiBytes)
            return STATUS_NAME_TOO_LONG;
        RtlInitAnsiString(destinationString, sourceString);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus RtlInitStringEx(AnsiString destinationString, Va sourceString) =>
        RtlInitAnsiStringEx(destinationString, sourceString);

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus RtlInitUTF8StringEx(AnsiString destinationString, Va sourceString) =>
        RtlInitAnsiStringEx(destinationString, sourceString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlFreeAnsiString(UnicodeString ansiString) => FreeBuffer(ansiString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlFreeOemString(UnicodeString oemString) => FreeBuffer(oemString);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void RtlFreeUTF8String(UnicodeString utf8String) => FreeBuffer(utf8String);

    [Export]
    public void RtlCopyString(AnsiString destinationString, AnsiString sourceString)
    {
        int bytes = sourceString.IsNull ? 0 : Math.Min(sourceString.Length, destinationString.MaximumLength);
        if (bytes > 0)
            nt.Memory.Write(destinationString.Buffer, nt.Memory.ReadBytes(sourceString.Buffer, bytes));
        destinationString.Length = (ushort)bytes;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlAppendStringToString(AnsiString destination, AnsiString source) =>
        AppendBytes(destination, nt.Memory.ReadBytes(source.Buffer, source.Length));

    [Export]
    public NtStatus RtlAppendAsciizToString(AnsiString destination, Va source) => source.IsNull ? STATUS_SUCCESS
        : AppendBytes(destination, System.Text.Encoding.Latin1.GetBytes(nt.Crt.ReadAnsi(source, 0x10000)));

    NtStatus AppendBytes(AnsiString destination, byte[] bytes)
    {
        int old = destination.Length;
        if (old + bytes.Length > destination.MaximumLength) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Write(destination.Buffer + old, bytes);
        destination.Length = (ushort)(old + bytes.Length);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public int RtlCompareString(AnsiString string1, AnsiString string2, bool caseInSensitive) =>
        CompareBytes(BytesOf(string1), BytesOf(string2), caseInSensitive);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool RtlEqualString(AnsiString string1, AnsiString string2, bool caseInSensitive) =>
        CompareBytes(BytesOf(string1), BytesOf(string2), caseInSensitive) == 0;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool RtlPrefixString(AnsiString string1, AnsiString string2, bool caseInSensitive)
    {
        (byte[] prefix, byte[] whole) = (BytesOf(string1), BytesOf(string2));
        return prefix.Length <= whole.Length
            && CompareBytes(prefix, whole.AsSpan(0, prefix.Length), caseInSensitive) == 0;
    }

    public byte[] BytesOf(AnsiString text) => text.IsNull ? [] : nt.Memory.ReadBytes(text.Buffer, text.Length);

    static int CompareBytes(ReadOnlySpan<byte> a, ReadOnlySpan<byte> b, bool ignoreCase)
    {
        for (int i = 0; i < Math.Min(a.Length, b.Length); i++)
        {
            int difference = ignoreCase ? NlsCodePage.Ansi.ToUpper(a[i]) - NlsCodePage.Ansi.ToUpper(b[i]) : a[i] - b[i];
            if (difference != 0) return difference;
        }
        return a.Length - b.Length;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public byte RtlUpperChar(byte character) => NlsCodePage.Ansi.ToUpper(character);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlUpperString(AnsiString destinationString, AnsiString sourceString)
    {
        int count = Math.Min(sourceString.Length, destinationString.MaximumLength);
        byte[] bytes = nt.Memory.ReadBytes(sourceString.Buffer, count);
        for (int i = 0; i < count; i++) bytes[i] = NlsCodePage.Ansi.ToUpper(bytes[i]);
        nt.Memory.Write(destinationString.Buffer, bytes);
        destinationString.Length = (ushort)count;
    }

    /// <summary>The character at a pointer, and the pointer moves past it.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public ushort RtlAnsiCharToUnicodeChar(Va sourceCharacter)
    {
        Va at = nt.Memory.Read<Va>(sourceCharacter);
        char result = NlsCodePage.Ansi.ToUnicode(nt.Memory.Read<byte>(at));
        nt.Memory.Write(sourceCharacter, at + 1);
        return result;
    }
}
