using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>Every export call with its arguments decoded, indented by how deep it is nested in its thread; a line says
/// when another thread goes on.</summary>
public sealed class Trace : IObserver
{
    readonly List<string> _lines = [];
    readonly Dictionary<ulong, int> _depths = [];
    ulong? _context;

    public IReadOnlyList<string> Lines => _lines;

    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        var shown = new string[arguments.Length];
        for (int i = 0; i < shown.Length; i++)
            shown[i] = $"{export.Parameters[i].Name}: {Decode(nt, export.Parameters[i], arguments[i])}";
        Open(nt, $"{export.Name}({string.Join(", ", shown)})");
    }

    public void Dispatching(NtKernel nt, Irp irp, IrpMajor major, Va routine)
    {
        string code = major == IrpMajor.IRP_MJ_DEVICE_CONTROL ? $" 0x{(uint)irp.CurrentStackLocation.Parameter3:X}"
            : "";
        Open(nt, $"{major}{code} 0x{irp.Address.Value:x} to {nt.Loader.Describe(routine)}");
    }

    public void Dispatched(NtKernel nt, Dispatched dispatched) => Close(nt, dispatched.Status.ToString());

    public void Leave(NtKernel nt, Export export, ulong result)
    {
        Close(nt, export.ReturnsStatus ? new NtStatus((uint)result).ToString() : $"0x{result:x}");
    }

    void Open(NtKernel nt, string line)
    {
        int depth = DepthOf(nt);
        _lines.Add($"{new string(' ', 2 * depth)}{line}");
        _depths[nt.CurrentContext] = depth + 1;
    }

    int DepthOf(NtKernel nt)
    {
        ulong context = nt.CurrentContext;
        if (_context is { } before && before != context) _lines.Add($"-- {nt.CurrentContextName}");
        _context = context;
        return _depths.GetValueOrDefault(context);
    }

    public void EventWritten(NtKernel nt, TraceEvent written)
    {
        string provider = written.Name.Length > 0 ? written.Name : $"{{{written.Provider}}}";
        string data = written.Text ?? Convert.ToHexString(written.Data.AsSpan(0, Math.Min(64, written.Data.Length)));
        _lines.Add($"{new string(' ', 2 * DepthOf(nt))}event {provider} id {written.Id} level {written.Level}: {data}");
    }


    // What an exception unwinds is never left, so the depth can be too great, but not too small.
    void Close(NtKernel nt, string result)
    {
        int depth = Math.Max(0, DepthOf(nt) - 1);
        _depths[nt.CurrentContext] = depth;
        _lines.Add($"{new string(' ', 2 * depth)}-> {result}");
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
