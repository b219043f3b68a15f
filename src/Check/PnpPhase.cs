using Ringdown.Kernel;
using Ringdown.Verifier;

namespace Ringdown.Check;

/// <summary>Takes the driver's devices through what plug and play can do to them, each on a machine of its own, with
/// requests that are still on their way.</summary>
sealed class PnpPhase : IPhase
{
    const uint ReadBytes = 64;
    const long SleepTicks = 10_000_000;

    /// <summary>What is under way when it happens: nothing, requests that wait for something, or such as a device is
    /// just working on.</summary>
    enum Use { None, Waiting, JustBegun }

    public string Name => "plug and play";

    static readonly (string What, Func<DriverSession, DeviceNode, IReadOnlyList<UserFile>, NtStatus> Do)[] s_events =
    [
        ("disable and enable", (session, device, _) =>
        {
            NtStatus status = session.Nt.User.Devices.Disable(device);
            return status == Status.STATUS_PENDING ? status : session.Nt.User.Devices.Enable(device);
        }),
        ("stop and restart with other resources", (session, device, files) =>
        {
            NtStatus status = session.Nt.User.Devices.Rebalance(device);
            Touch(files);
            return status;
        }),
        ("a query to remove", (session, device, files) =>
        {
            NtStatus status = session.Nt.User.Devices.Disable(device);
            Touch(files);
            return status;
        }),
        ("sleep and wake", (session, _, files) =>
        {
            NtStatus status = session.Nt.SetSystemState(SystemState.Sleeping3, SleepTicks);
            Touch(files);
            return status;
        }),
        ("surprise removal", (session, device, files) =>
        {
            NtStatus status = session.Nt.User.Devices.PullOut(device);
            Touch(files);
            return status;
        }),
    ];

    public void Run(CheckRun run)
    {
        if (!run.HasDevices) return;
        Unknown(run);
        foreach ((string what, var happens) in s_events)
            foreach (Use use in Enum.GetValues<Use>()) Once(run, what, happens, use);
    }

    // As Driver Verifier does: who answers what he does not know answers for the drivers below.
    static void Unknown(CheckRun run)
    {
        using DriverSession session = run.NewSession();
        if (!session.Load()) return;
        foreach (DeviceNode device in session.Devices.Where(d => d.IsStarted))
            foreach (IrpMajor major in (IrpMajor[])[IrpMajor.IRP_MJ_PNP, IrpMajor.IRP_MJ_SYSTEM_CONTROL])
            {
                run.Count();
                session.Do($"{major} with an unknown minor function", () => Unknown(session, device, major));
            }
        if (session.IsRunning) session.Unload();
    }

    static void Unknown(DriverSession session, DeviceNode device, IrpMajor major)
    {
        NtStatus status = session.Nt.User.Devices.SendUnknown(device, major);
        if (status == Status.STATUS_PENDING) DeviceSetup.ReportKept(session, device, $"An unknown {major}");
        else if (status != Status.STATUS_NOT_SUPPORTED)
            session.Reporter.Findings.Add(new Finding("Device", Severity.Error,
                $"{major} with the minor function FF comes back with {status}, not STATUS_NOT_SUPPORTED: what a driver "
                + "does not know it passes down, and its status stays as it came.")
            {
                Driver = session.Driver!.Image.ModuleName,
                During = session.Reporter.During,
                Seed = session.Reporter.Seed,
            });
    }

    static void Once(CheckRun run, string what,
        Func<DriverSession, DeviceNode, IReadOnlyList<UserFile>, NtStatus> happens, Use use)
    {
        using DriverSession session = run.NewSession();
        if (!session.Load()) return;
        var requests = new Requests(run.Surface!);
        IReadOnlyList<UserFile> files = requests.Files;
        if (use != Use.None)
            session.Do($"requests before {what}", () => requests.Begin(session.Nt, atOnce: use == Use.JustBegun));
        foreach (DeviceNode device in session.Devices.Where(d => d.IsStarted))
        {
            run.Count();
            session.Do(what + In(use), () =>
            {
                if (happens(session, device, files) == Status.STATUS_PENDING)
                    DeviceSetup.ReportKept(session, device, what);
                else if (device.State == DeviceNodeState.SurpriseRemoved) requests.ReportLeft(session, device);
            });
        }
        session.Do($"the end of use after {what}", () =>
        {
            foreach (UserFile file in files) file.Close();
            session.Nt.User.RunUntilIdle();
        });
        if (session.IsRunning) session.Unload();
    }

    static string In(Use use) => use switch
    {
        Use.None => "",
        Use.Waiting => ", in use",
        _ => ", with requests just begun",
    };

    /// <summary>A program that does not know yet that its device has gone.</summary>
    static void Touch(IReadOnlyList<UserFile> files)
    {
        foreach (UserFile file in files)
        {
            file.ReturnsAtOnce = false;
            file.Read(ReadBytes);
            file.Write(new byte[ReadBytes]);
        }
    }
}
