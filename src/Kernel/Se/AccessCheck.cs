using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The decision who may do what: label, privileges, owner, then the DACL entry by entry.</summary>
static class AccessCheck
{
    public const uint DELETE = 0x1_0000, READ_CONTROL = 0x2_0000, WRITE_DAC = 0x4_0000, WRITE_OWNER = 0x8_0000,
        ACCESS_SYSTEM_SECURITY = 0x100_0000, MAXIMUM_ALLOWED = 0x200_0000;

    /// <summary>Decides over rights without generic ones.</summary>
    /// <param name="previous">Rights that were granted already, by a privilege.</param>
    /// <param name="granted">What may be done; with MAXIMUM_ALLOWED all of it.</param>
    /// <param name="used">The privileges that were needed.</param>
    public static NtStatus Decide(SecurityInfo security, Token token, uint desired, uint previous,
        GenericMapping mapping, out uint granted, List<ulong> used)
    {
        granted = 0;
        bool maximum = (desired & MAXIMUM_ALLOWED) != 0;
        uint wanted = desired & ~MAXIMUM_ALLOWED & ~previous, got = previous;
        if ((wanted & ACCESS_SYSTEM_SECURITY) != 0)
        {
            if (!token.Has(Privilege.SeSecurity)) return STATUS_PRIVILEGE_NOT_HELD;
            used.Add(Privilege.SeSecurity);
            got |= ACCESS_SYSTEM_SECURITY;
            wanted &= ~ACCESS_SYSTEM_SECURITY;
        }
        if ((wanted & WRITE_OWNER) != 0 && token.Has(Privilege.SeTakeOwnership))
        {
            used.Add(Privilege.SeTakeOwnership);
            got |= WRITE_OWNER;
            wanted &= ~WRITE_OWNER;
        }
        uint closed = ClosedByLabel(security, token, mapping);
        uint allowed = AllowedTo(security, token, mapping) & ~closed;
        if ((wanted & ~allowed) != 0) return STATUS_ACCESS_DENIED;
        granted = got | wanted | (maximum ? allowed : 0);
        if (maximum && granted == 0) return STATUS_ACCESS_DENIED;
        return STATUS_SUCCESS;
    }

    static uint AllowedTo(SecurityInfo security, Token token, GenericMapping mapping)
    {
        if (!security.HasDacl || security.Dacl is null) return mapping.All | 0x1F_0000;
        uint allowed = Walk(security, security.Dacl, token, restricted: false);
        if (!token.IsRestricted) return allowed;
        uint second = Walk(security, security.Dacl, token, restricted: true);
        // A write-restricted token may read what its user may.
        return token.IsWriteRestricted ? allowed & (second | ~(mapping.Write & ~mapping.Read)) : allowed & second;
    }

    /// <summary>What the list gives: a right goes to the first entry that speaks of it.</summary>
    static uint Walk(SecurityInfo security, Acl dacl, Token token, bool restricted)
    {
        bool isOwner = security.Owner is { } owner && Matches(token, owner, restricted, isDeny: false);
        uint allowed = 0, denied = 0;
        bool speaksOfOwner = dacl.Entries.Any(e => e.IsEffective && Sid.OwnerRights.Equals(e.Sid));
        if (isOwner && !speaksOfOwner) allowed = READ_CONTROL | WRITE_DAC;
        foreach (Ace entry in dacl.Entries)
        {
            if (!entry.IsEffective || entry.Sid is not { } sid) continue;
            bool isDeny = entry.Type is AceType.Deny or AceType.DenyObject or AceType.DenyCallback;
            bool isAllow = entry.Type == AceType.Allow || entry.Type == AceType.AllowObject && !entry.NamesObjectType;
            if (!isDeny && !isAllow) continue;
            if (!(sid.Equals(Sid.OwnerRights) ? isOwner : Matches(token, sid, restricted, isDeny))) continue;
            if (isDeny) denied |= entry.Mask & ~allowed;
            else allowed |= entry.Mask & ~denied;
        }
        return allowed;
    }

    static bool Matches(Token token, Sid sid, bool restricted, bool isDeny) =>
        restricted ? token.MatchesRestricted(sid) : token.Matches(sid, isDeny);

    /// <summary>What a higher integrity level keeps from a lower one. An object without a label is at the medium level,
    /// and closed for writing.</summary>
    static uint ClosedByLabel(SecurityInfo security, Token token, GenericMapping mapping)
    {
        Ace? label = security.Sacl?.Entries.FirstOrDefault(e => e.Type == AceType.MandatoryLabel && e.IsEffective);
        uint level = label?.Sid?.LastPart ?? Token.MediumLevel, policy = label?.Mask ?? 1;
        if (token.Integrity >= level) return 0;
        uint closed = 0;
        if ((policy & 1) != 0)
            closed |= mapping.Write & ~(mapping.Read | mapping.Execute) | DELETE | WRITE_DAC | WRITE_OWNER;
        if ((policy & 2) != 0) closed |= mapping.Read & ~(mapping.Write | mapping.Execute);
        if ((policy & 4) != 0) closed |= mapping.Execute & ~(mapping.Read | mapping.Write);
        return closed;
    }
}
