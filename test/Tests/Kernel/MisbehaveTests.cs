using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Testing;
using Ringdown.Verifier;
using Xunit;
using static Ringdown.Kernel.BugCheckCode;

namespace Ringdown.Tests;

/// <summary>misbehave.sys: every mistake ends as it does on Windows under the verifier, and only there.</summary>
public sealed class MisbehaveTests
{
    // The pool is filled with a pattern, but nothing follows whether bytes were written before they are read: only a
    // checker of every load could see this one.
    const uint UninitializedPool = 33;

    // After these the stack shows no more who called: too deep, or no longer there.
    const uint StackOverflow = 5, CorruptReturn = 12;

    static uint Code(uint n) => 0x222000 + 4 * n;

    /// <summary>One machine, one mistake: what stopped it, and what the rules found until after the unload.</summary>
    static (MachineStop? Stop, FindingList Findings) Make(uint n)
    {
        var findings = new FindingList();
        using var session = new DriverSession(
            DriverFile.Open(Repository.Driver("misbehave")), new SessionOptions { InstructionLimit = 1_000_000 },
            findings);
        Assert.True(session.Load());
        session.Do("mistake", () =>
        {
            Assert.True(session.Nt.User.CreateFile(@"\\.\Misbehave", out UserFile? file).IsSuccess);
            file!.DeviceIoControl(Code(n), [], 0);
            file.Close();
        });
        if (session.IsRunning) session.Unload();
        return (session.Stop, findings);
    }

    static void OthersStillRun()
    {
        using var m = new TestMachine();
        m.Load(Repository.Driver("quiet"));
        Assert.Equal([1, 0, 0, 0], m.Open(@"\\.\Quiet").DeviceIoControl(0x222000, [], 4).Output);
    }

    const ulong AccessViolation = 0xC0000005;

    [Theory]
    [InlineData(0, SYSTEM_SERVICE_EXCEPTION, AccessViolation, "misbehave!NullWrite")]
    [InlineData(1, SYSTEM_SERVICE_EXCEPTION, AccessViolation, "misbehave!NullRead")]
    [InlineData(2, ATTEMPTED_WRITE_TO_READONLY_MEMORY, null, "misbehave!WriteOwnText")]
    [InlineData(3, MULTIPLE_IRP_COMPLETE_REQUESTS, null, "misbehave!DeviceControl")]
    [InlineData(5, UNEXPECTED_KERNEL_MODE_TRAP, 8UL, "misbehave!Recurse")]
    [InlineData(6, SYSTEM_SERVICE_EXCEPTION, AccessViolation, "misbehave!CallAddress")]
    [InlineData(7, PAGE_FAULT_IN_NONPAGED_AREA, 0xFFFFF80012345678, "misbehave!CallAddress")]
    [InlineData(8, SYSTEM_SERVICE_EXCEPTION, 0xC0000094UL, "misbehave!DeviceControl")]
    [InlineData(9, SYSTEM_SERVICE_EXCEPTION, AccessViolation, "misbehave!UnknownMsr")]
    [InlineData(11, SYSTEM_SERVICE_EXCEPTION, 0xC000001DUL, "misbehave!DeviceControl")]
    [InlineData(12, SYSTEM_SERVICE_EXCEPTION, AccessViolation, "misbehave!CorruptReturn")]
    [InlineData(13, MANUALLY_INITIATED_CRASH1, 1UL, "misbehave!DeviceControl")]
    [InlineData(14, KERNEL_SECURITY_CHECK_FAILURE, 7UL, "misbehave!DeviceControl")]
    [InlineData(18, BAD_POOL_CALLER, 7UL, "misbehave!DeviceControl")]
    [InlineData(19, PAGE_FAULT_IN_FREED_SPECIAL_POOL, null, "misbehave!UseAfterFree")]
    [InlineData(20, SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, null, "misbehave!DeviceControl")]
    [InlineData(21, DRIVER_IRQL_NOT_LESS_OR_EQUAL, null, "misbehave!PagedAtDispatch")]
    [InlineData(23, IRQL_NOT_LESS_OR_EQUAL, null, "misbehave!WaitAtDispatch")]
    [InlineData(25, SPIN_LOCK_ALREADY_OWNED, null, "misbehave!SpinLockTwice")]
    [InlineData(29, SYSTEM_SERVICE_EXCEPTION, AccessViolation, "misbehave!DeviceControl")]
    [InlineData(30, ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, null, "misbehave!ExecutePool")]
    [InlineData(31, SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, null, "misbehave!DeviceControl")]
    [InlineData(32, BAD_POOL_CALLER, 0xAUL, "misbehave!DeviceControl")]
    [InlineData(35, SYSTEM_SERVICE_EXCEPTION, AccessViolation, "misbehave!DeviceControl")]
    public void A_mistake_that_stops_Windows_stops_the_machine(uint n, BugCheckCode code, ulong? first, string guilty)
    {
        (MachineStop? stop, FindingList findings) = Make(n);
        BugCheck bugCheck = Assert.IsType<BugCheck>(stop);
        Assert.Equal(code, bugCheck.Code);
        if (first is { } parameter) Assert.Equal(parameter, bugCheck.Parameters[0]);
        CrashReport report = bugCheck.Report!;
        Assert.Equal("misbehave", report.Driver);
        Assert.Contains(report.Stack, f => f.Text.Split('+')[0] == guilty);
        if (n is not (StackOverflow or CorruptReturn))
            Assert.Contains(report.Stack, f => f.Text.Split('+')[0] == "misbehave!DeviceControl");
        Assert.Contains(findings.All, f => f.Rule == "BugCheck" && f.Crash == report && f.During == "mistake");
        OthersStillRun();
    }

    [Theory]
    [InlineData(4, "EndlessLoop", "misbehave!EndlessLoop")]
    [InlineData(10, "Deadlock", "misbehave!CliHlt")]
    [InlineData(27, "Deadlock", "misbehave!DeviceControl")]
    public void A_driver_that_hangs_the_machine_is_found_and_named(uint n, string rule, string guilty)
    {
        (MachineStop? stop, FindingList findings) = Make(n);
        Assert.IsType<Hang>(stop);
        Finding finding = Assert.Single(findings.All);
        Assert.Equal((rule, "misbehave"), (finding.Rule, finding.Driver));
        Assert.Contains(finding.Stack, f => f.Text.Split('+')[0] == guilty);
        OthersStillRun();
    }

    [Theory]
    [InlineData(15, "Completion", "completed with STATUS_PENDING")]
    [InlineData(16, "Dispatch", "returned STATUS_PENDING without IoMarkIrpPending")]
    [InlineData(16, "Leftover", "1 request(s) are never completed")]
    [InlineData(17, "Dispatch", "neither completed nor marked pending")]
    [InlineData(17, "Leftover", "1 request(s) are never completed")]
    [InlineData(22, "Irql", "ZwCreateFile was called at IRQL DISPATCH_LEVEL")]
    [InlineData(26, "Leftover", "tag 'Ring', 128 bytes, allocated by misbehave!DeviceControl")]
    [InlineData(26, "Leftover", @"device \Device\Misbehave is not deleted")]
    [InlineData(26, "Leftover", @"symbolic link \??\Misbehave")]
    [InlineData(28, "Completion", "Information 4096, but the caller's buffer has 0 bytes")]
    [InlineData(34, "Dispatch", "completed the IRP with STATUS_SUCCESS, but returned STATUS_UNSUCCESSFUL")]
    [InlineData(36, "Dispatch", "returned STATUS_PENDING without IoMarkIrpPending")]
    public void A_mistake_that_Windows_survives_is_a_finding(uint n, string rule, string message)
    {
        (MachineStop? stop, FindingList findings) = Make(n);
        Assert.Null(stop);
        Assert.Contains(findings.All, f => f.Rule == rule && f.Driver == "misbehave" && f.Message.Contains(message));
        OthersStillRun();
    }

    [Fact]
    public void An_IRQL_that_is_left_raised_is_a_finding_and_then_stops_the_machine()
    {
        (MachineStop? stop, FindingList findings) = Make(24);
        Assert.Equal(IRQL_GT_ZERO_AT_SYSTEM_SERVICE, Assert.IsType<BugCheck>(stop).Code);
        Finding found = Assert.Single(findings.All, f => f.Rule == "Dispatch");
        Assert.Contains("called at IRQL PASSIVE_LEVEL and returned at DISPATCH_LEVEL", found.Message);
        Assert.Equal("misbehave!DeviceControl", found.Stack[0].Text);
    }

    [Fact]
    public void A_completed_IRP_that_is_touched_is_a_finding_of_its_own()
    {
        (_, FindingList findings) = Make(3);
        Assert.Contains(findings.All, f => f.Rule == "Completion" && f.Message.Contains("touched (at offset 0x30)"));
    }

    [Fact]
    public void A_crash_in_pool_tells_of_the_block_and_who_allocated_it()
    {
        var bugCheck = Assert.IsType<BugCheck>(Make(19).Stop);
        Assert.Contains("16 bytes into a freed NonPagedExecute block of 64 bytes, tag 'Ring'", bugCheck.Report!.Note);
        Assert.Contains("allocated by misbehave!UseAfterFree", bugCheck.Report.Note);
    }

    [Fact]
    public void Reading_pool_before_it_is_written_is_not_found()
    {
        (MachineStop? stop, FindingList findings) = Make(UninitializedPool);
        Assert.Null(stop);
        Assert.Empty(findings.All);
    }

    [Fact]
    public void The_check_finds_the_mistakes_by_itself_and_comes_to_its_end()
    {
        var run = new CheckRun(
            DriverFile.Open(Repository.Driver("misbehave")), new SessionOptions { InstructionLimit = 500_000 });
        run.Run();
        Assert.Equal(37, run.Surface!.ControlCodes.Count(c => c >= Code(0) && c <= Code(36) && (c & 3) == 0));
        var stops = run.Findings.All.Where(f => f.Crash is not null).Select(f => f.Crash!.Code).Distinct().ToList();
        foreach (BugCheckCode code in (BugCheckCode[])
            [SYSTEM_SERVICE_EXCEPTION, MULTIPLE_IRP_COMPLETE_REQUESTS, BAD_POOL_CALLER,
            SPIN_LOCK_ALREADY_OWNED, KERNEL_SECURITY_CHECK_FAILURE, DRIVER_IRQL_NOT_LESS_OR_EQUAL])
            Assert.Contains((uint)code, stops);
        Assert.All(run.Findings.All, f => Assert.Equal(1UL, f.Seed));
    }
}
