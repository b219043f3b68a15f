namespace Ringdown.Kernel;

/// <summary>A driver for a device, and how well it fits.</summary>
/// <param name="Rank">As SetupAPI counts: the less the better.</param>
/// <param name="MatchingId">The package's ID that the device has.</param>
public sealed record DriverMatch(DriverPackage Package, DriverModel Model, uint Rank, string MatchingId);

/// <summary>The driver packages that a machine has, and what installing them does: the registry is written as on
/// Windows, and images become files that the loader finds.</summary>
public sealed class DriverStore : IDriverStore
{
    internal const string Services = @"\Registry\Machine\System\CurrentControlSet\Services";
    const string Classes = @"\Registry\Machine\System\CurrentControlSet\Control\DeviceClasses";
    const uint KernelDriver = 1, FileSystemDriver = 2, Disabled = 4;

    readonly NtKernel _nt;
    readonly List<(DriverPackage Package, string Published)> _packages = [];
    readonly List<InfException> _mistakes = [];

    internal DriverStore(NtKernel nt) => _nt = nt;

    public IReadOnlyList<DriverPackage> Packages => [.. _packages.Select(p => p.Package)];

    /// <summary>Why devices were not installed whose driver was there: file, line and what is wrong.</summary>
    public IReadOnlyList<InfException> Mistakes => _mistakes;

    /// <summary>Makes a package known. Devices that are found from now on may get its drivers.</summary>
    /// <returns>The name under which it is published: oem0.inf, oem1.inf, ...</returns>
    public string Add(DriverPackage package)
    {
        string published = $"oem{_packages.Count}.inf";
        _packages.Add((package, published));
        foreach (InfInterface made in package.InterfaceClasses)
            RegistryChanges.Apply(_nt, made.Changes, $@"{Classes}\{made.Class:B}");
        return published;
    }

    internal string Published(DriverPackage package) => _packages.Find(p => p.Package == package).Published;

    /// <summary>The best driver for a device; null if there is none.</summary>
    public DriverMatch? Find(IReadOnlyList<string> hardwareIds, IReadOnlyList<string> compatibleIds) =>
        _packages.SelectMany(p => p.Package.Models.Select(m => Match(p.Package, m, hardwareIds, compatibleIds)))
            .OfType<DriverMatch>().OrderBy(m => m.Rank)
            .ThenByDescending(m => m.Package.VersionOf(m.Model).Date)
            .ThenByDescending(m => m.Package.VersionOf(m.Model).Version).FirstOrDefault();

    /// <summary>A model against a device's IDs. The rank says first the feature score, then which IDs met: hardware
    /// IDs 0000, a hardware ID with a compatible ID of the model 1000, a compatible ID with its hardware ID 2000,
    /// compatible IDs 3000; and how far behind the device's first one.</summary>
    static DriverMatch? Match(DriverPackage package, DriverModel model, IReadOnlyList<string> hardwareIds,
        IReadOnlyList<string> compatibleIds)
    {
        const int ofCompatible = 0x1000, byCompatible = 0x2000, most = 0xFFF;
        uint feature = (uint)package.PlanOf(model).FeatureScore << 16;
        DriverMatch? best = null;
        void Try(IReadOnlyList<string> ids, string id, int start)
        {
            if (id.Length == 0) return;
            for (int i = 0; i < ids.Count; i++)
            {
                if (!ids[i].Equals(id, StringComparison.OrdinalIgnoreCase)) continue;
                uint rank = feature | (uint)(start + Math.Min(i, most));
                if (best is null || rank < best.Rank) best = new DriverMatch(package, model, rank, id);
                return;
            }
        }
        Try(hardwareIds, model.HardwareId, 0);
        Try(compatibleIds, model.HardwareId, byCompatible);
        foreach (string compatible in model.CompatibleIds)
        {
            Try(hardwareIds, compatible, ofCompatible);
            Try(compatibleIds, compatible, byCompatible | ofCompatible);
        }
        return best;
    }

    /// <inheritdoc/>
    public bool Install(string instancePath, IReadOnlyList<string> hardwareIds, IReadOnlyList<string> compatibleIds)
    {
        if (Find(hardwareIds, compatibleIds) is not { } match) return false;
        try
        {
            new DeviceInstallation(_nt, match, instancePath).Run();
            return true;
        }
        catch (InfException e)
        {
            _mistakes.Add(e);
            return false;
        }
    }

    /// <summary>Values that a service's key has beside those that its package writes: <c>Parameters\Name</c> is
    /// one in a key below it.</summary>
    public void SetParameters(string service, IReadOnlyList<(string Name, RegistryValue Value)> values)
    {
        foreach ((string name, RegistryValue value) in values)
        {
            int slash = name.LastIndexOf('\\');
            string path = $@"{Services}\{service}{(slash < 0 ? "" : '\\' + name[..slash])}";
            _nt.Cm.Create(path).Set(name[(slash + 1)..], value);
        }
    }

    /// <summary>Does what DefaultInstall of a package says, and starts the drivers that it makes services
    /// for.</summary>
    /// <returns>The services and what starting them came to.</returns>
    /// <exception cref="InfException">It cannot be done.</exception>
    /// <exception cref="MachineStop">A driver stopped the machine.</exception>
    public IReadOnlyList<(string Service, NtStatus Status)> InstallDefault(DriverPackage package)
    {
        List<(string, NtStatus)> started = [];
        if (package.DefaultPlan is not { } plan) return started;
        CopyFiles(package, plan);
        RegistryChanges.Apply(_nt, plan.Changes, Services);
        MakeServices(package, plan);
        foreach (InfService service in plan.Services)
            if (service.Type is KernelDriver or FileSystemDriver && service.Start < Disabled)
                started.Add((service.Name, _nt.Loader.LoadService($@"{Services}\{service.Name}")));
        return started;
    }

    /// <summary>Puts the files of a plan on the machine's disk: those that are drivers can be loaded then.</summary>
    internal void CopyFiles(DriverPackage package, InstallPlan plan)
    {
        foreach (InfCopy copy in plan.Copies)
        {
            if (package.Files.FindDriver(copy.Source) is { } image) _nt.Loader.AddFile(copy.Target, image);
            else if (package.Files.Read(copy.Source) is null)
                throw copy.Line.Wrong($"{copy.Source} is not beside {package.Name}.");
        }
    }

    internal void MakeServices(DriverPackage package, InstallPlan plan)
    {
        foreach (string service in plan.Deleted)
            if (_nt.Cm.Find($@"{Services}\{service}") is { } key) key.Delete();
        foreach (InfService service in plan.Services.Where(s => s.Name.Length > 0)) Make(package, service);
    }

    void Make(DriverPackage package, InfService service)
    {
        string path = $@"{Services}\{service.Name}";
        RegistryKey key = _nt.Cm.Create(path);
        void Set(string name, RegistryValue value, InfServiceFlags keep = 0)
        {
            if ((service.Flags & keep) == 0 || key.Node.FindValue(name) is null) key.Set(name, value);
        }
        Set("Type", RegistryValue.Dword(service.Type));
        Set("Start", RegistryValue.Dword(service.Start), InfServiceFlags.NoClobberStartType);
        Set("ErrorControl", RegistryValue.Dword(service.ErrorControl), InfServiceFlags.NoClobberErrorControl);
        Set("ImagePath", RegistryValue.ExpandString(InfDirectories.ImagePath(service.Binary)));
        if (service.DisplayName.Length > 0)
            Set("DisplayName", RegistryValue.String(service.DisplayName), InfServiceFlags.NoClobberDisplayName);
        if (service.Description.Length > 0)
            Set("Description", RegistryValue.String(service.Description), InfServiceFlags.NoClobberDescription);
        if (service.Group.Length > 0)
            Set("Group", RegistryValue.String(service.Group), InfServiceFlags.NoClobberLoadOrderGroup);
        string[] services = [.. service.Dependencies.Where(d => d[0] != '+')];
        string[] groups = [.. service.Dependencies.Where(d => d[0] == '+').Select(d => d[1..])];
        if (services.Length > 0)
            Set("DependOnService", RegistryValue.MultiString(services), InfServiceFlags.NoClobberDependencies);
        if (groups.Length > 0)
            Set("DependOnGroup", RegistryValue.MultiString(groups), InfServiceFlags.NoClobberDependencies);
        key.Set("Owners", RegistryChanges.Appended(key.Node.FindValue("Owners"), [Published(package)]));
        RegistryChanges.Apply(_nt, service.Changes, path);
        if (service.EventLog is { } log)
            RegistryChanges.Apply(_nt, log.Changes, $@"{Services}\EventLog\{log.Log}\{log.Source}");
    }
}
