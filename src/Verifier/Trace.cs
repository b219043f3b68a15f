using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>Every export call with its arguments decoded, indented by how deep it is nested.</summary>
public sealed class Trace : IObserver
{
    readonly List<string> _lines = [];
    int _depth;

    public IReadOnlyList<string> Lines => _lines;

    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        var shown = new string[arguments.Length];
        for (int i = 0; i < shown.Length; i++)
            shown[i] = $"{export.Parameters[i].Name}: {Decode(nt, export.Parameters[i], arguments[i])}";
        Open($"{export.Name}({string.Join(", ", shown)})");
    }

    public void Dispatching(NtKernel nt, Irp irp, IrpMajor major, Va routine)
    {
        string code = major == IrpMajor.IRP_MJ_DEVICE_CONTROL ? $" 0x{(uint)irp.CurrentStackLocation.Parameter3:X}"
            : "";
        Open($"{major}{code} 0x{irp.Address.Value:x} to {nt.Loader.Describe(routine)}");
    }

    public void Dispatched(NtKernel nt, Dispatched dispatched) => Close(dispatched.Status.ToString());

    public void Leave(NtKernel nt, Export export, ulong result)
    {
        Close(export.ReturnsStatus ? new NtStatus((uint)result).ToString() : $"0x{result:x}");
    }

    public void EventWritten(NtKernel nt, TraceEvent written)
    {
        string provider = written.Name.Length > 0 ? written.Name : $"{{{written.Provider}}}";
        string data = written.Text ?? Convert.ToHexString(written.Data.AsSpan(0, Math.Min(64, written.Data.Length)));
        _lines.Add($"{new string(' ', 2 * _depth)}event {provider} id {written.Id} level {written.Level}: {data}");
    }

    void Open(string line) => _lines.Add($"{new string(' ', 2 * _depth++)}{line}");

    // What an exception unwinds is never left, so the depth can be too great, but not too small.
    void Close(string result)
    {
        _depth = Math.Max(0, _depth - 1);
        _lines.Add($"{new string(' ', 2 * _depth)}-> {result}");
    }

    static string Decode(NtKernel nt, Parameter parameter, ulong value) => parameter.Type switch
    {
        "UnicodeString" when value != 0 =>
            nt.TryText(value) is { } text && text.All(c => c is >= ' ' and <= '~') ? $"\"{text}\"" : $"0x{value:x}",
        "NtStatus" => new NtStatus((uint)value).ToString(),
        "Irql" => ((Irql)(byte)value).ToString(),
        "Boolean" => value != 0 ? "TRUE" : "FALSE",
        _ => value < 10 ? value.ToString() : $"0x{value:x}",
    };
}
