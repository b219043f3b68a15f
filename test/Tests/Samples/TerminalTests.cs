using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Ringdown.Host;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Tests.SerialPort;

namespace Ringdown.Tests;

/// <summary>A terminal program on the host, a wire, the UART, its interrupts, the driver, and a program that
/// reads.</summary>
public sealed class TerminalTests
{
    static byte[] Bytes(int count) => [.. Enumerable.Range(0, count).Select(i => (byte)(i * 31 + (i >> 8) * 7))];

    sealed record Result(byte[] Received, long Time, long Instructions, string Hash);

    // A program that sends back what it reads, so many bytes, at 115,200 baud of the machine's time.
    static Result Echo(string language, IBoardHost host, string plug, int bytes)
    {
        using var m = new TestMachine(new KernelOptions
        {
            Board = computer =>
            {
                Uart16550 uart = BuildIn(computer);
                Assert.Null(host.Connect(plug, uart));
                computer.HostInput = (IHostInput)host;
            },
        });
        Driver driver = language == "c" ? m.Load(Repository.Sample("serial"))
            : m.Nt.Loader.Load("serial", new Serial());
        DeviceNode node = Plug(m);
        UserFile file = m.Open(@"\\.\COM1");
        file.DeviceIoControl(SetBaud, Words(115200), 0);
        file.DeviceIoControl(SetQueueSize, Words(16384, 0), 0);
        // What comes before the port is open is lost, as it is on a real one.
        file.Write("!"u8);
        var received = new List<byte>();
        while (received.Count < bytes)
        {
            UserRequest read = file.Read((uint)Math.Min(4096, bytes - received.Count));
            Assert.Equal(STATUS_SUCCESS, read.Status);
            Assert.NotEmpty(read.Output);
            received.AddRange(read.Output);
            UserRequest written = file.Write(read.Output.ToArray());
            Assert.Equal((STATUS_SUCCESS, read.Information), (written.Status, written.Information));
        }
        m.Nt.User.RunUntilIdle();
        byte[] stats = file.DeviceIoControl(GetStats, [], 24).Output.ToArray();
        Assert.Equal(Words((uint)bytes, (uint)bytes + 1, 0, 0, 0, 0), stats);
        var result = new Result([.. received], m.Nt.Ke.Clock.Now, m.Nt.Ke.Clock.Retired, Hash(m.Trace.Lines));
        file.Close();
        m.Nt.User.Devices.PullOut(node);
        Assert.True(m.Unload(driver));
        Assert.Empty(m.Findings);
        return result;
    }

    // Each call of the kernel with its arguments and result.
    static string Hash(IReadOnlyList<string> lines)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string line in lines) hash.AppendData(System.Text.Encoding.UTF8.GetBytes(line + "\n"));
        return Convert.ToHexString(hash.GetHashAndReset());
    }

    static Stream OpenOther(string plug, string address)
    {
        if (plug == "pty") return new FileStream(address, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, 0);
        var client = new TcpClient();
        client.Connect(IPEndPoint.Parse(address));
        return client.GetStream();
    }

    // The machine's test fails first, and then its wire has gone.
    static void Try(Action action)
    {
        try
        {
            action();
        }
        catch (IOException)
        {
        }
    }

    [Theory]
    [InlineData("c", "pty", 1 << 20)]
    [InlineData("c#", "tcp:0", 50_000)]
    [InlineData("c", "tcp:0", 20_000)]
    public void No_byte_is_lost_either_way_and_the_record_gives_the_same_run(string language, string plug, int count)
    {
        if (plug == "pty" && !OperatingSystem.IsLinux()) plug = "tcp:0";
        byte[] sent = Bytes(count), back = new byte[count];
        IReadOnlyList<InputEvent> record;
        Result live;
        using (var host = new HostSide())
        {
            Stream? other = null;
            Thread? writer = null, reader = null;
            host.Connected = address =>
            {
                other = OpenOther(plug, address);
                writer = new Thread(() => Try(() => other.Write(sent)));
                reader = new Thread(() => Try(() =>
                {
                    other.ReadExactly(back, 0, 1);
                    writer.Start();
                    other.ReadExactly(back);
                }));
                reader.Start();
            };
            live = Echo(language, host, plug, count);
            host.Look(long.MaxValue / 2);
            reader!.Join();
            writer!.Join();
            record = [.. host.Record];
            other!.Dispose();
        }
        Assert.Equal(sent, live.Received);
        Assert.Equal(sent, back);
        // At 115,200 baud a byte takes 86.8 us, so it cannot have been faster.
        Assert.True(live.Time > count * 868L);
        var replay = new RecordedHost([.. record.Select(e => InputEvent.Parse(e.ToLine()))]);
        Result again = Echo(language, replay, plug, count);
        Assert.False(replay.Diverged);
        Assert.Equal((live.Time, live.Instructions, live.Hash), (again.Time, again.Instructions, again.Hash));
        Assert.Equal(sent, again.Received);
    }
}
