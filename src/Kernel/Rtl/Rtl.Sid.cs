using System.Security.Cryptography;
using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Security identifiers.</summary>
sealed partial class Rtl
{
    const int ServiceSubAuthorities = 6, IdentifierAuthorityBytes = 6;
    const uint SECURITY_SERVICE_ID_BASE_RID = 80;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlInitializeSid(SidView sid, Va identifierAuthority, byte subAuthorityCount)
    {
        if (subAuthorityCount > SidView.MaximumSubAuthorities) return STATUS_INVALID_PARAMETER;
        (sid.Revision, sid.SubAuthorityCount) = (SidView.CurrentRevision, subAuthorityCount);
        nt.Memory.Write(sid.Address + 2, nt.Memory.ReadBytes(identifierAuthority, IdentifierAuthorityBytes));
        return STATUS_SUCCESS;
    }

    /// <summary>The same, with the numbers.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlInitializeSidEx(
        SidView sid, Va identifierAuthority, byte subAuthorityCount, VarArgs subAuthorities)
    {
        NtStatus status = RtlInitializeSid(sid, identifierAuthority, subAuthorityCount);
        if (!status.IsSuccess) return status;
        for (int i = 0; i < subAuthorityCount; i++)
            nt.Memory.Write(sid.Address + SidView.LengthOf(i), (uint)subAuthorities.Next());
        return STATUS_SUCCESS;
    }

    /// <summary>A pointer to one of the numbers.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va RtlSubAuthoritySid(SidView sid, uint subAuthority) =>
        sid.Address + SidView.SubAuthorityOffset + subAuthority * 4UL;

    [Export, IrqlRequiresMax(APC_LEVEL)] public Va RtlSubAuthorityCountSid(SidView sid) => sid.Address + 1;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlLengthRequiredSid(uint subAuthorityCount) =>
        unchecked(SidView.SubAuthorityOffset + subAuthorityCount * 4);

    [Export]
    public bool RtlEqualSid(SidView sid1, SidView sid2) =>
        sid1.Revision == sid2.Revision && sid1.SubAuthorityCount == sid2.SubAuthorityCount
            && sid1.Bytes.AsSpan().SequenceEqual(sid2.Bytes);

    /// <summary>Equal but for the last number.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool RtlEqualPrefixSid(SidView sid1, SidView sid2) =>
        sid1.Revision == sid2.Revision && sid1.SubAuthorityCount == sid2.SubAuthorityCount
            && sid1.Bytes.AsSpan()[..Math.Max(8, sid1.Length - 4)].SequenceEqual(
                sid2.Bytes.AsSpan()[..Math.Max(8, sid1.Length - 4)]);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlCopySid(uint destinationSidLength, SidView destinationSid, SidView sourceSid)
    {
        byte[] bytes = sourceSid.Bytes;
        if (destinationSidLength < bytes.Length) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Write(destinationSid.Address, bytes);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlConvertSidToUnicodeString(
        UnicodeString unicodeString, SidView sid, bool allocateDestinationString) =>
        sid.IsValid ? Store(unicodeString, Encoding.Unicode.GetBytes(sid.Text), 2, allocateDestinationString)
            : STATUS_INVALID_SID;

    /// <summary>S-1-5-80 and the SHA-1 of the service's name in upper case.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlCreateServiceSid(UnicodeString serviceName, SidView serviceSid, Va serviceSidLength)
    {
        const byte SECURITY_NT_AUTHORITY = 5;
        uint room = nt.Memory.Read<uint>(serviceSidLength), needed = (uint)SidView.LengthOf(ServiceSubAuthorities);
        nt.Memory.Write(serviceSidLength, needed);
        if (room < needed) return STATUS_BUFFER_TOO_SMALL;
        byte[] hash = SHA1.HashData(Encoding.Unicode.GetBytes(Casing.ToUpper(serviceName.Text)));
        nt.Memory.Write(serviceSid.Address, [SidView.CurrentRevision, ServiceSubAuthorities, 0, 0, 0, 0, 0,
            SECURITY_NT_AUTHORITY]);
        serviceSid.FirstSubAuthority = SECURITY_SERVICE_ID_BASE_RID;
        nt.Memory.Write(serviceSid.Address + SidView.LengthOf(1), hash);
        return STATUS_SUCCESS;
    }
}
