using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>The drivers of samples for the device to learn with, under plug and play and power: no request is lost, and
/// none ends twice.</summary>
public sealed class EduPnpTests
{
    const uint Slow = 10_000, Page = 0x1000, Working = 1, Off = 4;

    static IoRequest[] Puts(EduRig rig, int count)
    {
        Va buffer = rig.Machine.Nt.Mm.AllocateUser(Page);
        return [.. Enumerable.Range(0, count).Select(_ => rig.Send(rig.File, Edu.PutCode, 0, buffer, Page))];
    }

    [Theory, InlineData("c", false), InlineData("c", true), InlineData("c#", false), InlineData("c#", true)]
    public void A_card_that_is_pulled_out_fails_all_that_is_under_way(string language, bool messages)
    {
        using var rig = new EduRig(language, messages);
        rig.SetStep(Slow);
        IoRequest[] all = [.. rig.Jobs(30, 60), .. Puts(rig, 3)];
        rig.PullOut();
        Assert.Equal(DeviceNodeState.SurpriseRemoved, rig.Node.State);
        Assert.All(all, r => Assert.Equal((STATUS_DEVICE_REMOVED, 0ul), (r.Status, r.Information)));
        Assert.Equal(STATUS_DEVICE_NOT_READY, rig.File.DeviceIoControl(Edu.FactorialCode, [1, 0, 0, 0], 8).Status);
        rig.End();
        Assert.Equal(DeviceNodeState.Deleted, rig.Node.State);
    }

    // The chip works on, and must be done before its memory is given to others.
    [Theory, InlineData("c"), InlineData("c#")]
    public void A_device_that_goes_while_its_chip_stays_fails_jobs_and_waits_for_the_chip(string language)
    {
        using var rig = new EduRig(language, isRoot: true);
        rig.SetStep(Slow);
        IoRequest[] jobs = rig.Jobs(30, 60);
        Assert.Equal(STATUS_SUCCESS, rig.Devices.PullOut(rig.Node));
        Assert.All(jobs, j => Assert.Equal(STATUS_DEVICE_REMOVED, j.Status));
        Assert.Equal((0ul, 0ul), (rig.Chip.Registers.Read(0x08, 4) & 1, rig.Chip.Registers.Read(0x30, 4)));
        rig.End();
    }

    [Theory, InlineData("c", false), InlineData("c", true), InlineData("c#", false), InlineData("c#", true)]
    public void Power_that_goes_lets_the_chip_end_and_holds_the_queue(string language, bool messages)
    {
        using var rig = new EduRig(language, messages);
        rig.SetStep(Slow);
        IoRequest[] jobs = rig.Jobs(20, 20);
        IoRequest put = Puts(rig, 1)[0];
        rig.SetPower(Off);
        Assert.Equal((STATUS_SUCCESS, 3), (put.Status, rig.Function.PowerState));
        Assert.All(jobs[..16], j => Assert.Equal(EduRig.Factorial(20), rig.ResultOf(j)));
        Assert.All(jobs[16..], j => Assert.Equal(STATUS_PENDING, j.Status));
        Assert.Equal(STATUS_DEVICE_NOT_READY, rig.File.DeviceIoControl(Edu.FactorialCode, [1, 0, 0, 0], 8).Status);
        // One that waits can be canceled.
        rig.Cancel(jobs[17]);
        Assert.Equal(STATUS_CANCELLED, jobs[17].Status);
        rig.SetPower(Working);
        foreach (int i in (int[])[16, 18, 19]) Assert.Equal(EduRig.Factorial(20), rig.ResultOf(jobs[i]));
        Assert.Equal((19u, 0u, 1u, 0u), rig.Counters);
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void What_waits_without_power_fails_when_the_card_is_pulled_out(string language)
    {
        using var rig = new EduRig(language);
        rig.SetStep(Slow);
        IoRequest[] jobs = rig.Jobs(18, 20);
        rig.SetPower(Off);
        rig.PullOut();
        Assert.All(jobs[16..], j => Assert.Equal(STATUS_DEVICE_REMOVED, j.Status));
        rig.End();
    }

    // The chip has forgotten what it was told.
    [Theory, InlineData("c", false), InlineData("c", true), InlineData("c#", false), InlineData("c#", true)]
    public void Requests_live_over_a_sleep_of_the_system(string language, bool messages)
    {
        using var rig = new EduRig(language, messages);
        rig.SetStep(Slow);
        IoRequest[] jobs = rig.Jobs(20, 20), puts = Puts(rig, 3);
        Assert.Equal(STATUS_SUCCESS, rig.Machine.Nt.SetSystemState(SystemState.Sleeping3, 10_000_000));
        rig.Run();
        Assert.All(jobs, j => Assert.Equal(EduRig.Factorial(20), rig.ResultOf(j)));
        Assert.All(puts, p => Assert.Equal(STATUS_SUCCESS, p.Status));
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void Power_that_is_there_already_changes_nothing(string language)
    {
        const ulong interruptEnable = 0x10, all = 7;
        using var rig = new EduRig(language);
        // Results wait in the chip, and nobody has been told.
        rig.Chip.Registers.Write(interruptEnable, 4, 0);
        IoRequest[] jobs = rig.Jobs(20, 5);
        rig.Run();
        rig.SetPower(Working);
        Assert.All(jobs, j => Assert.Equal(STATUS_PENDING, j.Status));
        rig.Chip.Registers.Write(interruptEnable, 4, all);
        rig.Run();
        Assert.All(jobs, j => Assert.Equal(120ul, rig.ResultOf(j)));
        rig.End();
    }

    [Theory, InlineData("c", false), InlineData("c", true), InlineData("c#", false), InlineData("c#", true)]
    public void It_stays_where_it_is_while_requests_are_there_and_else_moves(string language, bool messages)
    {
        using var rig = new EduRig(language, messages);
        rig.SetStep(Slow);
        IoRequest[] jobs = rig.Jobs(18, 10);
        Assert.Equal(STATUS_DEVICE_BUSY, rig.Devices.Send(rig.Node, IRP_MN_QUERY_STOP_DEVICE));
        rig.Run();
        Assert.All(jobs, j => Assert.Equal(EduRig.Factorial(10), rig.ResultOf(j)));
        Assert.Equal(STATUS_SUCCESS, rig.Devices.Rebalance(rig.Node));
        Assert.True(rig.Node.IsStarted);
        jobs = rig.Jobs(18, 4);
        rig.Run();
        Assert.All(jobs, j => Assert.Equal(24ul, rig.ResultOf(j)));
        rig.End();
    }

    // Between the question and the stop requests still come.
    [Theory, InlineData("c"), InlineData("c#")]
    public void A_stop_lets_the_chip_end_and_what_waits_fails_with_the_device(string language)
    {
        using var rig = new EduRig(language);
        rig.SetStep(Slow);
        Assert.Equal(STATUS_SUCCESS, rig.Devices.Send(rig.Node, IRP_MN_QUERY_STOP_DEVICE));
        IoRequest[] jobs = rig.Jobs(18, 10);
        Assert.Equal(STATUS_SUCCESS, rig.Devices.Send(rig.Node, IRP_MN_STOP_DEVICE));
        Assert.All(jobs[..16], j => Assert.Equal(EduRig.Factorial(10), rig.ResultOf(j)));
        Assert.All(jobs[16..], j => Assert.Equal(STATUS_PENDING, j.Status));
        Assert.Equal(STATUS_SUCCESS, rig.Devices.PullOut(rig.Node));
        Assert.All(jobs[16..], j => Assert.Equal(STATUS_DEVICE_REMOVED, j.Status));
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void Disabled_and_enabled_it_works_again(string language)
    {
        using var rig = new EduRig(language);
        rig.File.Close();
        Assert.Equal(STATUS_SUCCESS, rig.Devices.Disable(rig.Node));
        Assert.Equal(STATUS_SUCCESS, rig.Devices.Enable(rig.Node));
        UserFile file = rig.Open();
        Assert.Equal([6, 0, 0, 0, 0, 0, 0, 0], file.DeviceIoControl(Edu.FactorialCode, [3, 0, 0, 0], 8).Output);
        file.Close();
        rig.End();
    }

    // Wherever the programs are when the card goes: each request ends, once.
    [Theory, InlineData("c"), InlineData("c#")]
    public void A_card_that_is_pulled_out_under_several_programs_leaves_nothing_behind(string language)
    {
        for (ulong seed = 1; seed <= 8; seed++)
        {
            using var rig = new EduRig(language, seed % 2 == 0, seed: seed, processors: 2);
            rig.SetStep(1000);
            List<UserRequest> requests = [];
            List<Action> threads = [];
            for (int i = 0; i < 3; i++)
            {
                UserFile file = rig.Open();
                int code = i;
                threads.Add(() =>
                {
                    for (uint n = 0; n < 12; n++)
                        requests.Add(file.DeviceIoControl(code == 0 ? Edu.FactorialCode : code == 1 ? Edu.PutCode
                            : Edu.GetCode, BitConverter.GetBytes(n), 8 + n));
                    file.Close();
                });
            }
            rig.Machine.Nt.Computer.Clock.After((long)seed * 400, () =>
                rig.Machine.Nt.Computer.Pci.Remove(rig.Function));
            rig.Machine.Nt.User.Concurrently(threads);
            rig.PullOut();
            Assert.Equal(36, requests.Count);
            Assert.All(requests, r => Assert.Contains(r.Status,
                (NtStatus[])[STATUS_SUCCESS, STATUS_DEVICE_REMOVED, STATUS_DEVICE_NOT_READY]));
            Assert.Contains(requests, r => r.Status != STATUS_SUCCESS);
            rig.End();
        }
    }
}
