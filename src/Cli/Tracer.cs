using Ringdown.Kernel;

namespace Ringdown.Cli;

/// <summary>Every export call, indented by how deep it is nested.</summary>
sealed class Tracer : IObserver
{
    readonly List<string> _lines = [];
    int _depth;

    public IReadOnlyList<string> Lines => _lines;

    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        var shown = new string[arguments.Length];
        for (int i = 0; i < shown.Length; i++)
            shown[i] = $"{export.Parameters[i].Name}: {Decode(nt, export.Parameters[i], arguments[i])}";
        _lines.Add($"{new string(' ', 2 * _depth++)}{export.Name}({string.Join(", ", shown)})");
    }

    public void Leave(NtKernel nt, Export export, ulong result)
    {
        _depth = Math.Max(0, _depth - 1);
        _lines.Add($"{new string(' ', 2 * _depth)}-> {(export.ReturnsStatus ? new NtStatus((uint)result).ToString() : $"0x{result:x}")}");
    }

    static string Decode(NtKernel nt, Parameter parameter, ulong value) => parameter.Type switch
    {
        "UnicodeString" when value != 0 => nt.TryText(value) is { } text ? $"\"{text}\"" : $"0x{value:x}",
        "NtStatus" => new NtStatus((uint)value).ToString(),
        "Irql" => ((Irql)(byte)value).ToString(),
        "Boolean" => value != 0 ? "TRUE" : "FALSE",
        _ => value < 10 ? value.ToString() : $"0x{value:x}",
    };
}
