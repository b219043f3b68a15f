using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Verifier;

namespace Ringdown.Cli;

/// <summary>What came of one request.</summary>
sealed record RequestResult(Request Request, NtStatus Status, UserRequest? Io);

/// <summary>A run of a driver, and everything that it has to show.</summary>
sealed class RunOutcome(DriverSession session, FindingList findings)
{
    public DriverSession Session { get; } = session;
    public FindingList Findings { get; } = findings;
    public List<RequestResult> Results { get; } = [];
    /// <summary>What plug and play has of the driver's.</summary>
    public IReadOnlyList<string> Nodes { get; private set; } = [];
    public IReadOnlyList<DeviceInfo> Devices { get; private set; } = [];
    public IReadOnlyList<(string Link, string Target)> Links { get; private set; } = [];
    public bool? Unloaded { get; private set; }

    /// <summary>It is to be shown as one JSON document.</summary>
    public bool IsJson { get; init; }

    /// <summary>What drivers used of pool, by tag, at the end; null unless it was asked for.</summary>
    public IReadOnlyList<PoolTagUsage>? Pool { get; set; }

    /// <summary>The lives of its IRPs; null unless they were asked for.</summary>
    public IrpLives? Irps { get; init; }

    /// <summary>Every export call; null unless they were asked for.</summary>
    public Trace? Calls { get; init; }

    /// <summary>Where its timeline was written; null if it was not.</summary>
    public (string Path, long Events)? Timeline { get; set; }

    /// <summary>Loads the driver, sends the requests in order and closes what is open.</summary>
    public void Play(Request[] script, bool unload)
    {
        Say("DriverEntry");
        if (!Session.Load()) return;
        Nodes = [.. Session.Devices.Select(Describe)];
        Devices = Session.Nt.DevicesOf(Session.Driver!);
        Links = Session.Nt.Links();
        UserFile? open = null;
        foreach (Request request in script)
        {
            Say(request.Text);
            if (Send(request, ref open) is not { } result) break;
            Results.Add(result);
        }
        Say("close at the end");
        if (open is not null) Session.Do("close at the end", () => open.Close());
        if (!unload || !Session.IsRunning) return;
        Say("DriverUnload");
        bool unloaded = Session.Unload();
        if (Session.IsRunning) Unloaded = unloaded;
    }

    /// <returns>Null if the machine has stopped.</returns>
    RequestResult? Send(Request request, ref UserFile? open)
    {
        RequestResult? result = null;
        UserFile? file = open;
        try
        {
            Session.Do(request.Text, () =>
            {
                UserRequest? io = request.On(OwnPath()).Send(Session.Nt, ref file, out NtStatus status);
                result = new RequestResult(request, status, io);
            });
        }
        // That a file could not be opened is a result; that nobody tried is a mistake.
        catch (UsageException) when (Results.Exists(r => r.Io is null && !r.Status.IsSuccess))
        {
            result = new RequestResult(request, Kernel.Status.STATUS_INVALID_HANDLE, null);
        }
        open = file;
        return result;
    }

    // The first interface of the devices that it drives, or the first link to one of its devices.
    string? OwnPath() => Session.Devices.SelectMany(d => d.Interfaces).FirstOrDefault()
        ?? Links.FirstOrDefault(l => Devices.Any(d => d.Name == l.Target)).Link
        ?? Devices.FirstOrDefault(d => d.Name.Length > 0)?.Name;

    // What a bus driver has put between its resources for itself says nothing to anybody else.
    static string Describe(DeviceNode node)
    {
        if (!node.IsStarted) return $"{node}  {node.Problem}, {node.ProblemStatus}";
        IEnumerable<Resource> resources = node.Resources.Where(r => r.Type != ResourceType.DevicePrivate);
        return $"{node}  {string.Join(", ", resources)}".TrimEnd();
    }

    void Say(string during)
    {
        if (Irps is { } irps) irps.During = during;
    }

    public void Write()
    {
        if (IsJson) RunJson.Write(this);
        else RunText.Write(this);
    }
}
