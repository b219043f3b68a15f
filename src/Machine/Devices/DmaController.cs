namespace Ringdown.Machine;

/// <summary>What a channel is programmed to move.</summary>
enum DmaMoves { Nothing, ToMemory, FromMemory, Illegal }

/// <summary>The registers of one 8237A: addresses, counts, modes and masks of four channels.</summary>
sealed class DmaController
{
    const int Channels = 4;
    const byte Disabled = 4, AutoInitialize = 0x10, Decrements = 0x20;
    const int Block = 2, Cascade = 3;

    readonly Dma8237 _chip;
    readonly int _number;
    readonly ushort[] _address = new ushort[Channels], _count = new ushort[Channels],
        _baseAddress = new ushort[Channels], _baseCount = new ushort[Channels];
    readonly byte[] _mode = new byte[Channels];
    byte _command, _mask = 0xF, _reached;
    bool _isHigh;

    public DmaController(Dma8237 chip, int number)
    {
        (_chip, _number) = (chip, number);
        ulong step = number == 0 ? 1U : 2;
        Registers = new RegisterBlock();
        for (int i = 0; i < Channels; i++)
        {
            int at = i;
            Add($"ADDRESS{i}", i * 2, () => Half(_address[at]), v => Load(_address, _baseAddress, at, v));
            Add($"COUNT{i}", i * 2 + 1, () => Half(_count[at]), v => Load(_count, _baseCount, at, v));
        }
        Add("STATUS", 8, ReadStatus, v => Change(() => _command = v));
        Add("REQUEST", 9, None, v => Request(v));
        Add("MASK", 10, None, v => Change(() => SetBit(v)));
        Add("MODE", 11, None, v => _mode[v & 3] = v);
        Add("CLEAR_FLIP_FLOP", 12, None, _ => _isHigh = false);
        Add("MASTER_CLEAR", 13, static () => 0, _ => Clear());
        Add("CLEAR_MASK", 14, None, _ => Change(() => _mask = 0));
        Add("ALL_MASKS", 15, () => (byte)(_mask | 0xF0), v => Change(() => _mask = (byte)(v & 0xF)));

        static byte None() => 0xFF;
        void Add(string name, int at, Func<byte> read, Action<byte> write) => Registers.Add(
            name, (ulong)at * step, 1, () => read(), v => write((byte)v), writeOnly: true);
    }

    public RegisterBlock Registers { get; }

    /// <summary>The first channel passes on the requests of another controller.</summary>
    public bool Cascades => (_command & Disabled) == 0 && (_mask & 1) == 0 && _mode[0] >> 6 == Cascade;

    /// <summary>As firmware leaves the second controller.</summary>
    public void ConnectFirst() => (_mode[0], _mask) = (Cascade << 6, 0xE);

    public bool IsReady(int channel) => (_command & Disabled) == 0 && (_mask & 1 << channel) == 0
        && _mode[channel] >> 6 != Cascade;

    public bool IsBlock(int channel) => _mode[channel] >> 6 == Block;

    public DmaMoves MovesOf(int channel) => (DmaMoves)(_mode[channel] >> 2 & 3);

    public ushort AddressOf(int channel) => _address[channel];

    /// <summary>One transfer is done. At the terminal count the channel is masked, or begins anew.</summary>
    /// <returns>It was the last one.</returns>
    public bool Count(int channel)
    {
        byte mode = _mode[channel];
        _address[channel] += (ushort)((mode & Decrements) != 0 ? -1 : 1);
        if (_count[channel]-- != 0) return false;
        _reached |= (byte)(1 << channel);
        if ((mode & AutoInitialize) != 0)
            (_address[channel], _count[channel]) = (_baseAddress[channel], _baseCount[channel]);
        else
            _mask |= (byte)(1 << channel);
        return true;
    }

    byte Half(ushort value)
    {
        _isHigh = !_isHigh;
        return (byte)(_isHigh ? value : value >> 8);
    }

    void Load(ushort[] current, ushort[] first, int channel, byte value)
    {
        first[channel] = _isHigh ? (ushort)(first[channel] & 0xFF | value << 8)
            : (ushort)(first[channel] & 0xFF00 | value);
        current[channel] = first[channel];
        _isHigh = !_isHigh;
    }

    byte ReadStatus()
    {
        byte status = _reached;
        for (int i = 0; i < Channels; i++)
            if (_chip.IsRequesting(_number * Channels + i)) status |= (byte)(0x10 << i);
        _reached = 0;
        return status;
    }

    void Request(byte value)
    {
        if ((value & 4) != 0) _chip.Request(_number * Channels + (value & 3));
    }

    void SetBit(byte value)
    {
        var bit = (byte)(1 << (value & 3));
        _mask = (byte)((value & 4) != 0 ? _mask | bit : _mask & ~bit);
    }

    void Change(Action change)
    {
        change();
        _chip.TellReady();
    }

    void Clear() => (_command, _mask, _reached, _isHigh) = (0, 0xF, 0, false);

    public void Exchange(ChipState state)
    {
        foreach (ushort[] registers in (ushort[][])[_address, _count, _baseAddress, _baseCount])
            state.Bytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(registers.AsSpan()));
        state.Bytes(_mode);
        state.Value(ref _command);
        state.Value(ref _mask);
        state.Value(ref _reached);
        state.Value(ref _isHigh);
    }
}
