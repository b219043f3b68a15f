using System.Globalization;
using System.Text.Json;

namespace Ringdown.Machine;

/// <summary>A description of devices says something that cannot be. The message begins with the place.</summary>
public sealed class BoardException(string message) : Exception(message);

/// <summary>An object in a description of devices, and where it stands (<c>devices[2].map[1]</c>).</summary>
public readonly struct BoardElement
{
    readonly JsonElement _json;

    internal BoardElement(JsonElement json, string place)
    {
        (_json, Place) = (json, place);
        if (json.ValueKind != JsonValueKind.Object) throw new BoardException($"{place}: an object is expected.");
    }

    public string Place { get; }

    /// <summary>A mistake in one of the properties.</summary>
    public BoardException Wrong(string property, string message) =>
        new($"{(Place.Length == 0 ? "" : Place + ".")}{property}: {message}");

    internal JsonElement? Json(string property) =>
        _json.TryGetProperty(property, out JsonElement value) ? value : null;

    public bool Has(string property) => _json.TryGetProperty(property, out _);

    /// <exception cref="BoardException">There is another property than these.</exception>
    public void Only(params IReadOnlyList<string> properties)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (JsonProperty property in _json.EnumerateObject())
        {
            if (!properties.Contains(property.Name))
                throw Wrong(property.Name, $"there is no such property here, but {string.Join(", ", properties)}.");
            if (!seen.Add(property.Name)) throw Wrong(property.Name, "it stands here twice.");
        }
    }

    /// <summary>A text; null if there is none.</summary>
    public string? Text(string property)
    {
        if (!_json.TryGetProperty(property, out JsonElement value)) return null;
        return value.ValueKind == JsonValueKind.String ? value.GetString()
            : throw Wrong(property, "a text is expected.");
    }

    /// <summary>The texts of an array, or the one text that stands for an array of one; null if it is not
    /// there.</summary>
    public IReadOnlyList<string>? Texts(string property)
    {
        if (!_json.TryGetProperty(property, out JsonElement value)) return null;
        if (value.ValueKind == JsonValueKind.String) return [value.GetString()!];
        if (value.ValueKind != JsonValueKind.Array
            || value.EnumerateArray().Any(e => e.ValueKind != JsonValueKind.String))
            throw Wrong(property, "an array of texts is expected.");
        return [.. value.EnumerateArray().Select(e => e.GetString()!)];
    }

    public string RequiredText(string property) => Text(property) ?? throw Wrong(property, "it is missing.");

    /// <summary>A number, or a text with a hexadecimal one (<c>"0x3F8"</c>); null if there is none.</summary>
    public ulong? Number(string property, ulong highest = ulong.MaxValue)
    {
        if (!_json.TryGetProperty(property, out JsonElement value)) return null;
        ulong number;
        bool isNumber = value.ValueKind == JsonValueKind.Number ? value.TryGetUInt64(out number)
            : value.ValueKind == JsonValueKind.String & TryNumber(value.ToString(), out number);
        if (!isNumber) throw Wrong(property, "a number is expected: 1016 or \"0x3F8\".");
        return number <= highest ? number : throw Wrong(property, $"it is at most 0x{highest:X}.");
    }

    public ulong RequiredNumber(string property, ulong highest = ulong.MaxValue) =>
        Number(property, highest) ?? throw Wrong(property, "it is missing.");

    static bool TryNumber(string text, out ulong number) => text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
        ? ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out number)
        : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    /// <summary>An array of numbers; none if it is not there.</summary>
    public IReadOnlyList<ulong> Numbers(string property)
    {
        if (!_json.TryGetProperty(property, out JsonElement value)) return [];
        if (value.ValueKind != JsonValueKind.Array) throw Wrong(property, "an array of numbers is expected.");
        BoardElement me = this;
        return [.. value.EnumerateArray().Select(e =>
            e.ValueKind == JsonValueKind.Number && e.TryGetUInt64(out ulong number)
            || e.ValueKind == JsonValueKind.String && TryNumber(e.GetString()!, out number) ? number
            : throw me.Wrong(property, "an array of numbers is expected."))];
    }

    /// <summary>True or false.</summary>
    /// <param name="otherwise">What it is if it is not there.</param>
    public bool Flag(string property, bool otherwise = false)
    {
        if (!_json.TryGetProperty(property, out JsonElement value)) return otherwise;
        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Wrong(property, "true or false is expected."),
        };
    }

    /// <summary>A time in 100 ns: <c>"50us"</c>; with ns, us, ms or s. 0 if there is none.</summary>
    public long Time(string property)
    {
        if (Text(property) is not { } text) return 0;
        int digits = text.TakeWhile(char.IsAsciiDigit).Count();
        decimal? ticks = text[digits..].Trim() switch
        {
            "ns" => 0.01m,
            "us" => 10,
            "ms" => 10_000,
            "s" => 10_000_000,
            _ => null,
        };
        if (ticks is null || digits is 0 or > 9)
            throw Wrong(property, "a time is expected: \"50us\", \"2ms\", \"1s\", of at least 100 ns.");
        return (long)decimal.Ceiling(decimal.Parse(text[..digits], CultureInfo.InvariantCulture) * ticks.Value);
    }

    /// <summary>The objects of an array, or the one object that stands for an array of one; none if it is not
    /// there.</summary>
    public IReadOnlyList<BoardElement> Elements(string property)
    {
        if (!_json.TryGetProperty(property, out JsonElement value)) return [];
        string place = Place.Length == 0 ? property : $"{Place}.{property}";
        if (value.ValueKind == JsonValueKind.Object) return [new BoardElement(value, place)];
        if (value.ValueKind != JsonValueKind.Array) throw Wrong(property, "an array is expected.");
        return [.. value.EnumerateArray().Select((e, i) => new BoardElement(e, $"{place}[{i}]"))];
    }

    /// <summary>The object in a property; null if there is none.</summary>
    public BoardElement? Element(string property) => _json.TryGetProperty(property, out JsonElement value)
        ? new BoardElement(value, Place.Length == 0 ? property : $"{Place}.{property}") : null;
}
