using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Verifier;
using Xunit;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>What the check says of a driver that keeps an IRP of plug and play, or of power.</summary>
public sealed class KeptIrpTests
{
    static IReadOnlyList<Finding> Check(IrpMajor major, byte minor)
    {
        var run = new CheckRun(DriverFile.Open(Repository.Driver("keeper")), new SessionOptions
        {
            Registry = [("Keep", RegistryValue.Dword((uint)major << 8 | minor))],
        });
        run.Run();
        return run.Findings.All;
    }

    static string[] Kept(IReadOnlyList<Finding> findings) =>
        [.. findings.Where(f => f.Message.Contains("a driver keeps the IRP")).Select(f => f.Message)];

    [Fact]
    public void A_driver_that_keeps_none_is_clean() => Assert.Empty(Check(IrpMajor.IRP_MJ_READ, 0xFF));

    [Fact]
    public void A_start_that_never_ends_is_told_of_the_device_that_does_not_start()
    {
        IReadOnlyList<Finding> findings = Check(IrpMajor.IRP_MJ_PNP, IRP_MN_START_DEVICE);
        Assert.All(findings, f => Assert.Equal("keeper", f.Driver));
        Assert.Contains(@"ROOT\KEEPER\0000 has not started: a driver keeps the IRP that begins it.", Kept(findings),
            StringComparer.OrdinalIgnoreCase);
        Assert.Contains("the start of its devices", findings.Select(f => f.During));
    }

    [Fact]
    public void A_query_to_remove_that_never_ends_is_told_for_each_that_waits_for_it()
    {
        string[] kept = Kept(Check(IrpMajor.IRP_MJ_PNP, IRP_MN_QUERY_REMOVE_DEVICE));
        foreach (string what in (string[])["disable and enable", "a query to remove", "The removal"])
            Assert.Contains($@"{what} of ROOT\keeper\0000 never ends: a driver keeps the IRP that it is waiting for.",
                kept);
        Assert.DoesNotContain(kept, k => k.StartsWith("sleep"));
    }

    [Fact]
    public void A_power_IRP_that_is_kept_stops_the_machine_after_ten_minutes()
    {
        IReadOnlyList<Finding> findings = Check(IrpMajor.IRP_MJ_POWER, IRP_MN_SET_POWER);
        Finding stop = Assert.Single(findings, f => f.Rule == "BugCheck");
        Assert.StartsWith("DRIVER_POWER_STATE_FAILURE (0x9F)", stop.Message);
        Assert.Equal(("sleep and wake", "keeper"), (stop.During, stop.Driver));
        Assert.EndsWith("keeper has it.", stop.Crash!.Note);
    }

    [Fact]
    public void A_query_of_power_that_is_kept_leaves_the_system_where_it_is()
    {
        IReadOnlyList<Finding> findings = Check(IrpMajor.IRP_MJ_POWER, IRP_MN_QUERY_POWER);
        Assert.Contains(findings, f => f.Rule == "Deadlock" && f.During == "sleep and wake");
    }
}
