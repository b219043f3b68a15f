using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>Has a DMA channel: what it is told to send goes to memory, what it is told to fetch it keeps. A write of a
/// count to port 0 begins: 10 us later it asks for the channel.</summary>
public sealed class StreamChip : IChip
{
    DmaChannel? _channel;
    int _wanted;
    bool _sends;

    /// <summary>What the device sends.</summary>
    public byte[] Data { get; set; } = [];

    /// <summary>What it got.</summary>
    public byte[] Got { get; private set; } = [];

    public int Moved { get; private set; }

    public void Attach(Computer computer, ChipPlace place)
    {
        place.Only("channel");
        _channel = place.FindChannel(computer);
        place.Put(computer, 4, new RegisterBlock()
            .Add("SEND", 0, 2, () => 0, v => Begin(computer, (int)v, sends: true), writeOnly: true)
            .Add("FETCH", 2, 2, () => 0, v => Begin(computer, (int)v, sends: false), writeOnly: true));
    }

    void Begin(Computer computer, int count, bool sends)
    {
        (_wanted, _sends) = (count, sends);
        _channel!.IsRequesting = true;
        computer.Clock.After(100, Move);
    }

    void Move()
    {
        _channel!.IsRequesting = false;
        Got = new byte[_wanted];
        Moved = _sends ? _channel.Send(Data.AsSpan(0, _wanted)) : _channel.Receive(Got);
    }
}
