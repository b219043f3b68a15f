using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Security: tokens, descriptors, who may do what.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Se(NtKernel nt)
{
    const uint ContextTag = 0x6353_6549;
    const ulong SystemLuid = 0x3E7, UserLuid = 0x1_8F3A;

    ulong _nextLuid = 0x1_9000;

    /// <summary>NtAllocateLocallyUniqueId.</summary>
    public ulong NewLuid() => ++_nextLuid;

    /// <summary>The user of ordinary processes.</summary>
    public static Sid OrdinaryUser { get; } = new(5, 21, 1004336348, 1177238915, 682003330, 1001);

    static readonly Sid s_logon = new(5, 5, 0, 0x1_8F20);

    /// <summary>A token of LocalSystem.</summary>
    public Token NewSystemToken()
    {
        var privileges = new SortedDictionary<ulong, uint>();
        for (ulong p = Privilege.First; p <= Privilege.Last; p++)
            if (p is not (Privilege.SeUnsolicitedInput or Privilege.SeSyncAgent or Privilege.SeEnableDelegation))
                privileges.Add(p, p is 3 or 5 or 8 or 9 or 17 or 18 or 22 or 25 or 28 or 31 or 32 ? 0
                    : Privilege.OnByDefault);
        return Make(new Token
        {
            User = Sid.LocalSystem,
            Groups =
            [
                new(Sid.Administrators, Group.Usual & ~1u | Group.SE_GROUP_OWNER), new(Sid.World, Group.Usual),
                new(Sid.AuthenticatedUsers, Group.Usual),
            ],
            Privileges = privileges,
            Owner = Sid.Administrators,
            PrimaryGroup = Sid.LocalSystem,
            DefaultDacl = Acl.Of(Allow(0x1000_0000, Sid.LocalSystem), Allow(0xA002_0000, Sid.Administrators)),
            SourceName = "*SYSTEM*",
            AuthenticationId = SystemLuid,
            TokenId = NewLuid(),
            ModifiedId = NewLuid(),
            Integrity = Token.SystemLevel,
            SessionId = 0,
        });
    }

    /// <summary>A token of an ordinary user who has logged on, or of one who is an administrator and
    /// elevated.</summary>
    public Token NewUserToken(bool isAdministrator)
    {
        List<Group> groups =
        [
            new(new Sid(5, 21, 1004336348, 1177238915, 682003330, 513), Group.Usual), new(Sid.World, Group.Usual),
            new(Sid.Users, Group.Usual), new(Sid.Interactive, Group.Usual), new(new Sid(2, 1), Group.Usual),
            new(Sid.AuthenticatedUsers, Group.Usual), new(new Sid(5, 15), Group.Usual),
            new(s_logon, Group.Usual | Group.SE_GROUP_LOGON_ID), new(Sid.Local, Group.Usual),
        ];
        if (isAdministrator) groups.Insert(2, new(Sid.Administrators, Group.Usual | Group.SE_GROUP_OWNER));
        var privileges = new SortedDictionary<ulong, uint>
        {
            [Privilege.SeShutdown] = 0,
            [Privilege.SeChangeNotify] = Privilege.OnByDefault,
            [Privilege.SeUndock] = 0,
            [Privilege.SeIncreaseWorkingSet] = 0,
            [Privilege.SeTimeZone] = 0,
        };
        if (isAdministrator)
            foreach (ulong p in (
                ReadOnlySpan<ulong>)[5, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 20, 22, 24, 28, 29, 30, 35, 36])
                privileges.Add(
                    p, p is Privilege.SeImpersonate or Privilege.SeCreateGlobal ? Privilege.OnByDefault : 0);
        Sid owner = isAdministrator ? Sid.Administrators : OrdinaryUser;
        return Make(new Token
        {
            User = OrdinaryUser,
            Groups = groups,
            Privileges = privileges,
            Owner = owner,
            PrimaryGroup = groups[0].Sid,
            DefaultDacl = Acl.Of(Allow(0x1000_0000, owner), Allow(0x1000_0000, Sid.LocalSystem),
                Allow(0xA000_0000, s_logon)),
            SourceName = "User32 ",
            AuthenticationId = UserLuid,
            TokenId = NewLuid(),
            ModifiedId = NewLuid(),
            Integrity = isAdministrator ? Token.HighLevel : Token.MediumLevel,
            SessionId = 1,
        });
    }

    static Ace Allow(uint mask, Sid sid) => Ace.Make(AceType.Allow, 0, mask, sid);

    /// <summary>The security of a process and of its threads: its own user's, and the system's.</summary>
    public static SecurityInfo ForProcess(Token token, GenericMapping mapping) =>
        new(SecurityInfo.SE_DACL_PRESENT | SecurityInfo.SE_SACL_PRESENT, token.Owner, token.PrimaryGroup,
            Acl.Of(Ace.Make(AceType.MandatoryLabel, 0, 3, Sid.Label(token.Integrity))),
            MapAll(token.DefaultDacl, mapping));

    /// <summary>Gives a token its object, with one reference.</summary>
    public Token Make(Token token)
    {
        token.Object = nt.Ob.Create(nt.Ob.TokenType, Token.BodyBytes, token);
        nt.Ob.SetSecurity(token.Object, new SecurityInfo(
            SecurityInfo.SE_DACL_PRESENT, token.Owner, token.PrimaryGroup, null, Acl.Of(
                Allow(nt.Ob.TokenType.Mapping.All, token.User),
                Allow(nt.Ob.TokenType.Mapping.All, Sid.LocalSystem),
                Allow(nt.Ob.TokenType.Mapping.Read, Sid.Administrators))));
        token.Show(nt.Memory);
        return token;
    }

    /// <summary>The token at an address. The low bits of a fast reference do not count.</summary>
    public Token TokenAt(Va address) =>
        Find(address) ?? throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, address.Value);

    public Token? Find(Va address) => nt.Ob.Find(new Va(address.Value & ~0xFUL))?.State as Token;

    /// <summary>Who the calling thread acts as: whom it impersonates, or its process.</summary>
    public Token EffectiveToken => nt.Ps.ImpersonationOf(nt.Ke.CurrentThread)?.Token ?? nt.Ps.Current.Token;

    public bool HasPrivilege(ulong privilege) => EffectiveToken.Has(privilege);

    /// <summary>May the calling thread do this with an object? Without security everybody may do all.</summary>
    public NtStatus CheckObject(SecurityInfo? security, uint desired, GenericMapping mapping, out uint granted)
    {
        granted = desired;
        if (security is null)
        {
            if ((desired & AccessCheck.MAXIMUM_ALLOWED) != 0)
                granted = desired & ~AccessCheck.MAXIMUM_ALLOWED | mapping.All;
            return STATUS_SUCCESS;
        }
        if (nt.Ps.ImpersonationOf(nt.Ke.CurrentThread) is { Level: < ImpersonationLevel.Impersonation })
            return STATUS_BAD_IMPERSONATION_LEVEL;
        return AccessCheck.Decide(security, EffectiveToken, desired, 0, mapping, out granted, []);
    }

    /// <summary>The security of a device that was not given any: everybody may read and write, but disks are for the
    /// system and administrators.</summary>
    public static SecurityInfo ForDevice(uint deviceType)
    {
        const uint cdRom = 2, cdRomFileSystem = 3, disk = 7, diskFileSystem = 8, virtualDisk = 0x24;
        bool isDisk = deviceType is cdRom or cdRomFileSystem or disk or diskFileSystem or virtualDisk;
        string world = isDisk ? "GX" : "GRGWGX";
        return Sddl.Parse($"O:BAG:SYD:P(A;;{world};;;WD)(A;;GA;;;SY)(A;;GA;;;BA)(A;;{world};;;RC)",
            GenericMapping.OfFile);
    }

    /// <summary>May the caller open a device? A name below it is the driver's to guard, unless the device says
    /// FILE_DEVICE_SECURE_OPEN.</summary>
    public NtStatus CheckDeviceOpen(
        NtObject target, DeviceObject device, string rest, ProcessorMode mode, uint desired, out uint granted)
    {
        const uint secureOpen = 0x100;
        bool isChecked = mode == ProcessorMode.UserMode
            && (rest.Length == 0 || (device.Characteristics & secureOpen) != 0);
        return nt.Ob.CheckAccess(target, desired, isChecked, out granted);
    }

    /// <summary>IO_SECURITY_CONTEXT, and behind it the ACCESS_STATE with its auxiliary data, for an
    /// IRP_MJ_CREATE.</summary>
    public Va NewSecurityContext(uint desiredAccess)
    {
        const int contextSize = 0x20;
        Va context = nt.Mm.Pool.Allocate(contextSize + AccessState.Size + (int)AuxDataSize, ContextTag);
        AccessState state = AccessState.At(nt.Memory, context + contextSize);
        nt.Memory.Write(context + 0x08, state.Address);
        nt.Memory.Write(context + 0x10, desiredAccess);
        Va auxData = state.Address + AccessState.Size;
        nt.Memory.Write(auxData + 8, GenericMapping.OfFile);
        Fill(state, auxData, desiredAccess, GenericMapping.OfFile);
        return context;
    }

    public void FreeSecurityContext(Va context)
    {
        ReleaseSubject(AccessState.At(nt.Memory, context + 0x20).SubjectSecurityContext);
        nt.Mm.Pool.Free(context);
    }
}
