using System.Buffers.Binary;
using System.Text;

namespace Ringdown.Machine;

/// <summary>Bytes that nobody vouches for. Every read is checked; past the end it is a <see cref="BadImageException"/>
/// that names the bytes, what was read and where.</summary>
readonly struct ImageBytes(ReadOnlyMemory<byte> bytes, string name)
{
    public int Length => bytes.Length;

    public ReadOnlySpan<byte> All => bytes.Span;

    public bool Has(ulong offset, ulong length) =>
        offset <= (ulong)bytes.Length && length <= (ulong)bytes.Length - offset;

    public ReadOnlySpan<byte> Span(ulong offset, ulong length, string what)
    {
        if (!Has(offset, length))
            throw new BadImageException(
                $"{name} is truncated: {what} at {offset:X} needs {length:X} bytes, {name} ends at {bytes.Length:X}.");
        return bytes.Span.Slice((int)offset, (int)length);
    }

    public byte U8(ulong offset, string what) => Span(offset, 1, what)[0];
    public ushort U16(ulong offset, string what) => BinaryPrimitives.ReadUInt16LittleEndian(Span(offset, 2, what));
    public uint U32(ulong offset, string what) => BinaryPrimitives.ReadUInt32LittleEndian(Span(offset, 4, what));
    public ulong U64(ulong offset, string what) => BinaryPrimitives.ReadUInt64LittleEndian(Span(offset, 8, what));

    /// <summary>A string that ends with a zero byte, at most <paramref name="limit"/> bytes long.</summary>
    public string Text(ulong offset, string what, int limit = 4096)
    {
        if (!Has(offset, 1)) throw new BadImageException($"{what} at {offset:X} lies outside {name}.");
        ReadOnlySpan<byte> rest = bytes.Span[(int)offset..];
        if (rest.Length > limit) rest = rest[..limit];
        int end = rest.IndexOf((byte)0);
        if (end < 0) throw new BadImageException($"{what} at {offset:X} is not terminated.");
        return Encoding.Latin1.GetString(rest[..end]);
    }
}
