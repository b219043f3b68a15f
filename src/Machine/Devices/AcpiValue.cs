using System.Text.Json;

namespace Ringdown.Machine;

/// <summary>What a control method of ACPI takes and gives.</summary>
public abstract record AcpiValue;

public sealed record AcpiInteger(ulong Value) : AcpiValue;

public sealed record AcpiText(string Value) : AcpiValue;

public sealed record AcpiBuffer(IReadOnlyList<byte> Value) : AcpiValue;

public sealed record AcpiPackage(IReadOnlyList<AcpiValue> Values) : AcpiValue;

/// <summary>A control method of a device.</summary>
/// <param name="arguments">What the caller passes.</param>
/// <returns>Null: it gives nothing.</returns>
public delegate AcpiValue? AcpiMethod(IReadOnlyList<AcpiValue> arguments);

/// <summary>Methods as a board describes them: names and what they always give.</summary>
static class AcpiMethods
{
    const string NoName = "the name of a method is four of A to Z, 0 to 9 and _, and begins with no digit.";
    const string NoValue = "a number, a text, or an array of such is expected.";

    /// <summary>Whether a text is the name of a method.</summary>
    public static bool IsName(string text) => text.Length == 4 && !char.IsAsciiDigit(text[0])
        && text.All(c => char.IsAsciiLetterUpper(c) || char.IsAsciiDigit(c) || c == '_');

    public static void Read(BoardElement description, string property, FirmwareDevice device)
    {
        if (description.Json(property) is not { } methods) return;
        if (methods.ValueKind != JsonValueKind.Object) throw description.Wrong(property, "an object is expected.");
        foreach (JsonProperty method in methods.EnumerateObject())
        {
            string place = $"{property}.{method.Name}";
            if (!IsName(method.Name)) throw description.Wrong(place, NoName);
            AcpiValue value = Read(method.Value) ?? throw description.Wrong(place, NoValue);
            if (!device.Methods.TryAdd(method.Name, _ => value))
                throw description.Wrong(place, "it stands here twice.");
        }
    }

    static AcpiValue? Read(JsonElement json)
    {
        if (json.ValueKind == JsonValueKind.String) return new AcpiText(json.GetString()!);
        if (json.ValueKind == JsonValueKind.Number)
            return json.TryGetUInt64(out ulong number) ? new AcpiInteger(number) : null;
        if (json.ValueKind != JsonValueKind.Array) return null;
        AcpiValue?[] values = [.. json.EnumerateArray().Select(Read)];
        return values.Contains(null) ? null : new AcpiPackage([.. values.Select(v => v!)]);
    }
}
