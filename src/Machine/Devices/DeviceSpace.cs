namespace Ringdown.Machine;

/// <summary>The ranges of an address space that belong to devices: of physical memory, or of I/O ports.</summary>
public sealed class DeviceSpace
{
    readonly List<(ulong First, ulong Bytes, IMmioDevice Device, ulong Offset)> _ranges = [];

    /// <summary>Gives a range to a device, whose offsets count from the range's first address.</summary>
    /// <exception cref="ArgumentException">Some of it belongs to another device.</exception>
    public void Add(ulong first, ulong bytes, IMmioDevice device)
    {
        foreach ((ulong other, ulong size, _, _) in _ranges)
            if (first < other + size && other < first + bytes)
                throw new ArgumentException(
                    $"0x{first:x} to 0x{first + bytes - 1:x} overlaps a device at 0x{other:x}.");
        _ranges.Add((first, bytes, device, 0));
    }

    /// <summary>Gives a range to a device that others may overlap, as registers that can be moved do: whoever came
    /// first answers.</summary>
    /// <param name="offset">What the device's offsets begin with: only a part of it is here.</param>
    public void Overlay(ulong first, ulong bytes, IMmioDevice device, ulong offset = 0) =>
        _ranges.Add((first, bytes, device, offset));

    /// <summary>A range that some of the addresses belong to; null: nobody has any of them.</summary>
    public AddressRange? FindTaken(ulong first, ulong bytes)
    {
        foreach ((ulong other, ulong size, _, _) in _ranges)
            if (first - other < size || other - first < bytes) return new AddressRange(other, size);
        return null;
    }

    /// <summary>Takes one range from a device.</summary>
    public void Remove(ulong first, IMmioDevice device)
    {
        int at = _ranges.FindIndex(r => r.First == first && r.Device == device);
        if (at >= 0) _ranges.RemoveAt(at);
    }

    public void Remove(IMmioDevice device) => _ranges.RemoveAll(r => r.Device == device);

    /// <summary>The device at an address, and the offset there; null if there is none.</summary>
    public IMmioDevice? Find(ulong address, out ulong offset)
    {
        foreach ((ulong first, ulong bytes, IMmioDevice device, ulong begin) in _ranges)
        {
            if (address - first >= bytes) continue;
            offset = begin + (address - first);
            return device;
        }
        offset = 0;
        return null;
    }
}

/// <summary>The I/O ports of a computer. Where no device is, reads are all ones and writes are lost.</summary>
public sealed class PortSpace : IPortSpace
{
    public DeviceSpace Devices { get; } = new();

    /// <summary>Where devices would be that have no power: asked where no other one is.</summary>
    internal DeviceSpace Asleep { get; } = new();

    IMmioDevice? Find(ushort port, out ulong offset) =>
        Devices.Find(port, out offset) ?? Asleep.Find(port, out offset);

    public uint Read(ushort port, int size) =>
        Find(port, out ulong offset) is { } device ? (uint)device.Read(offset, size) : uint.MaxValue;

    public void Write(ushort port, int size, uint value) => Find(port, out ulong offset)?.Write(offset, size, value);
}

/// <summary>Physical memory as devices' registers see it: one page of it in an address space.</summary>
public sealed class PhysicalDevices : IMmioDevice
{
    public DeviceSpace Devices { get; } = new();

    /// <summary>Where devices would be that have no power: asked where no other one is.</summary>
    internal DeviceSpace Asleep { get; } = new();

    IMmioDevice? Find(ulong address, out ulong offset) =>
        Devices.Find(address, out offset) ?? Asleep.Find(address, out offset);

    /// <param name="offset">A physical address.</param>
    public ulong Read(ulong offset, int size) =>
        Find(offset, out ulong at) is { } device ? device.Read(at, size) : ulong.MaxValue;

    public void Write(ulong offset, int size, ulong value) => Find(offset, out ulong at)?.Write(at, size, value);
}
