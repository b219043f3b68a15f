using Ringdown.Kernel;

namespace Ringdown.Check;

/// <summary>Unloads: at once, after use, and with a request still pending. What is left behind is a finding.</summary>
sealed class UnloadPhase : IPhase
{
    public string Name => "unload";

    public void Run(CheckRun run)
    {
        Once(run, null);
        foreach (string path in run.Surface!.Paths)
            Once(run, session =>
            {
                if (!session.Nt.User.CreateFile(path, out UserFile? file).IsSuccess) return;
                file!.Read(64);
                foreach (uint code in run.Surface.ControlCodes.Take(4)) file.DeviceIoControl(code, new byte[64], 64);
                file.Close();
            });
    }

    static void Once(CheckRun run, Action<DriverSession>? use)
    {
        using DriverSession session = run.NewSession();
        if (!session.Load()) return;
        if (use is not null) session.Do("use before unload", () => use(session));
        if (session.IsRunning) session.Unload();
    }
}
