using Ringdown.Kernel;

namespace Ringdown.Check;

/// <summary>Opens and closes every device: alone, twice at once, with a name below it, for reading only.</summary>
sealed class OpenPhase : IPhase
{
    const uint GENERIC_READ = 0x8000_0000, SYNCHRONIZE = 0x10_0000;

    public string Name => "open and close";

    public void Run(CheckRun run)
    {
        foreach (string path in run.Surface!.Paths)
        {
            run.WithFile(path, "open and close", (_, _) => { });
            run.WithFile(path, "a second open", (session, _) => OpenClose(session, path, OpenOptions.ReadWrite));
            run.WithFile(path, "open of a name below",
                (session, _) => OpenClose(session, path + @"\name\below", OpenOptions.ReadWrite));
            run.WithFile(path, "open for reading",
                (session, _) => OpenClose(session, path, new OpenOptions(GENERIC_READ | SYNCHRONIZE)));
            run.WithFile(path, "flush", (_, file) => file.Flush());
        }
    }

    static void OpenClose(DriverSession session, string path, OpenOptions options)
    {
        if (session.Nt.User.CreateFile(path, out UserFile? file, options).IsSuccess) file!.Close();
    }
}
