using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>SECURITY_CLIENT_CONTEXT: a client whom a server may impersonate later.</summary>
[Layout("_SECURITY_CLIENT_CONTEXT", Size = 0x48)]
public readonly partial struct ClientContext
{
    [Field(0x00, Name = "SecurityQos.Length")] public partial uint QosLength { get; set; }
    [Field(0x04, Name = "SecurityQos.ImpersonationLevel")] public partial uint ImpersonationLevel { get; set; }
    [Field(0x08, Name = "SecurityQos.ContextTrackingMode")] public partial byte ContextTrackingMode { get; set; }
    [Field(0x09, Name = "SecurityQos.EffectiveOnly")] public partial byte EffectiveOnly { get; set; }
    [Field(0x10)] public partial Va ClientToken { get; set; }
    [Field(0x18)] public partial byte DirectlyAccessClientToken { get; set; }
    [Field(0x19)] public partial byte DirectAccessEffectiveOnly { get; set; }
    [Field(0x1A)] public partial byte ServerIsRemote { get; set; }
}

/// <summary>Clients and servers: contexts to impersonate with.</summary>
sealed partial class Se
{
    const uint QosSize = 12;

    [Export(Support.Partial, "Dynamic tracking of a remote server is refused."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeCreateClientSecurity(
        KThread clientThread, Va clientSecurityQos, bool remoteSession, ClientContext clientContext)
    {
        if (nt.Ps.ProcessOf(clientThread) is not { } process)
            throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, clientThread.Address.Value);
        Impersonation? acting = nt.Ps.ImpersonationOf(clientThread);
        return MakeClient(acting?.Token ?? process.Token, acting?.Level, acting?.EffectiveOnly ?? false,
            clientSecurityQos, remoteSession, clientContext);
    }

    [Export(Support.Partial, "Dynamic tracking of a remote server is refused."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeCreateClientSecurityFromSubjectContext(
        SubjectContext subjectContext, Va clientSecurityQos, bool serverIsRemote, ClientContext clientContext)
    {
        bool isClient = !subjectContext.ClientToken.IsNull;
        return MakeClient(TokenAt(subjectContext.Token),
            isClient ? (ImpersonationLevel)subjectContext.ImpersonationLevel : null, false, clientSecurityQos,
            serverIsRemote, clientContext);
    }

    NtStatus MakeClient(
        Token token, ImpersonationLevel? acting, bool effectiveOnly, Va qos, bool isRemote, ClientContext context)
    {
        uint level = nt.Memory.Read<uint>(qos + 4);
        bool isDynamic = nt.Memory.Read<byte>(qos + 8) != 0;
        if (level > (uint)ImpersonationLevel.Delegation || isDynamic && isRemote) return STATUS_INVALID_PARAMETER;
        if (level > (uint?)acting) return STATUS_BAD_IMPERSONATION_LEVEL;
        bool isRemoteAndWeak = isRemote && acting is { } and < ImpersonationLevel.Delegation;
        if (isRemoteAndWeak) return STATUS_BAD_IMPERSONATION_LEVEL;
        if (isDynamic) nt.Ob.Reference(token.Object!);
        else token = Make(token.With(NewLuid(), isPrimary: false, (ImpersonationLevel)level));
        nt.Memory.Fill(context.Address, ClientContext.Size, 0);
        (context.QosLength, context.ImpersonationLevel) = (QosSize, level);
        context.ContextTrackingMode = (byte)(isDynamic ? 1 : 0);
        context.EffectiveOnly = nt.Memory.Read<byte>(qos + 9);
        context.ClientToken = token.Object!.Body;
        context.DirectlyAccessClientToken = (byte)(isDynamic ? 1 : 0);
        context.DirectAccessEffectiveOnly = (byte)(isDynamic && (effectiveOnly || context.EffectiveOnly != 0) ? 1 : 0);
        context.ServerIsRemote = (byte)(isRemote ? 1 : 0);
        WriteControl(token, context.Address + 0x1C);
        return STATUS_SUCCESS;
    }

    // TOKEN_CONTROL.
    void WriteControl(Token token, Va at)
    {
        nt.Memory.Write(at, token.TokenId);
        nt.Memory.Write(at + 8, token.AuthenticationId);
        nt.Memory.Write(at + 16, token.ModifiedId);
        nt.Memory.Write(at + 24, new TokenInformation(token, Va.Null).Source());
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void SeImpersonateClient(ClientContext clientContext, KThread serverThread) =>
        Impersonate(clientContext, serverThread);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeImpersonateClientEx(ClientContext clientContext, KThread serverThread) =>
        Impersonate(clientContext, serverThread);

    NtStatus Impersonate(ClientContext context, KThread thread)
    {
        bool effectiveOnly = context.DirectlyAccessClientToken != 0 ? context.DirectAccessEffectiveOnly != 0
            : context.EffectiveOnly != 0;
        return nt.Ps.Impersonate(thread.IsNull ? nt.Ke.CurrentThread : thread, TokenAt(context.ClientToken), true,
            effectiveOnly, (ImpersonationLevel)Math.Min(context.ImpersonationLevel, 3));
    }

    /// <summary>Whether a process may act as this token's user: by privilege, or since it is the same user.</summary>
    public static bool MayImpersonate(Token process, Token client) =>
        process.Has(Privilege.SeImpersonate)
        || process.User.Equals(client.User) && process.IsRestricted == client.IsRestricted
            && client.Integrity <= process.Integrity;
}
