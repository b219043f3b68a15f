using System.Buffers.Binary;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What a security descriptor says, whichever form it has in memory. A null list that is present lets
/// everybody do anything.</summary>
sealed record SecurityInfo(ushort Control, Sid? Owner, Sid? Group, Acl? Sacl, Acl? Dacl)
{
    public const uint OWNER = 1, GROUP = 2, DACL = 4, SACL = 8, LABEL = 0x10;
    public const uint PROTECTED_DACL = 0x8000_0000, PROTECTED_SACL = 0x4000_0000, UNPROTECTED_DACL = 0x2000_0000,
        UNPROTECTED_SACL = 0x1000_0000;
    public const ushort SE_DACL_PRESENT = 0x04, SE_SACL_PRESENT = 0x10, SE_DACL_AUTO_INHERITED = 0x400,
        SE_DACL_PROTECTED = 0x1000, SE_SACL_PROTECTED = 0x2000, SE_SELF_RELATIVE = 0x8000;

    const int RelativeBytes = 20;
    const ushort DaclBits = 0x150C, SaclBits = 0x2A30;
    const uint READ_CONTROL = 0x2_0000, WRITE_DAC = 0x4_0000, WRITE_OWNER = 0x8_0000,
        ACCESS_SYSTEM_SECURITY = 0x100_0000;

    public static SecurityInfo Empty { get; } = new(0, null, null, null, null);

    public bool HasDacl => (Control & SE_DACL_PRESENT) != 0;
    public bool HasSacl => (Control & SE_SACL_PRESENT) != 0;

    /// <summary>Reads either form; null where it is no descriptor.</summary>
    /// <exception cref="PageFault">A part of it is not there.</exception>
    public static SecurityInfo? Read(Memory memory, Va address)
    {
        var descriptor = SecurityDescriptor.At(memory, address);
        if (descriptor.Revision != 1) return null;
        ushort control = descriptor.Control;
        Sid? owner = null, group = null;
        Acl? sacl = null, dacl = null;
        Va at = descriptor.Part(0);
        if (!at.IsNull && (owner = Sid.Read(memory, at)) is null) return null;
        at = descriptor.Part(1);
        if (!at.IsNull && (group = Sid.Read(memory, at)) is null) return null;
        at = (control & SE_SACL_PRESENT) != 0 ? descriptor.Part(2) : Va.Null;
        if (!at.IsNull && (sacl = ReadAcl(memory, at)) is null) return null;
        at = (control & SE_DACL_PRESENT) != 0 ? descriptor.Part(3) : Va.Null;
        if (!at.IsNull && (dacl = ReadAcl(memory, at)) is null) return null;
        return new SecurityInfo((ushort)(control & ~SE_SELF_RELATIVE), owner, group, sacl, dacl);
    }

    /// <summary>The self-relative form, all of it in these bytes; null where it is none.</summary>
    public static SecurityInfo? Parse(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < RelativeBytes || bytes[0] != 1) return null;
        ushort control = BinaryPrimitives.ReadUInt16LittleEndian(bytes[2..]);
        if ((control & SE_SELF_RELATIVE) == 0) return null;
        Sid? owner = null, group = null;
        Acl? sacl = null, dacl = null;
        for (int i = 0; i < 4; i++)
        {
            uint at = BinaryPrimitives.ReadUInt32LittleEndian(bytes[(4 + i * 4)..]);
            if (at == 0 || i == 2 && (control & SE_SACL_PRESENT) == 0 || i == 3 && (control & SE_DACL_PRESENT) == 0)
                continue;
            if (at < RelativeBytes || at >= bytes.Length || (at & 3) != 0) return null;
            ReadOnlySpan<byte> part = bytes[(int)at..];
            bool isGood = i switch
            {
                0 => (owner = Sid.Parse(part)) is not null,
                1 => (group = Sid.Parse(part)) is not null,
                2 => (sacl = Acl.Parse(part)) is not null,
                _ => (dacl = Acl.Parse(part)) is not null,
            };
            if (!isGood) return null;
        }
        return new SecurityInfo((ushort)(control & ~SE_SELF_RELATIVE), owner, group, sacl, dacl);
    }

    public static Acl? ReadAcl(Memory memory, Va address) =>
        Acl.Parse(memory.ReadBytes(address, memory.Read<ushort>(address + 2)));

    /// <summary>The self-relative form.</summary>
    public byte[] ToBytes()
    {
        byte[]?[] parts = [Owner?.Bytes.ToArray(), Group?.Bytes.ToArray(), Sacl?.ToBytes(), Dacl?.ToBytes()];
        byte[] bytes = new byte[RelativeBytes + parts.Sum(p => ((p?.Length ?? 0) + 3) & ~3)];
        bytes[0] = 1;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2), (ushort)(Control | SE_SELF_RELATIVE));
        int at = RelativeBytes;
        for (int i = 0; i < parts.Length; i++)
        {
            if (parts[i] is not { } part) continue;
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(4 + i * 4), at);
            part.CopyTo(bytes, at);
            at += (part.Length + 3) & ~3;
        }
        return bytes;
    }

    /// <summary>The named parts of it (SECURITY_INFORMATION).</summary>
    public SecurityInfo Only(uint parts)
    {
        bool sacl = (parts & (SACL | LABEL)) != 0, dacl = (parts & DACL) != 0;
        int control = Control & ~DaclBits & ~SaclBits | (dacl ? Control & DaclBits : 0)
            | (sacl ? Control & SaclBits : 0);
        return new SecurityInfo((ushort)control, (parts & OWNER) != 0 ? Owner : null, (parts & GROUP) != 0 ? Group
            : null, sacl ? Sacl : null, dacl ? Dacl : null);
    }

    /// <summary>The parts that it has.</summary>
    public uint Parts => (Owner is null ? 0 : OWNER) | (Group is null ? 0 : GROUP) | (HasDacl ? DACL : 0)
        | (HasSacl ? SACL : 0);

    /// <summary>With the named parts taken from another.</summary>
    public SecurityInfo With(uint parts, SecurityInfo changes)
    {
        SecurityInfo made = this;
        if ((parts & OWNER) != 0) made = made with { Owner = changes.Owner };
        if ((parts & GROUP) != 0) made = made with { Group = changes.Group };
        if ((parts & (SACL | LABEL)) != 0)
            made = made with
            {
                Sacl = changes.Sacl,
                Control = (ushort)(made.Control & ~SaclBits | changes.Control & SaclBits),
            };
        if ((parts & DACL) != 0)
            made = made with
            {
                Dacl = changes.Dacl,
                Control = (ushort)(made.Control & ~DaclBits | changes.Control & DaclBits),
            };
        int control = made.Control;
        if ((parts & PROTECTED_DACL) != 0) control |= SE_DACL_PROTECTED;
        if ((parts & UNPROTECTED_DACL) != 0) control &= ~SE_DACL_PROTECTED;
        if ((parts & PROTECTED_SACL) != 0) control |= SE_SACL_PROTECTED;
        if ((parts & UNPROTECTED_SACL) != 0) control &= ~SE_SACL_PROTECTED;
        return made with { Control = (ushort)control };
    }

    /// <summary>The rights that a handle needs to read these parts.</summary>
    public static uint AccessToQuery(uint parts) =>
        ((parts & (OWNER | GROUP | DACL | LABEL)) != 0 ? READ_CONTROL : 0)
        | ((parts & SACL) != 0 ? ACCESS_SYSTEM_SECURITY : 0);

    /// <summary>The rights that a handle needs to change these parts.</summary>
    public static uint AccessToSet(uint parts) =>
        ((parts & (OWNER | GROUP | LABEL)) != 0 ? WRITE_OWNER : 0) | ((parts & DACL) != 0 ? WRITE_DAC : 0)
        | ((parts & SACL) != 0 ? ACCESS_SYSTEM_SECURITY : 0);
}
