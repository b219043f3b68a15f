using Ringdown.Kernel;
using static Ringdown.Kernel.Status;

namespace Ringdown.Samples;

/// <summary>A driver without devices, from which others import: a sum that they share.</summary>
public sealed class Library : Sample
{
    int _total;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        driverObject.DriverUnload = Routine(Unload);
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
    }

    /// <summary>Before the first importer's DriverEntry, or where that asks for the first import.</summary>
    [DriverExport]
    public NtStatus DllInitialize(UnicodeString registryPath)
    {
        _total = 0;
        DbgPrint("library: somebody imports\n");
        return STATUS_SUCCESS;
    }

    /// <summary>After the last importer's unload.</summary>
    [DriverExport]
    public NtStatus DllUnload()
    {
        DbgPrint("library: nobody imports\n");
        return STATUS_SUCCESS;
    }

    /// <summary>Adds to the sum, and returns it.</summary>
    [DriverExport]
    public int LibraryAdd(int value) => _total += value;
}
