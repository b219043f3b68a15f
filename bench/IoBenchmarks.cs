using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.NoEmit;
using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Bench;

/// <summary>What a request costs, from the call of the user's program to its return, by its kind. No observers are
/// there.</summary>
public class IoBenchmarks
{
    const uint Null = 0x222000, Buffered = 0x222004;
    const int Large = 1 << 20;

    NtKernel _nt = null!;
    Win32 _win32 = null!;
    Va _input, _output;
    Handle _echo, _direct, _deep, _kept, _port, _withPort;
    Win32Overlapped _overlapped = null!;
    Interrupted _interrupted = null!;
    InterruptLine _line = null!;
    PciFunction _function = null!;

    public static int Run()
    {
        var job = Job.Default.WithToolchain(InProcessNoEmitToolchain.Instance).WithWarmupCount(3).WithIterationCount(9);
        BenchmarkRunner.Run<IoBenchmarks>(
            DefaultConfig.Instance.AddJob(job).WithOptions(ConfigOptions.DisableOptimizationsValidator));
        return 0;
    }

    /// <summary>One kind of request again and again, to look at with a profiler.</summary>
    public static int Loop(int count)
    {
        var bench = new IoBenchmarks();
        bench.Setup();
        for (int i = 0; i < count; i++) bench.DeviceControl64();
        return 0;
    }

    [GlobalSetup]
    public void Setup()
    {
        _nt = new NtKernel(new KernelOptions { InstructionLimit = long.MaxValue / 4 });
        _win32 = _nt.User.Win32;
        DriverFile.Open(Path.Combine(AppContext.BaseDirectory, "echo.sys")).Load(_nt);
        _nt.Loader.Load("Keeper", new Keeper());
        (_input, _output) = (_win32.VirtualAlloc(Large), _win32.VirtualAlloc(Large));
        (_echo, _direct, _kept) = (Open(@"\\.\Echo"), Open(@"\\.\EchoDirect"), Open(@"\Device\Keeper"));
        _withPort = Open(@"\\.\Echo");
        _port = _win32.CreateIoCompletionPort(_withPort, default, new Va(1), 0).Handle;
        _overlapped = _win32.NewOverlapped();
        _nt.Loader.Load("Interrupted", _interrupted = new Interrupted());
        _line = _nt.Computer.Interrupts.Line(Interrupted.Line);
        _function = new PciFunction(new PciSlot(1, 0), new PciIdentity(0x1234, 0x5678)).AddMsi(1);
        _nt.Computer.Pci.Plug(_function);
        const int msi = 0x40;
        _function.Write(PciFunction.CommandOffset, 2, PciFunction.MasterEnable);
        _function.Write(msi + 4, 8, 0xFEE0_0000);
        _function.Write(msi + 12, 2, _interrupted.Vector);
        _function.Write(msi + 2, 2, 1);
    }

    // Filters above the device come last: what is open before does not go through them in other benchmarks.
    [GlobalSetup(Target = nameof(FourDeep))]
    public void SetupDeep()
    {
        Setup();
        _nt.Loader.Load("Pass1", new PassDown());
        DriverFile.Open(Path.Combine(AppContext.BaseDirectory, "filter.sys")).Load(_nt);
        _nt.Loader.Load("Pass2", new PassDown());
        _deep = Open(@"\\.\Echo");
    }

    Handle Open(string name)
    {
        Win32Result opened = _win32.CreateFile(name, flags: Win32.FILE_FLAG_OVERLAPPED);
        return opened.Succeeded ? opened.Handle : throw new InvalidOperationException($"{name}: {opened.Error}");
    }

    Win32Result Control(Handle file, uint code, uint input, uint output) =>
        _win32.DeviceIoControl(file, code, _input, input, _output, output, _overlapped);

    [Benchmark(Description = "device control without data")]
    public Win32Result NullRequest() => Control(_echo, Buffered, 0, 0);

    [Benchmark(Description = "device control, 64 bytes, buffered")]
    public Win32Result DeviceControl64() => Control(_echo, Buffered, 64, 64);

    [Benchmark(Description = "device control, 4 KB, buffered")]
    public Win32Result DeviceControl4K() => Control(_echo, Buffered, 4096, 4096);

    [Benchmark(Description = "read into a locked buffer of 64 KB")]
    public Win32Result Direct64K() => _win32.ReadFile(_direct, _output, 64 << 10, _overlapped);

    [Benchmark(Description = "read into a locked buffer of 1 MB")]
    public Win32Result Direct1M() => _win32.ReadFile(_direct, _output, Large, _overlapped);

    [Benchmark(Description = "device control, 64 bytes, and its packet from a completion port")]
    public QueuedCompletion WithPort()
    {
        Control(_withPort, Buffered, 64, 64);
        return _win32.GetQueuedCompletionStatus(_port, 0);
    }

    [Benchmark(Description = "device control, 64 bytes, through a stack of four (two .sys, two C#)")]
    public Win32Result FourDeep() => Control(_deep, Buffered, 64, 64);

    [Benchmark(Description = "send a request that is kept, cancel it")]
    public Win32Result Cancel()
    {
        _win32.DeviceIoControl(_kept, Null, Va.Null, 0, Va.Null, 0, _overlapped);
        return _win32.CancelIoEx(_kept, _overlapped);
    }

    [Benchmark(Description = "a device's interrupt, its service routine and its DPC (C#)")]
    public int Interrupt()
    {
        _line.Set(this, true);
        _line.Set(this, false);
        _nt.User.RunUntilIdle();
        return _interrupted.Dpcs;
    }

    [Benchmark(Description = "a PCI function's message, its service routine and its DPC (C#)")]
    public int Message()
    {
        _function.Signal(0);
        _nt.User.RunUntilIdle();
        return _interrupted.Dpcs;
    }

    [Benchmark(Description = "let a machine run that has nothing to do")]
    public void Idle() => _nt.User.RunUntilIdle();

    [Benchmark(Description = "open and close a device")]
    public Win32Result OpenClose() => _win32.CloseHandle(Open(@"\\.\Echo"));
}

/// <summary>Keeps each device control until it is canceled.</summary>
sealed class Keeper : NtDriver
{
    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        for (IrpMajor major = IrpMajor.IRP_MJ_CREATE; major <= IrpMajor.IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(Dispatch));
        return IoCreateDevice(driverObject, 0, @"\Device\Keeper", Wdm.FILE_DEVICE_UNKNOWN, 0, false, out _);
    }

    NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        if (irp.CurrentStackLocation.MajorFunction != IrpMajor.IRP_MJ_DEVICE_CONTROL)
            return Complete(irp, Status.STATUS_SUCCESS);
        irp.MarkPending();
        irp.SetCancelRoutine(Routine(Cancel));
        return Status.STATUS_PENDING;
    }

    void Cancel(DeviceObject device, Irp irp)
    {
        Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
        Complete(irp, Status.STATUS_CANCELLED);
    }
}

/// <summary>A filter above \Device\Echo with a completion routine.</summary>
sealed class PassDown : NtDriver
{
    DeviceObject _lower;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        for (IrpMajor major = IrpMajor.IRP_MJ_CREATE; major <= IrpMajor.IRP_MJ_PNP; major++)
            driverObject.SetMajorFunction(major, Routine(Dispatch));
        NtStatus status = IoCreateDevice(
            driverObject, 0, "", Wdm.FILE_DEVICE_UNKNOWN, 0, false, out DeviceObject device);
        if (!status.IsSuccess) return status;
        Va lower = Local(8);
        status = Nt.IoAttachDevice(device, Text(@"\Device\Echo"), lower);
        _lower = At<DeviceObject>(Memory.Read<Va>(lower));
        device.Flags |= _lower.Flags & Wdm.DO_BUFFERED_IO;
        return status;
    }

    NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        irp.CopyCurrentStackLocationToNext();
        irp.SetCompletionRoutine(Routine(Done), Va.Null);
        return Nt.IofCallDriver(_lower, irp);
    }

    NtStatus Done(DeviceObject device, Irp irp, Va context)
    {
        if (irp.PendingReturned) irp.MarkPending();
        return Status.STATUS_SUCCESS;
    }
}

/// <summary>Queues a DPC with each interrupt of a line.</summary>
sealed class Interrupted : NtDriver
{
    public const int Line = 5;

    Va _dpc;

    public int Dpcs { get; private set; }
    public uint Vector { get; private set; }

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        _dpc = Nt.ExAllocatePool2(Wdm.POOL_FLAG_NON_PAGED, (ulong)KDpc.Size, Wdm.Tag("Bnch"));
        Nt.KeInitializeDpc(At<KDpc>(_dpc), Routine(Deferred), Va.Null);
        Va irql = Local(8), affinity = Local(8), made = Local(8);
        Vector = Nt.HalGetInterruptVector(1, 0, Line, Line, irql, affinity);
        var level = Memory.Read<Irql>(irql);
        const uint latched = 1;
        return Nt.IoConnectInterrupt(
            made, Routine(Service), Va.Null, Va.Null, Vector, level, level, latched, false, 1, false);
    }

    bool Service(KInterrupt interrupt, Va context) => Nt.KeInsertQueueDpc(At<KDpc>(_dpc), Va.Null, Va.Null);

    void Deferred(KDpc dpc, Va context, Va argument1, Va argument2) => Dpcs++;
}
