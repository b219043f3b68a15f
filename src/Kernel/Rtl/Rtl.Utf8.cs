using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>UTF-8. A sequence that is none becomes U+FFFD, and the status says so.</summary>
sealed partial class Rtl
{
    const int WindowBytes = 4096;

    delegate OperationStatus Decoder<T>(ReadOnlySpan<T> source, out Rune rune, out int consumed);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlUTF8ToUnicodeN(
        Va unicodeStringDestination, uint unicodeStringMaxByteCount, Va unicodeStringActualByteCount,
        Va utf8StringSource, uint utf8StringByteCount) =>
        Transcode<byte>(utf8StringSource, utf8StringByteCount, Rune.DecodeFromUtf8, EncodeUtf16,
            unicodeStringDestination, unicodeStringMaxByteCount, unicodeStringActualByteCount);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlUnicodeToUTF8N(
        Va utf8StringDestination, uint utf8StringMaxByteCount, Va utf8StringActualByteCount, Va unicodeStringSource,
        uint unicodeStringByteCount)
    {
        if ((unicodeStringByteCount & 1) != 0) return STATUS_INVALID_PARAMETER_5;
        return Transcode<char>(unicodeStringSource, unicodeStringByteCount, Rune.DecodeFromUtf16,
            static (rune, to) => rune.EncodeToUtf8(to), utf8StringDestination, utf8StringMaxByteCount,
            utf8StringActualByteCount);
    }

    static int EncodeUtf16(Rune rune, Span<byte> target)
    {
        Span<char> units = stackalloc char[2];
        int count = rune.EncodeToUtf16(units);
        MemoryMarshal.AsBytes(units[..count]).CopyTo(target);
        return count * 2;
    }

    delegate int Encoder(Rune rune, Span<byte> target);

    // Without a destination only the bytes are counted.
    NtStatus Transcode<T>(Va source, uint sourceBytes, Decoder<T> decode, Encoder encode, Va target, uint room,
        Va actual) where T : unmanaged
    {
        if (source.IsNull) return STATUS_INVALID_PARAMETER_4;
        if (target.IsNull && actual.IsNull) return STATUS_INVALID_PARAMETER;
        NtStatus status = STATUS_SUCCESS;
        Span<byte> encoded = stackalloc byte[4];
        ulong written = 0;
        for (uint done = 0; done < sourceBytes;)
        {
            byte[] window = nt.Memory.ReadBytes(source + done, (int)Math.Min(WindowBytes, sourceBytes - done));
            ReadOnlySpan<T> units = MemoryMarshal.Cast<byte, T>(window);
            bool last = done + (uint)window.Length == sourceBytes;
            int used = 0;
            while (used < units.Length)
            {
                OperationStatus result = decode(units[used..], out Rune rune, out int consumed);
                if (result == OperationStatus.NeedMoreData && !last && used > 0) break;
                if (result != OperationStatus.Done) status = STATUS_SOME_NOT_MAPPED;
                int size = encode(rune, encoded);
                if (!target.IsNull)
                {
                    if (written + (ulong)size > room) return Finish(STATUS_BUFFER_TOO_SMALL);
                    nt.Memory.Write(target + written, encoded[..size]);
                }
                written += (ulong)size;
                used += consumed;
            }
            done += (uint)(used * Unsafe.SizeOf<T>());
            nt.Ke.Clock.Spend();
        }
        return Finish(status);

        NtStatus Finish(NtStatus result)
        {
            if (!actual.IsNull) nt.Memory.Write(actual, (uint)written);
            return result;
        }
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlUTF8StringToUnicodeString(
        UnicodeString destinationString, AnsiString sourceString, bool allocateDestinationString)
    {
        string text = Encoding.UTF8.GetString(BytesOf(sourceString));
        return Store(destinationString, Encoding.Unicode.GetBytes(text), 2, allocateDestinationString);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlUnicodeStringToUTF8String(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        Store(destinationString, Encoding.UTF8.GetBytes(sourceString.Text), 1, allocateDestinationString);
}
