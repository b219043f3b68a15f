using Ringdown.Kernel;

namespace Ringdown.Check;

/// <summary>Takes the driver's devices through what plug and play can do to them, each on a machine of its own, with
/// requests that are still on their way.</summary>
sealed class PnpPhase : IPhase
{
    const uint ReadBytes = 64;
    const long SleepTicks = 10_000_000;

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
            Use(files);
            return status;
        }),
        ("a query to remove", (session, device, files) =>
        {
            NtStatus status = session.Nt.User.Devices.Disable(device);
            Use(files);
            return status;
        }),
        ("sleep and wake", (session, _, files) =>
        {
            NtStatus status = session.Nt.SetSystemState(SystemState.Sleeping3, SleepTicks);
            Use(files);
            return status;
        }),
        ("surprise removal", (session, device, files) =>
        {
            NtStatus status = session.Nt.User.Devices.PullOut(device);
            Use(files);
            return status;
        }),
    ];

    public void Run(CheckRun run)
    {
        if (!run.HasDevices) return;
        foreach ((string what, var happens) in s_events)
            foreach (bool inUse in (bool[])[false, true]) Once(run, what, happens, inUse);
    }

    static void Once(CheckRun run, string what,
        Func<DriverSession, DeviceNode, IReadOnlyList<UserFile>, NtStatus> happens, bool inUse)
    {
        using DriverSession session = run.NewSession();
        if (!session.Load()) return;
        IReadOnlyList<UserFile> files = [];
        if (inUse) session.Do($"requests before {what}", () => files = Open(session, run.Surface!));
        foreach (DeviceNode device in session.Devices.Where(d => d.IsStarted))
        {
            run.Count();
            session.Do($"{what}{(inUse ? ", in use" : "")}", () =>
            {
                if (happens(session, device, files) == Status.STATUS_PENDING)
                    DeviceSetup.ReportKept(session, device, what);
            });
        }
        session.Do($"the end of use after {what}", () =>
        {
            foreach (UserFile file in files) file.Close();
            session.Nt.User.RunUntilIdle();
        });
        if (session.IsRunning) session.Unload();
    }

    /// <summary>Opens everything, and begins a request of each kind.</summary>
    static IReadOnlyList<UserFile> Open(DriverSession session, Surface surface)
    {
        List<UserFile> files = [];
        foreach (string path in surface.Paths)
        {
            if (!session.Nt.User.CreateFile(path, out UserFile? file).IsSuccess) continue;
            files.Add(file!);
            Begin(file!, surface);
        }
        return files;
    }

    static void Begin(UserFile file, Surface surface)
    {
        const int someCodes = 8;
        if (surface.Majors.Contains(IrpMajor.IRP_MJ_READ)) file.Read(ReadBytes);
        if (surface.Majors.Contains(IrpMajor.IRP_MJ_WRITE)) file.Write(new byte[ReadBytes]);
        foreach (uint code in surface.ControlCodes.Take(someCodes)) file.DeviceIoControl(code, new byte[64], 64);
    }

    /// <summary>A program that does not know yet that its device has gone.</summary>
    static void Use(IReadOnlyList<UserFile> files)
    {
        foreach (UserFile file in files)
        {
            file.Read(ReadBytes);
            file.Write(new byte[ReadBytes]);
        }
    }
}
