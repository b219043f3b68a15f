using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Tokens of processes, and threads that act as others.</summary>
sealed partial class Ps
{
    readonly Dictionary<Va, Impersonation> _impersonations = [];

    public Impersonation? ImpersonationOf(KThread thread) => _impersonations.GetValueOrDefault(thread.Address);

    /// <summary>Lets a thread act as a token's user, or as itself again (null). Without the right to do so it may only
    /// look who the other is.</summary>
    public NtStatus Impersonate(
        KThread thread, Token? token, bool copyOnOpen, bool effectiveOnly, ImpersonationLevel level)
    {
        if (nt.Ob.Find(thread.Address)?.Type != nt.Ob.ThreadType)
            throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, thread.Address.Value);
        Impersonation? before = ImpersonationOf(thread);
        _impersonations.Remove(thread.Address);
        if (token is not null)
        {
            Token own = ProcessOf(thread)?.Token ?? System.Token;
            if (level > ImpersonationLevel.Identification && !Se.MayImpersonate(own, token))
                level = ImpersonationLevel.Identification;
            nt.Ob.Reference(token.Object!);
            _impersonations.Add(thread.Address, new Impersonation(token, level, copyOnOpen, effectiveOnly));
        }
        if (before is not null) nt.Ob.Dereference(before.Token.Object!);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va PsReferencePrimaryToken(EProcess process)
    {
        Token token = At(process).Token;
        nt.Ob.Reference(token.Object!);
        return token.Object!.Body;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PsDereferencePrimaryToken(Va primaryToken) => nt.Ob.Dereference(nt.Se.TokenAt(primaryToken).Object!);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va PsReferenceImpersonationToken(KThread thread, Va copyOnOpen, Va effectiveOnly, Va impersonationLevel)
    {
        if (ImpersonationOf(thread) is not { } acting) return Va.Null;
        nt.Memory.Write(copyOnOpen, (byte)(acting.CopyOnOpen ? 1 : 0));
        nt.Memory.Write(effectiveOnly, (byte)(acting.EffectiveOnly ? 1 : 0));
        nt.Memory.Write(impersonationLevel, (uint)acting.Level);
        nt.Ob.Reference(acting.Token.Object!);
        return acting.Token.Object!.Body;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PsDereferenceImpersonationToken(Va impersonationToken)
    {
        if (!impersonationToken.IsNull) nt.Ob.Dereference(nt.Se.TokenAt(impersonationToken).Object!);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsImpersonateClient(
        KThread thread, Va token, bool copyOnOpen, bool effectiveOnly, uint impersonationLevel) =>
        impersonationLevel > 3 ? STATUS_INVALID_PARAMETER
        : Impersonate(thread, token.IsNull ? null : nt.Se.TokenAt(token), copyOnOpen, effectiveOnly,
            (ImpersonationLevel)impersonationLevel);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void PsRevertToSelf() => Impersonate(nt.Ke.CurrentThread, null, false, false, default);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void PsRevertThreadToSelf(KThread thread) => Impersonate(thread, null, false, false, default);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus PsAssignImpersonationToken(KThread thread, Handle token)
    {
        if (token.IsNull) return Impersonate(thread, null, false, false, default);
        NtStatus status = nt.Ob.Resolve(token, 4, nt.Ob.TokenType, ProcessorMode.KernelMode, out HandleEntry? entry);
        if (!status.IsSuccess) return status;
        if (entry!.Object.State is not Token { IsPrimary: false } client) return STATUS_BAD_TOKEN_TYPE;
        return Impersonate(thread, client, false, false, client.Level);
    }

    /// <summary>SE_IMPERSONATION_STATE keeps whom the thread acted as, with the reference.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool PsDisableImpersonation(KThread thread, Va impersonationState)
    {
        nt.Memory.Fill(impersonationState, 0x10, 0);
        if (ImpersonationOf(thread) is not { } acting) return false;
        nt.Memory.Write(impersonationState, acting.Token.Object!.Body);
        nt.Memory.Write(impersonationState + 8, (byte)(acting.CopyOnOpen ? 1 : 0));
        nt.Memory.Write(impersonationState + 9, (byte)(acting.EffectiveOnly ? 1 : 0));
        nt.Memory.Write(impersonationState + 12, (uint)acting.Level);
        _impersonations.Remove(thread.Address);
        return true;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void PsRestoreImpersonation(KThread thread, Va impersonationState)
    {
        Va address = nt.Memory.Read<Va>(impersonationState);
        Token? token = address.IsNull ? null : nt.Se.TokenAt(address);
        Impersonate(thread, token, nt.Memory.Read<byte>(impersonationState + 8) != 0,
            nt.Memory.Read<byte>(impersonationState + 9) != 0,
            (ImpersonationLevel)(nt.Memory.Read<uint>(impersonationState + 12) & 3));
        if (token is not null) nt.Ob.Dereference(token.Object!);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool PsIsThreadImpersonating(KThread thread) => ImpersonationOf(thread) is not null;
}
