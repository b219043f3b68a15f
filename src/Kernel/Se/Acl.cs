using System.Buffers.Binary;

namespace Ringdown.Kernel;

enum AceType : byte
{
    Allow = 0, Deny = 1, Audit = 2, AllowObject = 5, DenyObject = 6, AuditObject = 7, AllowCallback = 9,
    DenyCallback = 10, MandatoryLabel = 0x11,
}

/// <summary>ACE: rights, and for whom.</summary>
/// <param name="Bytes">All of it as it stands in the list; what is not understood is passed on.</param>
/// <param name="Sid">Null in a type of entry that has none.</param>
sealed record Ace(AceType Type, byte Flags, uint Mask, Sid? Sid, byte[] Bytes)
{
    public const byte OBJECT_INHERIT_ACE = 1, CONTAINER_INHERIT_ACE = 2, NO_PROPAGATE_INHERIT_ACE = 4,
        INHERIT_ONLY_ACE = 8, INHERITED_ACE = 0x10;

    /// <summary>It counts for this object, not only for what is made below it.</summary>
    public bool IsEffective => (Flags & INHERIT_ONLY_ACE) == 0;

    /// <summary>An object entry that names a GUID: of no meaning where no types of objects were passed.</summary>
    public bool NamesObjectType =>
        Type is AceType.AllowObject or AceType.DenyObject or AceType.AuditObject && (Bytes[8] & 1) != 0;

    public static Ace Make(AceType type, byte flags, uint mask, Sid sid)
    {
        byte[] bytes = new byte[8 + sid.Length];
        (bytes[0], bytes[1]) = ((byte)type, flags);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2), (ushort)bytes.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), mask);
        sid.Bytes.CopyTo(bytes.AsSpan(8));
        return new Ace(type, flags, mask, sid, bytes);
    }

    /// <summary>The entry at the start of these bytes; null if its length is wrong.</summary>
    public static Ace? Parse(ReadOnlySpan<byte> at)
    {
        if (at.Length < 4) return null;
        int size = BinaryPrimitives.ReadUInt16LittleEndian(at[2..]);
        if (size < 4 || size > at.Length || (size & 3) != 0) return null;
        byte[] bytes = at[..size].ToArray();
        var type = (AceType)bytes[0];
        if (size < 8) return new Ace(type, bytes[1], 0, null, bytes);
        uint mask = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(4));
        int sidAt = 8;
        if (type is AceType.AllowObject or AceType.DenyObject or AceType.AuditObject)
        {
            if (size < 12) return null;
            sidAt = 12 + ((bytes[8] & 1) != 0 ? 16 : 0) + ((bytes[8] & 2) != 0 ? 16 : 0);
        }
        Sid? sid = sidAt < size ? Kernel.Sid.Parse(bytes.AsSpan(sidAt)) : null;
        return new Ace(type, bytes[1], mask, sid, bytes);
    }
}

/// <summary>ACL: entries in the order in which they count.</summary>
sealed record Acl(byte Revision, IReadOnlyList<Ace> Entries)
{
    const int HeaderBytes = 8;

    public static Acl Of(params Ace[] entries) => new(2, entries);

    public int Length => HeaderBytes + Entries.Sum(e => e.Bytes.Length);

    /// <summary>Null where the bytes are no list: lengths that do not fit, a revision that is not known.</summary>
    public static Acl? Parse(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderBytes || bytes[0] is < 2 or > 4) return null;
        int size = BinaryPrimitives.ReadUInt16LittleEndian(bytes[2..]), at = HeaderBytes;
        int count = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        if (size < HeaderBytes || size > bytes.Length) return null;
        var entries = new List<Ace>();
        for (int i = 0; i < count; i++)
        {
            if (Ace.Parse(bytes[at..size]) is not { } entry) return null;
            entries.Add(entry);
            at += entry.Bytes.Length;
        }
        return new Acl(bytes[0], entries);
    }

    public byte[] ToBytes()
    {
        byte[] bytes = new byte[Length];
        bytes[0] = Revision;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2), (ushort)bytes.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), (ushort)Entries.Count);
        int at = HeaderBytes;
        foreach (Ace entry in Entries)
        {
            entry.Bytes.CopyTo(bytes, at);
            at += entry.Bytes.Length;
        }
        return bytes;
    }
}
