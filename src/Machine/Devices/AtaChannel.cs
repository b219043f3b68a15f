namespace Ringdown.Machine;

/// <summary>An ATA channel with one or two disks, as ATA/ATAPI-6 describes it: programmed I/O, and DMA by a bus master
/// of its own.</summary>
/// <remarks>A device that is not there answers with ones if nobody is on the cable, else with zeros.</remarks>
public sealed partial class AtaChannel : IChipState, IDisposable
{
    const byte InterruptsOff = 2, SoftReset = 4, HighOrder = 0x80;
    const byte Device1 = 0x10;

    readonly AtaDevice?[] _devices = new AtaDevice?[2];
    readonly bool[] _isOff = new bool[2];
    readonly IDeviceMemory _memory;
    readonly InterruptLine? _line;
    byte _control, _select;

    public AtaChannel(IDeviceMemory memory, IDeviceClock clock, InterruptLine? line)
    {
        (_memory, Clock, _line) = (memory, clock, line);
        Registers = new CommandBlock(this);
        Control = new RegisterBlock().Add("ALTERNATE_STATUS/CONTROL", 0, 1, () => AlternateStatus,
            v => SetControl((byte)v));
        BusMaster = MakeBusMaster();
    }

    /// <summary>Data, error and features, count, address, device, status and command: eight bytes.</summary>
    public IMmioDevice Registers { get; }

    /// <summary>Alternate status and device control: a byte.</summary>
    public RegisterBlock Control { get; }

    /// <summary>Command, status and the table's address: eight bytes.</summary>
    public RegisterBlock BusMaster { get; }

    internal IDeviceClock Clock { get; }

    AtaDevice? Selected => _isOff[Number] ? null : _devices[Number];
    int Number => (_select & Device1) != 0 ? 1 : 0;
    IEnumerable<AtaDevice> Powered => Enumerable.Range(0, 2).Where(i => !_isOff[i]).Select(i => _devices[i]!)
        .Where(d => d is not null);

    byte Nobody => (byte)(Powered.Any() ? 0 : 0xFF);

    /// <summary>Connects a drive; null: pulls it off the cable, whatever it does.</summary>
    public void Connect(int number, AtaDrive? drive)
    {
        _devices[number]?.LosePower();
        _devices[number] = drive is null ? null : new AtaDevice(this, drive);
        Update();
    }

    /// <summary>The drive of a number; null if there is none.</summary>
    public AtaDrive? Drive(int number) => _devices[number]?.Drive;

    /// <summary>Power of the drives goes: what they have not flushed is lost, and they do not answer.</summary>
    public void PowerOff()
    {
        for (int i = 0; i < 2; i++)
        {
            _devices[i]?.LosePower();
            _isOff[i] = true;
        }
        ResetBusMaster();
        Update();
    }

    public void PowerOn()
    {
        (_isOff[0], _isOff[1], _control, _select) = (false, false, 0, 0);
        foreach (AtaDevice device in Powered) device.GetPower();
        Update();
    }

    internal void Diagnose()
    {
        foreach (AtaDevice device in Powered) device.Diagnose();
        _select = 0;
    }

    internal void Update()
    {
        bool interrupts = (_control & InterruptsOff) == 0 && Selected is { Interrupts: true };
        if (interrupts && !_wasAsserted) _masterStatus |= Interrupted;
        _wasAsserted = interrupts;
        _line?.Set(this, interrupts);
    }

    byte AlternateStatus => Selected is { } device ? device.AlternateStatus : Nobody;

    void SetControl(byte value)
    {
        bool was = (_control & SoftReset) != 0, now = (value & SoftReset) != 0;
        _control = value;
        foreach (AtaDevice device in Powered)
        {
            if (now && !was) device.BeginReset();
            else if (was && !now) device.EndReset();
        }
        if (now) _select = 0;
        Update();
    }

    byte Read(int register) =>
        Selected is { } device ? device.Read(register, (_control & HighOrder) != 0) : Nobody;

    void Write(int register, byte value)
    {
        if (register == 7)
        {
            if (value == 0x90) Powered.FirstOrDefault()?.Execute(value);
            else Selected?.Execute(value);
            return;
        }
        // Any write ends the reading of the values of before.
        _control = (byte)(_control & ~HighOrder);
        foreach (AtaDevice device in Powered) device.Write(register, value);
        if (register == 6 && !(Selected?.IsBusy ?? false)) _select = value;
        Update();
    }

    // The data register is as wide as the access; the others are bytes.
    sealed class CommandBlock(AtaChannel channel) : IMmioDevice
    {
        public ulong Read(ulong offset, int size)
        {
            ulong value = 0;
            for (int i = 0; i < size; i += offset == 0 ? 2 : 1)
                value |= (offset == 0 ? channel.Selected?.ReadData() ?? channel.Nobody * 0x101UL
                    : offset + (ulong)i < 8 ? channel.Read((int)offset + i) : 0xFFUL) << (8 * i);
            return size == 8 ? value : value & ((1UL << (8 * size)) - 1);
        }

        public void Write(ulong offset, int size, ulong value)
        {
            for (int i = 0; i < size; i += offset == 0 ? 2 : 1)
            {
                if (offset == 0) channel.Selected?.WriteData((ushort)(value >> (8 * i)));
                else if (offset + (ulong)i < 8) channel.Write((int)offset + i, (byte)(value >> (8 * i)));
            }
        }
    }

    public void Dispose()
    {
        foreach (AtaDevice? device in _devices) device?.Drive.Disk.Dispose();
    }

    public void Exchange(ChipState state)
    {
        state.Value(ref _control);
        state.Value(ref _select);
        state.Value(ref _masterCommand);
        state.Value(ref _masterStatus);
        state.Value(ref _table);
        state.Value(ref _wasAsserted);
        for (int i = 0; i < 2; i++)
        {
            state.Value(ref _isOff[i]);
            // Which drives are connected is the board's, or the test's.
            _devices[i]?.Exchange(state);
        }
        Update();
    }
}
