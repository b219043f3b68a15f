using System.CommandLine;
using Ringdown.Verifier;

namespace Ringdown.Cli;

/// <summary><c>ringdown trace</c>: the same run, with its timeline in a file for Perfetto.</summary>
static class TraceCommand
{
    public static Command Create()
    {
        var arguments = new RunArguments();
        var output = new Option<string>("--output", "-o")
        {
            Description = "The file to write, in the JSON trace event format.",
            Required = true,
        };
        var command = new Command("trace", "As run, and write a timeline for ui.perfetto.dev: threads, DPCs, IRPs.");
        arguments.AddTo(command);
        command.Add(output);
        command.SetAction(parsed => Arguments.Guard(() =>
        {
            string path = parsed.GetValue(output)!;
            if (path.Length == 0) throw new UsageException("-o needs the name of a file.");
            FileStream? file = null;
            Timeline? timeline = null;
            try
            {
                return arguments.Run(parsed, () => [timeline = new Timeline(file = File.Create(path))], outcome =>
                {
                    timeline!.Dispose();
                    outcome.Timeline = (path, timeline.Count);
                });
            }
            finally
            {
                timeline?.Dispose();
                file?.Dispose();
            }
        }));
        return command;
    }
}
