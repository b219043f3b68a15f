using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using Ringdown.Machine;

namespace Ringdown.Host;

/// <summary>The host's side of one machine: its wires out of the process, and a record of what came by
/// them.</summary>
/// <remarks>
/// The machine asks at moments of its own time (<see cref="IHostInput"/>), and only then something enters: so the
/// record of what entered at which question, given to <see cref="RecordedHost"/>, makes the same run again.
/// </remarks>
public sealed class HostSide : IBoardHost, IHostInput, IDisposable
{
    // So much waits in a chip at most: what a wire still has can wait there.
    const int MostInChip = 256;
    const long TicksPerMillisecond = 10_000, LongTicks = 1000 * TicksPerMillisecond;

    readonly List<(HostWire Wire, IWireEnd End)> _wires = [];
    readonly List<InputEvent> _record = [];
    readonly AutoResetEvent _woken = new(false);
    readonly Stopwatch? _pace;
    long _questions, _enterTime;
    int _room = MostInChip;

    /// <param name="paced">The machine's time passes no faster than the host's; else it jumps whenever all is
    /// idle.</param>
    public HostSide(bool paced = false)
    {
        if (paced) _pace = Stopwatch.StartNew();
    }

    /// <summary>Told of each wire, and how it is reached.</summary>
    public Action<string>? Connected { get; set; }

    public bool WritesImages => true;

    public bool HasWires => _wires.Count > 0;

    /// <summary>How the wires are reached, in the board's order.</summary>
    public IReadOnlyList<string> Addresses => [.. _wires.Select(w => w.Wire.Address)];

    /// <summary>What has entered so far.</summary>
    public IReadOnlyList<InputEvent> Record => _record;

    public string? Connect(string plug, IWireEnd end)
    {
        try
        {
            if (plug == "pty" && !PtyWire.IsPossible) return "this host has no pseudo terminals; \"tcp:0\" works.";
            Connect(plug == "pty" ? new PtyWire()
                : new TcpWire(int.Parse(plug[4..], CultureInfo.InvariantCulture)), end);
            return null;
        }
        catch (Exception e) when (e is IOException or SocketException or DllNotFoundException)
        {
            return e.Message;
        }
    }

    public void Connect(HostWire wire, IWireEnd end)
    {
        wire.Woken = () => _woken.Set();
        _wires.Add((wire, end));
        end.Sent = wire.Send;
        Connected?.Invoke(wire.Address);
        wire.Start();
    }

    public bool Look(long now)
    {
        _questions++;
        Flush();
        if (_pace is not null && now - Elapsed is var ahead && ahead > TicksPerMillisecond)
            Thread.Sleep((int)Math.Min(ahead / TicksPerMillisecond, 1000));
        _room = MostInChip;
        if (!HasCome) return false;
        _enterTime = now;
        Enter();
        return true;
    }

    public long? Wait(long now, long? due)
    {
        _questions++;
        Flush();
        // Where nothing moves by itself, a chip that takes nothing must not hold up the rest.
        _room = due is null ? int.MaxValue : MostInChip;
        long asked = Stopwatch.GetTimestamp();
        while (true)
        {
            if (HasCome)
            {
                _enterTime = _pace is null ? now : Math.Clamp(Elapsed, now, Math.Max(now, due ?? long.MaxValue));
                return _enterTime;
            }
            if (due is null && _wires.TrueForAll(w => w.Wire.IsOver)) return null;
            // At full speed what the machine does by itself is first, unless it has nothing to do for long: whoever
            // waits for the outside with a timeout means the outside's time.
            long left = due is null ? -1 : _pace is not null ? due.Value - Elapsed
                : due.Value - now < LongTicks ? 0 : due.Value - now - Stopwatch.GetElapsedTime(asked).Ticks;
            if (due is not null && left <= 0) return null;
            _woken.WaitOne(left < 0 ? -1 : (int)Math.Min(left / TicksPerMillisecond + 1, int.MaxValue));
        }
    }

    public void Enter()
    {
        for (int i = 0; i < _wires.Count; i++)
        {
            (HostWire wire, IWireEnd end) = _wires[i];
            while (end.Waiting < _room && wire.TryTake(out var taken))
            {
                var entered = new InputEvent(_questions, _enterTime, i, taken.Change, taken.Bytes);
                _record.Add(entered);
                LetIn(entered, end);
            }
        }
    }

    internal static void LetIn(InputEvent entered, IWireEnd end)
    {
        if (entered.Change == WireChange.Bytes) end.Receive(entered.Bytes);
        else end.SetConnected(entered.Change == WireChange.Opened);
    }

    // What a chip has no room for has not come yet.
    bool HasCome => _wires.Exists(w => w.End.Waiting < _room && w.Wire.HasCome);

    long Elapsed => _pace!.Elapsed.Ticks;

    void Flush()
    {
        foreach ((HostWire wire, _) in _wires) wire.Flush();
    }

    public void Dispose()
    {
        foreach ((HostWire wire, _) in _wires) wire.Dispose();
        _woken.Dispose();
    }
}
