using System.CommandLine;
using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Verifier;

namespace Ringdown.Cli;

/// <summary>What came of one request.</summary>
sealed record RequestResult(Request Request, NtStatus Status, UserRequest? Io);

/// <summary><c>ringdown run</c>: loads a driver, sends requests in order, unloads it, and shows what
/// happened.</summary>
static class RunCommand
{
    public static Command Create()
    {
        var driver = Arguments.Driver();
        var requests = new Argument<string[]>("requests")
        {
            Description = "In order, each one quoted word: \"open \\\\.\\Echo\", \"read 64\", \"write 48656c6c6f\", "
                + "\"ioctl 0x222004 in=cafe out=64\", \"flush\", \"cancel\", \"close\".",
            Arity = ArgumentArity.ZeroOrMore,
        };
        var json = Arguments.Json();
        var trace = new Option<bool>(
            "--trace")
        { Description = "Show every export call with its arguments and result." };
        var pool = new Option<bool>("--pool") { Description = "Show the pool that drivers used, by tag." };
        var noUnload = new Option<bool>("--no-unload") { Description = "Do not unload the driver at the end." };
        var seed = Arguments.Seed();
        var timeout = Arguments.Timeout();
        var registry = Arguments.Registry();
        var registryFiles = Arguments.RegistryFiles();
        var saveRegistry = new Option<string?>("--save-reg")
        { Description = "Write HKEY_LOCAL_MACHINE as it is at the end to a .reg file." };
        var before = Arguments.Before();
        var processors = Arguments.Processors();
        var schedule = Arguments.Schedule();
        var record = new Option<string?>("--record") { Description = "Write the decisions of the schedule to a file." };
        var replay = new Option<string?>("--replay") { Description = "Decide as a file of decisions says." };
        var command = new Command("run", "Load a driver, send it requests, unload it, and show what happened.")
        {
            driver, requests, json, trace, pool, noUnload, seed, timeout, registry, registryFiles, saveRegistry, before,
            processors, schedule, record, replay,
        };
        command.SetAction(parsed => Arguments.Guard(() =>
        {
            Request[] script = [.. (parsed.GetValue(requests) ?? []).Select(Request.Parse)];
            var tracer = parsed.GetValue(trace) ? new Trace() : null;
            RecordingSchedule? recorded = null;
            Func<Chance, Schedule> inner = parsed.GetValue(replay) is { } decisions
                ? Replay(decisions) : Schedules.Find(parsed.GetValue(schedule)!)!;
            var options = new SessionOptions
            {
                Seed = parsed.GetValue(seed),
                InstructionLimit = parsed.GetValue(timeout),
                Registry = Arguments.ParseRegistry(parsed.GetValue(registry)),
                RegistryFiles = Arguments.OpenRegistry(parsed.GetValue(registryFiles)),
                Before = Arguments.OpenAll(parsed.GetValue(before)),
                Processors = parsed.GetValue(processors),
                Schedule = chance => recorded = new RecordingSchedule(inner(chance)),
                Observers = tracer is null ? [] : [tracer],
            };
            DriverFile file = DriverFile.Open(parsed.GetValue(driver)!);
            var findings = new FindingList();
            using var session = new DriverSession(file, options, findings);
            var outcome = new RunOutcome(session, findings, tracer);
            var show = new RunOptions(!parsed.GetValue(noUnload), parsed.GetValue(json), parsed.GetValue(pool));
            int code = Run(outcome, script, show);
            // UTF-16, as the registry editor writes and reads it.
            if (parsed.GetValue(saveRegistry) is { } path)
                File.WriteAllText(path, session.Nt.SaveRegistry().ToString(), System.Text.Encoding.Unicode);
            if (parsed.GetValue(record) is { } kept) File.WriteAllText(kept, Schedules.Write(recorded!.Decisions));
            return code;
        }));
        return command;
    }

    static Func<Chance, Schedule> Replay(string path)
    {
        try
        {
            IReadOnlyList<long> decisions = Schedules.Read(File.ReadAllText(path));
            return _ => new ReplaySchedule(decisions);
        }
        catch (FormatException)
        {
            throw new UsageException($"{path} is no record of a schedule.");
        }
    }

    readonly record struct RunOptions(bool Unload, bool Json, bool Pool);

    static int Run(RunOutcome outcome, Request[] script, RunOptions show)
    {
        DriverSession session = outcome.Session;
        if (session.Load())
        {
            outcome.Surface();
            UserFile? open = null;
            foreach (Request request in script)
            {
                RequestResult? result = null;
                session.Do(request.Text, () =>
                {
                    UserRequest? io = request.Send(session.Nt, ref open, out NtStatus status);
                    result = new RequestResult(request, status, io);
                });
                if (result is null) break;
                outcome.Results.Add(result);
            }
            if (open is not null) session.Do("close at the end", () => open.Close());
            if (show.Unload && session.IsRunning)
            {
                bool unloaded = session.Unload();
                if (session.IsRunning) outcome.Unloaded = unloaded;
            }
        }
        if (show.Pool) outcome.Pool = [.. session.Nt.PoolTags().Where(t => t.ByDriver)];
        if (show.Json) RunJson.Write(outcome);
        else RunText.Write(outcome);
        return outcome.Findings.Count > 0 || !session.IsRunning ? Program.Found : Program.Ran;
    }
}

/// <summary>Everything that a run has to show.</summary>
sealed class RunOutcome(DriverSession session, FindingList findings, Trace? tracer)
{
    public DriverSession Session { get; } = session;
    public FindingList Findings { get; } = findings;
    public Trace? Tracer { get; } = tracer;
    public List<RequestResult> Results { get; } = [];
    public IReadOnlyList<DeviceInfo> Devices { get; private set; } = [];
    public IReadOnlyList<(string Link, string Target)> Links { get; private set; } = [];
    public bool? Unloaded { get; set; }

    /// <summary>What drivers used of pool, by tag, at the end; null unless it was asked for.</summary>
    public IReadOnlyList<PoolTagUsage>? Pool { get; set; }

    /// <summary>Notes what the driver offers, while it is loaded.</summary>
    public void Surface()
    {
        Devices = Session.Nt.DevicesOf(Session.Driver!);
        Links = Session.Nt.Links();
    }
}
