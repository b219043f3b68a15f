using System.CommandLine;
using System.Text;
using Spectre.Console;

namespace Ringdown.Cli;

/// <summary>ringdown: one verb a file.</summary>
static class Program
{
    public const int Ran = 0, Found = 1, Unusable = 2;

    static int Main(string[] arguments)
    {
        var root = new RootCommand("Ringdown runs Windows kernel-mode drivers in an ordinary process.")
        {
            CheckCommand.Create(), RunCommand.Create(), TraceCommand.Create(), InfoCommand.Create(),
            ExportsCommand.Create(),
        };
        // What goes to a file or another program is plain and not broken into lines.
        if (Console.IsOutputRedirected) AnsiConsole.Console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Out = new PlainOutput(),
        });
        ParseResult parsed = root.Parse(arguments);
        int code = parsed.Invoke(new InvocationConfiguration());
        return parsed.Errors.Count > 0 ? Unusable : code;
    }
}

/// <summary>Standard output that is not a terminal: wide enough that no line is broken.</summary>
sealed class PlainOutput : IAnsiConsoleOutput
{
    public TextWriter Writer => Console.Out;
    public bool IsTerminal => false;
    public int Width => 4096;
    public int Height => 100;

    public void SetEncoding(Encoding encoding)
    {
    }
}
