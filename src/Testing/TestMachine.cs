using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Verifier;

namespace Ringdown.Testing;

/// <summary>A machine for a test: a kernel under the verifier's rules, drivers in it, and the user's side.</summary>
/// <remarks>What stops the machine is thrown as <see cref="MachineStop"/>; what rules find is in <see
/// cref="Findings"/>.</remarks>
public sealed class TestMachine : IDisposable
{
    readonly FindingList _findings = new();
    readonly Reporter _reporter;

    public TestMachine(ulong seed = 1, params IObserver[] observers)
        : this(new KernelOptions { Seed = seed, Observers = observers })
    {
    }

    /// <summary>A machine with other options: several processors, a schedule. The rules and the trace are added to its
    /// observers.</summary>
    public TestMachine(KernelOptions options)
    {
        _reporter = new Reporter(_findings, options.Seed);
        Nt = new NtKernel(options with
        {
            InstructionLimit = Math.Min(options.InstructionLimit, 50_000_000),
            Observers = [.. Rules.All(_reporter), Trace, .. options.Observers],
        });
    }

    public NtKernel Nt { get; }
    public Trace Trace { get; } = new();
    public IReadOnlyList<Finding> Findings => _findings.All;

    /// <summary>Loads a driver from a file: a .sys, or the assembly of one in C#.</summary>
    public Driver Load(string path, params (string Name, RegistryValue Value)[] registry) =>
        DriverFile.Open(path).Load(Nt, registry);

    /// <summary>Loads a driver in C#. Its service has the class's name.</summary>
    public Driver Load(NtDriver driver, params (string Name, RegistryValue Value)[] registry) =>
        Nt.Loader.Load(driver.GetType().Name, driver, registry);

    /// <summary>Ends the user's process as far as its requests go: they are canceled. Then unloads a driver, and looks
    /// for what it left behind.</summary>
    /// <returns>False if the driver cannot be unloaded.</returns>
    public bool Unload(Driver driver)
    {
        Nt.User.CancelPending();
        bool unloaded = Nt.Loader.Unload(driver);
        Nt.User.RunUntilIdle();
        if (unloaded) LeftoverRule.Look(Nt, driver, _reporter);
        return unloaded;
    }

    /// <summary>Opens a file that must be there.</summary>
    public UserFile Open(string path)
    {
        NtStatus status = Nt.User.CreateFile(path, out UserFile? file);
        return file ?? throw new InvalidOperationException($"{path} cannot be opened: {status}");
    }

    public void Dispose() => Nt.Dispose();
}
