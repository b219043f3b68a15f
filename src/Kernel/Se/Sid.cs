using System.Buffers.Binary;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>SID: who somebody is. Its bytes are as NT writes them.</summary>
sealed class Sid : IEquatable<Sid>
{
    const int HeaderBytes = 8, MaximumParts = 15;

    readonly byte[] _bytes;

    Sid(byte[] bytes) => _bytes = bytes;

    public Sid(byte authority, params ReadOnlySpan<uint> parts)
    {
        _bytes = new byte[HeaderBytes + parts.Length * 4];
        (_bytes[0], _bytes[1], _bytes[7]) = (1, (byte)parts.Length, authority);
        for (int i = 0; i < parts.Length; i++)
            BinaryPrimitives.WriteUInt32LittleEndian(_bytes.AsSpan(HeaderBytes + i * 4), parts[i]);
    }

    public static Sid Null { get; } = new(0, 0);
    public static Sid World { get; } = new(1, 0);
    public static Sid Local { get; } = new(2, 0);
    public static Sid CreatorOwner { get; } = new(3, 0);
    public static Sid CreatorGroup { get; } = new(3, 1);
    public static Sid OwnerRights { get; } = new(3, 4);
    public static Sid Interactive { get; } = new(5, 4);
    public static Sid Anonymous { get; } = new(5, 7);
    public static Sid AuthenticatedUsers { get; } = new(5, 11);
    public static Sid Restricted { get; } = new(5, 12);
    public static Sid LocalSystem { get; } = new(5, 18);
    public static Sid LocalService { get; } = new(5, 19);
    public static Sid NetworkService { get; } = new(5, 20);
    public static Sid Administrators { get; } = new(5, 32, 544);
    public static Sid Users { get; } = new(5, 32, 545);

    /// <summary>S-1-16-n: an integrity level.</summary>
    public static Sid Label(uint level) => new(16, level);

    public ReadOnlySpan<byte> Bytes => _bytes;
    public int Length => _bytes.Length;
    public uint LastPart => _bytes[1] == 0 ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(_bytes.AsSpan(^4..));

    /// <summary>One that starts in these bytes; null if none does.</summary>
    public static Sid? Parse(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderBytes || bytes[0] != 1 || bytes[1] > MaximumParts) return null;
        int length = HeaderBytes + bytes[1] * 4;
        return bytes.Length < length ? null : new Sid(bytes[..length].ToArray());
    }

    /// <summary>One in guest memory; null if it is none.</summary>
    public static Sid? Read(Memory memory, Va address)
    {
        byte parts = memory.Read<byte>(address + 1);
        return parts > MaximumParts ? null : Parse(memory.ReadBytes(address, HeaderBytes + parts * 4));
    }

    /// <summary>The form that SDDL has: <c>S-1-5-32-544</c>.</summary>
    public static Sid? Parse(string text)
    {
        string[] parts = text.Split('-');
        if (parts.Length is < 3 or > 18 || parts[0] is not ("S" or "s") || parts[1] != "1") return null;
        if (!byte.TryParse(parts[2], out byte authority)) return null;
        uint[] numbers = new uint[parts.Length - 3];
        for (int i = 0; i < numbers.Length; i++)
            if (!uint.TryParse(parts[i + 3], out numbers[i])) return null;
        return new Sid(authority, numbers);
    }

    public bool Equals(Sid? other) => other is not null && _bytes.AsSpan().SequenceEqual(other._bytes);
    public override bool Equals(object? obj) => Equals(obj as Sid);

    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(_bytes);
        return hash.ToHashCode();
    }

    public override string ToString()
    {
        ulong authority = BinaryPrimitives.ReadUInt64BigEndian(_bytes) & 0xFFFF_FFFF_FFFF;
        var text = new System.Text.StringBuilder($"S-1-{authority}");
        for (int i = 0; i < _bytes[1]; i++)
            text.Append('-').Append(BinaryPrimitives.ReadUInt32LittleEndian(_bytes.AsSpan(HeaderBytes + i * 4)));
        return text.ToString();
    }
}
