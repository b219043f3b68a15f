using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>A machine with the device to learn with behind PCI, and its driver of samples in one of the
/// languages.</summary>
sealed class EduRig : IDisposable
{
    const string Settings = @"Device Parameters\Interrupt Management\MessageSignaledInterruptProperties";
    const ulong JobStep = 0x28, DmaBits = 0x68;

    public const string Board = """
        { "iommu": true, "devices": [
          { "chip": "edu", "pci": { "slot": 3, "id": "1234:11E8", "msi": 1, "removable": true } } ] }
        """;

    public const string BoardWithout = """
        { "devices": [ { "chip": "edu", "registers": "0xFEB00000", "line": 17 } ] }
        """;

    /// <param name="messages">It interrupts by a message, not by its line.</param>
    /// <param name="bits">How many address bits the chip has.</param>
    /// <param name="isRoot">It is no PCI device, and its chip stays when the device goes.</param>
    public EduRig(string language, bool messages = false, uint bits = 28, ulong seed = 1, int processors = 1,
        IObserver? observer = null, bool isRoot = false)
    {
        Machine = new TestMachine(new KernelOptions
        {
            Seed = seed,
            Processors = processors,
            Schedule = processors == 1 ? null : c => new RandomSchedule(c),
            Observers = observer is null ? [] : [observer],
            Board = computer => Chip = isRoot ? Place(computer)
                : (EduDevice)Ringdown.Machine.Board.Parse(Board).Attach(computer)[0].Chip,
        });
        Chip.Registers.Write(DmaBits, 4, bits);
        Driver = language == "c" ? Machine.Load(Repository.Sample("edu")) : Machine.Nt.Loader.Load("edu", new Edu());
        if (!isRoot) Devices.Start();
        Node = isRoot ? Devices.AddRootDevice(@"Root\Edu", null,
            RequirementText.Parse("memory FEB00000-FEB0007F", "line 17-17")) : Devices.Find(@"PCI\VEN_1234&DEV_11E8")!;
        if (messages)
            Machine.Nt.Cm.Create($@"\Registry\Machine\System\CurrentControlSet\Enum\{Node.InstancePath}\{Settings}")
                .Set("MSISupported", RegistryValue.Dword(1));
        Assert.Equal(STATUS_SUCCESS, Devices.SetDriver(Node, "edu"));
        Assert.Equal((DeviceProblem.None, STATUS_SUCCESS), (Node.Problem, Node.ProblemStatus));
        Assert.Equal(messages, Node.Resources.Any(r => r.IsMessage));
        File = Open();
    }

    static EduDevice Place(Computer computer)
    {
        var chip = new EduDevice(computer.Memory, computer.Clock, computer.Interrupts.Line(17));
        computer.Registers.Devices.Add(0xFEB0_0000, EduDevice.RegisterBytes, chip.Registers);
        return chip;
    }

    public TestMachine Machine { get; }
    public EduDevice Chip { get; private set; } = null!;
    public Driver Driver { get; }
    public DeviceNode Node { get; }
    public PciFunction Function => Machine.Nt.Computer.Pci.Known[0];
    public UserFile File { get; }
    public DeviceTree Devices => Machine.Nt.User.Devices;

    public UserFile Open() => Machine.Open(Assert.Single(Devices.Interfaces(Edu.Interface)));

    /// <summary>The time of one multiplication, in 100 ns.</summary>
    public void SetStep(uint ticks) => Chip.Registers.Write(JobStep, 4, ticks);

    public void SetBits(uint bits) => Chip.Registers.Write(DmaBits, 4, bits);

    public void Run() => Machine.Nt.User.RunUntilIdle();

    /// <summary>Sends a request and does not wait for it.</summary>
    public IoRequest Send(UserFile file, uint code, uint value, Va buffer, uint length,
        ProcessorMode mode = ProcessorMode.UserMode)
    {
        Va input = Machine.Nt.Mm.AllocateUser(8);
        Machine.Nt.Memory.Write(input, value);
        var request = new IoRequest(IrpMajor.IRP_MJ_DEVICE_CONTROL, file.Object)
        {
            ControlCode = code,
            InputBuffer = input,
            InputLength = 4,
            OutputBuffer = buffer,
            OutputLength = length,
            Mode = mode,
        };
        Machine.Nt.User.Call(() => Machine.Nt.Io.Send(request));
        return request;
    }

    public IoRequest Job(uint number, UserFile? file = null) =>
        Send(file ?? File, Edu.FactorialCode, number, Machine.Nt.Mm.AllocateUser(8), 8);

    public IoRequest[] Jobs(int count, uint number) => [.. Enumerable.Range(0, count).Select(_ => Job(number))];

    public ulong ResultOf(IoRequest job)
    {
        Assert.Equal((STATUS_SUCCESS, 8ul), (job.Status, job.Information));
        return Machine.Nt.Memory.Read<ulong>(job.OutputBuffer);
    }

    public void Cancel(IoRequest request) => Machine.Nt.User.Call(() =>
    {
        Machine.Nt.Io.Cancel(request);
        return STATUS_SUCCESS;
    });

    public static ulong Factorial(uint number)
    {
        ulong result = 1;
        for (uint i = 2; i <= number; i++) result *= i;
        return result;
    }

    /// <summary>Jobs done and dropped, pieces moved, faults.</summary>
    public (uint Jobs, uint Dropped, uint Pieces, uint Faults) Counters
    {
        get
        {
            UserRequest done = File.DeviceIoControl(Edu.CountCode, [], Edu.CounterBytes);
            Assert.Equal(STATUS_SUCCESS, done.Status);
            uint At(int n) => BitConverter.ToUInt32(done.Output, n * 4);
            return (At(0), At(1), At(2), At(3));
        }
    }

    public void SetPower(uint state)
    {
        Machine.Nt.PoRequestPowerIrp(Node.PhysicalDevice, 2, state, Va.Null, Va.Null, Va.Null);
        Run();
    }

    /// <summary>The card is pulled out: the chip does not answer any more, and the bus notices.</summary>
    public void PullOut()
    {
        Machine.Nt.Computer.Pci.Remove(Function);
        Run();
        if (Node.State == DeviceNodeState.Started) Assert.Equal(STATUS_SUCCESS, Devices.PullOut(Node));
    }

    /// <summary>Everything goes in the end, and nothing is left.</summary>
    public void End()
    {
        File.Close();
        if (Node.IsStarted) Assert.Equal(STATUS_SUCCESS, Devices.Disable(Node));
        Run();
        Assert.True(Machine.Unload(Driver));
        Assert.Empty(Machine.Findings.Select(f => $"{f.Rule}: {f.Message}"));
    }

    public void Dispose() => Machine.Dispose();
}
