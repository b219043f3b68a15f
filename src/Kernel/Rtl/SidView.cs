using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>SID: who somebody is. An authority of six bytes, highest first, and up to 15 numbers below it.</summary>
[Layout("_SID", Size = 0x0C)]
public readonly partial struct SidView
{
    public const int MaximumSubAuthorities = 15, SubAuthorityOffset = 8;
    public const byte CurrentRevision = 1;

    [Field(0x00)] public partial byte Revision { get; set; }
    [Field(0x01)] public partial byte SubAuthorityCount { get; set; }
    [Field(0x08, Name = "SubAuthority[0]")] public partial uint FirstSubAuthority { get; set; }

    public static int LengthOf(int subAuthorities) => SubAuthorityOffset + subAuthorities * 4;

    /// <summary>Its length in bytes.</summary>
    public int Length => LengthOf(SubAuthorityCount);

    public bool IsValid => !IsNull && Revision == CurrentRevision && SubAuthorityCount <= MaximumSubAuthorities;

    public byte[] Bytes => _memory.ReadBytes(Address, Length);

    /// <summary>S-1-5-18: the authority in decimal, in hexadecimal if it does not fit 32 bits.</summary>
    public string Text
    {
        get
        {
            byte[] bytes = Bytes;
            ulong authority = BinaryPrimitives.ReadUInt64BigEndian(bytes) & 0xFFFF_FFFF_FFFF;
            var text = new StringBuilder($"S-{bytes[0]}-");
            if (authority > uint.MaxValue) text.Append(CultureInfo.InvariantCulture, $"0x{authority:x12}");
            else text.Append(authority);
            for (int i = SubAuthorityOffset; i < bytes.Length; i += 4)
                text.Append('-').Append(BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(i)));
            return text.ToString();
        }
    }
}

/// <summary>ACL: a row of entries, each with its size in front.</summary>
[Layout("_ACL", Size = 0x08)]
public readonly partial struct AclView
{
    public const byte LowestRevision = 2, HighestRevision = 4;

    [Field(0x00)] public partial byte AclRevision { get; set; }
    [Field(0x02)] public partial ushort AclSize { get; set; }
    [Field(0x04)] public partial ushort AceCount { get; set; }

    public bool IsValid => !IsNull && AclRevision is >= LowestRevision and <= HighestRevision
        && AclSize >= Size && FreeAt() is not null;

    /// <summary>The address of an entry; null if there are fewer, or if they reach past the end.</summary>
    public Va EntryAt(uint index)
    {
        int at = Size, end = AclSize;
        for (uint i = 0, count = AceCount; i < count; i++)
        {
            int size = at + AceHeader.Size <= end ? AceHeader.At(_memory, Address + at).AceSize : 0;
            if (size < AceHeader.Size || at + size > end) return Va.Null;
            if (i == index) return Address + at;
            at += size;
        }
        return Va.Null;
    }

    /// <summary>The offset behind the last entry; null if the entries do not fit.</summary>
    public int? FreeAt()
    {
        int at = Size, end = AclSize;
        for (int i = 0, count = AceCount; i < count; i++)
        {
            int size = at + AceHeader.Size <= end ? AceHeader.At(_memory, Address + at).AceSize : 0;
            if (size < AceHeader.Size || at + size > end) return null;
            at += size;
        }
        return at;
    }
}

/// <summary>ACE_HEADER: what each entry of an ACL begins with.</summary>
[Layout("_ACE_HEADER", Size = 0x04)]
public readonly partial struct AceHeader
{
    [Field(0x00)] public partial byte AceType { get; set; }
    [Field(0x01)] public partial byte AceFlags { get; set; }
    [Field(0x02)] public partial ushort AceSize { get; set; }
}
