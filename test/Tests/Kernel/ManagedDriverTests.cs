using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>Drivers written in C#.</summary>
public sealed class ManagedDriverTests
{
    const uint Throws = 0x222000, Touches = 0x222004, Leaks = 0x222008, TwiceComplete = 0x22200C, Waits = 0x222010,
        Recurses = 0x222014, Spins = 0x222018, Raises = 0x22201C;

    /// <summary>One device that does what a control code says.</summary>
    sealed class Sample : NtDriver
    {
        public List<string> Log { get; } = [];

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            Log.Add(registryPath.Text);
            driverObject.SetMajorFunction(IRP_MJ_CREATE, Routine(OpenClose));
            driverObject.SetMajorFunction(IRP_MJ_CLOSE, Routine(OpenClose));
            driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(OpenClose));
            driverObject.SetMajorFunction(IRP_MJ_DEVICE_CONTROL, Routine(Control));
            driverObject.DriverUnload = Routine(Unload);
            NtStatus status = IoCreateDevice(
                driverObject, 0, @"\Device\Sample", FILE_DEVICE_UNKNOWN, 0, false, out DeviceObject device);
            if (!status.IsSuccess) return status;
            device.Flags |= DO_BUFFERED_IO;
            return IoCreateSymbolicLink(@"\DosDevices\Sample", @"\Device\Sample");
        }

        void Unload(DriverObject driverObject)
        {
            Log.Add("unload");
            IoDeleteSymbolicLink(@"\DosDevices\Sample");
            Nt.IoDeleteDevice(driverObject.DeviceObject);
        }

        NtStatus OpenClose(DeviceObject device, Irp irp) => Complete(irp, STATUS_SUCCESS);

        NtStatus Control(DeviceObject device, Irp irp)
        {
            switch (irp.CurrentStackLocation.IoControlCode)
            {
                case Throws:
                    Log[99] = "never";
                    break;
                case Touches:
                    Memory.Write(new Va(0xFFFF_8A00_1234_0000), 1);
                    break;
                case Leaks:
                    Nt.ExAllocatePool2(POOL_FLAG_NON_PAGED, 100, Tag("Leak"));
                    break;
                case TwiceComplete:
                    Complete(irp, STATUS_SUCCESS);
                    break;
                case Waits:
                    Wait();
                    break;
                case Recurses:
                    Recurse(0);
                    break;
                case Spins:
                    while (true) Nt.KeGetCurrentIrql();
                case Raises:
                    Nt.ExRaiseStatus(STATUS_DATA_ERROR);
                    break;
            }
            return Complete(irp, STATUS_SUCCESS);
        }

        void Wait()
        {
            var done = Local<KEvent>();
            Nt.KeInitializeEvent(done, NotificationEvent, false);
            var timer = Local<KTimer>();
            var dpc = Local<KDpc>();
            Nt.KeInitializeTimer(timer);
            Nt.KeInitializeDpc(dpc, Routine(Signal), done.Address);
            Nt.KeSetTimer(timer, Milliseconds(5), dpc);
            Nt.KeWaitForSingleObject(done.Header, Executive, KernelMode, false, Va.Null);
        }

        void Signal(KDpc dpc, Va context, Va argument1, Va argument2)
        {
            Log.Add(Nt.KeGetCurrentIrql().ToString());
            Nt.KeSetEvent(At<KEvent>(context), 0, false);
        }

        int Recurse(int depth) => Nt.KeGetCurrentIrql() == Irql.PASSIVE_LEVEL ? Recurse(depth + 1) + 1 : depth;
    }

    static (TestMachine Machine, Sample Driver, UserFile File) Start()
    {
        var m = new TestMachine();
        var driver = new Sample();
        Assert.Equal(STATUS_SUCCESS, m.Load(driver).EntryStatus);
        return (m, driver, m.Open(@"\\.\Sample"));
    }

    [Fact]
    public void It_is_loaded_opened_and_unloaded_as_a_sys_is()
    {
        (TestMachine m, Sample driver, UserFile file) = Start();
        using (m)
        {
            Assert.Equal(STATUS_SUCCESS, file.DeviceIoControl(0x222FFC, [], 0).Status);
            file.Close();
            Driver loaded = m.Nt.Loader.Drivers[0];
            Assert.Equal(@"\Driver\Sample", loaded.Object.DriverName.Text);
            Assert.True(m.Nt.Loader.Unload(loaded));
            Assert.Equal([@"\Registry\Machine\System\CurrentControlSet\Services\Sample".ToUpperInvariant(), "UNLOAD"],
                driver.Log.Select(l => l.ToUpperInvariant()));
            Leftovers left = m.Nt.LeftBy(loaded);
            Assert.Empty(left.Pool);
            Assert.Empty(left.Devices);
            Assert.Empty(left.Links);
            Assert.Empty(m.Findings);
        }
    }

    static BugCheck StopOf(uint code)
    {
        (TestMachine m, _, UserFile file) = Start();
        using (m) return Assert.Throws<BugCheck>(() => file.DeviceIoControl(code, [], 0));
    }

    [Fact]
    public void A_routine_that_throws_is_a_bug_check_with_the_methods_and_lines_of_NET()
    {
        BugCheck stop = StopOf(Throws);
        Assert.Equal((BugCheckCode.KMODE_EXCEPTION_NOT_HANDLED, 0xE043_4352UL), (stop.Code, stop.Parameters[0]));
        CrashReport report = stop.Report!;
        Assert.StartsWith("System.ArgumentOutOfRangeException: ", report.Note);
        Assert.Equal("Sample", report.Driver);
        StackFrame first = report.Stack[0];
        Assert.Equal(("Sample!Control", "ManagedDriverTests.cs"), (first.Text, first.File));
        Assert.InRange(first.Line, 50, 65);
    }

    [Fact]
    public void A_wild_address_is_the_bug_check_that_it_is_in_C()
    {
        BugCheck stop = StopOf(Touches);
        Assert.Equal((BugCheckCode.PAGE_FAULT_IN_NONPAGED_AREA, 0xFFFF_8A00_1234_0000UL),
            (stop.Code, stop.Parameters[0]));
        Assert.Equal("Sample", stop.Report!.Driver);
    }

    [Fact]
    public void A_second_completion_is_found_with_the_line_that_did_it()
    {
        BugCheck stop = StopOf(TwiceComplete);
        Assert.Equal(BugCheckCode.MULTIPLE_IRP_COMPLETE_REQUESTS, stop.Code);
        Assert.Contains(stop.Report!.Stack, f => f.Text == "Sample!Control" && f.File == "ManagedDriverTests.cs");
    }

    [Fact]
    public void A_status_that_nobody_catches_is_a_bug_check()
    {
        BugCheck stop = StopOf(Raises);
        Assert.Equal((ulong)STATUS_DATA_ERROR.Value, stop.Parameters[0] & 0xFFFF_FFFF);
    }

    [Fact]
    public void A_recursion_without_end_is_a_bug_check_and_not_our_end()
    {
        BugCheck stop = StopOf(Recurses);
        Assert.Equal(BugCheckCode.KMODE_EXCEPTION_NOT_HANDLED, stop.Code);
        Assert.StartsWith("System.InsufficientExecutionStackException", stop.Report!.Note);
    }

    [Fact]
    public void A_loop_without_end_that_calls_the_kernel_is_a_hang()
    {
        (TestMachine m, _, UserFile file) = Start();
        using (m)
        {
            Hang hang = Assert.Throws<Hang>(() => file.DeviceIoControl(Spins, [], 0));
            Assert.Equal(HangKind.InstructionLimit, hang.Kind);
            Assert.Equal("Sample", hang.Report!.Driver);
        }
    }

    [Fact]
    public void Its_variables_are_on_the_kernel_stack_and_its_DPC_runs_at_DISPATCH_LEVEL()
    {
        (TestMachine m, Sample driver, UserFile file) = Start();
        using (m)
        {
            Assert.Equal(STATUS_SUCCESS, file.DeviceIoControl(Waits, [], 0).Status);
            Assert.Equal("DISPATCH_LEVEL", driver.Log[^1]);
            Assert.Empty(m.Findings);
        }
    }

    [Fact]
    public void What_it_leaves_behind_is_known_to_be_its_own()
    {
        (TestMachine m, _, UserFile file) = Start();
        using (m)
        {
            file.DeviceIoControl(Leaks, [], 0);
            file.Close();
            Driver loaded = m.Nt.Loader.Drivers[0];
            m.Nt.Loader.Unload(loaded);
            (string tag, ulong bytes, string by) = Assert.Single(m.Nt.LeftBy(loaded).Pool);
            Assert.Equal(("Leak", 100UL, "Sample!Control"), (tag, bytes, by));
        }
    }

    /// <summary>Sits above echo.sys, and counts what passes.</summary>
    sealed class Above : NtDriver
    {
        DeviceObject _lower;

        public int Down { get; private set; }
        public int Up { get; private set; }

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
                driverObject.SetMajorFunction(major, Routine(Pass));
            NtStatus status = IoCreateDevice(
                driverObject, 0, "", FILE_DEVICE_UNKNOWN, 0, false, out DeviceObject device);
            if (!status.IsSuccess) return status;
            Va attached = Local(8);
            status = Nt.IoAttachDevice(device, Text(@"\Device\Echo"), attached);
            _lower = At<DeviceObject>(Memory.Read<Va>(attached));
            device.Flags |= _lower.Flags & (DO_BUFFERED_IO | DO_DIRECT_IO);
            return status;
        }

        NtStatus Pass(DeviceObject device, Irp irp)
        {
            Down++;
            irp.CopyCurrentStackLocationToNext();
            irp.SetCompletionRoutine(Routine(Done), Va.Null);
            return Nt.IofCallDriver(_lower, irp);
        }

        NtStatus Done(DeviceObject device, Irp irp, Va context)
        {
            Up++;
            if (irp.PendingReturned) irp.MarkPending();
            return STATUS_SUCCESS;
        }
    }

    [Fact]
    public void It_sits_above_a_sys()
    {
        using var m = new TestMachine();
        m.Load(Repository.Driver("echo"));
        var above = new Above();
        Assert.Equal(STATUS_SUCCESS, m.Load(above).EntryStatus);
        UserFile file = m.Open(@"\\.\Echo");
        file.Write("Hello"u8);
        Assert.Equal("Hello"u8.ToArray(), file.Read(64).Output);
        file.Close();
        Assert.Equal((5, 5), (above.Down, above.Up));
        Assert.Empty(m.Findings);
    }

    /// <summary>An export driver, and one that imports from it.</summary>
    sealed class Library : NtDriver
    {
        public List<string> Log { get; } = [];

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath) => STATUS_SUCCESS;

        [DriverExport] public NtStatus DllInitialize(UnicodeString registryPath) => Note("initialize");
        [DriverExport] public NtStatus DllUnload() => Note("unload");
        [DriverExport]
        public ulong Sum(uint a, byte b, bool c, Va d, long e, Irql f) =>
            a + b + (c ? 1u : 0) + d.Value + (ulong)e + (ulong)f;

        NtStatus Note(string what)
        {
            Log.Add(what);
            return STATUS_SUCCESS;
        }
    }

    sealed class Importer : NtDriver
    {
        public ulong Result { get; private set; }
        public Va Missing { get; private set; } = new(1);

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            driverObject.DriverUnload = Routine((DriverObject _) => { });
            Result = Call(Import("Library.sys", "Sum"), 1, 0x102, 0x100 + 1, 4, 5, 6);
            Missing = Import("Library.sys", "Nothing");
            return STATUS_SUCCESS;
        }
    }

    [Fact]
    public void It_exports_routines_that_another_driver_imports()
    {
        using var m = new TestMachine();
        var library = new Library();
        var importer = new Importer();
        m.Load(library);
        Assert.Empty(library.Log);
        Driver loaded = m.Load(importer);
        Assert.Equal(["initialize"], library.Log);
        Assert.Equal(1UL + 2 + 1 + 4 + 5 + 6, importer.Result);
        Assert.True(importer.Missing.IsNull);
        m.Nt.Loader.Unload(loaded);
        Assert.Equal(["initialize", "unload"], library.Log);
    }

    sealed class Impossible : NtDriver
    {
        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            Routine((string text) => { });
            return STATUS_SUCCESS;
        }
    }

    [Fact]
    public void A_routine_with_a_parameter_that_no_register_holds_is_refused_with_its_name()
    {
        using var m = new TestMachine();
        BugCheck stop = Assert.Throws<BugCheck>(() => m.Load(new Impossible()));
        Assert.Contains("DriverEntry", stop.Report!.Note);
        Assert.Contains("String cannot be passed in a register", stop.Report.Note);
    }
}
