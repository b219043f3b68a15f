using System.Collections.Frozen;
using System.Text.Json;

namespace Ringdown.Machine;

/// <summary>A chip of a user's own.</summary>
public interface IChip
{
    /// <summary>Builds the chip into a computer: registers where <paramref name="place"/> says, and a line.</summary>
    /// <remarks>A chip is made anew for each machine; and once more when the description is read, for a computer that
    /// never runs.</remarks>
    /// <exception cref="BoardException">The description says something that cannot be.</exception>
    void Attach(Computer computer, ChipPlace place);
}

/// <summary>Makes a chip and builds it in.</summary>
/// <returns>The chip.</returns>
public delegate object ChipMaker(Computer computer, ChipPlace place);

/// <summary>Where a chip's registers lie and which line it has.</summary>
public sealed class ChipPlace
{
    const ulong MemoryStart = (ulong)PhysicalMemory.FirstFrame << 12, MemoryEnd = (ulong)PhysicalMemory.EndFrame << 12;
    const int LastLine = 255;

    internal ChipPlace(BoardElement description, string folder)
    {
        (Description, Folder) = (description, folder);
        Chip = description.RequiredText("chip");
        Name = description.Text("name");
        Registers = description.Number("registers");
        Ports = (ushort?)description.Number("ports", ushort.MaxValue);
        Line = (int?)description.Number("line", LastLine);
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
        Description.Only(["chip", "name", "registers", "ports", "line", .. properties]);

    /// <summary>Puts registers where the description says: into memory, at ports, or both.</summary>
    /// <exception cref="BoardException">It says neither, or something else is there.</exception>
    public void Put(Computer computer, ulong bytes, IMmioDevice registers)
    {
        if (Registers is null && Ports is null)
            throw Description.Wrong(
                "registers", "it is missing, and so is \"ports\": one of them says where the chip is.");
        if (Registers is { } address)
        {
            if (address + bytes < address || address < MemoryEnd && address + bytes > MemoryStart)
                throw Description.Wrong("registers", "memory is there, from 1 MiB to 2 GiB and 1 MiB.");
            Put(computer.Registers.Devices, address, bytes, registers, "registers");
        }
        if (Ports is not { } first) return;
        PutPorts(computer, first, bytes, registers, "ports");
    }

    /// <summary>Puts more registers at ports.</summary>
    /// <param name="property">Which part of the description says where.</param>
    public void PutPorts(Computer computer, ushort first, ulong bytes, IMmioDevice registers, string property)
    {
        if (first + bytes > ushort.MaxValue + 1) throw Description.Wrong(property, "the last port is 0xFFFF.");
        Put(computer.Ports.Devices, first, bytes, registers, property);
    }

    void Put(DeviceSpace space, ulong first, ulong bytes, IMmioDevice device, string property)
    {
        try
        {
            space.Add(first, bytes, device);
        }
        catch (ArgumentException e)
        {
            throw Description.Wrong(property, e.Message);
        }
    }

    /// <summary>The chip's line; null if it has none.</summary>
    public InterruptLine? FindLine(Computer computer) => Line is { } line ? computer.Interrupts.Line(line) : null;
}

/// <summary>The devices of a computer, as a JSON document describes them. docs/hardware.md says how.</summary>
public sealed class Board
{
    static readonly FrozenDictionary<string, ChipMaker> s_makers = new Dictionary<string, ChipMaker>
    {
        ["uart16550"] = Uart16550.Make,
        ["edu"] = MakeEdu,
        ["registers"] = RegisterFile.Make,
        ["ata"] = AtaChannel.Make,
        ["pit"] = Pit8254.Make,
        ["rtc"] = Rtc146818.Make,
        ["ps2"] = Ps2Controller.Make,
    }.ToFrozenDictionary(StringComparer.Ordinal);

    readonly IReadOnlyList<(ChipMaker Maker, ChipPlace Place)> _chips;

    Board(IReadOnlyList<(ChipMaker Maker, ChipPlace Place)> chips) => _chips = chips;

    /// <summary>The names of the chips that need no assembly.</summary>
    public static IReadOnlyList<string> Chips => [.. s_makers.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Reads a description, and tries it on a computer that never runs.</summary>
    /// <param name="find">Finds chips of other names than <see cref="Chips"/>; null: there are none.</param>
    /// <exception cref="BoardException">It cannot be used.</exception>
    /// <param name="folder">From where the paths of images count.</param>
    public static Board Parse(string json, Func<string, ChipMaker?>? find = null, string folder = "")
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(json, new JsonDocumentOptions
            {
                AllowTrailingCommas = true,
                CommentHandling = JsonCommentHandling.Skip,
            });
        }
        catch (JsonException e)
        {
            throw new BoardException($"line {e.LineNumber + 1}, column {e.BytePositionInLine + 1}: this is no JSON.");
        }
        if (document.RootElement.ValueKind != JsonValueKind.Object)
            throw new BoardException("line 1: an object with \"devices\" is expected.");
        var root = new BoardElement(document.RootElement, "");
        root.Only("devices");
        if (!root.Has("devices")) throw root.Wrong("devices", "it is missing.");
        var board = new Board([.. root.Elements("devices").Select(e => Find(new ChipPlace(e, folder), find))]);
        using var computer = new Computer(1, new CodeCache()) { Clock = new StoppedClock() };
        board.Attach(computer);
        return board;
    }

    static (ChipMaker Maker, ChipPlace Place) Find(ChipPlace place, Func<string, ChipMaker?>? find) =>
        (s_makers.GetValueOrDefault(place.Chip) ?? find?.Invoke(place.Chip) ?? throw place.Description.Wrong("chip",
            $"there is no chip \"{place.Chip}\"; there are {string.Join(", ", Chips)}, and classes (My.dll:MyChip)."),
            place);

    /// <summary>Makes the chips and builds them into a computer.</summary>
    /// <returns>The chips, in the document's order.</returns>
    public IReadOnlyList<(string? Name, object Chip)> Attach(Computer computer) =>
        [.. _chips.Select(c => (c.Place.Name, Keep(computer, c.Maker(computer, c.Place))))];

    static object Keep(Computer computer, object chip)
    {
        if (chip is IChipState state) computer.Chips.Add(state);
        return chip;
    }

    static EduDevice MakeEdu(Computer computer, ChipPlace place)
    {
        place.Only();
        var edu = new EduDevice(computer.Memory, computer.Clock, place.FindLine(computer));
        place.Put(computer, EduDevice.RegisterBytes, edu.Registers);
        return edu;
    }

    sealed class StoppedClock : IDeviceClock
    {
        public long Now => 0;

        public object After(long ticks, Action action) => 0L;

        public void Cancel(object scheduled)
        {
        }
    }
}
