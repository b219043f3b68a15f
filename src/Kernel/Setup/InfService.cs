namespace Ringdown.Kernel;

/// <summary>SPSVCINST_: what AddService does beside making the service.</summary>
[Flags]
enum InfServiceFlags : uint
{
    TagToFront = 1, AssociatedService = 2, NoClobberDisplayName = 8, NoClobberStartType = 0x10,
    NoClobberErrorControl = 0x20, NoClobberLoadOrderGroup = 0x40, NoClobberDependencies = 0x80,
    NoClobberDescription = 0x100, StopService = 0x200, ClobberSecurity = 0x400, StartService = 0x800,
}

/// <summary>A service that is made: AddService and the section that it names.</summary>
/// <param name="Name">Empty: the device has no function driver.</param>
sealed record InfService(InfLine Line, string Name, InfServiceFlags Flags)
{
    const int LongestName = 255;

    public uint Type { get; private init; }
    public uint Start { get; private init; }
    public uint ErrorControl { get; private init; }

    /// <summary>The path of its image: C:\Windows\...</summary>
    public string Binary { get; private init; } = "";
    public string Group { get; private init; } = "";
    public string DisplayName { get; private init; } = "";
    public string Description { get; private init; } = "";

    /// <summary>Services; groups begin with a plus sign.</summary>
    public IReadOnlyList<string> Dependencies { get; private init; } = [];
    public IReadOnlyList<InfRegistryChange> Changes { get; private init; } = [];

    /// <summary>The source of its events and what is written to its key; null for none.</summary>
    public (string Log, string Source, IReadOnlyList<InfRegistryChange> Changes)? EventLog { get; private init; }

    public bool IsAssociated => (Flags & InfServiceFlags.AssociatedService) != 0;

    public static InfService Read(InfSections sections, InfLine line)
    {
        var flags = (InfServiceFlags)line.NumberAt(1);
        string name = line.Field(0), section = line.Field(2);
        if (name.Length == 0) return new InfService(line, "", flags);
        if (name.Length > LongestName || name.Contains('\\')) throw line.Wrong($"\"{name}\" is no service's name.");
        if (section.Length == 0 || !sections.Inf.Has(section))
            throw line.Wrong($"There is no section [{section}] that says how {name} is made.");
        List<InfLine> lines = sections.Lines(section);
        InfLine Required(string key) => lines.Find(l => l.IsKey(key)) ?? throw line.Wrong($"[{section}] has no {key}.");
        string Text(string key) => lines.Find(l => l.IsKey(key))?.Field(0) ?? "";
        foreach (InfLine other in lines.Where(l => !IsKnown(l)))
            sections.Tell(other.Note($"{other.Key ?? other.Field(0)} of a service has no effect here."));
        return new InfService(line, name, flags)
        {
            Type = Required("ServiceType").NumberAt(0),
            Start = Limited(Required("StartType"), 4),
            ErrorControl = Limited(Required("ErrorControl"), 3),
            Binary = Required("ServiceBinary").Field(0),
            Group = Text("LoadOrderGroup"),
            DisplayName = Text("DisplayName"),
            Description = Text("Description"),
            Dependencies = [.. lines.Where(l => l.IsKey("Dependencies")).SelectMany(l => l.Fields)
                .Where(f => f.Length > 0)],
            Changes = sections.Registry(lines),
            EventLog = EventLogOf(sections, line, name),
        };
    }

    static uint Limited(InfLine line, uint most) =>
        line.NumberAt(0) is var value && value <= most ? value : throw line.Wrong($"It is 0 to {most}.");

    static bool IsKnown(InfLine line) => (line.Key ?? "").ToUpperInvariant() is "SERVICETYPE" or "STARTTYPE"
        or "ERRORCONTROL" or "SERVICEBINARY" or "LOADORDERGROUP" or "DISPLAYNAME" or "DESCRIPTION"
        or "DEPENDENCIES" or "ADDREG" or "DELREG" or "BITREG";

    static (string, string, IReadOnlyList<InfRegistryChange>)? EventLogOf(
        InfSections sections, InfLine line, string service)
    {
        string section = line.Field(3);
        if (section.Length == 0) return null;
        if (!sections.Inf.Has(section)) throw line.Wrong($"There is no section [{section}].");
        string log = line.Field(4), source = line.Field(5);
        if (log.Contains('\\') || source.Contains('\\') || log.Length > LongestName || source.Length > LongestName)
            throw line.Wrong("The event log has a name that no key can have.");
        return (log.Length == 0 ? "System" : log, source.Length == 0 ? service : source,
            sections.Registry(sections.Lines(section)));
    }
}
