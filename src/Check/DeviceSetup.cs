using Ringdown.Kernel;
using Ringdown.Verifier;

namespace Ringdown.Check;

/// <summary>Gives a plug and play driver that comes without a package the devices that it is to drive.</summary>
static class DeviceSetup
{
    /// <summary>The devices of the machine that have no driver; where there are none, a root-enumerated one.</summary>
    /// <param name="wanted">The hardware id, or the path, of the device that it is for; null: see above. An id that no
    /// device has becomes a root-enumerated one.</param>
    /// <returns>The devices, started or not; none for a driver without AddDevice.</returns>
    public static IReadOnlyList<DeviceNode> Attach(NtKernel nt, Driver driver, string? wanted)
    {
        if (!nt.HasAddDevice(driver)) return [];
        DeviceTree devices = nt.User.Devices;
        devices.Start();
        if (wanted is not null && devices.Find(wanted) is null) return [devices.AddRootDevice(wanted, driver.Name)];
        DeviceNode[] given = wanted is null
            ? [.. devices.All.Where(d => d.Problem == DeviceProblem.FailedInstall)] : [devices.Find(wanted)!];
        foreach (DeviceNode device in given) devices.SetDriver(device, driver.Name);
        return given.Length > 0 ? given : [devices.AddRootDevice($@"Root\{driver.Name}", driver.Name)];
    }

    /// <summary>Says why devices do not run.</summary>
    public static void Report(IReadOnlyList<DeviceNode> devices, Driver driver, Reporter reporter)
    {
        foreach (DeviceNode device in devices.Where(d => !d.IsStarted))
            reporter.Findings.Add(new Finding("Device", Severity.Warning, Why(device))
            {
                Driver = driver.Image.ModuleName,
                During = reporter.During,
                Seed = reporter.Seed,
            });
    }

    /// <summary>Says that something never ends, because a driver keeps an IRP.</summary>
    public static void ReportKept(DriverSession session, DeviceNode device, string what)
    {
        IReadOnlyList<StackFrame> stack = session.Nt.StackOfWaiting();
        string why = stack.Any(f => f.Text.Contains("IoReleaseRemoveLockAndWait", StringComparison.Ordinal))
            ? "IoReleaseRemoveLockAndWait waits for somebody who has acquired the lock and does not release it."
            : stack.Count > 0 ? "a driver waits for what nobody will tell it."
            : "a driver keeps the IRP that it is waiting for.";
        session.Reporter.Findings.Add(new Finding("Device", Severity.Error, $"{what} of {device} never ends: {why}")
        {
            Driver = session.Driver!.Image.ModuleName,
            During = session.Reporter.During,
            Stack = stack,
            Seed = session.Reporter.Seed,
        });
    }

    /// <summary>Says that nothing runs any more and a device still interrupts. Of a line that would be a
    /// storm.</summary>
    public static void ReportInterrupt(DriverSession session, DeviceNode device)
    {
        if (!session.Nt.User.Devices.KeepsInterrupt(device)) return;
        session.Reporter.Findings.Add(new Finding("Device", Severity.Warning,
            $"{device} still asserts its interrupt when its driver has nothing to do any more: it was not "
            + "acknowledged, so the device sends no other message.")
        {
            Driver = session.Driver!.Image.ModuleName,
            During = session.Reporter.During,
            Seed = session.Reporter.Seed,
        });
    }

    static string Why(DeviceNode device) => device.Problem switch
    {
        DeviceProblem.FailedAdd => $"AddDevice for {device} returned {device.ProblemStatus}.",
        DeviceProblem.FailedStart => $"IRP_MN_START_DEVICE of {device} was completed with {device.ProblemStatus}."
            + (device.InstancePath.StartsWith("ROOT", StringComparison.OrdinalIgnoreCase)
                ? " It has no hardware: --board describes some, --device says which one is the driver's." : ""),
        DeviceProblem.NormalConflict => $"{device} cannot get the resources that it needs.",
        DeviceProblem.None => $"{device} has not started: a driver keeps the IRP that begins it.",
        _ => $"{device} does not run: {device.Problem}, {device.ProblemStatus}.",
    };
}
