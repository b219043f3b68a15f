using System.CommandLine;
using Ringdown.Kernel;
using Ringdown.Verifier;

namespace Ringdown.Cli;

/// <summary><c>ringdown run</c>: loads a driver, sends requests in order, unloads it, and shows what
/// happened.</summary>
static class RunCommand
{
    public static Command Create()
    {
        var arguments = new RunArguments();
        var trace = new Option<bool>("--trace")
        {
            Description = "Show the life of each IRP: who had it, where, for how long, and what came of it.",
        };
        var calls = new Option<bool>("--calls")
        {
            Description = "Show every export call with its arguments and result, by thread and DPC, and events.",
        };
        var command = new Command("run", "Load a driver, send it requests, unload it, and show what happened.");
        arguments.AddTo(command);
        command.Add(trace);
        command.Add(calls);
        command.SetAction(parsed => Arguments.Guard(() =>
        {
            var observers = new List<IObserver>();
            if (parsed.GetValue(trace)) observers.Add(new IrpLives());
            if (parsed.GetValue(calls)) observers.Add(new Trace());
            return arguments.Run(parsed, () => observers);
        }));
        return command;
    }
}
