using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>SE_EXPORTS: well-known privileges and identifiers, a word each, in the order of ntifs.h.</summary>
sealed partial class Se
{
    Va _exports, _publicDacl, _systemDacl;

    [ExportData] public Va SeExports => _exports.IsNull ? _exports = MakeExports() : _exports;

    /// <summary>A pointer to an ACL: all for the system and administrators, execution for everybody.</summary>
    [ExportData]
    public Va SePublicDefaultDacl => _publicDacl.IsNull
        ? _publicDacl = MakeAcl(Acl.Of(Allow(0x2000_0000, Sid.World), Allow(0x1000_0000, Sid.LocalSystem),
            Allow(0x1000_0000, Sid.Administrators)))
        : _publicDacl;

    [ExportData]
    public Va SeSystemDefaultDacl => _systemDacl.IsNull
        ? _systemDacl = MakeAcl(Acl.Of(Allow(0x1000_0000, Sid.LocalSystem), Allow(0xA002_0000, Sid.Administrators)))
        : _systemDacl;

    Va MakeExports()
    {
        object[] words =
        [
            2UL, 3UL, 4UL, 5UL, 6UL, 7UL, 8UL, 9UL, 10UL, 15UL, 14UL, 11UL, 12UL, 13UL, 16UL, 17UL, 18UL, 19UL, 20UL,
            21UL, 22UL, 23UL, 24UL,
            Sid.Null, Sid.World, Sid.Local, Sid.CreatorOwner, Sid.CreatorGroup, new Sid(5), new Sid(5, 1),
            new Sid(5, 2), new Sid(5, 3), Sid.Interactive, Sid.LocalSystem, Sid.Administrators, Sid.Users,
            new Sid(5, 32, 546), new Sid(5, 32, 547), new Sid(5, 32, 548), new Sid(5, 32, 549), new Sid(5, 32, 550),
            new Sid(5, 32, 551), Sid.AuthenticatedUsers, Sid.Restricted, Sid.Anonymous,
            25UL, 26UL, 27UL, Sid.LocalService, Sid.NetworkService, 28UL, 29UL, 30UL, 31UL, 32UL, 33UL, 34UL, 35UL,
            new Sid(5, 17), Sid.Label(0), Sid.Label(0x1000), Sid.Label(0x2000), Sid.Label(0x3000), Sid.Label(0x4000),
            Sid.OwnerRights, new Sid(15, 2, 1), new Sid(5, 84, 0, 0, 0, 0, 0), new Sid(19, 512, 8192),
            new Sid(5, 80, 956008885, 3418522649, 1831038044, 1853292631, 2271478464), 36UL,
        ];
        Va made = nt.Mm.Pool.Allocate(words.Length * 8, DescriptorTag);
        for (int i = 0; i < words.Length; i++)
            nt.Memory.Write(made + i * 8, words[i] is Sid sid ? Place(sid).Value : (ulong)words[i]);
        return made;
    }

    Va Place(Sid sid)
    {
        Va place = nt.Mm.Pool.Allocate(sid.Length, DescriptorTag);
        nt.Memory.Write(place, sid.Bytes);
        return place;
    }

    Va MakeAcl(Acl acl)
    {
        byte[] bytes = acl.ToBytes();
        Va place = nt.Mm.Pool.Allocate(bytes.Length, DescriptorTag);
        nt.Memory.Write(place, bytes);
        return place;
    }
}
