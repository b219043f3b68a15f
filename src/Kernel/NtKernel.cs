using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>How a kernel is started.</summary>
public sealed record KernelOptions
{
    /// <summary>Decides every chance of the run. Same seed, same run.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Guest instructions that one request may take before it counts as hung.</summary>
    public long InstructionLimit { get; init; } = 200_000_000;

    public IReadOnlyList<IObserver> Observers { get; init; } = [];

    /// <summary>How many processors the machine has: 1 to 64.</summary>
    public int Processors { get; init; } = 1;

    /// <summary>Makes the machine's schedule out of a chance of its own; null: everybody in turn.</summary>
    public Func<Chance, Schedule>? Schedule { get; init; }

    /// <summary>Every block of pool ends before a page that is not there, and no address is used twice: what a driver
    /// touches too far or too late is found. Without it small blocks share pages: for a machine with very
    /// many.</summary>
    public bool SpecialPool { get; init; } = true;

    /// <summary>The user whose programs send requests is an administrator, and elevated; else an ordinary
    /// user.</summary>
    public bool UserIsAdministrator { get; init; }

    /// <summary>What .reg files say, done in order when the machine boots.</summary>
    public IReadOnlyList<RegistryDocument> Registry { get; init; } = [];

    /// <summary>The images of drivers that a driver loads, by the path that their service keys give; null: there is
    /// no such file.</summary>
    public Func<string, byte[]?>? DriverFiles { get; init; }

    /// <summary>Builds devices into the computer, before the system boots.</summary>
    public Action<Computer>? Board { get; init; }

    /// <summary>Decoded code, shared by machines that run the same drivers.</summary>
    public CodeCache? Code { get; init; }
}

/// <summary>One NT, booted on a computer. All state hangs from here and none is static, so a process may hold
/// many.</summary>
public sealed partial class NtKernel : IDisposable
{
    const ulong ScheduleSeed = 0x5343_4845_4455_4C45;

    readonly IObserver[] _observers;
    readonly IIrpObserver[] _irpObservers;
    readonly IProcessorObserver[] _processorObservers;

    public NtKernel(KernelOptions options)
    {
        Options = options;
        _observers = [.. options.Observers];
        _irpObservers = [.. _observers.OfType<IIrpObserver>()];
        _processorObservers = [.. _observers.OfType<IProcessorObserver>()];
        KeepsIrpHistory = _observers.Any(o => o.WantsIrpHistory);
        WatchesIrps = KeepsIrpHistory || _irpObservers.Length > 0;
        Computer = new Computer(options.Seed, options.Code ?? new CodeCache(), processors: options.Processors);
        Routines = new Routines(this);
        var chance = new Chance(options.Seed ^ ScheduleSeed);
        Ke = new Ke(this, options.Schedule?.Invoke(chance) ?? new RoundRobinSchedule());
        options.Board?.Invoke(Computer);
        Ex = new Ex(this);
        Mm = new Mm(this);
        Ob = new Ob(this);
        Ps = new Ps(this);
        Io = new Io(this);
        Rtl = new Rtl(this);
        Crt = new Crt(this);
        Nls = new Nls(this);
        Ldr = new Ldr(this);
        Cm = new Cm(this);
        Zw = new Zw(this);
        Se = new Se(this);
        Etw = new Etw(this);
        Pcw = new Pcw(this);
        Wmi = new Wmi(this);
        WmiLib = new WmiLib(this);
        Pnp = new Pnp(this);
        Po = new Po(this);
        Hal = new Hal(this);
        Seh = new Seh(this);
        Dbg = new Dbg(this);
        FsRtl = new FsRtl(this);
        Cc = new Cc(this);
        Loader = new Loader(this);
        Drivers = new DriverStore(this);
        Pnp.Drivers = Drivers;
        User = new UserSide(this);
        Ke.Boot();
        Ob.Boot();
        Ex.Boot();
        Ps.Boot();
        Io.Boot();
        Wmi.Boot();
        Hal.Boot();
        Loader.Boot();
    }

    public KernelOptions Options { get; }
    public Computer Computer { get; }
    public Memory Memory => Computer.Memory;
    public Processor Cpu => Computer.Cpu;
    public Routines Routines { get; }
    public Loader Loader { get; }

    /// <summary>The driver packages that devices get their drivers from.</summary>
    public DriverStore Drivers { get; }

    /// <summary>The user's side: opens files and sends requests as a program does.</summary>
    public UserSide User { get; }

    /// <summary>What drivers print: DbgPrint and its kin, a line each.</summary>
    public IReadOnlyList<string> DebugPrint => Dbg.Lines;

    internal Ke Ke { get; }
    internal Ex Ex { get; }
    internal Mm Mm { get; }
    internal Ob Ob { get; }
    internal Ps Ps { get; }
    internal Io Io { get; }
    internal Rtl Rtl { get; }
    internal Crt Crt { get; }
    internal Cm Cm { get; }
    internal Zw Zw { get; }
    internal Se Se { get; }
    internal Etw Etw { get; }
    internal Pcw Pcw { get; }
    internal Wmi Wmi { get; }
    internal WmiLib WmiLib { get; }
    internal Pnp Pnp { get; }
    internal Po Po { get; }
    internal Hal Hal { get; }
    internal Seh Seh { get; }
    internal Dbg Dbg { get; }
    internal FsRtl FsRtl { get; }
    internal Cc Cc { get; }
    internal Nls Nls { get; }
    internal Ldr Ldr { get; }

    /// <summary>A new request from outside begins: it may take so many instructions as the options say.</summary>
    internal void BeginRequest() => Ke.Clock.Limit(Options.InstructionLimit);

    void Enter(Export export, ReadOnlySpan<ulong> arguments)
    {
        foreach (IObserver observer in _observers) observer.Enter(this, export, arguments);
    }

    void Leave(Export export, ulong result)
    {
        // It has put its thread to sleep: the caller sees the result later.
        if (Routines.MayPark && Ke.Scheduler.Current.State == ThreadState.Waiting) return;
        LeaveParked(export, result);
    }

    internal void LeaveParked(Export export, ulong result)
    {
        foreach (IObserver observer in _observers) observer.Leave(this, export, result);
    }

    public void Dispose()
    {
        Ke.Scheduler.Stop();
        Computer.Dispose();
    }
}
