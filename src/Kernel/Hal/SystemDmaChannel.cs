using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>DMA_COMPLETION_STATUS.</summary>
enum DmaCompletion { DmaComplete, DmaAborted, DmaError, DmaCancelled }

/// <summary>A channel of the system's DMA controller, as the HAL programs it through its ports.</summary>
sealed class SystemDmaChannel
{
    const byte Demand = 0, Single = 0x40, AutoInitialize = 0x10, FromMemory = 8, ToMemory = 4, Masked = 4;
    const int PerController = 4;

    static readonly ushort[] s_page = [0x87, 0x83, 0x81, 0x82, 0x8F, 0x8B, 0x89, 0x8A];

    readonly Computer _computer;
    bool _repeats, _isDone = true;

    public SystemDmaChannel(Computer computer, int number, DmaQueue queue)
    {
        (_computer, Number, Queue) = (computer, number, queue);
        computer.Dma[number].TerminalCount += () =>
        {
            _isDone = true;
            Tell(DmaCompletion.DmaComplete);
        };
    }

    public int Number { get; }

    /// <summary>All adapters of the channel wait here.</summary>
    public DmaQueue Queue { get; }

    /// <summary>Told when the transfer is done: at the terminal count, at each one if the channel begins anew by
    /// itself, and when it is called off. At any IRQL.</summary>
    public Action<DmaCompletion>? Told { get; set; }

    void Tell(DmaCompletion status)
    {
        Action<DmaCompletion>? told = Told;
        if (!_repeats || status != DmaCompletion.DmaComplete) Told = null;
        told?.Invoke(status);
    }

    /// <summary>Bytes of one transfer.</summary>
    public uint Width => Number < PerController ? 1U : 2;

    /// <summary>No transfer goes beyond a multiple of it: the page registers do not count on.</summary>
    public ulong Boundary => 0x1_0000UL * Width;

    /// <summary>Sets the channel up and lets it answer the device's requests.</summary>
    public void Program(ulong address, uint bytes, bool toDevice, bool onDemand, bool autoInitialize)
    {
        (_repeats, _isDone) = (autoInitialize, false);
        Mask();
        var units = (ushort)(bytes / Width - 1);
        var first = (ushort)(address / Width);
        Write(11, (byte)((onDemand ? Demand : Single) | (autoInitialize ? AutoInitialize : 0)
            | (toDevice ? FromMemory : ToMemory) | Number % PerController));
        Write(12, 0);
        Write(Number % PerController * 2, (byte)first);
        Write(Number % PerController * 2, (byte)(first >> 8));
        _computer.Ports.Write(s_page[Number], 1, (byte)(address >> 16));
        Write(Number % PerController * 2 + 1, (byte)units);
        Write(Number % PerController * 2 + 1, (byte)(units >> 8));
        Write(10, (byte)(Number % PerController));
    }

    /// <summary>The transfer stops where it is, and who waits for its end is told so.</summary>
    public void Cancel()
    {
        Mask();
        Tell(DmaCompletion.DmaCancelled);
    }

    public void Mask() => Write(10, (byte)(Masked | Number % PerController));

    /// <summary>How many bytes are still to be moved; 0 after the terminal count.</summary>
    public uint BytesLeft()
    {
        Write(12, 0);
        ushort port = PortOf(Number % PerController * 2 + 1);
        uint low = _computer.Ports.Read(port, 1) & 0xFF, high = _computer.Ports.Read(port, 1) & 0xFF;
        uint units = (high << 8 | low) + 1;
        // After the last one the counter is where that of the longest transfer begins.
        return (units > ushort.MaxValue && _isDone ? 0 : units) * Width;
    }

    ushort PortOf(int register) => (ushort)(Number < PerController ? register : 0xC0 + register * 2);

    void Write(int register, byte value) => _computer.Ports.Write(PortOf(register), 1, value);
}
