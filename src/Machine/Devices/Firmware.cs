namespace Ringdown.Machine;

/// <summary>Some addresses: of memory or of I/O ports.</summary>
public readonly record struct AddressRange(ulong First, ulong Bytes);

/// <summary>A line that a device has, and how it tells of an interrupt there.</summary>
public readonly record struct FirmwareLine(int Number, InterruptTrigger Trigger, bool IsShared);

/// <summary>What firmware tells of the devices that nobody could find by himself: those that are soldered in.</summary>
public sealed class Firmware
{
    readonly List<FirmwareDevice> _devices = [];

    /// <summary>All devices, those that are unplugged too, in the order in which they were added.</summary>
    public IReadOnlyList<FirmwareDevice> Devices => _devices;

    /// <summary>A device was added, unplugged, or plugged in again.</summary>
    public event Action<FirmwareDevice>? Changed;

    /// <summary>Adds a device, and numbers it among those of the same id.</summary>
    public void Add(FirmwareDevice device)
    {
        device.Number = _devices.Count(d => d.Id == device.Id);
        device.Firmware = this;
        _devices.Add(device);
        Changed?.Invoke(device);
    }

    internal void Tell(FirmwareDevice device) => Changed?.Invoke(device);
}

/// <summary>A fixed device: what it is, and which resources it is wired to.</summary>
public sealed class FirmwareDevice(string id, string name)
{
    readonly List<(DeviceSpace Space, AddressRange Range, IMmioDevice Device)> _registers = [];

    internal Firmware? Firmware { get; set; }

    /// <summary>What it is: three or four letters and four hexadecimal digits (<c>PNP0501</c>).</summary>
    public string Id { get; } = id;

    /// <summary>Whether a text is an id: it becomes a part of device ids and of paths.</summary>
    public static bool IsId(string text) => text.Length is 7 or 8 && text[..^4].All(char.IsAsciiLetterUpper)
        && text[^4..].All(c => char.IsAsciiDigit(c) || c is >= 'A' and <= 'F');

    /// <summary>What else it may be taken for, the best first.</summary>
    public IReadOnlyList<string> CompatibleIds { get; init; } = [];

    /// <summary>In words.</summary>
    public string Name { get; } = name;

    /// <summary>Somebody may take it out while the system runs.</summary>
    public bool IsRemovable { get; set; }

    /// <summary>Which one it is of those with the same id, from 0.</summary>
    public int Number { get; internal set; }

    public List<AddressRange> Memory { get; } = [];
    public List<AddressRange> Ports { get; } = [];
    public List<FirmwareLine> Lines { get; } = [];

    /// <summary>Channels of the DMA controller.</summary>
    public List<int> DmaChannels { get; } = [];

    /// <summary>Its control methods, by their names of four characters; what every device has (<c>_STA</c>,
    /// <c>_HID</c>, <c>_UID</c>, <c>_CRS</c>) need not be here.</summary>
    public SortedDictionary<string, AcpiMethod> Methods { get; } = new(StringComparer.Ordinal);

    readonly List<InterruptLine> _wires = [];

    /// <summary>Who asserts its lines; null: nobody that is known.</summary>
    internal object? Chip { get; set; }

    /// <summary>It is plugged in. Of one that is not the registers are gone: reads are ones, writes are lost, its lines
    /// are not asserted.</summary>
    public bool IsPresent
    {
        get;
        set
        {
            if (field == value) return;
            field = value;
            foreach ((DeviceSpace space, AddressRange range, IMmioDevice device) in _registers)
            {
                if (value) space.Add(range.First, range.Bytes, device);
                else space.Remove(device);
            }
            foreach (InterruptLine wire in _wires)
                if (Chip is { } chip) wire.Connect(chip, value);
            Firmware?.Tell(this);
        }
    } = true;

    /// <summary>Gives the device addresses in physical memory.</summary>
    /// <exception cref="ArgumentException">Some of them are another's.</exception>
    public void AddMemory(Computer computer, ulong first, ulong bytes, IMmioDevice registers) =>
        Add(computer.Registers.Devices, Memory, new AddressRange(first, bytes), registers);

    /// <summary>Gives the device I/O ports.</summary>
    /// <exception cref="ArgumentException">Some of them are another's.</exception>
    public void AddPorts(Computer computer, ushort first, ulong bytes, IMmioDevice registers) =>
        Add(computer.Ports.Devices, Ports, new AddressRange(first, bytes), registers);

    /// <summary>Gives the device a line, as it is set up now: a level triggered one may be shared.</summary>
    public InterruptLine AddLine(Computer computer, int number)
    {
        InterruptLine line = computer.Interrupts.Line(number);
        if (!_wires.Contains(line)) _wires.Add(line);
        if (!Lines.Exists(l => l.Number == number))
            Lines.Add(new FirmwareLine(number, line.Trigger, line.Trigger == InterruptTrigger.Level));
        return line;
    }

    void Add(DeviceSpace space, List<AddressRange> ranges, AddressRange range, IMmioDevice registers)
    {
        space.Add(range.First, range.Bytes, registers);
        ranges.Add(range);
        _registers.Add((space, range, registers));
    }
}
