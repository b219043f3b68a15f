using System.Globalization;

namespace Ringdown.Machine;

/// <summary>What a board says of a chip behind a PCI function, and the function that it makes of it.</summary>
sealed class PciPlace
{
    // A page: nothing else should be in reach of who maps the registers.
    const ulong LeastMemory = 0x1000, LeastPorts = 4;

    // Bits of the states from which one that wakes does so: D0, D3 with power and D3 without.
    const uint WakesFrom = 0x19;

    readonly BoardElement _pci;
    readonly IReadOnlyList<string> _kinds;
    readonly int? _table;
    int _next;

    /// <param name="behind">The bridge that it is behind; null: it is on bus 0.</param>
    public PciPlace(BoardElement chip, BoardElement pci, int? line, PciBridge? behind)
    {
        _pci = pci;
        bool isBridge = chip.Text("chip") == "bridge";
        pci.Only([.. (string[])["slot", "function", "id", "subsystem", "class", "revision", "pin", "msi", "express",
            "power", "wakes", "plugged", "removable"], .. isBridge ? [] : (string[])["bars", "msix", "dmaBits"]]);
        Function = Make(chip, isBridge, line, behind);
        _kinds = pci.Texts("bars") ?? [];
        if (pci.Flag("power", true))
            Function.AddPowerManagement(wakesFrom: pci.Flag("wakes") ? WakesFrom : 0);
        else if (pci.Flag("wakes")) throw pci.Wrong("wakes", "it has no power management.");
        if (pci.Number("msi", 32) is { } messages) Try("msi", () => Function.AddMsi((int)messages));
        _table = (int?)pci.Number("msix", 2048);
        if (pci.Flag("express", true)) Function.AddExpress();
    }

    PciFunction Make(BoardElement chip, bool isBridge, int? line, PciBridge? behind)
    {
        (ushort vendor, ushort device) = Pair("id") ?? throw _pci.Wrong("id", "it is missing.");
        // Where other headers have the subsystem, a bridge's has its window.
        if (isBridge && _pci.Has("subsystem")) throw _pci.Wrong("subsystem", "a bridge has none.");
        (ushort subsystemVendor, ushort subsystem) = isBridge ? default : Pair("subsystem") ?? (vendor, device);
        var slot = new PciSlot((int)_pci.RequiredNumber("slot", 31), (int)(_pci.Number("function", 7) ?? 0));
        int pin = (int)(_pci.Number("pin", 4) ?? (isBridge ? 0 : (ulong)(slot.Function & 3) + 1));
        uint kind = isBridge ? 0x06_0400u : 0xFF_0000;
        var identity = new PciIdentity(vendor, device, (uint)(_pci.Number("class", 0xFF_FFFF) ?? kind),
            (byte)(_pci.Number("revision", 0xFF) ?? 0), subsystemVendor, subsystem);
        if (pin == 0 && line is not null) throw chip.Wrong("line", "a device without a pin has none.");
        ulong bits = _pci.Number("dmaBits", 64) ?? 64;
        string? name = chip.Text("name");
        bool isRemovable = _pci.Flag("removable");
        if (isBridge)
            return new PciBridge(slot, identity, pin)
            {
                Name = name,
                Line = line,
                IsRemovable = isRemovable,
                Behind = behind,
            };
        return new PciFunction(slot, identity, pin)
        {
            Name = name,
            Line = line,
            IsRemovable = isRemovable,
            Behind = behind,
            HighestAddress = bits == 64 ? ulong.MaxValue : (1UL << (int)bits) - 1,
        };
    }

    public PciFunction Function { get; }

    /// <summary>Whether the chip can interrupt at all.</summary>
    public bool Interrupts => Function.Pin != 0 || Function.Messages > 0 || _table is not null;

    /// <summary>Puts registers behind the next base address register.</summary>
    /// <param name="arePorts">They are ports, unless the board says otherwise.</param>
    public void Put(ulong bytes, IMmioDevice registers, bool arePorts = false)
    {
        string kind = _next < _kinds.Count ? _kinds[_next] : arePorts ? "ports" : "memory";
        bool isPort = kind == "ports";
        ulong power = System.Numerics.BitOperations.RoundUpToPowerOf2(bytes);
        ulong size = ulong.Max(power, isPort ? LeastPorts : LeastMemory);
        Try("bars", () => _ = kind switch
        {
            "memory" or "ports" => Function.AddBar(size, registers, isPort),
            "memory64" => Function.AddBar(size, registers, is64: true),
            "prefetchable" => Function.AddBar(size, registers, is64: true, isPrefetchable: true),
            _ => throw new ArgumentException($"\"{kind}\" is none of memory, memory64, prefetchable, ports."),
        });
        _next++;
    }

    /// <summary>The chip has all its registers: the function goes into its slot.</summary>
    public void End(Computer computer)
    {
        if (_next < _kinds.Count) throw _pci.Wrong("bars", $"the chip has registers for {_next} only.");
        if (_table is { } entries) Try("msix", () => Function.AddMsix(entries));
        if (_pci.Flag("plugged", true)) Try("slot", () => computer.Pci.Plug(Function));
        else computer.Pci.Keep(Function);
    }

    void Try(string property, Action action)
    {
        try
        {
            action();
        }
        catch (ArgumentException e)
        {
            throw _pci.Wrong(property, e.Message.Split(" (Parameter")[0]);
        }
    }

    // 8086:100E
    (ushort, ushort)? Pair(string property)
    {
        if (_pci.Text(property) is not { } text) return null;
        string[] parts = text.Split(':');
        return parts.Length == 2 && parts.All(p => p.Length == 4)
            && TryHex(parts[0], out ushort first) && TryHex(parts[1], out ushort second)
            ? (first, second) : throw _pci.Wrong(property, "two numbers of four hexadecimal digits: \"8086:100E\".");
    }

    static bool TryHex(string text, out ushort number) =>
        ushort.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out number);
}
