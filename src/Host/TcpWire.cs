using System.Net;
using System.Net.Sockets;

namespace Ringdown.Host;

/// <summary>A wire to whoever connects first to a port of this host; nobody from outside can.</summary>
sealed class TcpWire : HostWire
{
    readonly TcpListener _listener;
    volatile Socket? _socket;
    volatile bool _isLost;

    /// <param name="port">0: some port that is free.</param>
    /// <exception cref="SocketException">Another program has the port.</exception>
    public TcpWire(int port)
    {
        _listener = new TcpListener(IPAddress.Loopback, port);
        _listener.Start(1);
        Address = _listener.LocalEndpoint.ToString()!;
    }

    public override string Address { get; }

    protected override bool WaitForOther()
    {
        while (!_listener.Server.Poll(LookMilliseconds * 1000, SelectMode.SelectRead))
            if (IsEnding) return false;
        Socket socket = _listener.AcceptSocket();
        socket.NoDelay = true;
        socket.SendTimeout = PatienceMilliseconds;
        _socket = socket;
        return true;
    }

    protected override int Read(byte[] piece)
    {
        Socket socket = _socket!;
        if (!socket.Poll(LookMilliseconds * 1000, SelectMode.SelectRead)) return 0;
        return socket.Receive(piece) is > 0 and var count ? count : -1;
    }

    protected override void Write(byte[] bytes)
    {
        if (_socket is not { } socket || _isLost) return;
        try
        {
            for (int sent = 0; sent < bytes.Length;) sent += socket.Send(bytes, sent, bytes.Length - sent, 0);
        }
        catch (SocketException)
        {
            _isLost = true;
        }
    }

    // What is still on its way out goes out.
    protected override void Close()
    {
        _listener.Dispose();
        _socket?.Close(PatienceMilliseconds / 1000);
    }
}
