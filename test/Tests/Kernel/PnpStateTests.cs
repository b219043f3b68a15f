using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Xunit;
using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>Every minor of plug and play and of power, in every order that NT allows, with requests on their way: to a
/// function driver between two filters, in C and in C#, of a PCI device that can wake the system.</summary>
public sealed class PnpStateTests
{
    static void Check(bool isC, int count)
    {
        var seen = new HashSet<string>();
        // Orders come four times as often as questions, and what a user does twice as often; mostly somebody waits for
        // a wake signal.
        int[] choices = [.. Enumerable.Range(0, PnpWalk.Commands).SelectMany(what => Enumerable.Repeat(what,
            what == PnpWalk.WaitsForWake ? 16
                : what is <= IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_SURPRISE_REMOVAL or >= PnpWalk.FirstOfPower ? 4
                : what < PnpWalk.Minors ? 1 : 2))];
        Gen<(int, int)[]> walks = Gen.Elements(choices)
            .SelectMany(what => Gen.Choose(0, 7).Select(detail => (what, detail))).ArrayOf(50);
        Prop.ForAll(Arb.From(walks), walk =>
        {
            using var device = new PnpWalk(isC);
            foreach ((int what, int detail) in walk) device.Do(what, (uint)detail);
            device.End();
            seen.UnionWith(device.Seen);
            seen.UnionWith(device.Seen.Select(step => step[..step.LastIndexOf(' ')]));
        }).Check(GuestText.Properties(count));
        // Each order that NT gives was given in each state in which it may.
        string[] steps = [$"{Started} 05", $"{QueryStopped} 06", $"{QueryStopped} 04", $"{Stopped} 00", $"{Started} 01",
            $"{QueryRemoved} 03", $"{QueryRemoved} 02", $"{Started} 17", $"{QueryStopped} 17", $"{Stopped} 17",
            $"{QueryRemoved} 17", $"{SurpriseRemoved} 02"];
        Assert.Empty(steps.Except(seen));
        // So was each question of power, with both answers; and a wait for a wake signal has ended in each way.
        Assert.Empty(from state in (DeviceNodeState[])[Started, QueryStopped, QueryRemoved]
                     from answer in (string[])["query agreed", "query refused", "sequence asked",
                         $"wait {STATUS_DEVICE_BUSY}",
                         $"wait {STATUS_SUCCESS}", $"wait {STATUS_CANCELLED}", $"wait {STATUS_NO_SUCH_DEVICE}"]
                     where !seen.Contains($"{state} {answer}")
                     select $"{state} {answer}");
        Assert.Contains($"{Started} sleep refused", seen);
    }

    [Fact]
    public void A_stack_in_C_survives_every_order() => Check(isC: true, 120);

    [Fact]
    public void A_stack_in_CSharp_survives_every_order() => Check(isC: false, 120);
}
