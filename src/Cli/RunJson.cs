using System.Text.Json;
using System.Text.Json.Nodes;
using Ringdown.Kernel;
using Ringdown.Verifier;

namespace Ringdown.Cli;

/// <summary>A run as one JSON document.</summary>
static class RunJson
{
    static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    public static void Write(RunOutcome outcome)
    {
        Driver? driver = outcome.Session.Driver;
        var document = new JsonObject
        {
            ["driver"] = driver?.Name,
            ["package"] = PackageText.Notes(outcome.Session.Package),
            ["driverEntry"] = driver is null || driver.EntryStatus == Status.STATUS_PENDING ? null
                : StatusNode(driver.EntryStatus),
            ["devices"] = Array(outcome.Devices, d => new JsonObject
            {
                ["name"] = d.Name,
                ["type"] = d.Type,
                ["flags"] = d.Flags,
                ["stackSize"] = d.StackSize,
            }),
            ["drives"] = Array(outcome.Nodes, n => n),
            ["links"] = Array(outcome.Links, l => new JsonObject { ["name"] = l.Link, ["target"] = l.Target }),
            ["requests"] = Array(outcome.Results, Result),
            ["unloaded"] = outcome.Unloaded,
            ["stackBytes"] = driver is null ? null : outcome.Session.Nt.Loader.StackUsedBy(driver),
            ["bugCheck"] = outcome.Session.Stop is BugCheck ? Crash(outcome.Session.Stop.Report!) : null,
            ["findings"] = Findings(outcome.Findings.All),
            ["missingImports"] = Array(driver?.MissingImports ?? [], m => $"{m.Module}!{m.Name}"),
            ["debugPrint"] = Array(outcome.Session.Nt.DebugPrint, l => l),
            ["errorLog"] = Array(outcome.Session.Nt.ErrorLog, LogEntry),
        };
        if (outcome.Pool is { } pool) document["pool"] = Array(pool, Pool);
        if (outcome.Irps is { } irps) (document["irps"], document["moreIrps"]) = (Array(irps.All, Life), irps.HasMore);
        if (outcome.Calls is { } calls) document["calls"] = Array(calls.Lines, l => l);
        if (outcome.Timeline is { } timeline)
            document["timeline"] = new JsonObject { ["file"] = timeline.Path, ["events"] = timeline.Events };
        Print(document);
    }

    public static void Print(JsonObject document) => Console.Out.WriteLine(document.ToJsonString(s_indented));

    public static JsonArray Array<T>(IEnumerable<T> items, Func<T, JsonNode?> make) => [.. items.Select(make)];

    static JsonObject StatusNode(NtStatus status) =>
        new() { ["status"] = status.ToString(), ["code"] = $"0x{status.Value:X8}" };

    static JsonObject LogEntry(ErrorLogEntry entry) => new()
    {
        ["source"] = entry.Source,
        ["device"] = entry.Device,
        ["errorCode"] = $"0x{entry.ErrorCode.Value:X8}",
        ["uniqueErrorValue"] = entry.UniqueErrorValue,
        ["finalStatus"] = StatusNode(entry.FinalStatus),
        ["majorFunction"] = entry.Major.ToString(),
        ["retryCount"] = entry.RetryCount,
        ["sequenceNumber"] = entry.SequenceNumber,
        ["ioControlCode"] = $"0x{entry.IoControlCode:X}",
        ["deviceOffset"] = entry.DeviceOffset,
        ["strings"] = Array(entry.Strings, s => s),
        ["dumpData"] = Convert.ToHexStringLower(entry.DumpData),
    };

    static JsonObject Pool(PoolTagUsage tag) => new()
    {
        ["tag"] = tag.Tag,
        ["nonPaged"] = Usage(tag.NonPaged),
        ["paged"] = Usage(tag.Paged),
    };

    static JsonObject Usage(PoolUsage usage) => new()
    {
        ["allocations"] = usage.Allocations,
        ["frees"] = usage.Frees,
        ["bytes"] = usage.Bytes,
        ["peakBytes"] = usage.PeakBytes,
    };

    static JsonObject Result(RequestResult result) => new()
    {
        ["request"] = result.Request.Text,
        ["status"] = result.Status.ToString(),
        ["code"] = $"0x{result.Status.Value:X8}",
        ["win32"] = Status.Win32Of(result.Status),
        ["information"] = result.Io?.Information ?? 0,
        ["output"] = Convert.ToHexStringLower(result.Io?.Output ?? []),
    };

    // Times are in ns of the machine's time.
    static JsonObject Life(IrpLife life) => new()
    {
        ["number"] = life.Number,
        ["request"] = life.Request,
        ["device"] = life.Device,
        ["during"] = life.During,
        ["begin"] = life.Begin,
        ["end"] = life.End,
        ["status"] = life.Status?.ToString(),
        ["information"] = life.Information,
        ["stays"] = Array(life.Stays, s => new JsonObject
        {
            ["kind"] = s.Kind.ToString().ToLowerInvariant(),
            ["begin"] = s.Begin,
            ["end"] = s.End,
            ["depth"] = s.Depth,
            ["irql"] = s.Irql.ToString(),
            ["processor"] = s.Processor,
            ["context"] = s.Context,
            ["driver"] = s.Driver,
            ["device"] = s.Device,
            ["routine"] = s.Routine,
            ["outcome"] = s.Outcome,
        }),
        ["omitted"] = life.Omitted,
    };

    public static JsonArray Findings(IEnumerable<Finding> findings) => Array(findings, f => new JsonObject
    {
        ["rule"] = f.Rule,
        ["severity"] = f.Severity.ToString().ToLowerInvariant(),
        ["message"] = f.Message,
        ["driver"] = f.Driver,
        ["during"] = f.During,
        ["count"] = f.Count,
        ["seed"] = f.Seed,
        ["stack"] = Stack(f.Stack),
        ["irp"] = Array(f.IrpHistory, l => l),
        ["crash"] = f.Crash is null ? null : Crash(f.Crash),
    });

    static JsonArray Stack(IEnumerable<StackFrame> stack) => Array(stack, f => new JsonObject
    {
        ["address"] = $"0x{f.Address.Value:x}",
        ["function"] = f.Text,
        ["file"] = f.File,
        ["line"] = f.File is null ? null : f.Line,
    });

    static JsonObject Crash(CrashReport report)
    {
        var registers = new JsonObject();
        foreach ((string name, ulong value) in report.Registers) registers[name] = $"0x{value:x}";
        return new JsonObject
        {
            ["title"] = report.Title,
            ["code"] = report.Code == 0 ? null : $"0x{report.Code:X}",
            ["name"] = report.Code == 0 ? null : ((BugCheckCode)report.Code).ToString(),
            ["parameters"] = Array(report.Parameters, p => $"0x{p:x}"),
            ["driver"] = report.Driver,
            ["irql"] = report.Irql.ToString(),
            ["thread"] = report.Thread,
            ["note"] = report.Note,
            ["stack"] = Stack(report.Stack),
            ["registers"] = registers,
            ["disassembly"] = Array(report.Disassembly, l => l),
        };
    }
}
