using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>SECURITY_SUBJECT_CONTEXT: the tokens of a caller, with a reference each.</summary>
[Layout("_SECURITY_SUBJECT_CONTEXT", Size = 0x20)]
public readonly partial struct SubjectContext
{
    [Field(0x00)] public partial Va ClientToken { get; set; }
    [Field(0x08)] public partial uint ImpersonationLevel { get; set; }
    [Field(0x10)] public partial Va PrimaryToken { get; set; }
    [Field(0x18)] public partial ulong ProcessAuditId { get; set; }

    /// <summary>The token that counts.</summary>
    public Va Token => ClientToken.IsNull ? PrimaryToken : ClientToken;
}

/// <summary>Subjects, and what they may do.</summary>
sealed partial class Se
{
    void CaptureSubject(SubjectContext context) => CaptureSubject(context, nt.Ke.CurrentThread, nt.Ps.Current);

    void CaptureSubject(SubjectContext context, KThread thread, NtProcess process)
    {
        Impersonation? client = thread.IsNull ? null : nt.Ps.ImpersonationOf(thread);
        nt.Ob.Reference(process.Token.Object!);
        if (client is not null) nt.Ob.Reference(client.Token.Object!);
        context.ClientToken = client?.Token.Object!.Body ?? Va.Null;
        context.ImpersonationLevel = (uint)(client?.Level ?? 0);
        context.PrimaryToken = process.Token.Object!.Body;
        context.ProcessAuditId = process.Object.UniqueProcessId;
    }

    void ReleaseSubject(SubjectContext context)
    {
        Va client = context.ClientToken, primary = context.PrimaryToken;
        (context.ClientToken, context.PrimaryToken) = (Va.Null, Va.Null);
        if (!client.IsNull) nt.Ob.Dereference(TokenAt(client).Object!);
        if (!primary.IsNull) nt.Ob.Dereference(TokenAt(primary).Object!);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void SeCaptureSubjectContext(SubjectContext subjectContext) => CaptureSubject(subjectContext);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void SeCaptureSubjectContextEx(KThread thread, EProcess process, SubjectContext subjectContext)
    {
        if (nt.Ps.Find(process) is not { } found)
            throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, process.Address.Value);
        CaptureSubject(subjectContext, thread, found);
    }

    /// <summary>Nobody changes a token while an export runs, so there is nothing to lock; the context must be
    /// one.</summary>
    [Export(Support.Partial, "Tokens change only inside an export: no lock is held in between.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public void SeLockSubjectContext(SubjectContext subjectContext) => TokenAt(subjectContext.PrimaryToken);

    [Export(Support.Partial, "Tokens change only inside an export: no lock is held in between.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public void SeUnlockSubjectContext(SubjectContext subjectContext) => TokenAt(subjectContext.PrimaryToken);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void SeReleaseSubjectContext(SubjectContext subjectContext) => ReleaseSubject(subjectContext);

    /// <summary>Decides over access for the caller that was captured.</summary>
    /// <param name="privileges">Gets a PRIVILEGE_SET in pool, for <c>SeFreePrivileges</c>, or null.</param>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool SeAccessCheck(
        Va securityDescriptor, SubjectContext subjectSecurityContext, bool subjectContextLocked, uint desiredAccess,
        uint previouslyGrantedAccess, Va privileges, Va genericMapping, byte accessMode, Va grantedAccess,
        Va accessStatus)
    {
        var mapping = nt.Memory.Read<GenericMapping>(genericMapping);
        uint granted, desired = mapping.Map(desiredAccess);
        NtStatus status;
        if ((accessMode & 1) == 0)
        {
            (granted, status) = (desired | previouslyGrantedAccess, STATUS_SUCCESS);
            if ((desired & AccessCheck.MAXIMUM_ALLOWED) != 0)
                granted = granted & ~AccessCheck.MAXIMUM_ALLOWED | mapping.All;
        }
        else status = Check(securityDescriptor, subjectSecurityContext, desired, previouslyGrantedAccess, privileges,
            mapping, out granted);
        nt.Memory.Write(accessStatus, status);
        nt.Memory.Write(grantedAccess, granted);
        return status.IsSuccess;
    }

    NtStatus Check(Va descriptor, SubjectContext subject, uint desired, uint previous, Va privileges,
        GenericMapping mapping, out uint granted)
    {
        granted = 0;
        if (!privileges.IsNull) nt.Memory.Write(privileges, Va.Null);
        if (descriptor.IsNull) return STATUS_ACCESS_DENIED;
        if (!subject.ClientToken.IsNull && subject.ImpersonationLevel < (uint)ImpersonationLevel.Impersonation)
            return STATUS_BAD_IMPERSONATION_LEVEL;
        if (desired == 0)
        {
            granted = previous;
            return previous == 0 ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
        }
        if (SecurityInfo.Read(nt.Memory, descriptor) is not { } security) return STATUS_INVALID_SECURITY_DESCR;
        var used = new List<ulong>();
        NtStatus status = AccessCheck.Decide(
            security, TokenAt(subject.Token), desired, previous, mapping, out granted, used);
        if (status.IsSuccess && used.Count > 0 && !privileges.IsNull) GivePrivileges(privileges, used);
        return status;
    }

    // PRIVILEGE_SET: count, control, then 12 bytes each.
    void GivePrivileges(Va place, List<ulong> used)
    {
        Va set = nt.Mm.Pool.Allocate((ulong)(8 + used.Count * 12), PoolKind.Paged, PrivilegeTag, nt.Caller, zero: true);
        if (!set.IsNull)
        {
            nt.Memory.Write(set, used.Count);
            for (int i = 0; i < used.Count; i++)
            {
                nt.Memory.Write(set + 8 + i * 12, used[i]);
                nt.Memory.Write(set + 16 + i * 12, Privilege.SE_PRIVILEGE_USED_FOR_ACCESS);
            }
        }
        nt.Memory.Write(place, set);
    }

    const uint PrivilegeTag = 0x7250_6553;      // 'SePr'

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void SeFreePrivileges([FreesMem] Va privileges)
    {
        if (!privileges.IsNull) nt.Mm.Pool.Free(privileges);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool SeSinglePrivilegeCheck(ulong privilegeValue, byte previousMode) =>
        (previousMode & 1) == 0 || HasPrivilege(privilegeValue);

    /// <summary>PRIVILEGE_SET: all of them, or any; those that are held are marked.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool SePrivilegeCheck(Va requiredPrivileges, SubjectContext subjectSecurityContext, byte accessMode)
    {
        if ((accessMode & 1) == 0) return true;
        if (!subjectSecurityContext.ClientToken.IsNull
            && subjectSecurityContext.ImpersonationLevel < (uint)ImpersonationLevel.Impersonation)
            return false;
        return CheckSet(TokenAt(subjectSecurityContext.Token), requiredPrivileges);
    }

    bool CheckSet(Token token, Va set)
    {
        uint count = nt.Memory.Read<uint>(set), held = 0;
        bool all = (nt.Memory.Read<uint>(set + 4) & 1) != 0;     // PRIVILEGE_SET_ALL_NECESSARY
        for (uint i = 0; i < count; i++)
        {
            nt.Ke.Clock.Spend();
            Va entry = set + 8 + (ulong)i * 12;
            if (!token.Has(nt.Memory.Read<ulong>(entry))) continue;
            held++;
            nt.Memory.Write(entry + 8, nt.Memory.Read<uint>(entry + 8) | Privilege.SE_PRIVILEGE_USED_FOR_ACCESS);
        }
        return all ? held == count : held > 0;
    }
}
