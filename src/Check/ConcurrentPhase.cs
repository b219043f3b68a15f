using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>Several threads send requests at once, on two processors, in many orders: each machine tries another
/// one.</summary>
/// <remarks>Control codes that do harm by themselves are left out.</remarks>
sealed class ConcurrentPhase : IPhase
{
    const int Orders = 16, Threads = 3, RequestsOfThread = 6, Processors = 2, MaximumStops = 4;

    public string Name => "concurrent requests";

    public void Run(CheckRun run)
    {
        Action<UserFile>[] requests = [.. Requests(run)];
        if (requests.Length == 0) return;
        foreach (string path in run.Surface!.Paths)
        {
            int stops = 0;
            for (int order = 0; order < Orders && stops < MaximumStops; order++)
                if (!Try(run, path, requests, order)) stops++;
        }
    }

    static IEnumerable<Action<UserFile>> Requests(CheckRun run)
    {
        foreach (uint code in run.Surface!.ControlCodes.Where(c => !run.Harmful.Contains(c)))
            yield return file => file.DeviceIoControl(code, new byte[64], 64);
        if (run.Surface.Majors.Contains(IrpMajor.IRP_MJ_READ)) yield return file => file.Read(64);
        if (run.Surface.Majors.Contains(IrpMajor.IRP_MJ_WRITE)) yield return file => file.Write(new byte[64]);
    }

    /// <returns>Whether the machine survived.</returns>
    static bool Try(CheckRun run, string path, Action<UserFile>[] requests, int order)
    {
        string schedule = order % 2 == 0 ? "random" : "pct";
        using DriverSession session = run.NewSession(options => options with
        {
            Seed = options.Seed + (ulong)order,
            Processors = Processors,
            Schedule = Schedules.Find(schedule),
        });
        if (!session.Load()) return false;
        var chance = new Chance(session.Reporter.Seed);
        Action[] threads = [.. Enumerable.Range(0, Threads).Select(
            _ => Thread(session.Nt, path, Enumerable.Range(0, RequestsOfThread)
                .Select(_ => requests[chance.Next(requests.Length)]).ToArray(), cancels: chance.OneIn(2)))];
        session.Do($"concurrent requests on {path}, {Processors} processors, {schedule} schedule",
            () => session.Nt.User.Concurrently(threads));
        if (session.IsRunning) session.Unload();
        return session.IsRunning;
    }

    static Action Thread(NtKernel nt, string path, Action<UserFile>[] requests, bool cancels) => () =>
    {
        if (!nt.User.CreateFile(path, out UserFile? file).IsSuccess) return;
        foreach (Action<UserFile> request in requests) request(file!);
        if (cancels) file!.Cancel();
        file!.Close();
    };
}
