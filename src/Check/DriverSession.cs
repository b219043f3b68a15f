using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Verifier;

namespace Ringdown.Check;

/// <summary>How a session's machine is set up.</summary>
public sealed record SessionOptions
{
    public ulong Seed { get; init; } = 1;
    public long InstructionLimit { get; init; } = 50_000_000;

    /// <summary>Values of the service's key, and of keys below it (<c>Parameters\Name</c>).</summary>
    public IReadOnlyList<(string Name, RegistryValue Value)> Registry { get; init; } = [];

    /// <summary>.reg files that the registry has when the machine boots.</summary>
    public IReadOnlyList<RegistryDocument> RegistryFiles { get; init; } = [];

    /// <summary>Builds devices into each machine.</summary>
    public Action<Computer>? Board { get; init; }

    /// <summary>How many processors the machine has.</summary>
    public int Processors { get; init; } = 1;

    /// <summary>Whose turn it is among processors and threads; null: everybody in turn.</summary>
    public Func<Chance, Schedule>? Schedule { get; init; }

    /// <summary>Drivers that are loaded first, in order.</summary>
    public IReadOnlyList<DriverFile> Before { get; init; } = [];

    /// <summary>Observers beside the verifier's rules.</summary>
    public IReadOnlyList<IObserver> Observers { get; init; } = [];
}

/// <summary>One machine with one driver under the verifier. What stops the machine becomes a finding, and ends the
/// session.</summary>
public sealed class DriverSession : IDisposable
{
    readonly DriverFile _file;
    readonly SessionOptions _options;

    public DriverSession(DriverFile file, SessionOptions options, FindingList findings)
    {
        (_file, _options) = (file, options);
        Reporter = new Reporter(findings, options.Seed);
        Nt = new NtKernel(new KernelOptions
        {
            Seed = options.Seed,
            InstructionLimit = options.InstructionLimit,
            Processors = options.Processors,
            Schedule = options.Schedule,
            Registry = options.RegistryFiles,
            Board = options.Board,
            Observers = [.. Rules.All(Reporter), .. options.Observers],
            Code = file.Code,
            // What the driver keeps from ordinary users is to be tried too.
            UserIsAdministrator = true,
        });
    }

    public NtKernel Nt { get; }
    public Reporter Reporter { get; }

    /// <summary>The package that brings the driver; null for none.</summary>
    public DriverPackage? Package => _file.Package;

    /// <summary>The devices of a plug and play driver.</summary>
    public IReadOnlyList<DeviceNode> Devices { get; private set; } = [];

    /// <summary>The driver, as soon as <see cref="Load"/> was called.</summary>
    public Driver? Driver { get; private set; }

    /// <summary>What stopped the machine, if something did: then nothing more can be done with it.</summary>
    public MachineStop? Stop { get; private set; }
    public bool IsRunning => Stop is null;

    /// <summary>Loads the driver and those before it.</summary>
    /// <returns>Whether DriverEntry succeeded.</returns>
    public bool Load()
    {
        Do("DriverEntry", () =>
        {
            foreach (DriverFile before in _options.Before) before.Load(Nt);
            Driver = _file.Load(Nt, _options.Registry);
        });
        Driver ??= Nt.Loader.Drivers.LastOrDefault(d => d.Name == _file.Name);
        if (Driver is { IsLoaded: true }) Do("the start of its devices", StartDevices);
        return IsRunning && Driver is { IsLoaded: true };
    }

    void StartDevices()
    {
        Devices = Package is null ? DeviceSetup.Attach(Nt, Driver!, _file.Device)
            : [.. Nt.User.Devices.All.Where(d => _file.Name.Equals(d.Service, StringComparison.OrdinalIgnoreCase))];
        DeviceSetup.Report(Devices, Driver!, Reporter);
    }

    /// <summary>Does something with the machine, if it still runs.</summary>
    /// <param name="during">What it is, as findings say it.</param>
    /// <returns>Whether the machine still runs.</returns>
    public bool Do(string during, Action action)
    {
        if (!IsRunning) return false;
        Reporter.During = during;
        try
        {
            action();
        }
        catch (MachineStop stop)
        {
            Stop = stop;
            Reporter.Report(stop);
        }
        return IsRunning;
    }

    /// <summary>Unloads the driver, and looks for what it left behind. What is pending is canceled before: a program
    /// whose driver is unloaded has ended.</summary>
    public bool Unload()
    {
        bool unloaded = false;
        Do("the end of the program", Nt.User.CancelPending);
        foreach (DeviceNode device in Devices.Where(d => d.IsStarted))
            Do("the end of the program", () => DeviceSetup.ReportInterrupt(this, device));
        foreach (DeviceNode device in Devices)
            if (device.State is not (DeviceNodeState.Removed or DeviceNodeState.Deleted))
                Do($"the removal of {device}", () =>
                {
                    if (Nt.User.Devices.Uninstall(device) == Status.STATUS_PENDING)
                        DeviceSetup.ReportKept(this, device, "The removal");
                });
        Do("DriverUnload", () =>
        {
            unloaded = Nt.Loader.Unload(Driver!);
            Nt.User.RunUntilIdle();
        });
        if (unloaded && IsRunning) LeftoverRule.Look(Nt, Driver!, Reporter);
        return unloaded;
    }

    public void Dispose() => Nt.Dispose();
}
