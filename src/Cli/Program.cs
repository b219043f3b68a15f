using System.CommandLine;

namespace Ringdown.Cli;

/// <summary>ringdown: one verb a file.</summary>
static class Program
{
    public const int Ran = 0, Found = 1, Unusable = 2;

    static int Main(string[] arguments)
    {
        var root = new RootCommand("Ringdown runs Windows kernel-mode drivers in an ordinary process.")
        {
            CheckCommand.Create(), RunCommand.Create(), InfoCommand.Create(), ExportsCommand.Create(),
        };
        ParseResult parsed = root.Parse(arguments);
        int code = parsed.Invoke(new InvocationConfiguration());
        return parsed.Errors.Count > 0 ? Unusable : code;
    }
}
