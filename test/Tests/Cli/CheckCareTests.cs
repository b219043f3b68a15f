using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Samples;
using Ringdown.Testing;
using Ringdown.Verifier;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>Keeps each read until its file is closed, although its device has gone, and answers whatever
/// IRP_MJ_SYSTEM_CONTROL asks.</summary>
public sealed class CarelessDriver : PlugSample
{
    readonly List<Irp> _reads = [];

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        PlugSet(driverObject, Routine(AddDevice));
        driverObject.SetMajorFunction(IRP_MJ_READ, Routine(Read));
        driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(Cleanup));
        driverObject.SetMajorFunction(IRP_MJ_SYSTEM_CONTROL, Routine(Answer));
        return STATUS_SUCCESS;
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        var guid = new Guid("6f0c3a52-8c55-4c39-9f3d-52494e474699");
        NtStatus status = PlugAdd(
            driverObject, physical, Extension.Size, FILE_DEVICE_UNKNOWN, guid, out DeviceObject device);
        if (status.IsSuccess) device.Flags &= ~DO_DEVICE_INITIALIZING;
        return status;
    }

    NtStatus Read(DeviceObject device, Irp irp)
    {
        irp.MarkPending();
        _reads.Add(irp);
        return STATUS_PENDING;
    }

    NtStatus Cleanup(DeviceObject device, Irp irp)
    {
        foreach (Irp read in _reads) Complete(read, STATUS_CANCELLED);
        _reads.Clear();
        return Complete(irp, STATUS_SUCCESS);
    }

    NtStatus Answer(DeviceObject device, Irp irp) => Complete(irp, STATUS_SUCCESS);

    protected override NtStatus Control(Device x, Irp irp, IoStackLocation location, out ulong information)
    {
        information = 0;
        return STATUS_INVALID_DEVICE_REQUEST;
    }
}

/// <summary>What the check does in the moment in which a request is under way, and with what no driver knows.</summary>
public sealed class CheckCareTests
{
    static IReadOnlyList<Finding> Check(string path)
    {
        var run = new CheckRun(DriverFile.Open(path), new SessionOptions());
        run.Run();
        return run.Findings.All;
    }

    [Fact]
    public void A_request_that_outlives_its_device_and_an_answer_to_an_unknown_question_are_findings()
    {
        string[] messages = [.. Check($"{typeof(CarelessDriver).Assembly.Location}:CarelessDriver")
            .Select(f => f.Message)];
        Assert.Contains(messages, m => m.EndsWith(
            "is gone, and its driver still keeps a read: at IRP_MN_SURPRISE_REMOVAL it completes what it has."));
        Assert.Contains(messages, m => m.StartsWith(
            "IRP_MJ_SYSTEM_CONTROL with the minor function FF comes back with STATUS_SUCCESS"));
        Assert.DoesNotContain(messages, m => m.StartsWith("IRP_MJ_PNP"));
    }

    [Fact]
    public void A_filter_that_passes_down_what_it_does_not_know_is_clean() =>
        Assert.Empty(Check(Repository.Sample("passfilter")));

    [Theory, InlineData(true), InlineData(false)]
    public void A_file_that_returns_at_once_does_not_wait_for_the_device(bool atOnce)
    {
        using var m = new TestMachine();
        m.Load(Repository.Driver("pending"));
        UserFile file = m.Open(@"\\.\Pending");
        file.ReturnsAtOnce = atOnce;
        UserRequest read = file.Read(16);
        Assert.Equal(!atOnce, read.IsComplete);
        m.Nt.User.RunUntilIdle();
        Assert.Equal((true, 16), (read.IsComplete, read.Output.Length));
    }

    [Fact]
    public void Open_alone_opens_the_drivers_own_device()
    {
        CommandLine run = CommandLine.Run(
            "run", Repository.Driver("echo"), "open", "write 48656c6c6f", "read 5", "close");
        Assert.Equal(0, run.ExitCode);
        Assert.Contains("open  STATUS_SUCCESS", run.Output);
        Assert.Contains("48656c6c6f", run.Output);
    }

    [Fact]
    public void What_could_not_be_opened_is_shown_and_not_hidden_by_what_follows()
    {
        CommandLine run = CommandLine.Run("run", Repository.Driver("echo"), @"open \\.\Nobody", "read 5");
        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        Assert.Contains(@"open \\.\Nobody  STATUS_OBJECT_NAME_NOT_FOUND", run.Output);
        Assert.Contains("read 5  STATUS_INVALID_HANDLE", run.Output);
        Assert.Contains("No file is open.", CommandLine.Run("run", Repository.Driver("echo"), "read 5").Errors);
    }

    [Fact]
    public void The_pictures_leave_out_what_the_systems_drivers_have_among_themselves()
    {
        CommandLine run = CommandLine.Run("run", Repository.Sample("edu"), "--trace", "--board",
            Path.Combine(Repository.Root, "samples", "pc.json"), "--device", @"PCI\VEN_1234&DEV_11E8");
        Assert.Contains("IRP_MN_START_DEVICE to unnamed device of edu", run.Output);
        Assert.DoesNotContain("IRP_MN_START_DEVICE to unnamed device of pci", run.Output);
        Assert.Contains("more among the system's own drivers", run.Output);
        Assert.DoesNotContain("DevicePrivate", run.Output);
    }
}
