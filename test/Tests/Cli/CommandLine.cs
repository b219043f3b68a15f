using System.Diagnostics;
using System.Text.Json.Nodes;
using Xunit;

namespace Ringdown.Tests;

/// <summary>ringdown as a process of its own: what a user gets.</summary>
sealed record CommandLine(int ExitCode, string Output, string Errors)
{
    public static CommandLine Run(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "ringdown.dll"));
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new CommandLine(process.ExitCode, output, errors.Result);
    }

    /// <summary>Standard output as the one JSON document that it must be.</summary>
    public JsonObject Json => Assert.IsType<JsonObject>(JsonNode.Parse(Output));
}
