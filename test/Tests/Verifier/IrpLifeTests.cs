using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Ringdown.Verifier;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The steps of IRPs as observers see them, and the lives that are made of them.</summary>
public sealed class IrpLifeTests
{
    static string[] Stays(IrpLife life) =>
        [.. life.Stays.Select(s => $"{s.Kind} {s.Context}: {s.Routine} at {s.Irql}: {s.Outcome}")];

    [Fact]
    public void A_life_is_who_had_the_request_and_what_came_of_it()
    {
        var lives = new IrpLives();
        using var m = new TestMachine(1, lives);
        m.Load(Repository.Driver("echo"));
        m.Load(Repository.Driver("filter"));
        UserFile file = m.Open(@"\\.\Echo");
        file.DeviceIoControl(0x222004, [1, 2, 3], 8);
        IrpLife life = lives.All[^1];
        Assert.Equal("IRP_MJ_DEVICE_CONTROL 0x222004", life.Request);
        Assert.Equal(@"unnamed device of filter, above \Device\Echo", life.Device);
        Assert.Equal((STATUS_SUCCESS, 3UL), (life.Status!.Value, life.Information));
        Assert.Equal([
            "Dispatch user: filter!Dispatch at PASSIVE_LEVEL: passes down",
            "Dispatch user: echo!DeviceControl at PASSIVE_LEVEL: completes STATUS_SUCCESS",
            "Completion user: filter!Completed at PASSIVE_LEVEL: goes on"], Stays(life));
        Assert.Equal([0, 1, 0], life.Stays.Select(s => s.Depth));
        Assert.Equal(["filter", "echo", "filter"], life.Stays.Select(s => s.Driver));
        Assert.All(life.Stays, s => Assert.True(s.Begin < s.End));
    }

    [Fact]
    public void A_pending_request_is_held_until_a_DPC_completes_it()
    {
        var lives = new IrpLives();
        using var m = new TestMachine(1, lives);
        m.Load(Repository.Driver("pending"));
        m.Open(@"\\.\Pending").Read(16);
        IrpLife life = lives.All[^1];
        Assert.Equal([
            "Dispatch user: pending!Read at PASSIVE_LEVEL: pends",
            @"Held : \Device\Pending at PASSIVE_LEVEL: pending",
            "Completes DPC cpu 0: pending!TimerDpc at DISPATCH_LEVEL: completes STATUS_SUCCESS"], Stays(life));
        IrpStay held = life.Stays[1];
        // The timer's 10 ms, in ns.
        Assert.InRange(held.End!.Value - held.Begin, 9_900_000, 10_100_000);
        Assert.Equal(life.End, life.Stays[2].Begin);
    }

    [Fact]
    public void A_canceled_request_shows_its_cancel_routine()
    {
        var lives = new IrpLives();
        using var m = new TestMachine(1, lives);
        m.Load(Repository.Driver("pending"));
        UserFile file = m.Open(@"\\.\Pending");
        m.Nt.User.Concurrently(() => file.Read(16), () => file.Cancel());
        IrpLife life = lives.All[^1];
        Assert.Equal(STATUS_CANCELLED, life.Status);
        IrpStay cancel = life.Stays.Single(s => s.Kind == StayKind.Cancel);
        Assert.Equal("cancels: completes STATUS_CANCELLED", cancel.Outcome);
        Assert.Equal("pending!CancelRead", cancel.Routine);
        Assert.Equal(Irql.DISPATCH_LEVEL, cancel.Irql);
    }

    [Fact]
    public void Packets_wait_in_the_devices_queue_and_StartIo_gets_them()
    {
        var lives = new IrpLives();
        using var m = new TestMachine(1, lives);
        DeviceObject device = m.Dispatching("Kept", (device, irp) =>
        {
            irp.MarkPending();
            m.Nt.IoStartPacket(device, irp, Va.Null, Va.Null);
            return STATUS_PENDING;
        });
        DriverObject driver = device.DriverObject;
        driver.DriverStartIo = m.Routine(_ => 0);
        Irp Send()
        {
            Irp irp = m.Nt.IoAllocateIrp(1, false);
            IoStackLocation location = irp.CurrentStackLocation.Below;
            location.MajorFunction = IrpMajor.IRP_MJ_READ;
            m.Nt.IofCallDriver(device, irp);
            return irp;
        }

        Send();
        Irp second = Send();
        m.Nt.Ke.Raise(Irql.DISPATCH_LEVEL);
        m.Nt.IoStartNextPacket(device, false);
        m.Nt.Ke.Lower(Irql.PASSIVE_LEVEL);
        Assert.Equal([StayKind.Dispatch, StayKind.StartIo, StayKind.Held], lives.All[0].Stays.Select(s => s.Kind));
        Assert.Equal([("", StayKind.Dispatch), ("queued", StayKind.Held), ("starts it", StayKind.StartIo),
            ("started", StayKind.Held)],
            lives.All[1].Stays.Select(s => (s.Kind == StayKind.Dispatch ? "" : s.Outcome, s.Kind)));
        Assert.Equal("queues", lives.All[1].Stays[0].Outcome);
        Assert.Null(lives.All[1].End);
        m.Nt.IoFreeIrp(second);
        Assert.NotNull(lives.All[1].End);
        Assert.Null(lives.All[1].Status);
        Assert.Null(lives.All[0].End);
    }

    [Fact]
    public void An_IRP_that_a_completion_routine_keeps_is_its_drivers_until_it_is_freed()
    {
        var lives = new IrpLives();
        using var m = new TestMachine(1, lives);
        DeviceObject device = m.Dispatching("Lower", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        foreach (bool frees in (bool[])[true, false])
        {
            Irp irp = m.Nt.IoAllocateIrp(1, false);
            IoStackLocation location = irp.CurrentStackLocation.Below;
            (location.MajorFunction, location.Control) = (IrpMajor.IRP_MJ_FLUSH_BUFFERS, StackControl.SL_INVOKE_ALWAYS);
            location.CompletionRoutine = m.Routine(_ =>
            {
                if (frees) m.Nt.IoFreeIrp(irp);
                return STATUS_MORE_PROCESSING_REQUIRED.Value;
            });
            m.Nt.IofCallDriver(device, irp);
            if (!frees) m.Nt.IoReuseIrp(irp, STATUS_SUCCESS);
        }
        Assert.Equal(["keeps the IRP, frees it", "keeps the IRP"],
            lives.All.Select(l => l.Stays.Single(s => s.Kind == StayKind.Completion).Outcome));
        Assert.All(lives.All, l => Assert.True(l is { End: not null, Status: null }));
    }

    [Fact]
    public void So_many_lives_are_kept_and_no_more()
    {
        var lives = new IrpLives();
        using var m = new TestMachine(1, lives);
        m.Load(Repository.Driver("echo"));
        UserFile file = m.Open(@"\\.\Echo");
        for (int i = 0; i < 1100; i++) file.Write("x"u8);
        Assert.Equal((1000, true), (lives.All.Count, lives.HasMore));
    }

    [Fact]
    public void A_record_keeps_a_history_only_for_those_who_look_back()
    {
        Assert.Empty(EventsOfAPendingRead([]));
        IReadOnlyList<IrpEvent> events = EventsOfAPendingRead([new LooksBack()]);
        Assert.Equal([IrpEventKind.Dispatch, IrpEventKind.Return], events.Select(e => e.Kind));
    }

    sealed class LooksBack : IObserver
    {
        public bool WantsIrpHistory => true;
    }

    static IReadOnlyList<IrpEvent> EventsOfAPendingRead(IObserver[] observers)
    {
        using var nt = new NtKernel(new KernelOptions { Observers = observers });
        var driver = DriverFile.Open(Repository.Driver("pending"));
        driver.Load(nt);
        nt.User.CreateFile(@"\\.\Pending", out UserFile? file);
        IReadOnlyList<IrpEvent> events = [];
        nt.User.Concurrently(() => file!.Read(16), () => events = [.. nt.Io.LiveIrps.Single().Events]);
        return events;
    }

    [Fact]
    public void A_long_life_is_remembered_by_its_beginning_and_its_end()
    {
        var record = new IrpRecord(new Va(0x1000), 2);
        for (uint i = 0; i < 1000; i++)
            record.Add(new IrpEvent(IrpEventKind.Dispatch, new Va(i), Va.Null, 0, default));
        Assert.Equal(64, record.Events.Count);
        Assert.Equal((31UL, 968UL, 999UL), (record.Events[31].Device.Value, record.Events[32].Device.Value,
            record.Events[^1].Device.Value));
    }

    [Fact]
    public void An_IRP_in_flight_costs_the_host_less_than_a_hundred_bytes()
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        var records = new IrpRecord[1000];
        for (int i = 0; i < records.Length; i++) records[i] = new IrpRecord(new Va((ulong)i), 10);
        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / records.Length, 1, 100);
    }

    [Fact]
    public void A_device_has_a_name_or_is_said_to_be_an_unnamed_one_of_its_driver()
    {
        using var m = new TestMachine();
        Driver echo = m.Load(Repository.Driver("echo")), filter = m.Load(Repository.Driver("filter"));
        Va named = m.Nt.DevicesOf(echo)[0].Address;
        Va unnamed = m.Nt.DevicesOf(filter).Single(d => d.Name == "").Address;
        Assert.Equal(@"\Device\Echo", m.Nt.DescribeDevice(named));
        Assert.Equal("unnamed device of filter", m.Nt.DescribeDevice(unnamed));
        Assert.Equal(@"unnamed device of filter, above \Device\Echo", m.Nt.DescribeStack(unnamed));
        // Whatever a driver passes as a device.
        Assert.Equal("unnamed device of no driver", m.Nt.DescribeStack(new Va(0x1234)));
        Assert.Equal("no device", m.Nt.DescribeDevice(Va.Null));
    }

    [Theory]
    [InlineData("KERNEL32.dll", "user-mode DLL"), InlineData("ntdll.dll", "cannot import")]
    [InlineData("api-ms-win-core-file-l1-1-0.dll", "cannot import"), InlineData("VCRUNTIME140.dll", "cannot import")]
    [InlineData("other.sys", "load other.sys first"), InlineData("hal.dll", "Ringdown does not have it")]
    public void A_missing_import_says_what_can_be_done(string module, string says) =>
        Assert.Contains(says, new MissingExport(module, "Anything").Message);
}
