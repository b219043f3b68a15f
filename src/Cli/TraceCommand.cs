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
            using FileStream file = File.Create(path);
            using var timeline = new Timeline(file);
            return arguments.Run(parsed, [timeline], outcome =>
            {
                timeline.Dispose();
                outcome.Timeline = (path, timeline.Count);
            });
        }));
        return command;
    }
}
