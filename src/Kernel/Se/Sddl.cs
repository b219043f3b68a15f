using System.Globalization;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Security descriptors as text: <c>O:BAG:SYD:P(A;;GA;;;SY)(A;;GRGW;;;BU)</c>.</summary>
static class Sddl
{
    static readonly (string Name, Sid Sid)[] s_sids =
    [
        ("SY", Sid.LocalSystem), ("BA", Sid.Administrators), ("BU", Sid.Users), ("WD", Sid.World),
        ("AU", Sid.AuthenticatedUsers), ("IU", Sid.Interactive), ("AN", Sid.Anonymous), ("RC", Sid.Restricted),
        ("CO", Sid.CreatorOwner), ("CG", Sid.CreatorGroup), ("OW", Sid.OwnerRights), ("LS", Sid.LocalService),
        ("NS", Sid.NetworkService), ("NU", new(5, 2)), ("SU", new(5, 6)), ("BG", new(5, 32, 546)),
        ("PU", new(5, 32, 547)), ("BO", new(5, 32, 551)), ("UD", new(5, 84, 0, 0, 0, 0, 0)), ("AC", new(15, 2, 1)),
        ("LW", Sid.Label(0x1000)), ("ME", Sid.Label(0x2000)), ("HI", Sid.Label(0x3000)), ("SI", Sid.Label(0x4000)),
    ];

    static readonly (string Name, uint Mask)[] s_rights =
    [
        ("GA", 0x1000_0000), ("GX", 0x2000_0000), ("GW", 0x4000_0000), ("GR", 0x8000_0000), ("RC", 0x2_0000),
        ("SD", 0x1_0000), ("WD", 0x4_0000), ("WO", 0x8_0000), ("FA", 0x1F_01FF), ("FR", 0x12_0089),
        ("FW", 0x12_0116), ("FX", 0x12_00A0), ("KA", 0xF_003F), ("KR", 0x2_0019), ("KW", 0x2_0006),
        ("KX", 0x2_0019), ("CC", 1), ("DC", 2), ("LC", 4), ("SW", 8), ("RP", 0x10), ("WP", 0x20), ("DT", 0x40),
        ("LO", 0x80), ("CR", 0x100), ("NW", 1), ("NR", 2), ("NX", 4),
    ];

    static readonly (string Name, byte Flag)[] s_flags =
        [("OI", 1), ("CI", 2), ("NP", 4), ("IO", 8), ("ID", 0x10), ("SA", 0x40), ("FA", 0x80)];

    /// <summary>A descriptor that is known to be well formed, with generic rights mapped.</summary>
    public static SecurityInfo Parse(string text, GenericMapping mapping)
    {
        SecurityInfo? parsed = TryParse(text, mapping);
        Invariant.Holds(parsed is not null);
        return parsed!;
    }

    /// <summary>Null where the text is no descriptor.</summary>
    public static SecurityInfo? TryParse(string text, GenericMapping mapping)
    {
        SecurityInfo made = SecurityInfo.Empty;
        int at = 0;
        while (at < text.Length)
        {
            if (at + 1 >= text.Length || text[at + 1] != ':') return null;
            char part = text[at];
            int end = NextPart(text, at + 2);
            string value = text[(at + 2)..end];
            at = end;
            SecurityInfo? next = part switch
            {
                'O' => SidOf(value) is { } owner ? made with { Owner = owner } : null,
                'G' => SidOf(value) is { } group ? made with { Group = group } : null,
                'D' => WithAcl(made, value, mapping, isSacl: false),
                'S' => WithAcl(made, value, mapping, isSacl: true),
                _ => null,
            };
            if (next is null) return null;
            made = next;
        }
        return made;
    }

    // The next "O:", "G:", "D:" or "S:" outside of parentheses.
    static int NextPart(string text, int from)
    {
        int depth = 0;
        for (int i = from; i < text.Length; i++)
        {
            if (text[i] == '(') depth++;
            if (text[i] == ')') depth--;
            if (depth == 0 && i + 1 < text.Length && text[i + 1] == ':') return i;
        }
        return text.Length;
    }

    static SecurityInfo? WithAcl(SecurityInfo made, string text, GenericMapping mapping, bool isSacl)
    {
        int open = text.IndexOf('(');
        string flags = open < 0 ? text : text[..open];
        int control = made.Control | (isSacl ? SecurityInfo.SE_SACL_PRESENT : SecurityInfo.SE_DACL_PRESENT);
        if (flags == "NO_ACCESS_CONTROL") return made with { Control = (ushort)control };
        if (flags.Replace("AI", "").Replace("AR", "").Replace("P", "").Length > 0) return null;
        if (flags.Contains('P')) control |= isSacl ? SecurityInfo.SE_SACL_PROTECTED : SecurityInfo.SE_DACL_PROTECTED;
        if (flags.Contains("AI")) control |= isSacl ? 0x800 : SecurityInfo.SE_DACL_AUTO_INHERITED;
        var entries = new List<Ace>();
        foreach (string entry in open < 0 ? [] : text[open..].Split(')', StringSplitOptions.RemoveEmptyEntries))
        {
            if (AceOf(entry, mapping) is not { } ace) return null;
            entries.Add(ace);
        }
        var acl = new Acl(2, entries);
        return isSacl ? made with { Control = (ushort)control, Sacl = acl }
            : made with { Control = (ushort)control, Dacl = acl };
    }

    static Ace? AceOf(string text, GenericMapping mapping)
    {
        string[] fields = text.TrimStart('(', ' ').Split(';');
        if (fields.Length != 6 || fields[3].Length + fields[4].Length > 0) return null;
        AceType? type = fields[0] switch
        {
            "A" => AceType.Allow,
            "D" => AceType.Deny,
            "AU" => AceType.Audit,
            "ML" => AceType.MandatoryLabel,
            _ => null,
        };
        if (type is null || SidOf(fields[5]) is not { } sid) return null;
        if (Bits(fields[1], s_flags.Select(f => (f.Name, (uint)f.Flag))) is not { } flags) return null;
        if (MaskOf(fields[2]) is not { } mask) return null;
        return Ace.Make(type.Value, (byte)flags, type == AceType.MandatoryLabel ? mask : mapping.Map(mask), sid);
    }

    static uint? MaskOf(string text)
    {
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
            return uint.TryParse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out uint hex)
                ? hex : null;
        if (text.Length > 0 && char.IsAsciiDigit(text[0])) return uint.TryParse(text, out uint number) ? number : null;
        return Bits(text, s_rights);
    }

    static uint? Bits(string text, IEnumerable<(string Name, uint Bit)> table)
    {
        if ((text.Length & 1) != 0) return null;
        uint bits = 0;
        for (int i = 0; i < text.Length; i += 2)
        {
            string name = text.Substring(i, 2);
            if (table.FirstOrDefault(t => t.Name == name) is not { Name: not null } found) return null;
            bits |= found.Bit;
        }
        return bits;
    }

    static Sid? SidOf(string text) =>
        Array.Find(s_sids, s => s.Name == text).Sid ?? Sid.Parse(text);
}
