namespace Ringdown.Machine;

/// <summary>Where a chip's registers lie and which line it has.</summary>
public sealed class ChipPlace
{
    const ulong MemoryStart = (ulong)PhysicalMemory.FirstFrame << 12, MemoryEnd = (ulong)PhysicalMemory.EndFrame << 12;
    const int LastLine = 255;
    const string NoId = "three or four capital letters and four hexadecimal digits are expected: PNP0501.";

    readonly string? _id;
    readonly IReadOnlyList<string>? _compatibleIds;
    readonly PciPlace? _pci;
    FirmwareDevice? _device;

    /// <param name="behind">The bridge that it is behind; null: none.</param>
    internal ChipPlace(BoardElement description, string folder, PciBridge? behind = null)
    {
        (Description, Folder) = (description, folder);
        Chip = description.RequiredText("chip");
        Name = description.Text("name");
        Registers = description.Number("registers");
        Ports = (ushort?)description.Number("ports", ushort.MaxValue);
        Line = (int?)description.Number("line", LastLine);
        _id = description.Text("id");
        _compatibleIds = description.Texts("compatible");
        if (description.Element("pci") is { } pci)
        {
            foreach (string fixedOnly in (string[])["registers", "ports", "id", "compatible", "removable", "methods"])
                if (description.Has(fixedOnly)) throw description.Wrong(fixedOnly, "a PCI device has its own.");
            _pci = new PciPlace(description, pci, Line, behind);
        }
        else if (behind is not null) throw description.Wrong("pci", "it is missing: behind a bridge are PCI devices.");
        if (_id is not null && !FirmwareDevice.IsId(_id)) throw description.Wrong("id", NoId);
        if (_compatibleIds?.All(FirmwareDevice.IsId) == false) throw description.Wrong("compatible", NoId);
    }

    /// <summary>The kind of chip.</summary>
    public string Chip { get; }

    /// <summary>By what a test finds it.</summary>
    public string? Name { get; }

    /// <summary>The physical address of its registers, if they lie in memory.</summary>
    public ulong? Registers { get; }

    /// <summary>The first of its I/O ports, if it has any.</summary>
    public ushort? Ports { get; }

    public int? Line { get; }

    /// <summary>From where the paths of files count.</summary>
    public string Folder { get; }

    /// <summary>The whole description, for what else a chip wants to know.</summary>
    public BoardElement Description { get; }

    /// <summary>The description has no other properties than those of every chip and these.</summary>
    /// <exception cref="BoardException">It has.</exception>
    public void Only(params IReadOnlyList<string> properties) =>
        Description.Only(["chip", "name", "registers", "ports", "line", "id", "compatible", "removable", "methods",
            "pci", .. properties]);

    /// <summary>What firmware tells of the chip, unless the description says otherwise. Called before the chip gets
    /// addresses and lines; without it a chip is <c>RNG0003</c>, one of a user's own.</summary>
    /// <param name="id">As <c>PNP0501</c>.</param>
    /// <param name="name">What it is in words.</param>
    public void Identify(string id, string name, params IReadOnlyList<string> compatibleIds)
    {
        if (_device is not null) throw new InvalidOperationException("The chip has addresses or lines already.");
        _device = new FirmwareDevice(_id ?? id, name)
        {
            CompatibleIds = _compatibleIds ?? compatibleIds,
            IsRemovable = Description.Flag("removable"),
        };
        AcpiMethods.Read(Description, "methods", _device);
    }

    /// <summary>What firmware will tell of the chip. What is added to it is the chip's.</summary>
    public FirmwareDevice Device
    {
        get
        {
            if (_device is null) Identify("RNG0003", Name ?? Chip);
            return _device!;
        }
    }

    /// <summary>The chip has all that it wants: firmware tells of it.</summary>
    internal void End(Computer computer)
    {
        if (_pci is not null) _pci.End(computer);
        else computer.Firmware.Add(Device);
    }

    /// <summary>The chip's PCI function: messages, power, wake; null for a fixed device.</summary>
    public PciFunction? Function => _pci?.Function;

    /// <summary>Memory as the chip reaches it: by its PCI function, or directly.</summary>
    public IDeviceMemory FindMemory(Computer computer) =>
        Function is { } function ? function : new DeviceMemory(computer, () => Device);

    /// <summary>Puts registers where the description says: into memory, at ports, or both. Those of a PCI device go
    /// behind its next base address register.</summary>
    /// <exception cref="BoardException">It says neither, or something else is there.</exception>
    public void Put(Computer computer, ulong bytes, IMmioDevice registers)
    {
        if (_pci is not null)
        {
            _pci.Put(bytes, registers);
            return;
        }
        if (Registers is null && Ports is null)
            throw Description.Wrong(
                "registers", "it is missing, and so is \"ports\": one of them says where the chip is.");
        if (Registers is { } address)
        {
            if (address + bytes < address || address < MemoryEnd && address + bytes > MemoryStart)
                throw Description.Wrong("registers", "memory is there, from 1 MiB to 2 GiB and 1 MiB.");
            Put("registers", () => Device.AddMemory(computer, address, bytes, registers));
        }
        if (Ports is { } first) PutPorts(computer, first, bytes, registers, "ports");
    }

    /// <summary>Puts registers at ports that are not, or not only, where <see cref="Ports"/> says.</summary>
    /// <param name="property">The part of the description that says where.</param>
    /// <exception cref="BoardException">Something else is there.</exception>
    public void PutPorts(Computer computer, ushort first, ulong bytes, IMmioDevice registers, string property)
    {
        if (_pci is not null)
        {
            _pci.Put(bytes, registers, arePorts: true);
            return;
        }
        if (first + bytes > ushort.MaxValue + 1) throw Description.Wrong(property, "the last port is 0xFFFF.");
        Put(property, () => Device.AddPorts(computer, first, bytes, registers));
    }

    void Put(string property, Action add)
    {
        try
        {
            add();
        }
        catch (ArgumentException e)
        {
            throw Description.Wrong(property, e.Message);
        }
    }

    /// <summary>The chip's line, if it has one by itself.</summary>
    /// <param name="usual">The one that it has if nothing is said.</param>
    public InterruptLine FindLine(Computer computer, int usual) =>
        _pci is not null ? _pci.Function.Wire : Device.AddLine(computer, Line ?? usual);

    /// <summary>The chip's line; null if it has none. Of a PCI device it is the wire of its function.</summary>
    public InterruptLine? FindLine(Computer computer) => _pci is not null
        ? _pci.Interrupts ? _pci.Function.Wire : null : Line is { } line ? Device.AddLine(computer, line) : null;

    /// <summary>A channel of the DMA controller, for the chip: firmware tells of it.</summary>
    /// <param name="property">The part of the description that says which one.</param>
    /// <exception cref="BoardException">It says none of 0 to 3 and 5 to 7, or the device is behind PCI.</exception>
    public DmaChannel FindChannel(Computer computer, string property = "channel")
    {
        if (_pci is not null) throw Description.Wrong(property, "a PCI device has none.");
        int number = (int)Description.RequiredNumber(property, DmaChannels.Count - 1);
        if (number == DmaChannels.Cascade) throw Description.Wrong(property, "it connects the two controllers.");
        if (!Device.DmaChannels.Contains(number)) Device.DmaChannels.Add(number);
        return computer.Dma[number];
    }
}
