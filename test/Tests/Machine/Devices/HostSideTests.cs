using System.Net;
using System.Net.Sockets;
using Ringdown.Host;
using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Wires out of the process: what comes enters when the machine asks, and only then.</summary>
public sealed class HostSideTests
{
    sealed class End : IWireEnd
    {
        public List<byte> Received { get; } = [];
        public List<bool> Connections { get; } = [];
        public int Waiting { get; set; }
        public Action<byte>? Sent { get; set; }

        public void Receive(ReadOnlySpan<byte> bytes) => Received.AddRange(bytes);
        public void SetConnected(bool isConnected) => Connections.Add(isConnected);
    }

    // Until something has entered that is awaited.
    static void Until(IHostInput host, Func<bool> isSo)
    {
        for (int i = 0; !isSo(); i++)
        {
            Assert.InRange(i, 0, 5000);
            if (!host.Look(i)) Thread.Sleep(2);
        }
    }

    static TcpClient Connect(HostSide host)
    {
        var client = new TcpClient();
        client.Connect(IPEndPoint.Parse(host.Addresses[0]));
        return client;
    }

    [Fact]
    public void A_socket_is_a_wire_both_ways_and_its_end_is_told()
    {
        var end = new End();
        using var host = new HostSide();
        Assert.Null(host.Connect("tcp:0", end));
        using (TcpClient client = Connect(host))
        {
            client.GetStream().Write("Hello"u8);
            Until(host, () => end.Received.Count == 5);
            foreach (byte b in "back"u8.ToArray()) end.Sent!(b);
            host.Look(0);
            var back = new byte[4];
            client.GetStream().ReadExactly(back);
            Assert.Equal("back"u8.ToArray(), back);
        }
        Until(host, () => end.Connections.Count == 2);
        Assert.Equal(("Hello", true, false), (System.Text.Encoding.ASCII.GetString([.. end.Received]),
            end.Connections[0], end.Connections[1]));
        Assert.Null(host.Wait(0, null));
    }

    [Fact]
    public void Who_has_the_port_already_is_told_of()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var host = new HostSide();
        Assert.NotNull(host.Connect($"tcp:{((IPEndPoint)listener.LocalEndpoint).Port}", new End()));
    }

    [Fact]
    public void A_pseudo_terminal_is_a_wire_of_bytes_as_they_are()
    {
        if (!OperatingSystem.IsLinux()) return;
        var end = new End();
        using var host = new HostSide();
        Assert.Null(host.Connect("pty", end));
        byte[] all = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        using (FileStream terminal = new(
            host.Addresses[0], FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, 0))
        {
            terminal.Write(all);
            Until(host, () => end.Received.Count == 256);
            Assert.Equal(all, end.Received);
            foreach (byte b in all) end.Sent!(b);
            host.Look(0);
            var back = new byte[256];
            terminal.ReadExactly(back);
            Assert.Equal(all, back);
        }
        Until(host, () => end.Connections.Count == 2);
        Assert.Null(host.Wait(0, null));
    }

    [Fact]
    public void At_full_speed_the_machine_goes_on_by_itself_and_a_chip_that_is_full_takes_nothing()
    {
        var end = new End();
        using var host = new HostSide();
        host.Connect("tcp:0", end);
        Assert.Null(host.Wait(10, 9_000_000));
        using TcpClient client = Connect(host);
        Until(host, () => end.Connections.Count == 1);
        end.Waiting = 256;
        client.GetStream().Write("x"u8);
        Thread.Sleep(50);
        Assert.False(host.Look(20));
        Assert.Null(host.Wait(20, 30));
        // Nothing else can happen: it enters all the same.
        Assert.Equal(20, host.Wait(20, null));
        host.Enter();
        Assert.Single(end.Received);
    }

    [Fact]
    public void A_machine_that_is_paced_waits_for_the_host()
    {
        var end = new End();
        using var host = new HostSide(paced: true);
        host.Connect("tcp:0", end);
        var watch = System.Diagnostics.Stopwatch.StartNew();
        Assert.Null(host.Wait(0, 2_000_000));
        Assert.InRange(watch.ElapsedMilliseconds, 100, 10_000);
        using TcpClient client = Connect(host);
        Assert.InRange(host.Wait(2_000_000, 600_000_000)!.Value, 2_000_000, 600_000_000);
    }

    [Fact]
    public void What_was_recorded_enters_again_at_the_same_questions()
    {
        InputEvent[] record =
        [
            new(2, 100, 0, WireChange.Opened, []), new(4, 300, 0, WireChange.Bytes, [1, 2]),
            new(4, 300, 1, WireChange.Bytes, [3]), new(5, 400, 0, WireChange.Closed, []),
        ];
        Assert.Equal(record.Select(e => e.ToLine()),
            record.Select(e => InputEvent.Parse(e.ToLine()).ToLine()));
        Assert.Equal("input 4 300 0 0102", record[1].ToLine());
        Assert.Throws<FormatException>(() => InputEvent.Parse("input 1 2"));
        End one = new(), two = new();
        var host = new RecordedHost(record);
        host.Connect("pty", one);
        host.Connect("tcp:1", two);
        Assert.False(host.Look(50));
        Assert.True(host.Look(100));
        Assert.Equal([true], one.Connections);
        Assert.Null(host.Wait(200, 250));
        Assert.Equal(300, host.Wait(260, 350));
        Assert.Empty(one.Received);
        host.Enter();
        Assert.Equal([1, 2, 3], one.Received.Concat(two.Received));
        Assert.False(host.Diverged);
        Assert.True(host.Look(401));
        Assert.True(host.Diverged);
        Assert.Null(host.Wait(500, null));
    }

    [Fact]
    public void A_plug_is_told_wrong_in_the_board()
    {
        const string board = """{ "devices": [ { "chip": "uart16550", "ports": "0x3F8", "plug": "PLUG" } ] }""";
        foreach (string plug in (string[])["tty", "tcp:", "tcp:65536", "tcp:x"])
            Assert.StartsWith($"devices[0].plug: \"{plug}\" is none of", Assert.Throws<BoardException>(
                () => Board.Parse(board.Replace("PLUG", plug))).Message);
        using var host = new HostSide();
        using var computer = new Computer(1, new CodeCache()) { Clock = new FakeClock(), Host = host };
        Board.Parse(board.Replace("PLUG", "tcp:0")).Attach(computer);
        Assert.Single(host.Addresses);
    }
}
