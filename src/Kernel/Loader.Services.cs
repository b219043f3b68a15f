using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Drivers that are loaded and unloaded by the name of their service, as drivers themselves ask for
/// it.</summary>
public sealed partial class Loader
{
    /// <summary>Loads the driver of a service. Its image comes from the host.</summary>
    /// <param name="service">The path of its key.</param>
    internal NtStatus LoadService(string service)
    {
        if (ServiceName(service) is not { } name || _nt.Cm.Find(service) is not { } key)
            return STATUS_OBJECT_NAME_NOT_FOUND;
        if (_drivers.Exists(d => d.IsLoaded && IsNamed(d, name))) return STATUS_IMAGE_ALREADY_LOADED;
        string path = key.Node.FindValue("ImagePath") is { } image ? image.Text
            : $@"\SystemRoot\System32\drivers\{name}.sys";
        try
        {
            if (FindFile(path) is not { } file) return STATUS_OBJECT_NAME_NOT_FOUND;
            Driver driver = file.Create is { } create ? Load(name, create()) : Load(name, file.Image!, file.Symbols);
            return driver.IsLoaded ? STATUS_SUCCESS : driver.EntryStatus;
        }
        catch (BadImageException)
        {
            return STATUS_INVALID_IMAGE_FORMAT;
        }
    }

    /// <summary>The driver of a service, if it is loaded.</summary>
    internal Driver? FindLoaded(string service) => _drivers.Find(d => d.IsLoaded && IsNamed(d, service));

    readonly Dictionary<string, DriverImage> _files = new(StringComparer.Ordinal);

    /// <summary>Puts a driver on the machine's disk: services whose ImagePath says so load it.</summary>
    /// <param name="path">C:\Windows\System32\drivers\x.sys, in any of the forms that ImagePath has.</param>
    public void AddFile(string path, DriverImage image) => _files[InfDirectories.Normalize(path)] = image;

    /// <summary>The driver at a path of the machine's disk, or that the host has; null if there is none.</summary>
    /// <exception cref="BadImageException">The host's file is no driver.</exception>
    DriverImage? FindFile(string path)
    {
        if (_files.TryGetValue(InfDirectories.Normalize(path), out DriverImage? file)) return file;
        byte[]? bytes = _nt.Options.DriverFiles?.Invoke(path);
        return bytes is null ? null : new DriverImage(PeImage.Parse(bytes), Symbols.None);
    }

    /// <summary>Unloads the driver of a service: now, or as soon as nobody has its devices open.</summary>
    internal NtStatus UnloadService(string service)
    {
        if (ServiceName(service) is not { } name
            || _drivers.Find(d => d.IsLoaded && IsNamed(d, name)) is not { } driver)
            return STATUS_OBJECT_NAME_NOT_FOUND;
        if (driver.Object.DriverUnload.IsNull) return STATUS_INVALID_DEVICE_REQUEST;
        if (Io.IsInUse(driver.Object))
        {
            Io.MarkUnloadPending(driver.Object);
            return STATUS_SUCCESS;
        }
        Unload(driver);
        return STATUS_SUCCESS;
    }

    /// <summary>A device of a driver that is to be unloaded was let go.</summary>
    internal void UnloadPending(DriverObject driverObject)
    {
        if (Io.IsInUse(driverObject) || _drivers.Find(d => d.IsLoaded && d.Object == driverObject) is not { } driver)
            return;
        // Whoever let go may be anywhere; the unload routine runs in a worker of the system's.
        _nt.Ex.PoolOf(0).Queue(() =>
        {
            if (driver.IsLoaded && !Io.IsInUse(driverObject)) Unload(driver);
        });
    }

    static bool IsNamed(Driver driver, string name) => driver.Name.Equals(name, StringComparison.OrdinalIgnoreCase);

    static string? ServiceName(string path)
    {
        string[] parts = path.Split('\\', StringSplitOptions.RemoveEmptyEntries);
        bool isService = parts.Length > 2 && parts[^2].Equals("Services", StringComparison.OrdinalIgnoreCase);
        return isService && parts[^1].Length <= 255 ? parts[^1] : null;
    }
}
