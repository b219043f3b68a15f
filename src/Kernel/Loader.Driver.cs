using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>A driver that was loaded: its image, its object, and what DriverEntry said.</summary>
public sealed class Driver
{
    internal Driver(string name, LoadedImage image, DriverObject driverObject, IReadOnlyList<MissingImport> missing) =>
        (Name, Image, Object, MissingImports) = (name, image, driverObject, missing);

    /// <summary>The service's name: the key under Services, and the object under \Driver.</summary>
    public string Name { get; }
    public LoadedImage Image { get; }
    public DriverObject Object { get; }

    /// <summary>Imports that nothing exports. Calling one stops the machine.</summary>
    public IReadOnlyList<MissingImport> MissingImports { get; }

    /// <summary>What DriverEntry returned.</summary>
    public NtStatus EntryStatus { get; internal set; } = STATUS_PENDING;
    public bool IsLoaded { get; internal set; }

    /// <summary>Another driver imports from it, and its DllInitialize was called.</summary>
    internal bool IsLibrary { get; set; }

    /// <summary>It was loaded only because another driver imports from it: its entry point is not called.</summary>
    internal bool IsOnlyLibrary { get; init; }
}

/// <summary>Loading and unloading of drivers.</summary>
public sealed partial class Loader
{
    const ulong MaximumStack = 0x2_0000;
    const ulong DefaultCookie = 0x2B99_2DDF_A232;

    readonly List<Driver> _drivers = [];
    readonly List<ulong> _deepest = [];
    Va _nextDriver = s_firstDriver;

    public IReadOnlyList<Driver> Drivers => _drivers;

    /// <summary>Maps a driver, binds its imports, makes its driver object and service key, and runs
    /// DriverEntry.</summary>
    /// <param name="name">The service's name.</param>
    /// <exception cref="BadImageException">The bytes are no driver.</exception>
    /// <exception cref="MachineStop">DriverEntry stopped the machine.</exception>
    public Driver Load(string name, PeImage image, Symbols symbols,
        IReadOnlyList<(string Name, RegistryValue Value)>? registry = null)
    {
        LoadedImage mapped = Map(name + ".sys", image, symbols);
        var missing = new List<MissingImport>();
        LoadLibraries(mapped);
        BindImports(mapped, missing);
        SeedCookie(mapped);
        Protect(mapped);
        return Start(name, mapped, mapped.Base + image.EntryPointRva, missing, registry);
    }

    Driver Start(string name, LoadedImage mapped, Va entry, IReadOnlyList<MissingImport> missing,
        IReadOnlyList<(string Name, RegistryValue Value)>? registry) =>
        _nt.AtEdge(() => StartWithin(name, mapped, entry, missing, registry));

    Driver StartWithin(string name, LoadedImage mapped, Va entry, IReadOnlyList<MissingImport> missing,
        IReadOnlyList<(string Name, RegistryValue Value)>? registry)
    {
        DriverObject driverObject = _nt.Io.CreateDriver(name, mapped.Base, mapped.Size, entry, Va.Null);
        var driver = new Driver(name, mapped, driverObject, missing);
        _drivers.Add(driver);
        string key = _nt.Cm.CreateServiceKey(name, registry ?? []);
        Va path = _nt.Rtl.AllocateString(key);
        driver.EntryStatus = InitializeLibraries(mapped);
        if (driver.EntryStatus.IsSuccess)
        {
            _nt.Ps.NotifyImage(mapped);
            driver.EntryStatus = new NtStatus((uint)InSystem(entry, driverObject.Address.Value, path.Value));
        }
        driver.IsLoaded = driver.EntryStatus.IsSuccess;
        _nt.Mm.Pool.Free(UnicodeString.At(_nt.Memory, path).Buffer);
        _nt.Mm.Pool.Free(path);
        if (driver.IsLoaded)
        {
            Io.MakeReady(driverObject);
            _nt.Io.RunReinitialize();
        }
        else
        {
            _nt.Io.ForgetReinitialize(driverObject);
            FreeName(driverObject);
            ReleaseLibraries(driver);
        }
        return driver;
    }

    /// <summary>Calls DriverUnload, if the driver has one.</summary>
    /// <returns>False if the driver cannot be unloaded.</returns>
    /// <exception cref="MachineStop">It stopped the machine.</exception>
    public bool Unload(Driver driver) => _nt.AtEdge(() => UnloadWithin(driver));

    bool UnloadWithin(Driver driver)
    {
        Va unload = driver.Object.DriverUnload;
        if (!driver.IsLoaded || unload.IsNull) return false;
        InSystem(unload, driver.Object.Address.Value);
        driver.IsLoaded = false;
        FreeName(driver.Object);
        ReleaseLibraries(driver);
        return true;
    }

    // The name is for the next one; the object stays, to be looked at.
    void FreeName(DriverObject driver)
    {
        if (_nt.Ob.Find(driver.Address) is { Parent: not null } named) _nt.Ob.Remove(named);
    }

    // DriverEntry and DriverUnload run in a thread of the System process.
    ulong InSystem(Va routine, params ReadOnlySpan<ulong> arguments)
    {
        // One driver may load another.
        bool isNested = _nt.Ke.InSystemContext;
        _nt.Ke.InSystemContext = true;
        if (!isNested) _nt.BeginRequest();
        try
        {
            ulong result = _nt.Routines.Call(routine, arguments);
            if (_nt.Ke.Irql != Irql.PASSIVE_LEVEL)
                throw new BugCheck(BugCheckCode.IRQL_UNEXPECTED_VALUE, routine.Value, 0, (ulong)_nt.Ke.Irql);
            return result;
        }
        catch (MachineStop stop) when (_nt.Ke.Report(stop))
        {
            throw;
        }
        finally
        {
            _nt.Ke.InSystemContext = isNested;
        }
    }

    /// <summary>A driver has called the kernel: so much of its stack is in use.</summary>
    internal void NoteStack(Va caller, Va rsp)
    {
        ulong slot = (caller - s_firstDriver) / DriverSpacing;
        if (slot >= (ulong)_deepest.Count) return;
        ulong used = _nt.Ke.CurrentStack.Base - rsp;
        if (used > _deepest[(int)slot] && used <= MaximumStack) _deepest[(int)slot] = used;
    }

    /// <summary>The most bytes of a kernel stack that were in use when a driver called the kernel, whoever had used
    /// them.</summary>
    public ulong StackUsedBy(Driver driver) => driver.Image.Managed is not null ? 0
        : _deepest[(int)((driver.Image.Base - s_firstDriver) / DriverSpacing)];

    LoadedImage Map(string name, PeImage image, Symbols symbols)
    {
        Va start = _nextDriver;
        byte[] bytes = image.Layout(start.Value);
        // Round addresses, so that an RVA is easily seen in them.
        _nextDriver += ((ulong)bytes.Length + DriverSpacing) & ~(DriverSpacing - 1);
        while (s_firstDriver + (ulong)_deepest.Count * DriverSpacing < _nextDriver) _deepest.Add(0);
        _nt.Memory.Map(start, (ulong)bytes.Length, Protection.ReadWrite);
        _nt.Memory.Poke(start, bytes);
        var mapped = new LoadedImage(name, start, (uint)bytes.Length, image, symbols)
        {
            ExceptionRva = image.Directory(PeDirectoryKind.Exception).Rva,
            ExceptionSize = image.Directory(PeDirectoryKind.Exception).Size,
        };
        _images.Add(mapped);
        return mapped;
    }

    void Protect(LoadedImage image) => _nt.Mm.Paging.Apply(image);

    void BindImports(LoadedImage image, List<MissingImport> missing)
    {
        foreach (PeImport import in image.Image.Imports)
        {
            string symbol = import.Name ?? $"#{import.Ordinal}";
            Va address = import.Name is null
                ? FindInDriver(import.Library, image => image.FindExport(import.Ordinal))
                    : FindExport(import.Library, import.Name);
            if (address.IsNull)
            {
                missing.Add(new MissingImport(import.Library, symbol));
                address = MissingRoutine(import.Library, symbol);
            }
            _nt.Memory.Poke(image.Base + import.SlotRva, address);
        }
    }

    Va MissingRoutine(string module, string name) => _nt.Routines.Add(name, (nt, _) =>
    {
        nt.OnMissingExport(module, name, nt.Caller);
        throw new MissingExport(module, name);
    });

    /// <summary>An export of a driver that is loaded, by the file name that it has or that its export directory
    /// gives.</summary>
    Va FindInDriver(string module, Func<PeImage, PeExport?> find)
    {
        LoadedImage? image = DriverNamed(module);
        return image is not null && find(image.Image) is { Forwarder: null } export ? image.Base + (ulong)export.Rva
            : Va.Null;
    }

    LoadedImage? DriverNamed(string module) =>
        _images.Find(i => IsThere(i) && i.Name.Equals(module, StringComparison.OrdinalIgnoreCase))
        ?? _images.Find(i => IsThere(i) && module.Equals(i.Image.ExportName, StringComparison.OrdinalIgnoreCase));

    bool IsThere(LoadedImage image) => !image.IsKernel && !_gone.Contains(image);

    // As the real loader does: the cookie that compilers put in by default is replaced, so that it cannot be guessed.
    void SeedCookie(LoadedImage image)
    {
        if (image.Image.LoadConfig is not { SecurityCookieRva: > 0 and var rva }) return;
        Va cookie = image.Base + (ulong)rva;
        if (_nt.Memory.TryPeek(cookie, out ulong value) && value is DefaultCookie or 0)
            _nt.Memory.Poke(cookie, (_nt.Computer.Chance.Next() & 0xFFFF_FFFF_FFFF) | 1);
    }
}

/// <summary>A driver called an import that nothing exports: what it would have done is not known, so the run
/// ends.</summary>
public sealed class MissingExport(string module, string name)
    : MachineStop($"{module}!{name} was called, and {Why(module)}")
{
    static readonly string[] s_userModules =
    [
        "kernel32.dll", "kernelbase.dll", "user32.dll", "gdi32.dll", "advapi32.dll", "ntdll.dll", "msvcrt.dll",
        "ucrtbase.dll", "shell32.dll", "ole32.dll", "oleaut32.dll", "combase.dll", "rpcrt4.dll", "ws2_32.dll",
        "setupapi.dll", "shlwapi.dll", "crypt32.dll", "bcrypt.dll", "secur32.dll", "psapi.dll", "dbghelp.dll",
        "version.dll", "winmm.dll", "mscoree.dll",
    ];

    public string Module { get; } = module;
    public string Name { get; } = name;

    // Those that come with a compiler (vcruntime140.dll, msvcp140.dll) and the sets of the API (api-ms-win-...) too.
    static bool IsUserMode(string module) => s_userModules.Contains(module, StringComparer.OrdinalIgnoreCase)
        || ((string[])["vcruntime", "msvcp", "msvcr", "api-ms-win-"]).Any(
            p => module.StartsWith(p, StringComparison.OrdinalIgnoreCase));

    static string Why(string module) =>
        Loader.IsCore(module) || KernelImages.Has(module) ? "Ringdown does not have it."
        : IsUserMode(module) ? $"{module} is a user-mode DLL, from which a kernel driver cannot import: "
            + "Windows would not load it. Link the driver with kernel libraries only."
        : $"no loaded image exports it: load {module} first.";
}
