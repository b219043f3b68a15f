namespace Ringdown.Kernel;

/// <summary>An interface that AddInterface gives a device.</summary>
sealed record InfInterface(InfLine Line, Guid Class, string Reference, IReadOnlyList<InfRegistryChange> Changes);

/// <summary>All that an install section of an INF file says, and the sections that go with it: text only, of no
/// machine.</summary>
sealed class InstallPlan
{
    // Sections that go with an install section and do nothing here.
    static readonly string[] s_without =
        ["CoInstallers", "FactDef", "Wdf", "WMI", "Events", "Components", "Software", "PosDup", "GeneratedLogConfig"];

    InstallPlan(string section) => Section = section;

    /// <summary>The section's name in the file, with its decoration.</summary>
    public string Section { get; }
    public IReadOnlyList<InfCopy> Copies { get; private init; } = [];
    public IReadOnlyList<InfRegistryChange> Changes { get; private init; } = [];
    public IReadOnlyList<InfService> Services { get; private init; } = [];

    /// <summary>Services that are deleted, by name.</summary>
    public IReadOnlyList<string> Deleted { get; private init; } = [];

    /// <summary>Changes of the device's own key.</summary>
    public IReadOnlyList<InfRegistryChange> Hardware { get; private init; } = [];
    public IReadOnlyList<InfInterface> Interfaces { get; private init; } = [];

    /// <summary>Services that filter the device, and whether below the function driver.</summary>
    public IReadOnlyList<(string Service, bool IsLower)> Filters { get; private init; } = [];

    /// <summary>An IO_RESOURCE_REQUIREMENTS_LIST of the device, as LogConfig says it; null for none.</summary>
    public byte[]? Resources { get; private init; }

    /// <summary>The same of LogConfigOverride, which comes before what the bus says.</summary>
    public byte[]? ResourcesOverride { get; private init; }

    /// <summary>0 (best) to 255.</summary>
    public byte FeatureScore { get; private init; } = 255;

    /// <summary>DriverVer of the section, which comes before that of the file.</summary>
    public InfLine? DriverVer { get; private init; }

    /// <param name="by">The line that names the section.</param>
    /// <exception cref="InfException">Something in it cannot be.</exception>
    public static InstallPlan Read(InfSections sections, string name, InfLine by)
    {
        InfFile inf = sections.Inf;
        string section = InfTarget.Actual(inf, name) ?? throw by.Wrong($"There is no section [{name}].");
        List<InfLine> lines = sections.Lines(section), services = sections.Lines(section + ".Services"),
            hardware = sections.Lines(section + ".HW");
        TellOfUnknown(sections, lines, "CopyFiles", "AddReg", "DelReg", "BitReg", "LogConfig", "FeatureScore",
            "DriverVer");
        TellOfUnknown(sections, services, "AddService", "DelService");
        TellOfUnknown(sections, hardware, "AddReg", "DelReg", "BitReg");
        foreach (string without in s_without) TellOfIgnored(sections, $"{section}.{without}");
        InfLine? score = lines.Find(l => l.IsKey("FeatureScore"));
        return new InstallPlan(section)
        {
            Copies = InfCopies.Read(sections, lines),
            Changes = sections.Registry(lines),
            Services = [.. services.Where(l => l.IsKey("AddService")).Select(l => InfService.Read(sections, l))],
            Deleted = [.. services.Where(l => l.IsKey("DelService")).Select(l => l.Field(0)).Where(IsKeyName)],
            Hardware = sections.Registry(hardware),
            Interfaces = Read(sections, section),
            Filters = FiltersOf(sections, section),
            Resources = InfLogConfig.Read(sections, lines),
            ResourcesOverride = InfLogConfig.Read(sections, sections.Lines(section + ".LogConfigOverride")),
            FeatureScore = score is null ? (byte)255 : Score(score),
            DriverVer = lines.Find(l => l.IsKey("DriverVer")),
        };
    }

    static bool IsKeyName(string name) => name.Length is > 0 and <= 255 && !name.Contains('\\');

    // Hexadecimal with or without 0x.
    static byte Score(InfLine line)
    {
        string text = line.Field(0);
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)) text = text[2..];
        return byte.TryParse(text, System.Globalization.NumberStyles.AllowHexSpecifier, null, out byte score) ? score
            : throw line.Wrong("FeatureScore is 00 to FF.");
    }

    static void TellOfUnknown(InfSections sections, IEnumerable<InfLine> lines, params string[] known)
    {
        foreach (InfLine line in lines)
            if (!known.Any(line.IsKey))
                sections.Tell(line.Note($"{line.Key ?? line.Field(0)} has no effect here."));
    }

    static void TellOfIgnored(InfSections sections, string section)
    {
        if (sections.Inf.Find(section) is not { } lines) return;
        string what = section.EndsWith(".CoInstallers", StringComparison.OrdinalIgnoreCase)
            ? "co-installers are programs of the user's side and are not run" : "it has no effect here";
        int first = lines.Count > 0 ? lines[0].Number : 0;
        sections.Tell(new InfNote(sections.Inf.Name, first, $"[{section}]: {what}."));
    }

    static List<InfInterface> Read(InfSections sections, string section)
    {
        List<InfInterface> interfaces = [];
        List<InfLine> lines = sections.Lines(section + ".Interfaces");
        TellOfUnknown(sections, lines, "AddInterface");
        foreach (InfLine line in lines.Where(l => l.IsKey("AddInterface")))
        {
            if (!Guid.TryParse(line.Field(0), out Guid guid)) throw line.Wrong($"\"{line.Field(0)}\" is no GUID.");
            if (line.Field(1).Length > 0 && !IsKeyName(line.Field(1)))
                throw line.Wrong($"\"{line.Field(1)}\" is no reference string.");
            string add = line.Field(2);
            if (add.Length > 0 && !sections.Inf.Has(add)) throw line.Wrong($"There is no section [{add}].");
            interfaces.Add(new InfInterface(line, guid, line.Field(1),
                add.Length == 0 ? [] : sections.Registry(sections.Lines(add))));
        }
        return interfaces;
    }

    static List<(string, bool)> FiltersOf(InfSections sections, string section)
    {
        List<(string, bool)> filters = [];
        List<InfLine> lines = sections.Lines(section + ".Filters");
        TellOfUnknown(sections, lines, "AddFilter");
        foreach (InfLine line in lines.Where(l => l.IsKey("AddFilter")))
        {
            if (!IsKeyName(line.Field(0))) throw line.Wrong($"\"{line.Field(0)}\" is no service's name.");
            List<InfLine> how = sections.Lines(line.Field(2));
            string position = how.Find(l => l.IsKey("FilterPosition"))?.Field(0).ToUpperInvariant() ?? "";
            if (how.Find(l => l.IsKey("FilterLevel")) is { } level)
                sections.Tell(level.Note("FilterLevel: filters stand in the order in which they are named."));
            else if (position is not ("UPPER" or "LOWER"))
                throw line.Wrong($"[{line.Field(2)}] needs FilterPosition = Upper or Lower.");
            filters.Add((line.Field(0), position == "LOWER"));
        }
        return filters;
    }
}
