namespace Ringdown.Machine;

/// <summary>Which pages of memory the devices may reach. As long as it is off, and it is off at first, they reach all
/// of it.</summary>
/// <remarks>A device is a <see cref="PciFunction"/> or a <see cref="FirmwareDevice"/>.</remarks>
public sealed class Iommu : IChipState
{
    const int PageShift = 12;

    /// <summary>The domains of the devices, numbered from 1 on.</summary>
    readonly Dictionary<object, int> _domains = [];

    /// <summary>The devices, in the order in which they became known.</summary>
    readonly List<object> _devices = [];

    /// <summary>How often a page was granted to a domain; 0 as domain: to all of them.</summary>
    readonly SortedDictionary<(int Domain, ulong Page), int> _granted = [];
    int _lastDomain;

    public bool IsOn { get; set; }

    /// <summary>Hears of what a device wanted and did not get: device, physical address, whether it was to be
    /// written.</summary>
    public Action<object, ulong, bool>? Refused { get; set; }

    /// <summary>A device may reach all pages that the bytes lie in, until it was revoked as often.</summary>
    /// <param name="device">Null: every device.</param>
    public void Grant(object? device, ulong address, ulong length) => Change(device, address, length, 1);

    public void Revoke(object? device, ulong address, ulong length) => Change(device, address, length, -1);

    /// <summary>How many pages are granted, each as often as it is.</summary>
    public int Granted => _granted.Values.Sum();

    void Change(object? device, ulong address, ulong length, int by)
    {
        if (length == 0) return;
        int number = DomainOf(device);
        // Beyond memory there is nothing to grant.
        ulong last = ulong.Min(address + (length - 1) >> PageShift, PhysicalMemory.EndFrame - 1);
        for (ulong page = address >> PageShift; page <= last; page++)
        {
            int count = _granted.GetValueOrDefault((number, page)) + by;
            if (count > 0) _granted[(number, page)] = count;
            else _granted.Remove((number, page));
        }
    }

    int DomainOf(object? device)
    {
        if (device is null) return 0;
        if (!_domains.TryGetValue(device, out int domain)) Put(device, domain = ++_lastDomain);
        return domain;
    }

    void Put(object device, int domain)
    {
        if (_domains.TryAdd(device, domain)) _devices.Add(device);
        else _domains[device] = domain;
    }

    /// <summary>What is granted to one device is from now on granted to the other. Nothing is granted to the first
    /// now.</summary>
    public void Join(object device, object other) => Put(device, DomainOf(other));

    /// <summary>The device is by itself again. Nothing is granted to it now.</summary>
    public void Leave(object device) => Put(device, ++_lastDomain);

    /// <returns>Whether the device may; else it has been told.</returns>
    internal bool Allows(object device, ulong address, int length, bool isWrite)
    {
        if (!IsOn || length == 0) return true;
        int number = DomainOf(device);
        ulong last = ulong.Min(address + (ulong)(length - 1) >> PageShift, PhysicalMemory.EndFrame - 1);
        for (ulong page = address >> PageShift; page <= last; page++)
        {
            if (_granted.ContainsKey((number, page)) || _granted.ContainsKey((0, page))) continue;
            Refused?.Invoke(device, ulong.Max(address, page << PageShift), isWrite);
            return false;
        }
        return true;
    }

    public void Exchange(ChipState state)
    {
        List<(int, ulong, int)> granted = [.. _granted.Select(g => (g.Key.Domain, g.Key.Page, g.Value))];
        List<int> domains = [.. _devices.Select(d => _domains[d])];
        state.Items(granted);
        state.Items(domains);
        state.Value(ref _lastDomain);
        if (!state.IsRestoring) return;
        // Devices that became known since then are by themselves.
        for (int i = 0; i < _devices.Count; i++)
            _domains[_devices[i]] = i < domains.Count ? domains[i] : ++_lastDomain;
        _granted.Clear();
        foreach ((int domain, ulong page, int count) in granted) _granted[(domain, page)] = count;
    }
}

/// <summary>Memory as a fixed device reaches it.</summary>
sealed class DeviceMemory(Computer computer, Func<object> device) : IDeviceMemory
{
    public bool TryReadPhysical(ulong address, Span<byte> bytes) =>
        computer.Iommu.Allows(device(), address, bytes.Length, isWrite: false)
        && computer.Memory.TryReadPhysical(address, bytes);

    public bool TryWritePhysical(ulong address, ReadOnlySpan<byte> bytes) =>
        computer.Iommu.Allows(device(), address, bytes.Length, isWrite: true)
        && computer.Memory.TryWritePhysical(address, bytes);
}
