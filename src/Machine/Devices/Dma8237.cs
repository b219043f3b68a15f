namespace Ringdown.Machine;

/// <summary>Two 8237A as a PC has them: seven channels, and pages for the address bits from 16 to 23.</summary>
/// <remarks>Firmware has set the second one up to pass the requests of the first on, by channel 4. A transfer takes no
/// time by itself: the device that asks for it takes its own. There is no transfer from memory to memory.</remarks>
public sealed class Dma8237 : ILosesState
{
    const int Controllers = 2, PerController = 4, PageBytes = 15;
    const ushort FirstPage = 0x81, Second = 0xC0;

    // The page registers of the channels, from port 81 on; that of channel 4 serves refresh.
    static readonly int[] s_page = [0x87 - FirstPage, 0x83 - FirstPage, 0x81 - FirstPage, 0x82 - FirstPage,
        0x8F - FirstPage, 0x8B - FirstPage, 0x89 - FirstPage, 0x8A - FirstPage];

    readonly IDeviceMemory _memory;
    readonly DmaChannels _channels;
    readonly DmaController[] _controllers;
    readonly byte[] _pages = new byte[PageBytes];

    public Dma8237(IDeviceMemory memory, DmaChannels channels)
    {
        (_memory, _channels) = (memory, channels);
        _controllers = [.. Enumerable.Range(0, Controllers).Select(i => new DmaController(this, i))];
        _controllers[1].ConnectFirst();
        Pages = new RegisterBlock();
        for (int i = 0; i < PageBytes; i++)
        {
            int at = i;
            Pages.Add($"PAGE{FirstPage + i:X2}", (ulong)i, 1, () => _pages[at], v => _pages[at] = (byte)v);
        }
        channels.Controller = this;
        for (int i = 0; i < DmaChannels.Count; i++) channels[i].Controller = this;
    }

    /// <summary>Registers of the first controller, a byte each: 16 bytes.</summary>
    public RegisterBlock First => _controllers[0].Registers;

    /// <summary>Registers of the second, every other byte: 32 bytes.</summary>
    public RegisterBlock Other => _controllers[1].Registers;

    /// <summary>The page registers: 15 bytes.</summary>
    public RegisterBlock Pages { get; }

    internal static Dma8237 Make(Computer computer, ChipPlace place)
    {
        place.Only();
        place.Identify("PNP0200", "Direct memory access controller");
        if (place.Registers is not null) throw place.Description.Wrong("registers", "it has ports only.");
        if (place.Ports is not null) throw place.Description.Wrong("ports", "it has those of a PC.");
        if (place.Description.Has("pci")) throw place.Description.Wrong("pci", "it has the ports of a PC.");
        if (computer.Dma.Controller is not null) throw place.Description.Wrong("chip", "there is one already.");
        var chip = new Dma8237(place.FindMemory(computer), computer.Dma);
        place.PutPorts(computer, 0, 16, chip.First, "ports");
        place.PutPorts(computer, FirstPage, PageBytes, chip.Pages, "ports");
        place.PutPorts(computer, Second, 32, chip.Other, "ports");
        return chip;
    }

    internal bool IsReady(int channel) => ControllerOf(channel).IsReady(channel % PerController)
        && (channel >= PerController || _controllers[1].Cascades);

    internal int FromDevice(int channel, ReadOnlySpan<byte> bytes)
    {
        if (!IsReady(channel)) return 0;
        DmaController controller = ControllerOf(channel);
        int at = channel % PerController, width = _channels[channel].Width, done = 0;
        if (controller.MovesOf(at) is not (DmaMoves.ToMemory or DmaMoves.Nothing)) return 0;
        Span<byte> unit = stackalloc byte[2];
        while (done + width <= bytes.Length || controller.IsBlock(at) && bytes.Length > 0)
        {
            unit.Fill(0xFF);
            if (done < bytes.Length) bytes[done..Math.Min(done + width, bytes.Length)].CopyTo(unit);
            if (controller.MovesOf(at) == DmaMoves.ToMemory)
                _memory.TryWritePhysical(AddressOf(channel), unit[..width]);
            done += width;
            if (Count(channel)) break;
        }
        return Math.Min(done, bytes.Length);
    }

    internal int ToDevice(int channel, Span<byte> bytes)
    {
        if (!IsReady(channel)) return 0;
        DmaController controller = ControllerOf(channel);
        int at = channel % PerController, width = _channels[channel].Width, done = 0;
        if (controller.MovesOf(at) != DmaMoves.FromMemory) return 0;
        Span<byte> unit = stackalloc byte[2];
        while (done + width <= bytes.Length || controller.IsBlock(at) && bytes.Length > 0)
        {
            if (!_memory.TryReadPhysical(AddressOf(channel), unit[..width])) unit.Fill(0xFF);
            if (done < bytes.Length) unit[..Math.Min(width, bytes.Length - done)].CopyTo(bytes[done..]);
            done += width;
            if (Count(channel)) break;
        }
        return Math.Min(done, bytes.Length);
    }

    /// <summary>A program asks in place of the device: block mode only, as the chip has it. Nobody drives the
    /// bus.</summary>
    internal void Request(int channel)
    {
        Span<byte> nothing = stackalloc byte[_channels[channel].Width];
        nothing.Fill(0xFF);
        if (!ControllerOf(channel).IsBlock(channel % PerController)) return;
        if (FromDevice(channel, nothing) == 0) ToDevice(channel, nothing);
    }

    internal void TellReady()
    {
        for (int i = 0; i < DmaChannels.Count; i++)
            if (i != DmaChannels.Cascade && IsReady(i)) _channels[i].TellReady();
    }

    internal bool IsRequesting(int channel) => _channels[channel].IsRequesting;

    // Of words the page gives bits 17 to 23, and the address is shifted; nothing carries into the page.
    ulong AddressOf(int channel)
    {
        ulong page = _pages[s_page[channel]], address = ControllerOf(channel).AddressOf(channel % PerController);
        return channel < PerController ? page << 16 | address : (page & 0xFE) << 16 | address << 1;
    }

    // True at the terminal count.
    bool Count(int channel)
    {
        if (!ControllerOf(channel).Count(channel % PerController)) return false;
        _channels[channel].TellTerminalCount();
        return true;
    }

    DmaController ControllerOf(int channel) => _controllers[channel / PerController];

    public void Exchange(ChipState state)
    {
        state.Bytes(_pages);
        foreach (DmaController controller in _controllers) controller.Exchange(state);
        for (int i = 0; i < DmaChannels.Count; i++)
        {
            bool requests = _channels[i].IsRequesting;
            state.Value(ref requests);
            _channels[i].IsRequesting = requests;
        }
    }
}
