using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>A chip that is out of order: some of its answers are wrong, it interrupts when it likes, and reads and
/// writes memory anywhere.</summary>
sealed class HostileChip
{
    const int MostEvents = 200;

    readonly Chance _chance;
    readonly IDeviceMemory _memory;
    readonly IDeviceClock _clock;
    readonly InterruptLine? _line;
    readonly PciFunction? _function;
    readonly bool _reachesLow;
    readonly int _badness;
    ulong _last, _same;
    int _mood, _events;
    bool _raised;

    /// <param name="badness">One answer in so many is wrong.</param>
    /// <param name="reachesLow">Its transfers go to the first megabytes of memory: there the system's own is.</param>
    public HostileChip(Computer computer, ChipPlace place, Chance chance, int badness, bool reachesLow)
    {
        place.Only("is");
        (_chance, _badness, _reachesLow) = (chance, badness, reachesLow);
        (_memory, _clock, _function) = (place.FindMemory(computer), computer.Clock, place.Function);
        _line = place.FindLine(computer);
        switch (place.Description.Text("is"))
        {
            case "uart":
                var uart = new Uart16550(_clock, _line);
                uart.LoopBack();
                place.Put(computer, 8, new Part(this, uart.Registers));
                break;
            case "ata":
                var channel = new AtaChannel(_memory, _clock, _line);
                channel.Connect(0, new AtaDrive(new MemoryDisk(4096), "BROKEN"));
                place.Put(computer, 8, new Part(this, channel.Registers));
                place.PutPorts(computer, 0x3F6, 1, new Part(this, channel.Control), "is");
                place.PutPorts(computer, 0xC000, 8, new Part(this, channel.BusMaster), "is");
                break;
            default:
                place.Put(computer, EduDevice.RegisterBytes,
                    new Part(this, new EduDevice(_memory, _clock, _line).Registers));
                break;
        }
    }

    /// <summary>Registers of a chip that is in order, behind what is not.</summary>
    sealed class Part(HostileChip chip, IMmioDevice good) : IMmioDevice
    {
        public ulong Read(ulong offset, int size)
        {
            ulong right = good.Read(offset, size);
            return chip._chance.OneIn(chip._badness) ? chip.Wrong() : right;
        }

        public void Write(ulong offset, int size, ulong value)
        {
            if (chip._chance.OneIn(chip._badness)) chip.Act();
            good.Write(offset, size, chip._last = value);
        }
    }

    ulong Wrong()
    {
        if (_chance.OneIn(8)) (_mood, _same) = (_chance.Next(7), _chance.Next());
        if (_chance.OneIn(4)) Act();
        return _mood switch
        {
            0 => 0,
            1 => ulong.MaxValue,
            2 => _same,
            3 => _last,
            // Ready, with data, with an error, as chips say it.
            4 => (ulong)((int[])[0x40, 0x50, 0x58, 0x51, 0x80, 0x60, 0x61, 0xC0, 1, 2, 4])[_chance.Next(11)],
            5 => 1UL << _chance.Next(32),
            _ => _chance.Next(),
        };
    }

    void Act()
    {
        switch (_chance.Next(4))
        {
            case 0:
                SetLine(!_raised);
                break;
            case 1:
                Transfer();
                break;
            default:
                if (_events++ < MostEvents) _clock.After(_chance.Next(20_000), Later);
                break;
        }
    }

    void Later()
    {
        if (_chance.OneIn(2)) SetLine(!_raised || _chance.OneIn(2));
        else _function?.Signal(_chance.Next(4));
        if (_chance.OneIn(3)) Transfer();
        if (_events++ < MostEvents) _clock.After(_chance.Next(100_000), Later);
    }

    void SetLine(bool raised) => _line?.Set(this, _raised = raised);

    void Transfer()
    {
        const ulong memory = (ulong)PhysicalMemory.FirstFrame << 12;
        ulong address = _reachesLow ? memory + (ulong)_chance.Next(0x80_0000) : _chance.Next() >> _chance.Next(64);
        Span<byte> bytes = stackalloc byte[1 + _chance.Next(64)];
        _chance.Fill(bytes);
        if (_chance.OneIn(2)) _memory.TryWritePhysical(address, bytes);
        else _memory.TryReadPhysical(address, bytes);
    }
}
