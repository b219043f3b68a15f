using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What drivers ask of tokens, and tokens made of others.</summary>
sealed partial class Se
{
    const uint TokenTag = 0x6B54_6553;      // 'SeTk'
    const int MaximumGroups = 1024;

    /// <summary>1 for a primary token, 2 for one to impersonate with.</summary>
    [Export]
    public uint SeTokenType(Va token) => TokenAt(token).IsPrimary ? 1u : 2;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool SeTokenIsAdmin(Va token) => TokenAt(token).IsAdmin;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool SeTokenIsRestricted(Va token) => TokenAt(token).IsRestricted;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool SeTokenIsWriteRestricted(Va token) => TokenAt(token).IsWriteRestricted;

    [Export]
    public uint SeTokenImpersonationLevel(Va token) => (uint)TokenAt(token).Level;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeQueryAuthenticationIdToken(Va token, Va authenticationId)
    {
        nt.Memory.Write(authenticationId, TokenAt(token).AuthenticationId);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeQuerySessionIdToken(Va token, Va sessionId)
    {
        nt.Memory.Write(sessionId, TokenAt(token).SessionId);
        return STATUS_SUCCESS;
    }

    /// <summary>The answer lies in pool and the caller frees it; a session and an integrity level are written to the
    /// pointer itself.</summary>
    [Export(Support.Partial, "No claims, capabilities and packages.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeQueryInformationToken(Va token, uint tokenInformationClass, Va tokenInformation)
    {
        Token subject = TokenAt(token);
        if (tokenInformationClass == 25)
        {
            nt.Memory.Write(tokenInformation, subject.Integrity);
            return STATUS_SUCCESS;
        }
        if (TokenInformation.Of(subject, tokenInformationClass, Va.Null) is not { } bytes)
            return STATUS_INVALID_INFO_CLASS;
        if (TokenInformation.IsScalar(tokenInformationClass))
        {
            nt.Memory.Write(tokenInformation, bytes);
            return STATUS_SUCCESS;
        }
        Va place = nt.Mm.Pool.Allocate((ulong)bytes.Length, PoolKind.Paged, TokenTag, nt.Caller, zero: true);
        if (place.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Write(place, TokenInformation.Of(subject, tokenInformationClass, place)!);
        nt.Memory.Write(tokenInformation, place);
        return STATUS_SUCCESS;
    }

    /// <summary>A token with less: groups for nothing but denial, privileges gone, SIDs that restrict.</summary>
    [Export(Support.Partial, "LUA_TOKEN does nothing."), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus SeFilterToken(
        Va existingToken, uint flags, Va sidsToDisable, Va privilegesToDelete, Va restrictedSids, Va filteredToken)
    {
        const uint disableMaxPrivilege = 1, sandBoxInert = 2, writeRestricted = 8;
        Token token = TokenAt(existingToken);
        if ((flags & ~0xFu) != 0) return STATUS_INVALID_PARAMETER;
        if (ReadGroups(sidsToDisable) is not { } disabled || ReadGroups(restrictedSids) is not { } added)
            return STATUS_INVALID_PARAMETER;
        var privileges = new SortedDictionary<ulong, uint>(token.Privileges);
        foreach (ulong deleted in ReadPrivileges(privilegesToDelete).Select(p => p.Luid)) privileges.Remove(deleted);
        if ((flags & disableMaxPrivilege) != 0)
            foreach (ulong p in token.Privileges.Keys.Where(p => p != Privilege.SeChangeNotify)) privileges.Remove(p);
        List<Group> groups = [.. token.Groups.Select(g => disabled.Exists(d => d.Sid.Equals(g.Sid))
            ? g with { Attributes = g.Attributes & ~7u | Group.SE_GROUP_USE_FOR_DENY_ONLY } : g)];
        List<Group> restricted = [.. token.Restricted, .. added.Select(g => g with { Attributes = Group.Usual })];
        Token made = Make(token.With(NewLuid(), token.IsPrimary, token.Level, groups, privileges, restricted,
            (flags & writeRestricted) != 0 && added.Count > 0 || token.IsWriteRestricted,
            (flags & sandBoxInert) != 0 || token.IsSandBoxInert));
        nt.Memory.Write(filteredToken, made.Object!.Body);
        return STATUS_SUCCESS;
    }

    /// <summary>TOKEN_GROUPS; empty for a null pointer, null for one that is none.</summary>
    List<Group>? ReadGroups(Va at)
    {
        List<Group> groups = [];
        if (at.IsNull) return groups;
        uint count = nt.Memory.Read<uint>(at);
        if (count > MaximumGroups) return null;
        for (uint i = 0; i < count; i++)
        {
            nt.Ke.Clock.Spend();
            Va entry = at + 8 + (ulong)i * 16;
            if (Sid.Read(nt.Memory, nt.Memory.Read<Va>(entry)) is not { } sid) return null;
            groups.Add(new Group(sid, nt.Memory.Read<uint>(entry + 8)));
        }
        return groups;
    }

    /// <summary>TOKEN_PRIVILEGES: LUIDs with attributes.</summary>
    public List<(ulong Luid, uint Attributes)> ReadPrivileges(Va at)
    {
        List<(ulong, uint)> all = [];
        if (at.IsNull) return all;
        uint count = Math.Min(nt.Memory.Read<uint>(at), MaximumGroups);
        for (uint i = 0; i < count; i++)
        {
            nt.Ke.Clock.Spend();
            Va entry = at + 4 + (ulong)i * 12;
            all.Add((nt.Memory.Read<ulong>(entry), nt.Memory.Read<uint>(entry + 8)));
        }
        return all;
    }

    readonly List<Va> _logonRoutines = [];
    readonly HashSet<ulong> _markedLogons = [];

    [Export(Support.Partial, "Logon sessions do not end while the machine runs, so it is never called.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeRegisterLogonSessionTerminatedRoutine(Va callbackRoutine)
    {
        if (callbackRoutine.IsNull) return STATUS_INVALID_PARAMETER;
        _logonRoutines.Add(callbackRoutine);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeUnregisterLogonSessionTerminatedRoutine(Va callbackRoutine) =>
        callbackRoutine.IsNull ? STATUS_INVALID_PARAMETER
        : _logonRoutines.Remove(callbackRoutine) ? STATUS_SUCCESS : STATUS_NOT_FOUND;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeMarkLogonSessionForTerminationNotification(Va logonId)
    {
        ulong luid = nt.Memory.Read<ulong>(logonId);
        if (luid is not (SystemLuid or UserLuid)) return STATUS_NOT_FOUND;
        _markedLogons.Add(luid);
        return STATUS_SUCCESS;
    }
}
