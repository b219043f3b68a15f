using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Conversions between UTF-16 and the two code pages.</summary>
sealed partial class Rtl
{
    const int PieceLength = 2048;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlAnsiStringToUnicodeString(
        UnicodeString destinationString, AnsiString sourceString, bool allocateDestinationString) =>
        Store(destinationString, Decoded(NlsCodePage.Ansi, sourceString), 2, allocateDestinationString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlOemStringToUnicodeString(
        UnicodeString destinationString, AnsiString sourceString, bool allocateDestinationString) =>
        Store(destinationString, Decoded(NlsCodePage.Oem, sourceString), 2, allocateDestinationString);

    /// <summary>Without a zero at the end; no text is no buffer.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlOemStringToCountedUnicodeString(
        UnicodeString destinationString, AnsiString sourceString, bool allocateDestinationString)
    {
        if (sourceString.Length > 0)
            return Store(destinationString, Decoded(NlsCodePage.Oem, sourceString), 0, allocateDestinationString);
        destinationString.Set(Va.Null, 0, 0);
        return STATUS_SUCCESS;
    }

    byte[] Decoded(NlsCodePage page, AnsiString source) => Encoding.Unicode.GetBytes(page.Decode(BytesOf(source)));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlUnicodeStringToAnsiString(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        StoreCut(destinationString, NlsCodePage.Ansi.Encode(sourceString.Text), allocateDestinationString);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlUpcaseUnicodeStringToAnsiString(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        StoreCut(destinationString, NlsCodePage.Ansi.Encode(Casing.ToUpper(sourceString.Text)),
            allocateDestinationString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUnicodeStringToOemString(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        StoreCut(destinationString, NlsCodePage.Oem.Encode(sourceString.Text), allocateDestinationString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUpcaseUnicodeStringToOemString(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        StoreMapped(destinationString, Casing.ToUpper(sourceString.Text), 1, allocateDestinationString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUnicodeStringToCountedOemString(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        StoreMapped(destinationString, sourceString.Text, 0, allocateDestinationString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUpcaseUnicodeStringToCountedOemString(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        StoreMapped(destinationString, Casing.ToUpper(sourceString.Text), 0, allocateDestinationString);

    // A buffer of the caller's that is too short gets what fits, and a zero.
    NtStatus StoreCut(UnicodeString destination, byte[] bytes, bool allocate)
    {
        int room = allocate ? int.MaxValue : destination.MaximumLength;
        if (bytes.Length < room) return Store(destination, bytes, 1, allocate);
        if (room > 0) Store(destination, bytes[..(room - 1)], 1, allocate: false);
        return STATUS_BUFFER_OVERFLOW;
    }

    // What would come back as a question mark is refused.
    NtStatus StoreMapped(UnicodeString destination, string text, int terminator, bool allocate)
    {
        if (text.Length == 0 && terminator == 0)
        {
            destination.Set(Va.Null, 0, 0);
            return STATUS_SUCCESS;
        }
        byte[] bytes = NlsCodePage.Oem.Encode(text);
        for (int i = 0; i < bytes.Length; i++)
            if (bytes[i] == '?' && text[i] != '?') return STATUS_UNMAPPABLE_CHARACTER;
        return Store(destination, bytes, terminator, allocate);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlMultiByteToUnicodeN(
        Va unicodeString, uint maxBytesInUnicodeString, Va bytesInUnicodeString, Va multiByteString,
        uint bytesInMultiByteString) =>
        DecodeN(NlsCodePage.Ansi, unicodeString, maxBytesInUnicodeString, bytesInUnicodeString, multiByteString,
            bytesInMultiByteString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlOemToUnicodeN(
        Va unicodeString, uint maxBytesInUnicodeString, Va bytesInUnicodeString, Va oemString, uint bytesInOemString) =>
        DecodeN(NlsCodePage.Oem, unicodeString, maxBytesInUnicodeString, bytesInUnicodeString, oemString,
            bytesInOemString);

    NtStatus DecodeN(NlsCodePage page, Va target, uint targetBytes, Va resultBytes, Va source, uint sourceBytes)
    {
        uint count = Math.Min(sourceBytes, targetBytes / 2);
        for (uint done = 0; done < count;)
        {
            int size = (int)Math.Min(PieceLength, count - done);
            string piece = page.Decode(nt.Memory.ReadBytes(source + done, size));
            nt.Memory.Write(target + done * 2UL, Encoding.Unicode.GetBytes(piece));
            done += (uint)size;
            nt.Ke.Clock.Spend();
        }
        if (!resultBytes.IsNull) nt.Memory.Write(resultBytes, count * 2);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUnicodeToMultiByteN(
        Va multiByteString, uint maxBytesInMultiByteString, Va bytesInMultiByteString, Va unicodeString,
        uint bytesInUnicodeString) =>
        EncodeN(NlsCodePage.Ansi, false, multiByteString, maxBytesInMultiByteString, bytesInMultiByteString,
            unicodeString, bytesInUnicodeString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUpcaseUnicodeToMultiByteN(
        Va multiByteString, uint maxBytesInMultiByteString, Va bytesInMultiByteString, Va unicodeString,
        uint bytesInUnicodeString) =>
        EncodeN(NlsCodePage.Ansi, true, multiByteString, maxBytesInMultiByteString, bytesInMultiByteString,
            unicodeString, bytesInUnicodeString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUnicodeToOemN(
        Va oemString, uint maxBytesInOemString, Va bytesInOemString, Va unicodeString, uint bytesInUnicodeString) =>
        EncodeN(NlsCodePage.Oem, false, oemString, maxBytesInOemString, bytesInOemString, unicodeString,
            bytesInUnicodeString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUpcaseUnicodeToOemN(
        Va oemString, uint maxBytesInOemString, Va bytesInOemString, Va unicodeString, uint bytesInUnicodeString) =>
        EncodeN(NlsCodePage.Oem, true, oemString, maxBytesInOemString, bytesInOemString, unicodeString,
            bytesInUnicodeString);

    NtStatus EncodeN(
        NlsCodePage page, bool upcase, Va target, uint targetBytes, Va resultBytes, Va source, uint sourceBytes)
    {
        uint count = Math.Min(sourceBytes / 2, targetBytes);
        for (uint done = 0; done < count;)
        {
            int size = (int)Math.Min(PieceLength, count - done);
            string piece = ReadUnits(source + done * 2UL, size);
            nt.Memory.Write(target + done, page.Encode(upcase ? Casing.ToUpper(piece) : piece));
            done += (uint)size;
            nt.Ke.Clock.Spend();
        }
        if (!resultBytes.IsNull) nt.Memory.Write(resultBytes, count);
        return STATUS_SUCCESS;
    }

    string ReadUnits(Va source, int count)
    {
        char[] text = new char[count];
        nt.Memory.Read(source, System.Runtime.InteropServices.MemoryMarshal.AsBytes(text.AsSpan()));
        return new string(text);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlMultiByteToUnicodeSize(Va bytesInUnicodeString, Va multiByteString, uint bytesInMultiByteString)
    {
        nt.Memory.Write(bytesInUnicodeString, unchecked(bytesInMultiByteString * 2));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUnicodeToMultiByteSize(Va bytesInMultiByteString, Va unicodeString, uint bytesInUnicodeString)
    {
        nt.Memory.Write(bytesInMultiByteString, bytesInUnicodeString / 2);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint RtlAnsiStringToUnicodeSize(AnsiString ansiString) => RtlxAnsiStringToUnicodeSize(ansiString);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint RtlxAnsiStringToUnicodeSize(AnsiString ansiString) => (ansiString.Length + 1u) * 2;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint RtlOemStringToUnicodeSize(AnsiString oemString) => RtlxOemStringToUnicodeSize(oemString);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint RtlxOemStringToUnicodeSize(AnsiString oemString) => (oemString.Length + 1u) * 2;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint RtlUnicodeStringToAnsiSize(UnicodeString unicodeString) => RtlxUnicodeStringToAnsiSize(unicodeString);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint RtlxUnicodeStringToAnsiSize(UnicodeString unicodeString) => unicodeString.Length / 2u + 1;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint RtlUnicodeStringToOemSize(UnicodeString unicodeString) => RtlxUnicodeStringToOemSize(unicodeString);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public uint RtlxUnicodeStringToOemSize(UnicodeString unicodeString) => unicodeString.Length / 2u + 1;

    /// <summary>Makes a character what it becomes in an upper-case OEM name; false if the page does not have
    /// it.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool RtlIsValidOemCharacter(Va @char)
    {
        char given = nt.Memory.Read<char>(@char), upper = Casing.ToUpper(given);
        byte oem = NlsCodePage.Oem.ToByte(upper);
        nt.Memory.Write(@char, NlsCodePage.Oem.ToUnicode(oem));
        return oem != '?' || upper == '?';
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void RtlGetDefaultCodePage(Va ansiCodePage, Va oemCodePage)
    {
        nt.Memory.Write(ansiCodePage, NlsCodePage.Ansi.Number);
        nt.Memory.Write(oemCodePage, NlsCodePage.Oem.Number);
    }
}
