using Ringdown.Kernel;

namespace Ringdown.Verifier;

/// <summary>What a driver made is gone when it is unloaded: pool, devices, links, threads, timers, requests.</summary>
public static class LeftoverRule
{
    /// <summary>Looks at a kernel after DriverUnload has returned.</summary>
    public static void Look(NtKernel nt, Driver driver, Reporter reporter)
    {
        Leftovers left = nt.LeftBy(driver);
        foreach (var group in left.Pool.GroupBy(p => (p.Tag, p.By)))
            Report($"pool {group.Key}", $"{group.Count()} pool block(s) with tag '{group.Key.Tag}', "
                + $"{group.Sum(p => (long)p.Bytes)} bytes, allocated by {group.Key.By}, are not freed.");
        foreach (string memory in left.Memory) Report(memory, $"Not given back: {memory}.");
        foreach (string device in left.Devices.Distinct())
            Report(device, device == Leftovers.Unnamed ? "A device without a name is not deleted."
                : $"The device {device} is not deleted.");
        foreach (string link in left.Links) Report(link, $"The symbolic link {link} is not deleted.");
        foreach (string handle in left.Handles) Report(handle, $"A handle is not closed: {handle}.");
        foreach (string thread in left.Threads) Report(thread, $"The {thread} still runs: its code is gone.");
        foreach (string timer in left.Timers)
            Report(timer, $"The timer {timer} is still set: it lies in memory that is gone.");
        if (left.Irps.Count > 0) Report("requests", $"{left.Irps.Count} request(s) are never completed.");

        // How many there are is another number in each run.
        void Report(string subject, string message) =>
            reporter.Findings.Add(new Finding("Leftover", Severity.Error, message)
            {
                Subject = subject,
                Driver = driver.Image.ModuleName,
                During = "after DriverUnload",
                Seed = reporter.Seed,
            });
    }
}
