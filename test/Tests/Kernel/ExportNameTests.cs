using System.Text.RegularExpressions;
using Ringdown.Kernel;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Every export is named by some test.</summary>
public sealed partial class ExportNameTests
{
    /// <summary>Not yet. The list becomes shorter, and never longer.</summary>
    static readonly string[] s_untested =
    [
        "HalGetBusData", "HalGetBusDataByOffset", "HalGetInterruptVector", "HalSetBusDataByOffset",
        "HalTranslateBusAddress", "IoAcquireCancelSpinLock", "IoAcquireRemoveLockEx",
        "IoAllocateDriverObjectExtension", "IoAllocateErrorLogEntry", "IoAttachDevice",
        "IoAttachDeviceToDeviceStackSafe", "IoBuildAsynchronousFsdRequest", "IoBuildDeviceIoControlRequest",
        "IoBuildSynchronousFsdRequest", "IoCreateUnprotectedSymbolicLink", "IoForwardIrpSynchronously",
        "IoFreeErrorLogEntry", "IoFreeIrp", "IoGetAttachedDevice", "IoGetAttachedDeviceReference",
        "IoGetDeviceProperty", "IoGetDmaAdapter", "IoGetDriverObjectExtension", "IoGetInitialStack",
        "IoGetLowerDeviceObject", "IoGetRelatedDeviceObject", "IoGetRequestorProcess", "IoInitializeIrp",
        "IoInitializeRemoveLockEx", "IoInvalidateDeviceRelations", "IoIs32bitProcess", "IoIsWdmVersionAvailable",
        "IoOpenDeviceRegistryKey", "IoRegisterBootDriverReinitialization", "IoRegisterDeviceInterface",
        "IoRegisterDriverReinitialization", "IoRegisterPlugPlayNotification", "IoRegisterShutdownNotification",
        "IoReleaseRemoveLockAndWaitEx", "IoReuseIrp", "IoSetDeviceInterfaceState", "IoStartNextPacketByKey",
        "IoUnregisterPlugPlayNotification", "IoUnregisterShutdownNotification", "IoWriteErrorLogEntry",
        "PoCallDriver", "PoRequestPowerIrp", "PoSetPowerState", "PoStartNextPowerIrp", "ZwDeviceIoControlFile",
        "ZwOpenFile", "ZwReadFile", "ZwWriteFile",
    ];

    [GeneratedRegex(@"\w+")]
    private static partial Regex Word { get; }

    [Fact]
    public void Every_export_is_named_in_a_test_but_for_those_listed()
    {
        HashSet<string> words = [.. Sources().SelectMany(f => Word.Matches(File.ReadAllText(f)).Select(w => w.Value))];
        IEnumerable<string> untested = Exports.All.Select(e => e.Name).Where(n => !words.Contains(n));
        Assert.Equal(s_untested.Order(StringComparer.Ordinal), untested.Order(StringComparer.Ordinal));
    }

    // This file names what is not tested.
    static IEnumerable<string> Sources() => Directory
        .EnumerateFiles(Path.Combine(Repository.Root, "test"), "*", SearchOption.AllDirectories)
        .Where(f => Path.GetExtension(f) is ".cs" or ".c" or ".h" && Path.GetFileName(f) != "ExportNameTests.cs")
        .Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}"));
}
