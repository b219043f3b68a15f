using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

/// <summary>A remove lock is made once, and released with the tags that it was acquired with.</summary>
public sealed class RemoveLockRule(Reporter reporter) : IObserver
{
    /// <summary>The tags that each lock is held with, in the order in which they came.</summary>
    readonly Dictionary<Va, List<Va>> _held = [];

    public void RemoveLockUsed(NtKernel nt, RemoveLockUse use, Va removeLock, Va tag)
    {
        bool isKnown = _held.TryGetValue(removeLock, out List<Va>? tags);
        if (use == RemoveLockUse.Initialize)
        {
            if (isKnown) Report(nt, removeLock, "is initialized a second time", 0xD7);
            _held[removeLock] = [];
        }
        else if (!isKnown) return;
        else if (use == RemoveLockUse.Acquire) tags!.Add(tag);
        else Release(nt, removeLock, tags!, tag, use);
    }

    void Release(NtKernel nt, Va removeLock, List<Va> tags, Va tag, RemoveLockUse use)
    {
        int at = tags.LastIndexOf(tag);
        if (at >= 0) tags.RemoveAt(at);
        else if (use == RemoveLockUse.Release)
            Report(nt, removeLock, $"is released with the tag {tag}, with which nobody has acquired it", 0xD5);
        else Report(nt, removeLock, $"is released for good with the tag {tag}, with which nobody has acquired it",
            0xD6);
    }

    // Whoever has it goes on with an extension that is gone.
    public void DeviceUsed(NtKernel nt, DeviceUse use, DeviceObject device)
    {
        if (use != DeviceUse.Delete || _held.Count == 0) return;
        foreach ((Va at, List<Va> tags) in _held.OrderBy(h => h.Key))
            if (tags.Count > 0 && at > device.Address && at - device.Address < device.ObjectSize)
                reporter.Report(nt, "RemoveLock", Severity.Error, $"The remove lock in the extension of the device ("
                    + $"{nt.DescribeDevice(device.Address)}) is still held when the device is deleted: "
                    + "IoReleaseRemoveLockAndWait comes first.");
    }

    public void Enter(NtKernel nt, Export export, ReadOnlySpan<ulong> arguments)
    {
        if (_held.Count == 0) return;
        for (int i = 0; i < export.Parameters.Length; i++)
            if ((export.Parameters[i].Facts & Fact.FreesMem) != 0) Forget(nt, new Va(arguments[i]));
    }

    // What lay in memory that is freed is no lock any more.
    void Forget(NtKernel nt, Va freed)
    {
        ulong size = nt.SizeOfPool(freed);
        foreach (Va held in _held.Keys.Where(l => l >= freed && l - freed < size).ToArray()) _held.Remove(held);
    }

    void Report(NtKernel nt, Va removeLock, string what, uint code) => reporter.Report(nt, "RemoveLock", Severity.Error,
        $"The remove lock {nt.DescribeData(removeLock)} {what}. (Driver Verifier: 0xC4/0x{code:X})");
}
