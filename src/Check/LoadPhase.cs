using Ringdown.Verifier;

namespace Ringdown.Check;

/// <summary>Loads the driver and notes what it offers: devices, links, major functions, control codes.</summary>
sealed class LoadPhase : IPhase
{
    public string Name => "load and surface";

    public void Run(CheckRun run)
    {
        using DriverSession session = run.NewSession();
        bool loaded = session.Load();
        run.MissingImports = session.Driver?.MissingImports ?? [];
        if (session.Driver is null || !session.IsRunning) return;
        run.EntryStatus = session.Driver.EntryStatus;
        if (!loaded)
        {
            run.Findings.Add(new Finding("DriverEntry", Severity.Warning,
                $"DriverEntry returned {session.Driver.EntryStatus}, so nothing more could be checked.")
            {
                Driver = session.Driver.Image.ModuleName,
                During = Name,
            });
            // A driver that fails to load must leave nothing behind either.
            LeftoverRule.Look(session.Nt, session.Driver, session.Reporter);
            return;
        }
        run.Surface = new Surface(
            session.Nt.DevicesOf(session.Driver), session.Nt.Links(),
            [.. session.Nt.HandledBy(session.Driver).Select(h => h.Major)], run.File.FindControlCodes())
        {
            Interfaces = [.. session.Devices.SelectMany(d => d.Interfaces)],
        };
        run.HasDevices = session.Devices.Any(d => d.IsStarted);
    }
}
