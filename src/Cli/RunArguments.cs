using System.CommandLine;
using Ringdown.Check;
using Ringdown.Host;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Verifier;

namespace Ringdown.Cli;

/// <summary>What the verbs have in common that load a driver, send requests and unload it.</summary>
sealed class RunArguments
{
    readonly Argument<string> _driver = Arguments.Driver();
    readonly Argument<string[]> _requests = new("requests")
    {
        Description = "In order, each one quoted word: \"open \\\\.\\Echo\", \"read 64\", \"write 48656c6c6f\", "
            + "\"ioctl 0x222004 in=cafe out=64\", \"flush\", \"cancel\", "
            + "\"serve\", \"close\". \"open\" alone opens the driver's own device, by its interface or link.",
        Arity = ArgumentArity.ZeroOrMore,
    };
    readonly Option<bool> _json = Arguments.Json();
    readonly Option<bool> _pool = new("--pool") { Description = "Show the pool that drivers used, by tag." };
    readonly Option<bool> _noUnload = new("--no-unload") { Description = "Do not unload the driver at the end." };
    readonly Option<ulong> _seed = Arguments.Seed();
    readonly Option<long> _timeout = Arguments.Timeout();
    readonly Option<string[]> _registry = Arguments.Registry(), _registryFiles = Arguments.RegistryFiles();
    readonly Option<string?> _saveRegistry = new("--save-reg")
    {
        Description = "Write HKEY_LOCAL_MACHINE as it is at the end to a .reg file.",
    };
    readonly Option<string[]> _before = Arguments.Before();
    readonly Option<string?> _board = Arguments.Board(), _device = Arguments.Device();
    readonly Option<int> _processors = Arguments.Processors();
    readonly Option<string> _schedule = Arguments.Schedule();
    readonly Option<string?> _record = new("--record")
    {
        Description = "Write the decisions of the schedule, and what came from outside by a board's wires, to a file.",
    };
    readonly Option<string?> _replay = new("--replay") { Description = "Run as such a file says." };
    readonly Option<bool> _pace = new("--pace")
    {
        Description = "Let the machine's time pass no faster than the host's, for who talks to it by a wire.",
    };

    public void AddTo(Command command)
    {
        command.Add(_driver);
        command.Add(_requests);
        foreach (Option option in (Option[])
            [_json, _pool, _noUnload, _seed, _timeout, _registry, _registryFiles, _saveRegistry, _before, _processors,
                _schedule, _record, _replay, _pace, _board, _device])
            command.Add(option);
    }

    /// <summary>Runs it, and shows what happened.</summary>
    /// <param name="observe">Makes observers beside the verifier's rules, once it is known that all arguments are
    /// usable. What they saw is shown.</param>
    /// <param name="end">Called once it is over, before it is shown.</param>
    /// <returns>The exit code.</returns>
    public int Run(ParseResult parsed, Func<IReadOnlyList<IObserver>> observe, Action<RunOutcome>? end = null)
    {
        Request[] script = [.. (parsed.GetValue(_requests) ?? []).Select(Request.Parse)];
        RecordingSchedule? recorded = null;
        RunRecord? replayed = parsed.GetValue(_replay) is { } played ? RunRecord.Open(played) : null;
        Func<Chance, Schedule> inner = replayed is not null
            ? _ => new ReplaySchedule(replayed.Decisions) : Schedules.Find(parsed.GetValue(_schedule)!)!;
        using var live = new HostSide(parsed.GetValue(_pace)) { Connected = Tell };
        IBoardHost host = replayed is null ? live : new RecordedHost(replayed.Input);
        DriverFile file = DriverFile.Open(parsed.GetValue(_driver)!, parsed.GetValue(_device));
        var options = new SessionOptions
        {
            Seed = parsed.GetValue(_seed),
            InstructionLimit = parsed.GetValue(_timeout),
            Registry = Arguments.ParseRegistry(parsed.GetValue(_registry)),
            RegistryFiles = Arguments.OpenRegistry(parsed.GetValue(_registryFiles)),
            Before = Arguments.OpenAll(parsed.GetValue(_before)),
            Board = Arguments.OpenBoard(parsed.GetValue(_board), host),
            Processors = parsed.GetValue(_processors),
            Schedule = chance => recorded = new RecordingSchedule(inner(chance)),
        };
        IReadOnlyList<IObserver> observers = observe();
        options = options with { Observers = observers };
        var findings = new FindingList();
        using var session = new DriverSession(file, options, findings);
        var outcome = new RunOutcome(session, findings)
        {
            IsJson = parsed.GetValue(_json),
            Irps = observers.OfType<IrpLives>().FirstOrDefault(),
            Calls = observers.OfType<Trace>().FirstOrDefault(),
        };
        outcome.Play(script, unload: !parsed.GetValue(_noUnload));
        if (parsed.GetValue(_pool)) outcome.Pool = [.. session.Nt.PoolTags().Where(t => t.ByDriver)];
        end?.Invoke(outcome);
        outcome.Write();
        // UTF-16, as the registry editor writes and reads it.
        if (parsed.GetValue(_saveRegistry) is { } path)
            File.WriteAllText(path, session.Nt.SaveRegistry().ToString(), System.Text.Encoding.Unicode);
        if (parsed.GetValue(_record) is { } kept) new RunRecord(
            recorded!.Decisions, replayed?.Input ?? live.Record).Save(kept);
        return findings.Count > 0 || !session.IsRunning ? Program.Found : Program.Ran;
    }

    // Whoever is to connect must know where before the run goes on.
    static void Tell(string address) => Console.Error.WriteLine($"wire: {address}");
}
