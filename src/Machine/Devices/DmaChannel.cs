namespace Ringdown.Machine;

/// <summary>The channels of a computer's DMA controller: 0 to 3 move bytes, 5 to 7 words of 16 bits.</summary>
public sealed class DmaChannels
{
    public const int Count = 8;

    /// <summary>By this one the first controller asks the second: no device has it.</summary>
    public const int Cascade = 4;

    readonly DmaChannel[] _channels = [.. Enumerable.Range(0, Count).Select(i => new DmaChannel(i))];

    public DmaChannel this[int number] => _channels[number];

    /// <summary>The controller; null: nobody answers requests.</summary>
    public Dma8237? Controller { get; internal set; }
}

/// <summary>A channel as the device at it sees it: it has data, or wants some, and the controller knows where in
/// memory.</summary>
public sealed class DmaChannel(int number)
{
    public int Number { get; } = number;

    /// <summary>Bytes that one transfer moves: 1 or 2.</summary>
    public int Width => Number < DmaChannels.Cascade ? 1 : 2;

    /// <summary>The device holds DREQ: it waits. Only the status register shows it.</summary>
    public bool IsRequesting { get; set; }

    /// <summary>A request is answered now: the channel is programmed, not masked, and the controller is on.</summary>
    public bool IsReady => Controller is { } controller && controller.IsReady(Number);

    /// <summary>The channel may answer requests that it did not answer before.</summary>
    public event Action? Ready;

    /// <summary>The last transfer that was programmed is done.</summary>
    public event Action? TerminalCount;

    internal Dma8237? Controller { get; set; }

    /// <summary>Moves data from the device to memory, one request a transfer. In block mode one request runs until the
    /// terminal count: what the device does not give is FF.</summary>
    /// <returns>How many bytes were taken: whole transfers, until the terminal count; 0 if requests are not answered,
    /// or are programmed to move the other way.</returns>
    public int Send(ReadOnlySpan<byte> bytes) => Controller?.FromDevice(Number, bytes) ?? 0;

    /// <summary>Moves data from memory to the device, as <see cref="Send"/> does the other way. Memory that is not
    /// there reads as FF. In block mode, what the device does not take is lost.</summary>
    /// <returns>How many bytes came.</returns>
    public int Receive(Span<byte> bytes) => Controller?.ToDevice(Number, bytes) ?? 0;

    internal void TellReady() => Ready?.Invoke();

    internal void TellTerminalCount() => TerminalCount?.Invoke();
}
