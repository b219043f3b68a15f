using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>What a driver calls, and which of its routines are called, as text that two drivers have in common:
/// exports, dispatch routines and statuses in order, each with its thread or DPC. No addresses, times and
/// handles.</summary>
sealed class SampleTrace : IObserver
{
    /// <summary>Calls that one language has and the other one has not, rightly.</summary>
    static readonly HashSet<string> s_leftOut =
    [
        // Constants in C#.
        "RtlInitUnicodeString",
        // Inline in the C headers.
        "KeInitializeSpinLock", "InitializeSListHead", "KeGetCurrentIrql",
        // The C compiler's own. __C_specific_handler is what __try is made of.
        "memcpy", "memmove", "memset", "memcmp", "__C_specific_handler",
    ];

    readonly List<string> _lines = [];

    public IReadOnlyList<string> Lines => _lines;

    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        if (s_leftOut.Contains(export.Name)) return;
        var shown = new string[arguments.Length];
        for (int i = 0; i < shown.Length; i++)
            shown[i] = $"{export.Parameters[i].Name}: {Show(nt, export.Parameters[i].Type, arguments[i])}";
        Add(nt, $"{export.Name}({string.Join(", ", shown)})");
    }

    public void Leave(NtKernel nt, Export export, ulong result)
    {
        if (s_leftOut.Contains(export.Name)) return;
        if (export.ReturnsStatus) Add(nt, $"{export.Name} -> {new NtStatus((uint)result)}");
        else if (export.Returns == "Boolean") Add(nt, $"{export.Name} -> {result != 0}");
    }

    public void Dispatching(NtKernel nt, Irp irp, IrpMajor major, Va routine) =>
        Add(nt, $"{major} to {nt.Loader.Describe(routine)}");

    public void Dispatched(NtKernel nt, Dispatched dispatched) => Add(nt, $"dispatched -> {dispatched.Status}");

    void Add(NtKernel nt, string line) => _lines.Add($"{nt.CurrentContextName.Split(", processor")[0]}: {line}");

    static string Show(NtKernel nt, string type, ulong value) => type switch
    {
        "UnicodeString" => nt.TryText(value) is { } text ? $"\"{text}\"" : "null",
        "NtStatus" => new NtStatus((uint)value).ToString(),
        "Irql" => ((Irql)(byte)value).ToString(),
        "Boolean" => (byte)value != 0 ? "TRUE" : "FALSE",
        "Handle" => "handle",
        "Va" when NameOf(nt, new Va(value)) is { } name => name,
        _ => value == 0 ? "0" : value < 0x8000_0000 || (long)value is < 0 and > -0x8000_0000 ? $"{(long)value}" : "*",
    };

    // A routine of a driver: an address where one begins.
    static string? NameOf(NtKernel nt, Va address)
    {
        if (nt.Loader.ImageAt(address) is not { IsKernel: false }) return null;
        string name = nt.Loader.Describe(address);
        return name.Contains('!') && !name.Contains("+0x") ? name : null;
    }
}
