using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>How much of an export is there. What is not declared at all is reported by name when a driver imports
/// it.</summary>
public enum Support { Full, Partial }

[AttributeUsage(AttributeTargets.Class)]
public sealed class NtModuleAttribute(string name) : Attribute
{
    public string Name { get; } = name;
}

/// <summary>Makes a method of a component an export of the kernel, under the method's own name.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class ExportAttribute(Support support = Support.Full, string missing = "") : Attribute
{
    public Support Support { get; } = support;
    public string Missing { get; } = missing;

    /// <summary>The module that exports it, where that is not the component's.</summary>
    public string? Module { get; set; }
}

/// <summary>Makes a property an exported variable of up to 8 bytes, or a table of words; its value when the machine
/// boots is the variable's.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class ExportDataAttribute : Attribute
{
    /// <summary>How many words of 8 bytes it has: for a property that is an array of them.</summary>
    public int Words { get; set; } = 1;

    /// <summary>The module that exports it, where that is not the component's.</summary>
    public string? Module { get; set; }
}

// The names are those of SAL in the WDK's headers: _IRQL_requires_max_, _Acquires_lock_, __drv_aliasesMem ...
[AttributeUsage(AttributeTargets.Method)]
public sealed class IrqlRequiresMinAttribute(Irql level) : Attribute
{
    public Irql Level { get; } = level;
}

[AttributeUsage(AttributeTargets.Method)]
public sealed class IrqlRequiresMaxAttribute(Irql level) : Attribute
{
    public Irql Level { get; } = level;
}

/// <summary>The export's whole work is a wait: a thread of guest code may wait in it without a stack of the
/// host's.</summary>
[AttributeUsage(AttributeTargets.Method)] public sealed class ParksAttribute : Attribute;

// On a parameter: the lock that it points to. On a method: the system's cancel spin lock.
[AttributeUsage(AttributeTargets.Parameter | AttributeTargets.Method)]
public sealed class AcquiresLockAttribute : Attribute;

[AttributeUsage(AttributeTargets.Parameter | AttributeTargets.Method)]
public sealed class ReleasesLockAttribute : Attribute;

[AttributeUsage(AttributeTargets.Parameter)] public sealed class AliasesMemAttribute : Attribute;
[AttributeUsage(AttributeTargets.Parameter)] public sealed class FreesMemAttribute : Attribute;

/// <summary>What a call does with an argument. Declared once, at the export; the verifier's rules are written over
/// these.</summary>
[Flags]
public enum Fact { None = 0, AcquiresLock = 1, ReleasesLock = 2, AliasesMem = 4, FreesMem = 8 }

public sealed record Parameter(string Name, string Type, Fact Facts);

/// <summary>All that is known of one exported function. Made by the generator from the method that implements
/// it.</summary>
/// <param name="Returns">The type of its result, as its method declares it.</param>
/// <param name="Facts">What it does whatever its arguments are.</param>
public sealed record Export(
    string Module, string Name, Support Support, string Missing, Irql MinIrql, Irql MaxIrql, Parameter[] Parameters,
    string Returns, Fact Facts, bool Parks)
{
    public bool ReturnsStatus => Returns == nameof(NtStatus);

    /// <summary>The call by guest code. Found when it is first needed: a driver calls few of all exports.</summary>
    public Action<NtKernel, GuestCall> Thunk =>
        field ??= typeof(Thunks).GetMethod(Name)!.CreateDelegate<Action<NtKernel, GuestCall>>();

    /// <summary>The table that the generator writes: a line an export, tabs between its fields.</summary>
    internal static Export[] Parse(string table)
    {
        string[] lines = table.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var exports = new Export[lines.Length];
        for (int i = 0; i < lines.Length; i++) exports[i] = ParseLine(lines[i].Split('\t'));
        return exports;
    }

    static Export ParseLine(string[] f) => new(
        f[0], f[1], (Support)int.Parse(f[2]), f[3], (Irql)int.Parse(f[4]), (Irql)int.Parse(f[5]),
        f[9].Length == 0 ? [] : [.. f[9].Split(';').Select(ParseParameter)], f[6], (Fact)int.Parse(f[7]),
        f[8] == "1");

    static Parameter ParseParameter(string text)
    {
        string[] f = text.Split(':');
        return new Parameter(f[0], f[1], (Fact)int.Parse(f[2]));
    }
}

/// <summary>For each export a method of its name that takes its arguments from a guest's call.</summary>
static partial class Thunks;

/// <summary>An exported variable: words of 8 bytes whose first values are read at boot.</summary>
public sealed record DataExport(string Module, string Name, int Words, Func<NtKernel, ulong[]> Value);

/// <summary>Sees what passes the gate, from guest code and from C# drivers alike, and what becomes of IRPs.</summary>
/// <remarks>The steps of IRPs and what processors do are told to those that are an <see cref="IIrpObserver"/> or an
/// <see cref="IProcessorObserver"/> as well.</remarks>
public interface IObserver
{
    /// <summary>It looks at <see cref="IrpRecord.Events"/>, which are kept only for those who do.</summary>
    bool WantsIrpHistory => false;

    void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
    }

    void Leave(NtKernel nt, Export export, ulong result)
    {
    }

    /// <summary>A dispatch routine is about to be called.</summary>
    void Dispatching(NtKernel nt, Irp irp, IrpMajor major, Va routine)
    {
    }

    /// <summary>A dispatch routine has returned.</summary>
    void Dispatched(NtKernel nt, Dispatched dispatched)
    {
    }

    /// <summary>A request of the system's own is complete; its results are about to be brought back.</summary>
    void Completed(NtKernel nt, Completed completed)
    {
    }

    /// <summary>Something is about to be done with an IRP.</summary>
    void IrpUsed(NtKernel nt, IrpUse use, Irp irp)
    {
    }

    /// <summary>A completion routine has returned.</summary>
    void CompletionReturned(NtKernel nt, CompletionReturned returned)
    {
    }

    /// <summary>Something is about to be done with a device object.</summary>
    void DeviceUsed(NtKernel nt, DeviceUse use, DeviceObject device)
    {
    }

    /// <summary>A driver's AddDevice routine has returned.</summary>
    void DeviceAdded(NtKernel nt, DeviceAdded added)
    {
    }

    /// <summary>A stack has seen IRP_MN_REMOVE_DEVICE or IRP_MN_SURPRISE_REMOVAL.</summary>
    void DeviceRemoved(NtKernel nt, DeviceRemoved removed)
    {
    }

    /// <summary>A driver does DMA: routines of DMA_OPERATIONS are no exports.</summary>
    void DmaUsed(NtKernel nt, DmaUse use)
    {
    }

    /// <summary>A device's registers were touched while it has no power.</summary>
    void RegisterTouchedAsleep(NtKernel nt, TouchedAsleep touched)
    {
    }

    /// <summary>Something is about to be done with a remove lock.</summary>
    void RemoveLockUsed(NtKernel nt, RemoveLockUse use, Va removeLock, Va tag)
    {
    }

    /// <summary>A routine for fast I/O has returned.</summary>
    void FastIoReturned(NtKernel nt, Va routine, Irql irqlBefore, int apcDisable)
    {
    }

    /// <summary>A driver touches an IRP that is complete and freed.</summary>
    void IrpTouchedAfterCompletion(NtKernel nt, Va irp, Va address)
    {
    }

    /// <summary>A provider wrote an event for tracing.</summary>
    void EventWritten(NtKernel nt, TraceEvent written)
    {
    }

    /// <summary>An import that nothing exports was called; <paramref name="caller"/> is where the call returns
    /// to.</summary>
    void MissingExportCalled(NtKernel nt, string module, string name, Va caller)
    {
    }
}
