using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Export drivers: drivers that others import from. DllInitialize tells one of its first importer, DllUnload
/// that the last is gone.</summary>
public sealed partial class Loader
{
    static IEnumerable<string> LibrariesOf(LoadedImage importer) =>
        importer.Libraries.Where(l => !IsCore(l) && !KernelImages.Has(l));

    /// <summary>Maps what an image imports from and is not there yet, if the host has it. Their entry points are not
    /// called: they are libraries only.</summary>
    void LoadLibraries(LoadedImage importer)
    {
        foreach (string library in LibrariesOf(importer))
        {
            if (DriverNamed(library) is not null) continue;
            try
            {
                if (FindFile($@"\SystemRoot\System32\drivers\{library}") is { Image: { } image } file)
                    LoadLibrary(Path.GetFileNameWithoutExtension(library), image, file.Symbols);
            }
            catch (BadImageException)
            {
                // Its exports are missing then, and are reported by name.
            }
        }
    }

    void LoadLibrary(string name, PeImage image, Symbols symbols)
    {
        LoadedImage mapped = Map(name + ".sys", image, symbols);
        var missing = new List<MissingImport>();
        LoadLibraries(mapped);
        BindImports(mapped, missing);
        SeedCookie(mapped);
        Protect(mapped);
        DriverObject unnamed = _nt.Io.CreateDriver(
            name, mapped.Base, mapped.Size, mapped.Base + image.EntryPointRva, Va.Null);
        if (_nt.Ob.Find(unnamed.Address) is { Parent: not null } named) _nt.Ob.Remove(named);
        _drivers.Add(new Driver(name, mapped, unnamed, missing) { IsLoaded = true, IsOnlyLibrary = true });
    }

    /// <summary>Tells each driver that an image imports from, once, before the image's entry point runs; first those
    /// that it needs itself.</summary>
    /// <returns>The first failure: then the importer cannot be loaded.</returns>
    NtStatus InitializeLibraries(LoadedImage importer)
    {
        foreach (string library in LibrariesOf(importer))
            if (InitializeLibrary(library) is { IsSuccess: false } failed) return failed;
        return STATUS_SUCCESS;
    }

    NtStatus InitializeLibrary(string library)
    {
        if (_drivers.FindLast(d => d.Image == DriverNamed(library)) is not { IsLibrary: false } driver)
            return STATUS_SUCCESS;
        driver.IsLibrary = true;
        NtStatus status = driver.IsOnlyLibrary ? InitializeLibraries(driver.Image) : STATUS_SUCCESS;
        if (status.IsSuccess) status = CallDllInitialize(driver);
        if (status.IsSuccess) return status;
        // It has no importer: so DllUnload is not called.
        driver.IsLibrary = false;
        if (driver.IsOnlyLibrary) Forget(driver);
        return status;
    }

    NtStatus CallDllInitialize(Driver library)
    {
        if (library.Image.Image.FindExport("DllInitialize") is not { Forwarder: null } export) return STATUS_SUCCESS;
        Va path = _nt.Rtl.AllocateString(_nt.Cm.CreateServiceKey(library.Name, []));
        var status = new NtStatus((uint)InSystem(library.Image.Base + (ulong)export.Rva, path.Value));
        _nt.Mm.Pool.Free(UnicodeString.At(_nt.Memory, path).Buffer);
        _nt.Mm.Pool.Free(path);
        return status;
    }

    bool Imports(Driver importer, LoadedImage library) =>
        LibrariesOf(importer.Image).Any(l => DriverNamed(l) == library);

    // The last driver that imports from a library is gone: the library is told, and goes if it was only that.
    void ReleaseLibraries(Driver importer)
    {
        foreach (string library in LibrariesOf(importer.Image))
        {
            if (_drivers.FindLast(d => d.Image == DriverNamed(library)) is not { IsLibrary: true } driver) continue;
            if (_drivers.Exists(d => d.IsLoaded && Imports(d, driver.Image))) continue;
            driver.IsLibrary = false;
            if (driver.Image.Image.FindExport("DllUnload") is { Forwarder: null } export)
                InSystem(driver.Image.Base + (ulong)export.Rva);
            if (driver.IsOnlyLibrary) Forget(driver);
        }
    }

    // Its image stays, as that of any driver that was unloaded, but the next importer gets a fresh one.
    void Forget(Driver library)
    {
        library.IsLoaded = false;
        _gone.Add(library.Image);
        ReleaseLibraries(library);
    }

    readonly HashSet<LoadedImage> _gone = [];
}
