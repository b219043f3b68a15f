using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>From a device's line to the service routine, the DPC and the completed request.</summary>
public sealed class InterruptTests
{
    const ulong Registers = 0xFEB0_0000;

    /// <summary>A chip of two registers: writing to the first starts a job, which ends with an interrupt; the second
    /// says whether it has interrupted, and a write to it takes the interrupt back.</summary>
    sealed class Chip
    {
        readonly Computer _computer;
        readonly InterruptLine _line;
        bool _isDone;

        public Chip(TestMachine m, int line, ulong registers)
        {
            _computer = m.Nt.Computer;
            _line = _computer.Interrupts.Line(line);
            _computer.Registers.Devices.Add(registers, 8, new RegisterBlock()
                .Add("START", 0, 4, () => 0, ticks => _computer.Clock.After((long)ticks, Done))
                .Add("STATUS", 4, 4, () => _isDone ? 1u : 0, _ => Clear()));
        }

        public void Done()
        {
            _isDone = true;
            _line.Set(this, true);
        }

        void Clear()
        {
            _isDone = false;
            _line.Set(this, false);
        }
    }

    /// <summary>Starts the chip with each read, and completes it from the DPC of the chip's interrupt.</summary>
    sealed class ChipDriver(int line, ulong registers, bool shares = false, bool clears = true) : NtDriver
    {
        Va _registers, _interrupt;
        DeviceObject _device;

        public List<string> Log { get; } = [];
        public NtStatus Connected { get; private set; }
        public Irql Level { get; private set; }

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
                driverObject.SetMajorFunction(major, Routine(Dispatch));
            driverObject.DriverStartIo = Routine(StartIo);
            driverObject.DriverUnload = Routine(Unload);
            IoCreateDevice(
                driverObject, 0, $@"\Device\Chip{line}{registers:x}", FILE_DEVICE_UNKNOWN, 0, false, out _device);
            Nt.KeInitializeDpc(_device.Dpc, Routine(DpcForIsr), _device.Address);
            Va irql = Local(8), affinity = Local(8), made = Local(8);
            uint vector = Nt.HalGetInterruptVector(0, 0, (uint)line, (uint)line, irql, affinity);
            Level = Memory.Read<Irql>(irql);
            _registers = Nt.MmMapIoSpace(registers, 8, 0);
            Connected = Nt.IoConnectInterrupt(made, Routine(Isr), _device.Address, Va.Null, vector, Level, Level, 0,
                shares, Memory.Read<ulong>(affinity), false);
            _interrupt = Memory.Read<Va>(made);
            return Connected;
        }

        void Unload(DriverObject driverObject)
        {
            Nt.IoDisconnectInterrupt(At<KInterrupt>(_interrupt));
            Nt.MmUnmapIoSpace(_registers, 8);
            Nt.IoDeleteDevice(_device);
        }

        NtStatus Dispatch(DeviceObject device, Irp irp)
        {
            if (irp.CurrentStackLocation.MajorFunction != IRP_MJ_READ) return Complete(irp, STATUS_SUCCESS);
            irp.MarkPending();
            Nt.IoStartPacket(device, irp, Va.Null, Va.Null);
            return STATUS_PENDING;
        }

        void StartIo(DeviceObject device, Irp irp) => Nt.KeSynchronizeExecution(
            At<KInterrupt>(_interrupt), Routine(Start), new Va(irp.CurrentStackLocation.Length));

        bool Start(Va ticks)
        {
            Log.Add($"start at {Nt.KeGetCurrentIrql()}");
            Memory.Write(_registers, (uint)ticks.Value);
            return true;
        }

        bool Isr(KInterrupt interrupt, Va context)
        {
            if (Memory.Read<uint>(_registers + 4) == 0)
            {
                Log.Add("not mine");
                return false;
            }
            Log.Add($"interrupt at {Nt.KeGetCurrentIrql()}");
            if (clears) Memory.Write(_registers + 4, 0u);
            Nt.KeInsertQueueDpc(_device.Dpc, Va.Null, Va.Null);
            return true;
        }

        void DpcForIsr(KDpc dpc, Va context, Va argument1, Va argument2)
        {
            Log.Add($"DPC at {Nt.KeGetCurrentIrql()}");
            Irp irp = _device.CurrentIrp;
            Nt.IoStartNextPacket(_device, false);
            if (!irp.IsNull) Complete(irp, STATUS_SUCCESS, 4);
        }
    }

    [Fact]
    public void A_request_starts_the_device_and_its_interrupt_completes_it()
    {
        using var m = new TestMachine();
        _ = new Chip(m, 17, Registers);
        var driver = new ChipDriver(17, Registers);
        Driver loaded = m.Load(driver);
        UserFile file = m.Open($@"\Device\Chip17{Registers:x}");
        long begin = m.Nt.Ke.Clock.Now;
        Assert.Equal((STATUS_SUCCESS, 4UL), (file.Read(5000).Status, 4UL));
        Assert.InRange(m.Nt.Ke.Clock.Now - begin, 5000, 5500);
        string level = driver.Level.ToString();
        Assert.Equal([$"start at {level}", $"interrupt at {level}", "DPC at DISPATCH_LEVEL"], driver.Log);
        file.Close();
        m.Unload(loaded);
        Assert.Empty(m.Findings);
    }

    sealed class Poller(TestMachine machine) : NtDriver
    {
        public bool IsDone { get; private set; }
        public long Ticks { get; private set; }

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            long begin = machine.Nt.Ke.Clock.Now;
            machine.Nt.Computer.Clock.After(100, () => IsDone = true);
            while (!IsDone) Nt.KeGetCurrentIrql();
            Ticks = machine.Nt.Ke.Clock.Now - begin;
            return STATUS_SUCCESS;
        }
    }

    [Fact]
    public void What_a_device_does_later_is_done_then_though_a_driver_runs_in_a_circle()
    {
        using var m = new TestMachine();
        var poller = new Poller(m);
        m.Load(poller);
        Assert.InRange(poller.Ticks, 100, 103);
    }

    [Fact]
    public void A_shared_line_asks_each_driver_in_turn_until_one_knows_its_device()
    {
        using var m = new TestMachine();
        _ = new Chip(m, 20, Registers);
        _ = new Chip(m, 20, Registers + 0x1000);
        _ = new Chip(m, 20, Registers + 0x2000);
        ChipDriver[] drivers = [.. Enumerable.Range(0, 3).Select(
            i => new ChipDriver(20, Registers + (ulong)i * 0x1000, shares: true))];
        for (int i = 0; i < 3; i++) m.Nt.Loader.Load($"Chip{i}", drivers[i]);
        m.Open($@"\Device\Chip20{Registers + 0x1000:x}").Read(100);
        Assert.Equal(["not mine"], drivers[0].Log);
        Assert.Contains("DPC at DISPATCH_LEVEL", drivers[1].Log);
        Assert.Empty(drivers[2].Log);
    }

    [Fact]
    public void A_line_that_is_not_shared_has_one_driver()
    {
        using var m = new TestMachine();
        Assert.Equal(STATUS_SUCCESS, m.Nt.Loader.Load("First", new ChipDriver(18, Registers)).EntryStatus);
        Assert.Equal(STATUS_INVALID_PARAMETER,
            m.Nt.Loader.Load("Second", new ChipDriver(18, Registers + 0x1000, shares: true)).EntryStatus);
    }

    [Fact]
    public void A_line_that_nobody_lets_go_is_a_storm_with_the_service_routine()
    {
        using var m = new TestMachine();
        _ = new Chip(m, 17, Registers);
        m.Load(new ChipDriver(17, Registers, clears: false));
        UserFile file = m.Open($@"\Device\Chip17{Registers:x}");
        BugCheck stop = Assert.Throws<BugCheck>(() => file.Read(10));
        Assert.Equal(BugCheckCode.HARDWARE_INTERRUPT_STORM, stop.Code);
        Assert.Equal("ChipDriver!Isr", m.Nt.Loader.Describe(new Va(stop.Parameters[0])));
    }

    [Fact]
    public void A_higher_line_interrupts_a_lower_ones_service_routine_and_not_the_other_way_round()
    {
        using var m = new TestMachine();
        var order = new List<string>();
        InterruptController controller = m.Nt.Computer.Interrupts;
        Connect("high", 26, () => { });
        Connect("low", 19, () => controller.Line(26).Set(order, true));
        controller.Line(19).Set(order, true);
        m.Nt.User.RunUntilIdle();
        Assert.Equal(["low begins", "high begins", "high ends", "low ends"], order);

        void Connect(string name, int line, Action during)
        {
            uint vector = InterruptTable.VectorOf(line);
            Va routine = m.Nt.Routines.Add(name, (nt, call) =>
            {
                order.Add(name + " begins");
                during();
                // Between two instructions of a service routine: where a higher one comes in.
                nt.Ke.Interrupt();
                controller.Line(line).Set(order, false);
                order.Add(name + " ends");
                call.Return(1);
            });
            Va made = m.Block(8);
            Assert.Equal(STATUS_SUCCESS, m.Nt.IoConnectInterrupt(made, routine, Va.Null, Va.Null, vector,
                (Irql)(vector >> 4), (Irql)(vector >> 4), 0, false, 1, false));
        }
    }

    [Fact]
    public void An_edge_comes_once_and_is_kept_while_the_IRQL_is_high()
    {
        using var m = new TestMachine();
        int count = 0;
        uint vector = InterruptTable.VectorOf(4);
        Va routine = m.Nt.Routines.Add("isr", (_, call) =>
        {
            count++;
            call.Return(1);
        });
        m.Nt.IoConnectInterrupt(m.Block(8), routine, Va.Null, Va.Null, vector, (Irql)(vector >> 4), Irql.HIGH_LEVEL, 1,
            false, 1, false);
        InterruptLine line = m.Nt.Computer.Interrupts.Line(4);
        Irql old = m.Nt.KfRaiseIrql(Irql.HIGH_LEVEL);
        line.Set(this, true);
        m.Nt.Ke.Interrupt();
        Assert.Equal(0, count);
        m.Nt.KeLowerIrql(old);
        m.Nt.Ke.Interrupt();
        Assert.Equal(1, count);
        line.Set(this, false);
        line.Set(this, true);
        m.Nt.Ke.Interrupt();
        Assert.Equal(2, count);
    }

    [Fact]
    public void A_line_that_is_not_shared_is_one_drivers_on_all_processors()
    {
        using var m = new TestMachine(new KernelOptions { Processors = 2 });
        Va made = m.Block(8), routine = m.Routine(_ => 0);
        uint vector = InterruptTable.VectorOf(5);
        NtStatus Connect(ulong processors, bool isLatched) => m.Nt.IoConnectInterrupt(made, routine, Va.Null, Va.Null,
            vector, (Irql)(vector >> 4), (Irql)(vector >> 4), isLatched ? 1u : 0, isLatched, processors, false);
        Assert.Equal(STATUS_SUCCESS, Connect(1, false));
        Assert.Equal(STATUS_INVALID_PARAMETER, Connect(2, false));
        Assert.Equal(STATUS_INVALID_PARAMETER, Connect(2, true));
        Assert.Equal(InterruptTrigger.Level, m.Nt.Computer.Interrupts.Line(5).Trigger);
    }
}
