using System.Buffers.Binary;
using System.Text;

namespace Ringdown.Machine;

/// <summary>Reads bytes that nobody vouches for, one after the other, and throws nothing: what passes the end fails,
/// and from then on everything is zero and the cursor is at the end.</summary>
ref struct ByteCursor(ReadOnlySpan<byte> bytes)
{
    readonly ReadOnlySpan<byte> _bytes = bytes;

    public int Position { get; private set; }
    public bool Failed { get; private set; }
    public readonly bool AtEnd => Position >= _bytes.Length;
    public readonly int Left => _bytes.Length - Position;

    public byte U8() => Take(1) is { Length: > 0 } b ? b[0] : (byte)0;
    public ushort U16() => Take(2) is { Length: > 0 } b ? BinaryPrimitives.ReadUInt16LittleEndian(b) : (ushort)0;
    public uint U32() => Take(4) is { Length: > 0 } b ? BinaryPrimitives.ReadUInt32LittleEndian(b) : 0;
    public ulong U64() => Take(8) is { Length: > 0 } b ? BinaryPrimitives.ReadUInt64LittleEndian(b) : 0;

    /// <summary>The next bytes; none when there are not so many.</summary>
    public ReadOnlySpan<byte> Take(ulong length)
    {
        if (length > (ulong)Left)
        {
            Fail();
            return default;
        }
        ReadOnlySpan<byte> taken = _bytes.Slice(Position, (int)length);
        Position += (int)length;
        return taken;
    }

    public void Skip(ulong length) => Take(length);

    /// <summary>Goes to the next multiple of <paramref name="size"/>, or to the end where padding is missing.</summary>
    public void Align(int size) => Position = Math.Min((Position + size - 1) & -size, _bytes.Length);

    /// <summary>Everything that is left, without passing it.</summary>
    public readonly ReadOnlySpan<byte> Peek() => _bytes[Position..];

    /// <summary>Everything that is left.</summary>
    public ReadOnlySpan<byte> Rest() => Take((ulong)Left);

    /// <summary>A number of DWARF: seven bits a byte.</summary>
    public ulong Uleb()
    {
        ulong value = 0;
        for (int shift = 0; shift < 70; shift += 7)
        {
            byte b = U8();
            if (shift < 64) value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80) return value;
        }
        Fail();
        return 0;
    }

    /// <summary>The same with a sign.</summary>
    public long Sleb()
    {
        ulong value = 0;
        for (int shift = 0; shift < 70;)
        {
            byte b = U8();
            if (shift < 64) value |= (ulong)(b & 0x7F) << shift;
            shift += 7;
            if (b < 0x80) return (long)(shift < 64 && (b & 0x40) != 0 ? value | ulong.MaxValue << shift : value);
        }
        Fail();
        return 0;
    }

    /// <summary>Text up to a zero byte, which is passed too.</summary>
    public string Text(Encoding encoding)
    {
        int end = _bytes[Position..].IndexOf((byte)0);
        if (end < 0)
        {
            Fail();
            return "";
        }
        string text = encoding.GetString(_bytes.Slice(Position, end));
        Position += end + 1;
        return text;
    }

    public void Fail()
    {
        Failed = true;
        Position = _bytes.Length;
    }
}
