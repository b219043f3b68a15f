using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>A driver of samples, in both languages.</summary>
sealed record SamplePair(string Name, Func<NtDriver> New);

/// <summary>What a program does with the drivers of samples, and what came of it.</summary>
sealed class SampleScript(TestMachine machine)
{
    readonly List<string> _results = [];
    readonly List<(string What, IoRequest Request)> _pending = [];
    readonly List<UserFile> _files = [];

    public TestMachine Machine => machine;

    public void Note(string what) => _results.Add(what);

    public UserFile Open(string name) => OpenPath(@"\\.\" + name);

    public UserFile OpenPath(string path)
    {
        _files.Add(machine.Open(path));
        return _files[^1];
    }

    /// <param name="masked">Bytes of the output that say what time it was.</param>
    public UserRequest Control(UserFile file, uint code, ReadOnlySpan<byte> input, uint outputLength,
        Range? masked = null) => Add($"ioctl 0x{code:X}", file.DeviceIoControl(code, input, outputLength), masked);

    public UserRequest Control(UserFile file, uint code, Va input, uint inputLength, Va output, uint outputLength) =>
        Add($"ioctl 0x{code:X}", file.DeviceIoControl(code, input, inputLength, output, outputLength));

    public UserRequest Read(UserFile file, uint length, long offset = 0) => Add("read", file.Read(length, offset));
    public UserRequest ReadTo(UserFile file, Va buffer, uint length) => Add("read", file.ReadTo(buffer, length));
    public UserRequest Write(UserFile file, ReadOnlySpan<byte> data) => Add("write", file.Write(data));
    public UserRequest WriteFrom(UserFile file, Va data, uint length) => Add("write", file.WriteFrom(data, length));
    public void Cancel(UserFile file) => _results.Add($"cancel {file.Cancel()}");
    public void Close(UserFile file) => _results.Add($"close {file.Close()}");

    UserRequest Add(string what, UserRequest done, Range? masked = null)
    {
        byte[] output = [.. done.Output];
        if (masked is { } part) output.AsSpan(part).Clear();
        _results.Add($"{what}: {done.Status} {done.Information} {Convert.ToHexString(output)}");
        return done;
    }

    /// <summary>Sends a read or a control code, and does not wait: nothing but the driver's dispatch routine
    /// runs.</summary>
    public IoRequest Start(UserFile file, uint length, uint code = 0, uint input = 0, long offset = 0)
    {
        Va inputBuffer = machine.Nt.Mm.AllocateUser(8);
        machine.Nt.Memory.Write(inputBuffer, input);
        var request = new IoRequest(code == 0 ? IRP_MJ_READ : IRP_MJ_DEVICE_CONTROL, file.Object)
        {
            ControlCode = code,
            InputBuffer = code == 0 ? Va.Null : inputBuffer,
            InputLength = code == 0 ? 0 : 4u,
            OutputBuffer = machine.Nt.Mm.AllocateUser(length),
            OutputLength = length,
            ByteOffset = offset,
            Mode = ProcessorMode.UserMode,
        };
        NtStatus status = machine.Nt.User.Call(() => machine.Nt.Io.Send(request));
        string what = $"request {_pending.Count + 1}";
        _pending.Add((what, request));
        request.OnComplete = done => _results.Add($"{what} ends: {done.Status} {done.Information}");
        _results.Add($"{what} starts: {status}");
        return request;
    }

    public void Cancel(IoRequest request) => machine.Nt.User.Call(() =>
    {
        machine.Nt.Io.Cancel(request);
        return STATUS_SUCCESS;
    });

    /// <summary>Lets the machine run, then tells what the started requests have brought.</summary>
    public void Finish()
    {
        machine.Nt.User.RunUntilIdle();
        foreach ((string what, IoRequest request) in _pending)
        {
            byte[] output = request.IsComplete && request.Status.IsSuccess
                ? machine.Nt.Memory.ReadBytes(request.OutputBuffer, (int)request.Information) : [];
            _results.Add($"{what}: {request.Status} {request.Information} {Convert.ToHexString(output)}");
        }
        _pending.Clear();
    }

    public void CloseAll()
    {
        foreach (UserFile file in _files) file.Close();
    }

    /// <summary>What the same script gives with the drivers in each language: in one order with all that they call; in
    /// five other orders, on two processors, at least the same results. Never is there a finding.</summary>
    /// <param name="below">Drivers of test/drivers that are loaded first.</param>
    /// <param name="board">Builds devices in. Then only results are compared: a port takes the languages not equally
    /// long, so interrupts come at other moments.</param>
    /// <param name="isAdministrator">What the program may do: open a disk.</param>
    public static void Compare(string[] below, SamplePair[] pairs, Action<SampleScript> script,
        Action<Computer>? board = null, bool isAdministrator = false)
    {
        (string Results, string Trace) c = Run(below, pairs, 0, script, board, isAdministrator);
        Assert.Contains("IRP_MJ_CREATE to ", c.Trace);
        int languages = 1 << pairs.Length;
        for (int language = 1; language < languages; language++)
        {
            (string Results, string Trace) other = Run(below, pairs, language, script, board, isAdministrator);
            Assert.Equal(c.Results, other.Results);
            if (board is null) Assert.Equal(c.Trace, other.Trace);
        }
        for (ulong seed = 1; seed <= 5; seed++)
            foreach (int language in (int[])[0, languages - 1])
                Assert.Equal(c.Results, Run(below, pairs, language, script, board, isAdministrator, seed).Results);
    }

    // Bit n of the language: driver n is the one in C#.
    static (string Results, string Trace) Run(
        string[] below, SamplePair[] pairs, int language, Action<SampleScript> run, Action<Computer>? board,
        bool isAdministrator, ulong? seed = null)
    {
        var trace = new SampleTrace();
        var options = new KernelOptions { Observers = [trace], Board = board, UserIsAdministrator = isAdministrator };
        using var m = new TestMachine(seed is null ? options
            : options with { Seed = seed.Value, Processors = 2, Schedule = c => new RandomSchedule(c) });
        foreach (string name in below) m.Load(Repository.Driver(name));
        var script = new SampleScript(m);
        var loaded = new List<Driver>();
        for (int i = 0; i < pairs.Length; i++)
        {
            bool managed = (language >> i & 1) != 0;
            loaded.Add(managed ? m.Nt.Loader.Load(pairs[i].Name, pairs[i].New())
                : m.Load(Repository.Sample(pairs[i].Name)));
            Assert.Equal(STATUS_SUCCESS, loaded[^1].EntryStatus);
        }
        run(script);
        script.CloseAll();
        for (int i = loaded.Count - 1; i >= 0; i--) Assert.True(m.Unload(loaded[i]));
        Assert.Empty(m.Findings.Select(f => $"{(language == 0 ? "C" : "C#")}, seed {seed}: {f.Rule}: {f.Message}"));
        return (string.Join("\n", script._results), string.Join("\n", trace.Lines));
    }
}
