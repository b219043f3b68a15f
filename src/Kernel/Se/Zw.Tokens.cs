using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Services on tokens.</summary>
sealed partial class Zw
{
    const uint PROCESS_QUERY_INFORMATION = 0x400, PROCESS_QUERY_LIMITED_INFORMATION = 0x1000,
        THREAD_QUERY_LIMITED_INFORMATION = 0x800, TOKEN_DUPLICATE = 2, TOKEN_QUERY = 8, TOKEN_QUERY_SOURCE = 0x10,
        TOKEN_ADJUST_PRIVILEGES = 0x20, TOKEN_ADJUST_DEFAULT = 0x80, TOKEN_ADJUST_SESSIONID = 0x100;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenProcessToken(Handle processHandle, uint desiredAccess, Va tokenHandle) =>
        OpenProcessToken(processHandle, desiredAccess, 0, tokenHandle, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtOpenProcessToken(Handle processHandle, uint desiredAccess, Va tokenHandle) =>
        Service(mode => OpenProcessToken(processHandle, desiredAccess, 0, tokenHandle, mode));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenProcessTokenEx(
        Handle processHandle, uint desiredAccess, uint handleAttributes, Va tokenHandle) =>
        OpenProcessToken(processHandle, desiredAccess, handleAttributes, tokenHandle, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtOpenProcessTokenEx(
        Handle processHandle, uint desiredAccess, uint handleAttributes, Va tokenHandle) =>
        Service(mode => OpenProcessToken(processHandle, desiredAccess, handleAttributes, tokenHandle, mode));

    NtStatus OpenProcessToken(Handle process, uint access, uint attributes, Va result, ProcessorMode mode)
    {
        nt.Ob.Probe(result, 8, mode);
        NtStatus status = nt.Ps.Resolve(process, PROCESS_QUERY_LIMITED_INFORMATION, mode, out NtProcess? found);
        return status.IsSuccess ? OpenToken(found!.Token, access, attributes, result, mode) : status;
    }

    NtStatus OpenToken(Token token, uint access, uint attributes, Va result, ProcessorMode mode)
    {
        attributes &= mode == ProcessorMode.UserMode ? ObjectRequest.OBJ_INHERIT : ObjectRequest.Valid;
        NtStatus status = nt.Ob.OpenHandle(
            token.Object!, access, ObjectRequest.None(mode, attributes), out Handle handle);
        if (status.IsSuccess) Give(result, handle, mode);
        return status;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenThreadToken(Handle threadHandle, uint desiredAccess, bool openAsSelf, Va tokenHandle) =>
        OpenThreadToken(threadHandle, desiredAccess, 0, tokenHandle, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtOpenThreadToken(Handle threadHandle, uint desiredAccess, bool openAsSelf, Va tokenHandle) =>
        Service(mode => OpenThreadToken(threadHandle, desiredAccess, 0, tokenHandle, mode));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenThreadTokenEx(
        Handle threadHandle, uint desiredAccess, bool openAsSelf, uint handleAttributes, Va tokenHandle) =>
        OpenThreadToken(threadHandle, desiredAccess, handleAttributes, tokenHandle, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtOpenThreadTokenEx(
        Handle threadHandle, uint desiredAccess, bool openAsSelf, uint handleAttributes, Va tokenHandle) =>
        Service(mode => OpenThreadToken(threadHandle, desiredAccess, handleAttributes, tokenHandle, mode));

    NtStatus OpenThreadToken(Handle thread, uint access, uint attributes, Va result, ProcessorMode mode)
    {
        nt.Ob.Probe(result, 8, mode);
        NtStatus status = nt.Ob.Resolve(
            thread, THREAD_QUERY_LIMITED_INFORMATION, nt.Ob.ThreadType, mode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        Impersonation? acting = nt.Ps.ImpersonationOf(KThread.At(nt.Memory, entry!.Object.Body));
        if (acting is null) return STATUS_NO_TOKEN;
        return acting.Level == ImpersonationLevel.Anonymous ? STATUS_CANT_OPEN_ANONYMOUS
            : OpenToken(acting.Token, access, attributes, result, mode);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwAllocateLocallyUniqueId(Va luid) => NewLuid(luid, ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtAllocateLocallyUniqueId(Va luid) => Service(mode => NewLuid(luid, mode));

    NtStatus NewLuid(Va luid, ProcessorMode mode)
    {
        nt.Ob.Probe(luid, 8, mode);
        nt.Memory.Write(luid, nt.Se.NewLuid());
        return STATUS_SUCCESS;
    }

    NtStatus TokenOf(Handle handle, uint access, ProcessorMode mode, out Token? token)
    {
        NtStatus status = nt.Ob.Resolve(handle, access, nt.Ob.TokenType, mode, out HandleEntry? entry);
        token = status.IsSuccess ? entry!.Object.State as Token : null;
        return status.IsSuccess && token is null ? STATUS_OBJECT_TYPE_MISMATCH : status;
    }

    [Export(Support.Partial, "No claims, capabilities and packages."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryInformationToken(
        Handle tokenHandle, uint tokenInformationClass, Va tokenInformation, uint tokenInformationLength,
        Va returnLength) =>
        QueryToken(tokenHandle, tokenInformationClass, tokenInformation, tokenInformationLength, returnLength,
            ProcessorMode.KernelMode);

    [Export(Support.Partial, "No claims, capabilities and packages."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtQueryInformationToken(
        Handle tokenHandle, uint tokenInformationClass, Va tokenInformation, uint tokenInformationLength,
        Va returnLength) =>
        Service(mode => QueryToken(
            tokenHandle, tokenInformationClass, tokenInformation, tokenInformationLength, returnLength, mode));

    NtStatus QueryToken(Handle handle, uint cls, Va buffer, uint length, Va returnLength, ProcessorMode mode)
    {
        NtStatus status = TokenOf(handle, cls == 7 ? TOKEN_QUERY_SOURCE : TOKEN_QUERY, mode, out Token? token);
        if (!status.IsSuccess) return status;
        if (TokenInformation.Of(token!, cls, buffer) is not { } bytes) return STATUS_INVALID_INFO_CLASS;
        status = Answer(bytes, buffer, length, returnLength, mode);
        return status == STATUS_INFO_LENGTH_MISMATCH ? STATUS_BUFFER_TOO_SMALL : status;
    }

    [Export(Support.Partial, "Owner (4), primary group (5), default DACL (6), session (12), integrity level (25).")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetInformationToken(
        Handle tokenHandle, uint tokenInformationClass, Va tokenInformation, uint tokenInformationLength) =>
        SetToken(tokenHandle, tokenInformationClass, tokenInformation, tokenInformationLength,
            ProcessorMode.KernelMode);

    [Export(Support.Partial, "Owner (4), primary group (5), default DACL (6), session (12), integrity level (25).")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtSetInformationToken(
        Handle tokenHandle, uint tokenInformationClass, Va tokenInformation, uint tokenInformationLength) =>
        Service(mode => SetToken(tokenHandle, tokenInformationClass, tokenInformation, tokenInformationLength, mode));

    NtStatus SetToken(Handle handle, uint cls, Va buffer, uint length, ProcessorMode mode)
    {
        if (cls is not (4 or 5 or 6 or 12 or 25)) return STATUS_INVALID_INFO_CLASS;
        if (length < (cls == 12 ? 4 : 8)) return STATUS_INFO_LENGTH_MISMATCH;
        nt.Ob.Probe(buffer, length, mode);
        uint access = cls == 12 ? TOKEN_ADJUST_DEFAULT | TOKEN_ADJUST_SESSIONID : TOKEN_ADJUST_DEFAULT;
        NtStatus status = TokenOf(handle, access, mode, out Token? token);
        if (!status.IsSuccess) return status;
        if (cls == 12)
        {
            if (mode == ProcessorMode.UserMode && !nt.Se.HasPrivilege(Privilege.SeTcb))
                return STATUS_PRIVILEGE_NOT_HELD;
            token!.SessionId = nt.Memory.Read<uint>(buffer);
            return STATUS_SUCCESS;
        }
        Va part = nt.Memory.Read<Va>(buffer);
        if (cls == 6) return SetDefaultDacl(token!, part);
        if (part.IsNull || Sid.Read(nt.Memory, part) is not { } sid) return STATUS_INVALID_SID;
        return cls == 25 ? SetIntegrity(token!, sid, mode) : SetOwner(token!, sid, isOwner: cls == 4);
    }

    NtStatus SetDefaultDacl(Token token, Va place)
    {
        Acl? dacl = null;
        if (!place.IsNull && (dacl = SecurityInfo.ReadAcl(nt.Memory, place)) is null) return STATUS_INVALID_ACL;
        token.DefaultDacl = dacl;
        return STATUS_SUCCESS;
    }

    static NtStatus SetOwner(Token token, Sid sid, bool isOwner)
    {
        bool isOwn = token.User.Equals(sid) || token.Groups.Exists(
            g => g.Sid.Equals(sid) && (!isOwner || (g.Attributes & Group.SE_GROUP_OWNER) != 0));
        if (!isOwn) return isOwner ? STATUS_INVALID_OWNER : STATUS_INVALID_PRIMARY_GROUP;
        if (isOwner) token.Owner = sid;
        else token.PrimaryGroup = sid;
        return STATUS_SUCCESS;
    }

    // Down is free; up needs the privilege to label.
    NtStatus SetIntegrity(Token token, Sid sid, ProcessorMode mode)
    {
        uint level = sid.LastPart;
        if (!sid.Equals(Sid.Label(level))) return STATUS_INVALID_SID;
        if (level > token.Integrity && mode == ProcessorMode.UserMode && !nt.Se.HasPrivilege(Privilege.SeTcb))
            return STATUS_PRIVILEGE_NOT_HELD;
        token.Integrity = level;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwAdjustPrivilegesToken(
        Handle tokenHandle, bool disableAllPrivileges, Va newState, uint bufferLength, Va previousState,
        Va returnLength) =>
        Adjust(tokenHandle, disableAllPrivileges, newState, bufferLength, previousState, returnLength,
            ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtAdjustPrivilegesToken(
        Handle tokenHandle, bool disableAllPrivileges, Va newState, uint bufferLength, Va previousState,
        Va returnLength) =>
        Service(mode => Adjust(
            tokenHandle, disableAllPrivileges, newState, bufferLength, previousState, returnLength, mode));

    NtStatus Adjust(Handle handle, bool disableAll, Va state, uint length, Va previous, Va returnLength,
        ProcessorMode mode)
    {
        if (!disableAll && state.IsNull) return STATUS_INVALID_PARAMETER;
        uint access = TOKEN_ADJUST_PRIVILEGES | (previous.IsNull ? 0 : TOKEN_QUERY);
        NtStatus status = TokenOf(handle, access, mode, out Token? token);
        if (!status.IsSuccess) return status;
        if (!disableAll) nt.Ob.Probe(state, 16, mode);
        List<(ulong Luid, uint Attributes)> wanted = disableAll ? [.. token!.Privileges.Keys.Select(k => (k, 0u))]
            : nt.Se.ReadPrivileges(state);
        var changed = new List<(ulong Luid, uint Before)>();
        foreach ((ulong luid, uint attributes) in wanted)
        {
            if (!token!.Privileges.TryGetValue(luid, out uint before)) continue;
            const uint enabled = Privilege.SE_PRIVILEGE_ENABLED, removed = Privilege.SE_PRIVILEGE_REMOVED;
            if ((attributes & removed) != 0 || (before & enabled) != (attributes & enabled))
                changed.Add((luid, before));
        }
        bool isAll = wanted.TrueForAll(w => token!.Privileges.ContainsKey(w.Luid));
        if (!previous.IsNull)
        {
            uint needed = (uint)(4 + changed.Count * 12);
            nt.Ob.Probe(returnLength, 4, mode);
            nt.Memory.Write(returnLength, needed);
            if (length < needed) return STATUS_BUFFER_TOO_SMALL;
            WritePrivileges(previous, changed, mode);
        }
        foreach ((ulong luid, uint before) in changed) Change(token!, luid, before, wanted);
        if (changed.Count > 0) token!.ModifiedId = nt.Se.NewLuid();
        token!.Show(nt.Memory);
        return isAll ? STATUS_SUCCESS : STATUS_NOT_ALL_ASSIGNED;
    }

    static void Change(Token token, ulong luid, uint before, List<(ulong Luid, uint Attributes)> wanted)
    {
        uint attributes = wanted.FindLast(w => w.Luid == luid).Attributes;
        if ((attributes & Privilege.SE_PRIVILEGE_REMOVED) != 0) token.Privileges.Remove(luid);
        else token.Privileges[luid] = before & ~Privilege.SE_PRIVILEGE_ENABLED
            | attributes & Privilege.SE_PRIVILEGE_ENABLED;
    }

    void WritePrivileges(Va at, List<(ulong Luid, uint Attributes)> privileges, ProcessorMode mode)
    {
        nt.Ob.Probe(at, 4 + privileges.Count * 12, mode);
        nt.Memory.Write(at, privileges.Count);
        for (int i = 0; i < privileges.Count; i++)
        {
            nt.Memory.Write(at + 4 + i * 12, privileges[i].Luid);
            nt.Memory.Write(at + 12 + i * 12, privileges[i].Attributes);
        }
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwDuplicateToken(
        Handle existingTokenHandle, uint desiredAccess, ObjectAttributes objectAttributes, bool effectiveOnly,
        uint tokenType, Va newTokenHandle) =>
        DuplicateToken(existingTokenHandle, desiredAccess, objectAttributes, effectiveOnly, tokenType, newTokenHandle,
            ProcessorMode.KernelMode);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtDuplicateToken(
        Handle existingTokenHandle, uint desiredAccess, ObjectAttributes objectAttributes, bool effectiveOnly,
        uint tokenType, Va newTokenHandle) =>
        Service(mode => DuplicateToken(
            existingTokenHandle, desiredAccess, objectAttributes, effectiveOnly, tokenType, newTokenHandle, mode));

    NtStatus DuplicateToken(Handle existing, uint access, ObjectAttributes attributes, bool effectiveOnly, uint type,
        Va result, ProcessorMode mode)
    {
        if (type is not (1 or 2)) return STATUS_INVALID_PARAMETER;
        NtStatus status = TokenOf(existing, TOKEN_DUPLICATE, mode, out Token? token);
        if (status.IsSuccess) status = ObjectRequest.Capture(nt, attributes, mode, out _);
        if (!status.IsSuccess) return status;
        // The level stands in the quality of service, the last field of the attributes.
        Va qos = attributes.IsNull ? Va.Null : nt.Memory.Read<Va>(attributes.Address + 0x28);
        uint level = qos.IsNull ? 0 : nt.Memory.Read<uint>(qos + 4);
        if (level > 3) return STATUS_BAD_IMPERSONATION_LEVEL;
        if (!token!.IsPrimary
            && (type == 2 ? level > (uint)token.Level : token.Level < ImpersonationLevel.Impersonation))
            return STATUS_BAD_IMPERSONATION_LEVEL;
        ObjectRequest.Capture(nt, attributes, mode, out ObjectRequest request);
        Token made = nt.Se.Make(effectiveOnly ? Effective(token, type == 1, (ImpersonationLevel)level)
            : token.With(nt.Se.NewLuid(), type == 1, (ImpersonationLevel)level));
        nt.Ob.Resolve(existing, 0, nt.Ob.TokenType, mode, out HandleEntry? source);
        status = nt.Ob.OpenHandle(made.Object!, access == 0 ? source!.GrantedAccess : access,
            request with { Mode = ProcessorMode.KernelMode }, out Handle handle);
        nt.Ob.Dereference(made.Object!);
        if (status.IsSuccess) Give(result, handle, mode);
        return status;
    }

    // Without what is switched off.
    Token Effective(Token token, bool isPrimary, ImpersonationLevel level) =>
        token.With(nt.Se.NewLuid(), isPrimary, level, [.. token.Groups.Where(g => g.IsEnabled || g.IsDenyOnly)],
            new(token.Privileges.Where(p => (p.Value & Privilege.SE_PRIVILEGE_ENABLED) != 0)
                .ToDictionary(p => p.Key, p => p.Value)));
}
