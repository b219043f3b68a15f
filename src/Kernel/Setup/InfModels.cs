using System.Globalization;

namespace Ringdown.Kernel;

/// <summary>A device that a package has a driver for.</summary>
/// <param name="Section">Of the INF file, without decoration: how it is installed.</param>
public sealed record DriverModel(
    string Manufacturer, string Description, string Section, string HardwareId, IReadOnlyList<string> CompatibleIds)
{
    internal InfLine Line { get; init; } = new("", 0, null, []);
}

/// <summary>What [Version] says of a package.</summary>
/// <param name="Date">Of the driver: FILETIME, 0 for none.</param>
/// <param name="Version">Four numbers of 16 bits, the first the highest.</param>
public sealed record DriverVersion(
    string Class, Guid? ClassGuid, string Provider, long Date, ulong Version, string? Catalog, bool PnpLockDown)
{
    const long TicksPerDay = 864_000_000_000;

    /// <summary>As the registry has it: 11-28-2025.</summary>
    public string DateText { get; init; } = "";

    public string VersionText =>
        $"{Version >> 48}.{(Version >> 32) & 0xFFFF}.{(Version >> 16) & 0xFFFF}.{Version & 0xFFFF}";

    internal static DriverVersion Read(InfFile inf, List<InfNote> notes)
    {
        const string section = "Version";
        if (!inf.Has(section)) throw new InfException(inf.Name, 0, "The section [Version] is missing.");
        string signature = inf.Line(section, "Signature")?.Field(0) ?? "";
        if (signature.ToUpperInvariant() is not ("$WINDOWS NT$" or "$CHICAGO$" or "$WINDOWS 95$"))
            throw (inf.Line(section, "Signature") ?? inf.Lines(section).FirstOrDefault()
                ?? new InfLine(inf.Name, 1, null, [])).Wrong(
                "[Version] needs Signature = \"$Windows NT$\" (or $Chicago$, $Windows 95$).");
        Guid? guid = null;
        if (inf.Line(section, "ClassGuid") is { } line)
            guid = Guid.TryParse(line.Field(0), out Guid parsed) ? parsed
                : throw line.Wrong($"\"{line.Field(0)}\" is no GUID.");
        if (inf.Line(section, "LayoutFile") is { } layout)
            notes.Add(layout.Note("LayoutFile: the system's own media are not there."));
        if (inf.Line(section, "ExtensionId") is { } extension)
            notes.Add(extension.Note("ExtensionId: an extension INF is installed as a driver of its own would be."));
        InfLine? catalog = inf.Line(section, "CatalogFile.NTamd64") ?? inf.Line(section, "CatalogFile.NT")
            ?? inf.Line(section, "CatalogFile");
        var made = new DriverVersion(inf.Line(section, "Class")?.Field(0) ?? "", guid,
            inf.Line(section, "Provider")?.Field(0) ?? "", 0, 0, catalog?.Field(0),
            inf.Line(section, "PnpLockDown")?.NumberAt(0) == 1);
        return inf.Line(section, "DriverVer") is { } version ? made.With(version) : made;
    }

    /// <summary>With another date and version: <c>DriverVer = 11/28/2025, 1.2.3.4</c>.</summary>
    internal DriverVersion With(InfLine line)
    {
        string[] date = line.Field(0).Split('/', '-');
        if (date.Length != 3 || !int.TryParse(date[0], NumberStyles.None, null, out int month)
            || !int.TryParse(date[1], NumberStyles.None, null, out int day)
            || !int.TryParse(date[2], NumberStyles.None, null, out int year)
            || month is < 1 or > 12 || year is < 1980 or > 9999 || day < 1
            || day > CultureInfo.InvariantCulture.Calendar.GetDaysInMonth(year, month))
            throw line.Wrong($"\"{line.Field(0)}\" is no date: month/day/year.");
        ulong version = 0;
        string[] parts = line.Field(1).Length == 0 ? [] : line.Field(1).Split('.');
        if (parts.Length > 4) throw line.Wrong("A version has up to four numbers.");
        for (int i = 0; i < 4; i++)
        {
            ushort number = 0;
            if (i < parts.Length && !ushort.TryParse(parts[i].Trim(), NumberStyles.None, null, out number))
                throw line.Wrong($"\"{line.Field(1)}\" is no version: up to four numbers of at most 65535.");
            version = version << 16 | number;
        }
        return this with
        {
            Date = (new DateOnly(year, month, day).DayNumber - new DateOnly(1601, 1, 1).DayNumber) * TicksPerDay,
            DateText = string.Create(CultureInfo.InvariantCulture, $"{month}-{day}-{year}"),
            Version = version,
        };
    }
}

/// <summary>[Manufacturer] and the models sections that are for this system.</summary>
static class InfModels
{
    const int MostModels = 100_000;

    public static List<DriverModel> Read(InfFile inf, List<InfNote> notes)
    {
        List<DriverModel> models = [];
        foreach (InfLine line in inf.Lines("Manufacturer"))
        {
            string manufacturer = line.Key ?? line.Field(0), name = line.Field(0);
            if (name.Length == 0) throw line.Wrong("The section with the manufacturer's models is not named.");
            string? best = line.Fields.Skip(1).Select(d => (Decoration: d, Score: InfTarget.ScoreOf(d)))
                .Where(d => d.Score is not null).OrderByDescending(d => d.Score).FirstOrDefault().Decoration;
            if (best is null)
            {
                notes.Add(line.Note($"{manufacturer} has no models for x64 Windows 10: "
                    + "a decoration with NTamd64 is needed."));
                continue;
            }
            string section = $"{name}.{best}";
            if (inf.Find(section) is not { } lines) throw line.Wrong($"There is no section [{section}].");
            models.AddRange(lines.Select(l => Model(l, manufacturer)));
            if (models.Count > MostModels) throw line.Wrong("So many models no package has.");
        }
        return models;
    }

    static DriverModel Model(InfLine line, string manufacturer)
    {
        if (line.Key is null || line.Field(0).Length == 0)
            throw line.Wrong("A model is: description = section for installation, hardware ID, ...");
        return new DriverModel(manufacturer, line.Key, line.Field(0), line.Field(1),
            [.. line.Fields.Skip(2).Where(f => f.Length > 0)])
        { Line = line };
    }
}
