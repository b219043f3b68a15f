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
        ["dma8237"] = Dma8237.Make,
        ["bridge"] = MakeBridge,
    }.ToFrozenDictionary(StringComparer.Ordinal);

    readonly IReadOnlyList<Chip> _chips;
    readonly string _folder;
    readonly bool _hasIommu;

    /// <summary>A chip, and of a bridge those behind it.</summary>
    sealed record Chip(ChipMaker Maker, BoardElement Description, IReadOnlyList<Chip> Behind);

    Board(IReadOnlyList<Chip> chips, string folder, bool hasIommu) =>
        (_chips, _folder, _hasIommu) = (chips, folder, hasIommu);

    /// <summary>The names of the chips that need no assembly.</summary>
    public static IReadOnlyList<string> Chips => [.. s_makers.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Reads a description, and tries it on a computer that never runs.</summary>
    /// <param name="find">Finds chips of other names than <see cref="Chips"/>; null: there are none.</param>
    /// <param name="folder">From where the paths of images count.</param>
    /// <exception cref="BoardException">It cannot be used.</exception>
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
        catch (ArgumentException)
        {
            throw new BoardException("line 1: there is half of a character in it.");
        }
        CheckTexts(document.RootElement, "");
        if (document.RootElement.ValueKind != JsonValueKind.Object)
            throw new BoardException("line 1: an object with \"devices\" is expected.");
        var root = new BoardElement(document.RootElement, "");
        root.Only("devices", "iommu");
        if (!root.Has("devices")) throw root.Wrong("devices", "it is missing.");
        var board = new Board(Read(root, find, folder), folder, root.Flag("iommu"));
        using var computer = new Computer(1, new CodeCache()) { Clock = new StoppedClock() };
        board.Attach(computer);
        return board;
    }

    // An escape may name half of a character, which only shows when the text is asked for.
    static void CheckTexts(JsonElement element, string place)
    {
        try
        {
            if (element.ValueKind == JsonValueKind.String) element.GetString();
            if (element.ValueKind == JsonValueKind.Object)
                foreach (JsonProperty property in element.EnumerateObject())
                    CheckTexts(property.Value, place.Length == 0 ? property.Name : $"{place}.{property.Name}");
        }
        catch (InvalidOperationException)
        {
            throw new BoardException($"{place}: there is half of a character in it.");
        }
        if (element.ValueKind != JsonValueKind.Array) return;
        int i = 0;
        foreach (JsonElement one in element.EnumerateArray()) CheckTexts(one, $"{place}[{i++}]");
    }

    static IReadOnlyList<Chip> Read(BoardElement within, Func<string, ChipMaker?>? find, string folder) =>
        [.. within.Elements("devices").Select(e => new Chip(Find(new ChipPlace(e, folder), find), e,
            e.Text("chip") == "bridge" ? Read(e, find, folder) : []))];

    static ChipMaker Find(ChipPlace place, Func<string, ChipMaker?>? find) =>
        s_makers.GetValueOrDefault(place.Chip) ?? find?.Invoke(place.Chip) ?? throw place.Description.Wrong("chip",
            $"there is no chip \"{place.Chip}\"; there are {string.Join(", ", Chips)}, and classes (My.dll:MyChip).");

    /// <summary>Makes the chips and builds them into a computer.</summary>
    /// <returns>The chips, in the document's order.</returns>
    public IReadOnlyList<(string? Name, object Chip)> Attach(Computer computer)
    {
        List<(string? Name, object Chip)> chips = [];
        foreach (Chip chip in _chips) Attach(computer, chip, null, chips);
        computer.Pci.Configure();
        computer.Iommu.IsOn = _hasIommu;
        return chips;
    }

    void Attach(Computer computer, Chip one, PciBridge? behind, List<(string? Name, object Chip)> all)
    {
        var place = new ChipPlace(one.Description, _folder, behind);
        object chip = one.Maker(computer, place);
        if (place.Function is null) place.Device.Chip = chip;
        if (chip is IChipState state)
        {
            computer.Chips.Add(state);
            computer.NotePowerOn(state);
            if (place.Function is { } function) function.WasReset += () => computer.Reset(state);
        }
        place.End(computer);
        all.Add((place.Name, chip));
        foreach (Chip next in one.Behind) Attach(computer, next, (PciBridge)chip, all);
    }

    static PciBridge MakeBridge(Computer computer, ChipPlace place)
    {
        place.Only("devices");
        return place.Function as PciBridge
            ?? throw place.Description.Wrong("pci", "it is missing: a bridge is a PCI device.");
    }

    static EduDevice MakeEdu(Computer computer, ChipPlace place)
    {
        place.Only();
        place.Identify("RNG0001", "Device to learn with");
        var edu = new EduDevice(place.FindMemory(computer), computer.Clock, place.FindLine(computer));
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
