using System.Globalization;

namespace Ringdown.Kernel;

/// <summary>Installs a driver for one device: its class, its driver's key, its own key, its services.</summary>
sealed class DeviceInstallation(NtKernel nt, DriverMatch match, string instancePath)
{
    const string Control = @"\Registry\Machine\System\CurrentControlSet\Control";
    const string Enum = @"\Registry\Machine\System\CurrentControlSet\Enum";

    // Of device and class keys: what the I/O manager reads there, as numbers or a descriptor.
    static readonly string[] s_properties = ["Security", "DeviceType", "DeviceCharacteristics", "Exclusive"];

    // Of device keys: what plug and play keeps in the key itself, not below Device Parameters.
    static readonly string[] s_deviceValues =
    [
        .. s_properties, "UpperFilters", "LowerFilters", "FriendlyName", "LocationInformation", "ConfigFlags",
        "UINumberDescFormat", "RemovalPolicy",
    ];

    readonly DriverPackage _package = match.Package;
    readonly InstallPlan _plan = match.Package.PlanOf(match.Model);
    readonly string _device = $@"{Enum}\{instancePath}";

    public void Run()
    {
        nt.Drivers.CopyFiles(_package, _plan);
        string classKey = MakeClass(out Guid guid);
        string driver = MakeDriverKey(classKey, guid);
        nt.Drivers.MakeServices(_package, _plan);
        WriteDevice(guid, driver);
        RegistryChanges.Apply(nt, _plan.Hardware, _device, DivertDevice);
        foreach ((string service, bool isLower) in _plan.Filters)
        {
            RegistryKey key = nt.Cm.Create(_device);
            string name = isLower ? "LowerFilters" : "UpperFilters";
            key.Set(name, RegistryChanges.Appended(key.Node.FindValue(name), [service]));
        }
        foreach (InfInterface made in _plan.Interfaces) MakeInterface(made);
        MakeResources();
    }

    /// <summary>The class's key, made by ClassInstall32 where there is none yet.</summary>
    string MakeClass(out Guid guid)
    {
        guid = _package.Version.ClassGuid ?? Guid.Empty;
        string path = $@"{Control}\Class\{guid:B}";
        if (nt.Cm.Find(path) is not null) return path;
        nt.Cm.Create(path).Set("Class", RegistryValue.String(_package.Version.Class));
        if (_package.ClassPlan is not { } plan) return path;
        nt.Drivers.CopyFiles(_package, plan);
        RegistryChanges.Apply(nt, plan.Changes, path, change => IsValue(change, s_properties)
            ? ($@"{path}\Properties", Described(change)) : null);
        nt.Drivers.MakeServices(_package, plan);
        return path;
    }

    string MakeDriverKey(string classKey, Guid guid)
    {
        // A device that had a driver keeps its key.
        string? known = nt.Cm.Find(_device)?.Node.FindValue("Driver")?.Text;
        string number = "";
        if (known is not null && known.StartsWith($@"{guid:B}\", StringComparison.OrdinalIgnoreCase))
            number = known[(known.IndexOf('\\') + 1)..];
        else
            for (int i = 0; number.Length == 0; i++)
                if (nt.Cm.Find($@"{classKey}\{i:D4}") is null) number = i.ToString("D4", CultureInfo.InvariantCulture);
        RegistryKey key = nt.Cm.Create($@"{classKey}\{number}");
        DriverVersion version = _package.VersionOf(match.Model);
        DriverModel model = match.Model;
        key.Set("DriverDesc", RegistryValue.String(model.Description));
        key.Set("ProviderName", RegistryValue.String(version.Provider));
        if (version.Date != 0)
        {
            key.Set("DriverDateData", RegistryValue.Binary(BitConverter.GetBytes(version.Date)));
            key.Set("DriverDate", RegistryValue.String(version.DateText));
            key.Set("DriverVersion", RegistryValue.String(version.VersionText));
        }
        key.Set("InfPath", RegistryValue.String(nt.Drivers.Published(_package)));
        key.Set("InfSection", RegistryValue.String(model.Section));
        if (_plan.Section.Length > model.Section.Length)
            key.Set("InfSectionExt", RegistryValue.String(_plan.Section[model.Section.Length..]));
        key.Set("MatchingDeviceId", RegistryValue.String(match.MatchingId));
        RegistryChanges.Apply(nt, _plan.Changes, $@"{classKey}\{number}");
        return $@"{guid:B}\{number}";
    }

    void WriteDevice(Guid guid, string driver)
    {
        RegistryKey key = nt.Cm.Create(_device);
        key.Set("DeviceDesc", RegistryValue.String(match.Model.Description));
        key.Set("Mfg", RegistryValue.String(match.Model.Manufacturer));
        key.Set("ClassGUID", RegistryValue.String(guid.ToString("B")));
        key.Set("Class", RegistryValue.String(_package.Version.Class));
        key.Set("Driver", RegistryValue.String(driver));
        key.Set("ConfigFlags", RegistryValue.Dword(0));
        if (_plan.Services.LastOrDefault(s => s.IsAssociated) is { Name.Length: > 0 } service)
            key.Set("Service", RegistryValue.String(service.Name));
        else key.RemoveValue("Service");
        // Those of the driver before are not this one's.
        foreach (string name in (ReadOnlySpan<string>)["UpperFilters", "LowerFilters", .. s_properties])
            key.RemoveValue(name);
    }

    static bool IsValue(InfRegistryChange change, string[] names) => change.Key.Length == 0 && change.Name is { } name
        && names.Contains(name, StringComparer.OrdinalIgnoreCase);

    (string, RegistryValue?)? DivertDevice(InfRegistryChange change) =>
        IsValue(change, s_deviceValues) ? (_device, Described(change))
            : (change.Key.Length == 0 ? $@"{_device}\Device Parameters" : $@"{_device}\Device Parameters\{change.Key}",
                change.Data);

    // Security is written as text, and kept as the descriptor that it is.
    RegistryValue? Described(InfRegistryChange change)
    {
        if (change.Data is not { Type: RegistryValue.REG_SZ } data
            || !change.Name!.Equals("Security", StringComparison.OrdinalIgnoreCase)) return change.Data;
        return Sddl.TryParse(data.Text, nt.Ob.DeviceType.Mapping) is { } security
            ? RegistryValue.Binary(security.ToBytes())
            : throw change.Line.Wrong($"\"{data.Text}\" is no security descriptor.");
    }

    void MakeInterface(InfInterface made)
    {
        string link = $"##?#{instancePath.Replace('\\', '#')}#{made.Class:B}";
        string path = $@"{Control}\DeviceClasses\{made.Class:B}\{link}", below = $@"{path}\#{made.Reference}";
        if (link.Length > 255) throw made.Line.Wrong("The name of the interface is too long.");
        nt.Cm.Create(path).Set("DeviceInstance", RegistryValue.String(instancePath));
        string symbolic = @"\\?\" + link[4..] + (made.Reference.Length > 0 ? '\\' + made.Reference : "");
        nt.Cm.Create(below).Set("SymbolicLink", RegistryValue.String(symbolic));
        RegistryChanges.Apply(nt, made.Changes, $@"{below}\Device Parameters");
    }

    void MakeResources()
    {
        const uint requirements = 10;    // REG_RESOURCE_REQUIREMENTS_LIST
        if (_plan.Resources is { } basic)
            nt.Cm.Create($@"{_device}\LogConf").Set("BasicConfigVector", new RegistryValue(requirements, basic));
        if (_plan.ResourcesOverride is { } instead)
            nt.Cm.Create($@"{_device}\LogConf").Set("OverrideConfigVector", new RegistryValue(requirements, instead));
    }
}
