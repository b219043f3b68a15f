using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A driver's image on the disk of a machine: a .sys file, or a driver in C#.</summary>
public sealed class DriverImage
{
    public DriverImage(PeImage image, Symbols symbols) => (Image, Symbols) = (image, symbols);

    /// <param name="create">Makes an instance; each machine that loads it has its own.</param>
    public DriverImage(Func<NtDriver> create) => Create = create;

    public PeImage? Image { get; }
    public Symbols Symbols { get; } = Symbols.None;
    public Func<NtDriver>? Create { get; }
}

/// <summary>What lies beside an INF file. Paths are relative to its folder, with backslashes, whatever their
/// case.</summary>
public interface IPackageFiles
{
    /// <summary>A file's bytes; null if there is none.</summary>
    byte[]? Read(string path);

    /// <summary>A file as a driver; null if there is none, or it is not one.</summary>
    DriverImage? FindDriver(string path);
}

/// <summary>A service that a package makes.</summary>
public sealed record PackageService(string Name, string Binary, uint Type, uint Start);

/// <summary>An INF file and what lies beside it.</summary>
public sealed class DriverPackage
{
    readonly List<InfNote> _notes = [];
    readonly Dictionary<string, InstallPlan> _plans = new(StringComparer.OrdinalIgnoreCase);

    DriverPackage(InfFile inf, IPackageFiles files) => (Inf, Files) = (inf, files);

    internal InfFile Inf { get; }
    internal IPackageFiles Files { get; }

    /// <summary>The file's name.</summary>
    public string Name => Inf.Name;
    public DriverVersion Version { get; private set; } = null!;

    /// <summary>The devices that it has drivers for, on this system.</summary>
    public IReadOnlyList<DriverModel> Models { get; private set; } = [];

    /// <summary>Whether it has a section DefaultInstall: it installs something that needs no device.</summary>
    public bool HasDefaultInstall => DefaultPlan is not null;

    /// <summary>What it says and has no effect here, in the order in which it was read.</summary>
    public IReadOnlyList<InfNote> Notes => _notes;

    internal InstallPlan? DefaultPlan { get; private set; }

    /// <summary>ClassInstall32: how the package's own class is made; null if it brings none.</summary>
    internal InstallPlan? ClassPlan { get; private set; }

    /// <summary>Classes of interfaces that [InterfaceInstall32] makes.</summary>
    internal IReadOnlyList<InfInterface> InterfaceClasses { get; private set; } = [];

    /// <summary>Reads a package and all that it says of this system.</summary>
    /// <param name="name">The INF file's name, as mistakes say it.</param>
    /// <exception cref="InfException">It is none, or it says something that cannot be.</exception>
    public static DriverPackage Open(string name, byte[] inf, IPackageFiles files)
    {
        var package = new DriverPackage(InfFile.Parse(name, inf), files);
        package.Read();
        return package;
    }

    void Read()
    {
        var sections = new InfSections(Inf, Files.Read, _notes);
        Version = DriverVersion.Read(Inf, _notes);
        Models = InfModels.Read(Inf, _notes);
        foreach (DriverModel model in Models)
            if (!_plans.ContainsKey(model.Section))
            {
                var plan = InstallPlan.Read(sections, model.Section, model.Line);
                // It is known to be none only when it is read.
                if (plan.DriverVer is { } line) Version.With(line);
                _plans.Add(model.Section, plan);
            }
        DefaultPlan = Named(sections, "DefaultInstall");
        ClassPlan = Named(sections, "ClassInstall32");
        InterfaceClasses = ClassesOf(sections);
        if (Models.Count == 0 && DefaultPlan is null)
            throw new InfException(Name, 0, "It has neither models for x64 Windows 10 nor [DefaultInstall].");
        foreach (InfLine line in Inf.Lines("ControlFlags"))
            if (!line.IsKey("ExcludeFromSelect"))
                _notes.Add(line.Note($"{line.Key ?? line.Field(0)} of [ControlFlags] has no effect here."));
    }

    InstallPlan? Named(InfSections sections, string name) =>
        InfTarget.Actual(Inf, name) is { } actual
            ? InstallPlan.Read(sections, name, new InfLine(Name, Inf.Lines(actual).FirstOrDefault()?.Number ?? 0, null,
                [])) : null;

    List<InfInterface> ClassesOf(InfSections sections)
    {
        List<InfInterface> classes = [];
        foreach (InfLine line in Inf.Lines("InterfaceInstall32"))
        {
            if (!Guid.TryParse(line.Key ?? "", out Guid guid)) throw line.Wrong($"\"{line.Key}\" is no GUID.");
            if (InfTarget.Actual(Inf, line.Field(0)) is not { } section)
                throw line.Wrong($"There is no section [{line.Field(0)}].");
            classes.Add(new InfInterface(line, guid, "", sections.Registry(sections.Lines(section))));
        }
        return classes;
    }

    /// <summary>What a device of a model needs that no bus speaks for: an IO_RESOURCE_REQUIREMENTS_LIST; null: nothing,
    /// or it does not say.</summary>
    public byte[]? RequirementsOf(DriverModel model) => PlanOf(model).ResourcesOverride ?? PlanOf(model).Resources;

    internal InstallPlan PlanOf(DriverModel model) => _plans[model.Section];

    /// <summary>The date and version of a model's driver.</summary>
    internal DriverVersion VersionOf(DriverModel model) =>
        PlanOf(model).DriverVer is { } line ? Version.With(line) : Version;

    /// <summary>All services that it may make.</summary>
    public IReadOnlyList<PackageService> Services =>
        [.. _plans.Values.Append(DefaultPlan).Append(ClassPlan).SelectMany(p => p?.Services ?? [])
            .Where(s => s.Name.Length > 0).DistinctBy(s => s.Name, StringComparer.OrdinalIgnoreCase)
            .Select(s => new PackageService(s.Name, s.Binary, s.Type, s.Start))];

    /// <summary>Files that it copies: below its folder, and to where.</summary>
    public IReadOnlyList<(string Source, string Target)> Copies =>
        [.. _plans.Values.Append(DefaultPlan).Append(ClassPlan).SelectMany(p => p?.Copies ?? [])
            .Select(c => (c.Source, c.Target)).Distinct()];

    public override string ToString() => Name;
}
