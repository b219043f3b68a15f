using Ringdown.Kernel;
using Ringdown.Verifier;

namespace Ringdown.Check;

/// <summary>One part of the battery. It reports by the session's findings, not by what it returns.</summary>
public interface IPhase
{
    /// <summary>What is exercised, in a few words.</summary>
    string Name { get; }

    void Run(CheckRun run);
}

/// <summary>What a driver offers to the outside.</summary>
public sealed record Surface(
    IReadOnlyList<DeviceInfo> Devices, IReadOnlyList<(string Link, string Target)> Links,
        IReadOnlyList<IrpMajor> Majors,
    IReadOnlyList<uint> ControlCodes)
{
    /// <summary>Links of the interfaces of the driver's devices.</summary>
    public IReadOnlyList<string> Interfaces { get; init; } = [];

    /// <summary>A path for each device that has a name; its link's, if it has one. And each interface.</summary>
    public IReadOnlyList<string> Paths =>
        [.. Devices.Where(d => d.Name.Length > 0).Select(
            d => Links.FirstOrDefault(l => l.Target == d.Name).Link ?? d.Name), .. Interfaces];
}

/// <summary>What a phase did.</summary>
public sealed record PhaseResult(string Name, int Requests, int Machines, int NewFindings);

/// <summary>The battery behind <c>ringdown check</c>, over one driver: all phases, one list of findings.</summary>
public sealed class CheckRun
{
    static readonly IPhase[] s_phases =
        [new LoadPhase(), new OpenPhase(), new TransferPhase(), new ControlPhase(), new ConcurrentPhase(),
            new PnpPhase(), new UnloadPhase()];

    readonly SessionOptions _options;
    readonly List<PhaseResult> _phases = [];
    DriverSession? _session;
    int _requests, _machines;

    public CheckRun(DriverFile file, SessionOptions options) => (File, _options) = (file, options);

    public DriverFile File { get; }
    public FindingList Findings { get; } = new();
    public IReadOnlyList<PhaseResult> Phases => _phases;

    /// <summary>Set by the first phase; null if the driver did not load.</summary>
    public Surface? Surface { get; internal set; }
    /// <summary>It has devices under plug and play, which have started.</summary>
    public bool HasDevices { get; internal set; }
    public NtStatus? EntryStatus { get; internal set; }
    public IReadOnlyList<MissingImport> MissingImports { get; internal set; } = [];

    /// <summary>Told the name of each phase when it begins.</summary>
    public Action<string>? Progress { get; set; }

    public void Run()
    {
        foreach (IPhase phase in s_phases)
        {
            Progress?.Invoke(phase.Name);
            (_requests, _machines) = (0, 0);
            int before = Findings.Count;
            phase.Run(this);
            EndSession();
            _phases.Add(new PhaseResult(phase.Name, _requests, _machines, Findings.Count - before));
            if (Surface is null) return;
        }
    }

    /// <summary>Control codes that do harm by themselves.</summary>
    public HashSet<uint> Harmful { get; } = [];

    /// <summary>A machine of its own, with the driver loaded or not.</summary>
    public DriverSession NewSession(Func<SessionOptions, SessionOptions>? change = null)
    {
        _machines++;
        return new DriverSession(File, change is null ? _options : change(_options), Findings);
    }

    /// <summary>Something was done that counts as a request.</summary>
    internal void Count() => _requests++;

    /// <summary>Does something with a file opened at a path, on a machine that lives on until something stops
    /// it.</summary>
    /// <returns>Whether the machine still runs.</returns>
    public bool WithFile(string path, string during, Action<DriverSession, UserFile> action)
    {
        if (_session is not { IsRunning: true })
        {
            _session?.Dispose();
            _session = NewSession();
            if (!_session.Load()) return false;
        }
        _requests++;
        DriverSession session = _session;
        return session.Do($"{during} on {path}", () =>
        {
            if (!session.Nt.User.CreateFile(path, out UserFile? file).IsSuccess) return;
            action(session, file!);
            file!.Close();
        });
    }

    // Each machine ends as a careful user would end it: what is left then is the driver's.
    void EndSession()
    {
        if (_session is null) return;
        if (_session is { IsRunning: true, Driver.IsLoaded: true }) _session.Unload();
        _session.Dispose();
        _session = null;
    }
}
