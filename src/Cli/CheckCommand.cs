using System.CommandLine;

namespace Ringdown.Cli;

static class CheckCommand
{
    public static Command Create() => new("check", "Exercise all of a driver and report what it does wrong.");
}
