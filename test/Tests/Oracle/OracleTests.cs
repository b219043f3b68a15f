using Iced.Intel;
using Xunit;
using Xunit.Abstractions;

namespace Ringdown.Tests;

public sealed class OracleTests(ITestOutputHelper output)
{
    const ulong Seed = 20260101;

    [OracleFact]
    public void The_engine_leaves_the_state_that_the_hosts_processor_leaves()
    {
        using var oracle = new Oracle();
        var campaign = new Campaign(oracle, Seed, states: 4);
        campaign.Run(InstructionForms.All, casesPerForm: 3, TimeSpan.FromSeconds(60));
        FormResult[] absent = [.. campaign.Results.Where(r => r.Absent > 0)];
        foreach (FormResult r in absent) output.WriteLine($"not there: {r.Code}");
        Assert.All(absent, r => Assert.Contains(CpuidFeature.SHA, r.Code.CpuidFeatures()));
        Assert.Equal("", campaign.Differences);
        Assert.True(campaign.Cases > InstructionForms.All.Length);
    }

    [OracleFact]
    public void Random_bytes_do_the_same_on_both()
    {
        using var oracle = new Oracle();
        var campaign = new Campaign(oracle, Seed, states: 2);
        campaign.RunRandom(4000);
        Assert.Equal("", campaign.Differences);
    }

    // The judge itself is under test here: a fault and a result that the manual names.
    [OracleFact]
    public unsafe void The_host_divides_by_zero_in_the_slot_and_reports_it()
    {
        using var host = new HostProcessor();
        new Span<byte>(host.In, sizeof(OracleState)).Clear();
        (host.In->Mxcsr, host.In->ControlWord, host.In->Rflags) = (0x1F80, 0x37F, 0x202);
        host.In->Gpr[4] = (ulong)host.Stack + HostProcessor.StackPointerOffset;
        host.Load([0x48, 0xF7, 0xF1]);
        (host.In->Gpr[0], host.In->Gpr[1]) = (7, 0);
        host.Run();
        Assert.Equal(0UL, host.Out->Trap);
        host.In->Gpr[1] = 2;
        host.Run();
        Assert.Equal((OracleState.NoTrap, 3UL, 1UL), (host.Out->Trap, host.Out->Gpr[0], host.Out->Gpr[2]));
    }

    [OracleFact]
    public void Most_forms_are_in_scope()
    {
        Assert.True(InstructionForms.All.Length > 1800);
        Assert.Equal("privileged", InstructionForms.WhyNot(Code.Hlt));
        Assert.Null(InstructionForms.WhyNot(Code.Add_rm32_r32));
    }
}
