using Ringdown.Machine;

namespace Ringdown.Kernel;

enum ImpersonationLevel { Anonymous, Identification, Impersonation, Delegation }

/// <summary>A group of a token, or a restricting SID, and the SE_GROUP_* bits.</summary>
sealed record Group(Sid Sid, uint Attributes)
{
    public const uint SE_GROUP_MANDATORY = 1, SE_GROUP_ENABLED_BY_DEFAULT = 2, SE_GROUP_ENABLED = 4,
        SE_GROUP_OWNER = 8, SE_GROUP_USE_FOR_DENY_ONLY = 0x10, SE_GROUP_INTEGRITY = 0x20,
        SE_GROUP_LOGON_ID = 0xC000_0000;
    public const uint Usual = 7;

    public bool IsEnabled => (Attributes & SE_GROUP_ENABLED) != 0;
    public bool IsDenyOnly => (Attributes & SE_GROUP_USE_FOR_DENY_ONLY) != 0;
}

/// <summary>ACCESS_TOKEN: who a process or a thread is, and what it may do. Drivers see only its address.</summary>
sealed class Token
{
    public const int BodyBytes = 0x498;
    public const uint SystemLevel = 0x4000, HighLevel = 0x3000, MediumLevel = 0x2000;

    public required Sid User { get; init; }
    public required List<Group> Groups { get; init; }
    public required SortedDictionary<ulong, uint> Privileges { get; init; }
    public required Sid Owner { get; set; }
    public required Sid PrimaryGroup { get; set; }
    public required Acl? DefaultDacl { get; set; }

    /// <summary>TOKEN_SOURCE: 8 characters and a LUID.</summary>
    public required string SourceName { get; init; }
    public required ulong AuthenticationId { get; init; }
    public required ulong TokenId { get; init; }
    public required ulong ModifiedId { get; set; }
    public required uint Integrity { get; set; }
    public required uint SessionId { get; set; }
    public bool IsPrimary { get; init; } = true;
    public ImpersonationLevel Level { get; init; } = ImpersonationLevel.Impersonation;
    public List<Group> Restricted { get; init; } = [];
    public bool IsWriteRestricted { get; init; }
    public bool IsSandBoxInert { get; init; }

    /// <summary>The object; null until it is made.</summary>
    public NtObject? Object { get; set; }

    public bool IsRestricted => Restricted.Count > 0;

    public bool IsAdmin => Groups.Exists(g => g.IsEnabled && !g.IsDenyOnly && g.Sid.Equals(Sid.Administrators));

    public bool Has(ulong privilege) =>
        Privileges.TryGetValue(privilege, out uint attributes) && (attributes & Privilege.SE_PRIVILEGE_ENABLED) != 0;

    /// <summary>Whether an entry for this SID counts.</summary>
    /// <param name="isDeny">An entry that denies counts for groups that are there for nothing else, too.</param>
    public bool Matches(Sid sid, bool isDeny)
    {
        if (User.Equals(sid)) return true;
        foreach (Group group in Groups)
            if (group.Sid.Equals(sid) && (group.IsDenyOnly ? isDeny : group.IsEnabled)) return true;
        return false;
    }

    public bool MatchesRestricted(Sid sid) => Restricted.Exists(g => g.Sid.Equals(sid));

    public Token With(
        ulong tokenId, bool isPrimary, ImpersonationLevel level, List<Group>? groups = null,
        SortedDictionary<ulong, uint>? privileges = null, List<Group>? restricted = null, bool? writeRestricted = null,
        bool? sandBoxInert = null) => new()
        {
            User = User,
            Groups = groups ?? [.. Groups],
            Privileges = privileges ?? new(Privileges),
            Owner = Owner,
            PrimaryGroup = PrimaryGroup,
            DefaultDacl = DefaultDacl,
            SourceName = SourceName,
            AuthenticationId = AuthenticationId,
            TokenId = tokenId,
            ModifiedId = tokenId,
            Integrity = Integrity,
            SessionId = SessionId,
            IsPrimary = isPrimary,
            Level = level,
            Restricted = restricted ?? [.. Restricted],
            IsWriteRestricted = writeRestricted ?? IsWriteRestricted,
            IsSandBoxInert = sandBoxInert ?? IsSandBoxInert,
        };

    /// <summary>The groups as services show them: those of the logon, then the integrity level.</summary>
    public IEnumerable<Group> AllGroups =>
        [.. Groups, new Group(Sid.Label(Integrity), Group.SE_GROUP_INTEGRITY | 0x40)];

    /// <summary>The first fields of TOKEN (Windows 10 2004), for who looks at the memory: source, LUIDs, privileges as
    /// bits. Changes there are not seen.</summary>
    public void Show(Memory memory)
    {
        Va at = Object!.Body;
        for (int i = 0; i < 8; i++) memory.Write(at + i, i < SourceName.Length ? (byte)SourceName[i] : (byte)0);
        memory.Write(at + 0x10, TokenId);
        memory.Write(at + 0x18, AuthenticationId);
        memory.Write(at + 0x38, ModifiedId);
        ulong present = 0, enabled = 0, byDefault = 0;
        foreach ((ulong privilege, uint attributes) in Privileges)
        {
            present |= 1UL << (int)privilege;
            if ((attributes & Privilege.SE_PRIVILEGE_ENABLED) != 0) enabled |= 1UL << (int)privilege;
            if ((attributes & Privilege.SE_PRIVILEGE_ENABLED_BY_DEFAULT) != 0) byDefault |= 1UL << (int)privilege;
        }
        memory.Write(at + 0x40, present);
        memory.Write(at + 0x48, enabled);
        memory.Write(at + 0x50, byDefault);
    }
}
