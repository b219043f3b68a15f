using System.CommandLine;
using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Cli;

/// <summary>Arguments that several verbs have, and what all of them do with a mistake.</summary>
static class Arguments
{
    public static Argument<string> Driver() => new("driver")
    {
        Description = "The driver: a .sys file, the .dll of one in C#, or a package (.inf).",
    };

    public static Option<string?> Device() => new("--device")
    {
        Description = "The hardware ID of the device that the driver is for; made, if the board has none.",
    };

    public static Option<bool> Json() => new("--json") { Description = "Print one JSON document and nothing else." };

    public static Option<ulong> Seed() => new("--seed")
    {
        Description = "Decides every chance of the run; the same seed gives the same run.",
        DefaultValueFactory = _ => 1,
    };

    public static Option<long> Timeout() => new("--timeout")
    {
        Description = "Guest instructions that one request may take.",
        DefaultValueFactory = _ => 50_000_000,
    };

    public static Option<int> Processors()
    {
        var processors = new Option<int>("--processors")
        {
            Description = $"How many processors the machine has, 1 to {Computer.MaximumProcessors}.",
            DefaultValueFactory = _ => 1,
        };
        processors.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > Computer.MaximumProcessors)
                result.AddError($"--processors is 1 to {Computer.MaximumProcessors}.");
        });
        return processors;
    }

    public static Option<string> Schedule() => new Option<string>("--schedule")
    {
        Description = "Whose turn it is among processors and threads: each in turn, or as the seed decides.",
        DefaultValueFactory = _ => Schedules.Default,
    }.AcceptOnlyFromAmong(Schedules.Names);

    public static Option<string[]> Registry() => new("--registry")
    {
        Description = "Name=Value in the service's key (Parameters\\Name=Value below it); numbers become REG_DWORD.",
    };

    public static Option<string[]> RegistryFiles() => new("--reg")
    {
        Description = "A .reg file that the machine's registry has when it boots; may be given several times.",
    };

    public static RegistryDocument[] OpenRegistry(string[]? paths) => [.. (paths ?? []).Select(path =>
    {
        try
        {
            return RegistryDocument.Parse(File.ReadAllText(path));
        }
        catch (RegistryFormatException e)
        {
            throw new UsageException($"{path}, {e.Message}");
        }
    })];

    public static Option<string?> Board() => new("--board")
    {
        Description = "The machine's devices: a JSON file, as docs/hardware.md describes it.",
    };

    /// <param name="host">Where wires go; null: nowhere, and images of disks are copies.</param>
    public static Action<Computer>? OpenBoard(string? path, IBoardHost? host = null)
    {
        if (path is null) return null;
        Board board = ChipClass.OpenBoard(path);
        return computer =>
        {
            computer.Host = host;
            board.Attach(computer);
            // Whoever has no wire to the outside waits for nobody there.
            if (host is IHostInput { HasWires: true } input) computer.HostInput = input;
        };
    }

    public static Option<string[]> Before() =>
        new("--with") { Description = "A driver to load first; may be given several times." };

    public static DriverFile[] OpenAll(string[]? paths) => [.. (paths ?? []).Select(p => DriverFile.Open(p))];

    public static (string Name, RegistryValue Value)[] ParseRegistry(string[]? given) =>
        [.. (given ?? []).Select(text =>
    {
        int at = text.IndexOf('=');
        if (at <= 0) throw new UsageException($"\"{text}\" is not Name=Value.");
        return (text[..at], RegistryValue.Parse(text[(at + 1)..]));
    })];

    /// <summary>Unusable input is a sentence on standard error and exit code 2.</summary>
    public static int Guard(Func<int> action)
    {
        try
        {
            return action();
        }
        catch (Exception e) when (
            e is UsageException or BadImageException or InfException or BoardException or IOException
                or UnauthorizedAccessException)
        {
            Console.Error.WriteLine(e.Message);
            return Program.Unusable;
        }
    }
}
