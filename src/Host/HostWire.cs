namespace Ringdown.Host;

/// <summary>A wire out of the process: what comes from there waits until the machine asks for it, and what the machine
/// sends goes there in pieces.</summary>
/// <remarks>A host thread reads; nothing that it does reaches the machine by itself.</remarks>
public abstract class HostWire : IDisposable
{
    const int MostWaiting = 0x1_0000, MostSending = 4096, PieceBytes = 4096;

    /// <summary>How long the other end may not read before what it should have read is lost.</summary>
    protected const int PatienceMilliseconds = 2000;

    /// <summary>How often a thread that waits looks whether it should end.</summary>
    protected const int LookMilliseconds = 100;

    readonly Lock _lock = new();
    readonly Queue<(WireChange Change, byte[] Bytes)> _came = [];
    readonly List<byte> _sending = [];
    readonly AutoResetEvent _taken = new(false);
    int _waiting;
    Thread? _reader;

    /// <summary>How somebody reaches it: <c>/dev/pts/3</c>, <c>127.0.0.1:2000</c>.</summary>
    public abstract string Address { get; }

    protected bool IsEnding { get; private set; }

    /// <summary>Told, by another thread, when something came.</summary>
    internal Action? Woken { get; set; }

    /// <summary>The other end is gone for good, and all that it sent was taken.</summary>
    internal bool IsOver { get; private set; }

    internal void Start()
    {
        _reader = new Thread(Read) { IsBackground = true, Name = "wire " + Address };
        _reader.Start();
    }

    /// <summary>Whether something came that was not taken.</summary>
    internal bool HasCome
    {
        get
        {
            lock (_lock) return _came.Count > 0;
        }
    }

    internal bool TryTake(out (WireChange Change, byte[] Bytes) taken)
    {
        lock (_lock)
        {
            if (!_came.TryDequeue(out taken)) return false;
            _waiting -= taken.Bytes.Length;
            IsOver |= taken.Change == WireChange.Closed;
        }
        _taken.Set();
        return true;
    }

    /// <summary>A byte on its way out.</summary>
    internal void Send(byte value)
    {
        _sending.Add(value);
        if (_sending.Count >= MostSending) Flush();
    }

    internal void Flush()
    {
        if (_sending.Count == 0) return;
        Write([.. _sending]);
        _sending.Clear();
    }

    void Read()
    {
        try
        {
            if (!WaitForOther()) return;
            Came(WireChange.Opened, []);
            var piece = new byte[PieceBytes];
            while (!IsEnding && Read(piece) is var count && count >= 0)
            {
                if (count > 0) Came(WireChange.Bytes, piece[..count]);
                while (!IsEnding && Volatile.Read(ref _waiting) > MostWaiting) _taken.WaitOne(LookMilliseconds);
            }
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException or ObjectDisposedException)
        {
            // The other end has gone in another way.
        }
        if (!IsEnding) Came(WireChange.Closed, []);
    }

    void Came(WireChange change, byte[] bytes)
    {
        lock (_lock)
        {
            _came.Enqueue((change, bytes));
            _waiting += bytes.Length;
        }
        Woken?.Invoke();
    }

    /// <summary>Waits until somebody is at the other end; false: it is over before.</summary>
    protected abstract bool WaitForOther();

    /// <summary>Reads what is there; 0 after a while without anything, -1 at the end.</summary>
    protected abstract int Read(byte[] piece);

    /// <summary>Writes all, as long as the other end takes it.</summary>
    protected abstract void Write(byte[] bytes);

    public void Dispose()
    {
        Flush();
        IsEnding = true;
        _taken.Set();
        Close();
        _reader?.Join();
        _taken.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives back what it has of the host.</summary>
    protected abstract void Close();
}
