namespace Ringdown.Machine;

/// <summary>An ATA device at its cable: registers, commands, data a block at a time.</summary>
/// <remarks>The drive inside does a command's work when its time is over: until then a loss of power loses all of
/// it.</remarks>
sealed partial class AtaDevice : IChipState
{
    // Status and error.
    const byte Busy = 0x80, Ready = 0x40, SeekDone = 0x10, DataRequest = 8, Failed = 1;
    const byte Idle = Ready | SeekDone;
    const byte Abort = 4, NotFound = 0x10, Uncorrectable = 0x40;
    const long CommandTicks = 10, ResetTicks = 20_000;

    readonly AtaChannel _channel;
    readonly ChipTimer _timer;
    AtaTaskFile _file;
    AtaPhase _phase;
    byte _command;
    bool _isExtended, _interrupts, _sleeps;
    long _sector;
    int _left, _position, _blockBytes;
    byte[] _buffer = [];

    public AtaDevice(AtaChannel channel, AtaDrive drive)
    {
        (_channel, Drive) = (channel, drive);
        _timer = new ChipTimer(channel.Clock, OnTime);
        _file.SetSignature();
        _file.Status = Idle;
    }

    enum AtaPhase
    {
        None, Reset, NoData, ReadBlock, DataIn, DataOut, WriteBlock, Dma,
    }

    public AtaDrive Drive { get; }

    /// <summary>INTRQ, before the device control register lets it through.</summary>
    public bool Interrupts => _interrupts;

    /// <summary>It moves data by DMA, and waits for the bus master.</summary>
    public bool WantsDma => _phase == AtaPhase.Dma && !_timer.IsSet;

    public bool IsBusy => (_file.Status & Busy) != 0;

    public byte Read(int register, bool isHigh)
    {
        byte value = IsBusy && register < 7 ? _file.Status : _file.Read(register, isHigh);
        if (register == 7) SetInterrupt(false);
        return value;
    }

    public byte AlternateStatus => _file.Status;

    /// <summary>The registers are written at both devices of the cable.</summary>
    public void Write(int register, byte value)
    {
        if ((_file.Status & (Busy | DataRequest)) == 0) _file.Write(register, value);
    }

    /// <summary>A word of the data register.</summary>
    public ushort ReadData()
    {
        if (_phase != AtaPhase.DataIn) return 0xFFFF;
        var value = (ushort)(_buffer[_position] | _buffer[_position + 1] << 8);
        _position += 2;
        if (_position == _blockBytes) EndBlockIn();
        return value;
    }

    public void WriteData(ushort value)
    {
        if (_phase != AtaPhase.DataOut) return;
        (_buffer[_position], _buffer[_position + 1]) = ((byte)value, (byte)(value >> 8));
        _position += 2;
        if (_position == _blockBytes) EndBlockOut();
    }

    /// <summary>SRST is set, or the wire RESET-.</summary>
    public void BeginReset()
    {
        _timer.Cancel();
        (_phase, _file.Status, _sleeps) = (AtaPhase.Reset, Busy, false);
        SetInterrupt(false);
    }

    public void EndReset()
    {
        if (_phase == AtaPhase.Reset) _timer.Set(ResetTicks);
    }

    public void LosePower()
    {
        BeginReset();
        Drive.LosePower();
    }

    /// <summary>Power comes back: it takes as long as a reset, and the next access as long as the motor.</summary>
    public void GetPower() => EndReset();

    void SetInterrupt(bool interrupts)
    {
        _interrupts = interrupts;
        _channel.Update();
    }

    // The command goes on after a while.
    void After(long ticks, AtaPhase phase)
    {
        _phase = phase;
        _file.Status = Busy;
        _timer.Set(ticks);
    }

    void OnTime()
    {
        switch (_phase)
        {
            case AtaPhase.Reset:
                Drive.Reset();
                _file.SetSignature();
                _file.Status = Idle;
                _phase = AtaPhase.None;
                break;
            case AtaPhase.NoData:
                EndCommand();
                break;
            case AtaPhase.ReadBlock:
                FillBlock();
                break;
            case AtaPhase.DataOut:
                // Of the first block it does not tell.
                _file.Status = Idle | DataRequest;
                break;
            case AtaPhase.WriteBlock:
                StoreBlock();
                break;
            case AtaPhase.Dma:
                _file.Status = Idle | DataRequest;
                _channel.MoveDma();
                break;
        }
    }

    void Finish(byte error = 0)
    {
        _phase = AtaPhase.None;
        _file.Error = error;
        _file.Status = (byte)(Idle | (error != 0 ? Failed : 0));
        SetInterrupt(true);
    }

    void FinishAt(long sector, byte error)
    {
        _file.Tell(sector, _isExtended);
        Finish(error);
    }

    int BlockSectors => _command is 0xC4 or 0x29 or 0xC5 or 0x39 or 0xCE ? Drive.Multiple : 1;

    void FillBlock()
    {
        int count = Math.Min(_left, BlockSectors);
        if (Drive.FirstBad(_sector, count) is { } bad)
        {
            FinishAt(bad, Uncorrectable);
            return;
        }
        Drive.Read(_sector, Block(count));
        Present();
    }

    Span<byte> Block(int sectors)
    {
        _blockBytes = sectors * AtaDrive.SectorBytes;
        if (_buffer.Length < _blockBytes) _buffer = new byte[_blockBytes];
        return _buffer.AsSpan(0, _blockBytes);
    }

    void Present()
    {
        _position = 0;
        _phase = AtaPhase.DataIn;
        _file.Status = Idle | DataRequest;
        SetInterrupt(true);
    }

    void EndBlockIn()
    {
        int count = _blockBytes / AtaDrive.SectorBytes;
        (_sector, _left) = (_sector + count, _left - count);
        if (_left > 0)
        {
            After(Drive.AccessTicks(_sector, Math.Min(_left, BlockSectors)), AtaPhase.ReadBlock);
            return;
        }
        (_phase, _file.Status) = (AtaPhase.None, Idle);
    }

    void EndBlockOut() => After(
        Drive.WriteTicks(_sector, _blockBytes / AtaDrive.SectorBytes, IsThrough), AtaPhase.WriteBlock);

    void StoreBlock()
    {
        int count = _blockBytes / AtaDrive.SectorBytes;
        Drive.Write(_sector, _buffer.AsSpan(0, _blockBytes), IsThrough);
        (_sector, _left) = (_sector + count, _left - count);
        if (_left == 0)
        {
            Finish();
            return;
        }
        ExpectBlock();
        _file.Status = Idle | DataRequest;
        SetInterrupt(true);
    }

    void ExpectBlock()
    {
        Block(Math.Min(_left, BlockSectors));
        _position = 0;
        _phase = AtaPhase.DataOut;
    }

    bool IsThrough => _command is 0x3D or 0xCE;

    public void Exchange(ChipState state)
    {
        state.Value(ref _file);
        state.Value(ref _phase);
        state.Value(ref _command);
        state.Value(ref _isExtended);
        state.Value(ref _interrupts);
        state.Value(ref _sleeps);
        state.Value(ref _sector);
        state.Value(ref _left);
        state.Value(ref _position);
        state.Value(ref _blockBytes);
        int bytes = _buffer.Length;
        state.Value(ref bytes);
        if (state.IsRestoring) _buffer = new byte[bytes];
        state.Bytes(_buffer);
        state.Timer(_timer);
        Drive.Exchange(state);
    }
}
