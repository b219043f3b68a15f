using System.Buffers.Binary;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What TOKEN_INFORMATION_CLASS asks for, as bytes whose pointers fit the place where they will
/// lie.</summary>
sealed class TokenInformation(Token token, Va place)
{
    readonly List<byte> _bytes = [];

    /// <summary>Null for a class that there is none of.</summary>
    public static byte[]? Of(Token token, uint informationClass, Va place) =>
        new TokenInformation(token, place).Make(informationClass);

    byte[]? Make(uint informationClass)
    {
        switch (informationClass)
        {
            case 1: return SidAndAttributes([new Group(token.User, 0)]);
            case 2: return Groups([.. token.AllGroups]);
            case 3: return Privileges();
            case 4: return OneSid(token.Owner);
            case 5: return OneSid(token.PrimaryGroup);
            case 6: return DefaultDacl();
            case 7: return Source();
            case 8: return Words(token.IsPrimary ? 1u : 2);
            case 9: return token.IsPrimary ? null : Words((uint)token.Level);
            case 10: return Statistics();
            case 11: return Groups(token.Restricted);
            case 12: return Words(token.SessionId);
            case 15: return Words(token.IsSandBoxInert ? 1u : 0);
            case 17: return Words((uint)token.AuthenticationId, (uint)(token.AuthenticationId >> 32));
            case 18: return Words(token.IsAdmin && token.User.Equals(Se.OrdinaryUser) ? 2u : 1);
            case 20: return Words(token.IsAdmin ? 1u : 0);
            case 21: return Words(token.IsRestricted ? 1u : 0);
            case 23 or 24 or 26: return Words(0);
            case 25: return SidAndAttributes([new Group(Sid.Label(token.Integrity), 0x60)]);
            case 27: return Words(token.Integrity >= Token.HighLevel ? 1u : 3);
            case 28: return Groups([.. token.Groups.Where(g => (g.Attributes & Group.SE_GROUP_LOGON_ID) != 0)]);
            case 29: return Words(0);
            default: return null;
        }
    }

    /// <summary>Classes that <c>SeQueryInformationToken</c> writes into the pointer itself.</summary>
    public static bool IsScalar(uint informationClass) => informationClass is 12 or 25 or 23 or 24 or 26 or 29;

    static byte[] Words(params uint[] words)
    {
        byte[] bytes = new byte[words.Length * 4];
        for (int i = 0; i < words.Length; i++) BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(i * 4), words[i]);
        return bytes;
    }

    void Add(uint value) => _bytes.AddRange(BitConverter.GetBytes(value));
    void Add(ulong value) => _bytes.AddRange(BitConverter.GetBytes(value));

    // SID_AND_ATTRIBUTES, one after the other, then the identifiers.
    byte[] SidAndAttributes(IReadOnlyList<Group> groups)
    {
        int at = _bytes.Count + groups.Count * 16;
        foreach (Group group in groups)
        {
            Add(place.Value + (ulong)at);
            Add((ulong)group.Attributes);
            at += group.Sid.Length;
        }
        foreach (Group group in groups) _bytes.AddRange(group.Sid.Bytes);
        return [.. _bytes];
    }

    byte[] Groups(IReadOnlyList<Group> groups)
    {
        Add((ulong)groups.Count);
        return SidAndAttributes(groups);
    }

    byte[] Privileges()
    {
        Add((uint)token.Privileges.Count);
        foreach ((ulong luid, uint attributes) in token.Privileges)
        {
            Add(luid);
            Add(attributes);
        }
        return [.. _bytes];
    }

    byte[] OneSid(Sid sid)
    {
        Add(place.Value + 8);
        _bytes.AddRange(sid.Bytes);
        return [.. _bytes];
    }

    byte[] DefaultDacl()
    {
        Add(token.DefaultDacl is null ? 0 : place.Value + 8);
        if (token.DefaultDacl is not null) _bytes.AddRange(token.DefaultDacl.ToBytes());
        return [.. _bytes];
    }

    /// <summary>TOKEN_SOURCE.</summary>
    public byte[] Source()
    {
        byte[] bytes = new byte[16];
        for (int i = 0; i < Math.Min(8, token.SourceName.Length); i++) bytes[i] = (byte)token.SourceName[i];
        return bytes;
    }

    // TOKEN_STATISTICS.
    byte[] Statistics()
    {
        Add(token.TokenId);
        Add(token.AuthenticationId);
        Add((ulong)long.MaxValue);
        Add(token.IsPrimary ? 1u : 2);
        Add(token.IsPrimary ? 0 : (uint)token.Level);
        Add(0x1000u);
        Add(0u);
        Add((uint)token.Groups.Count + 1);
        Add((uint)token.Privileges.Count);
        Add(token.ModifiedId);
        return [.. _bytes];
    }
}
