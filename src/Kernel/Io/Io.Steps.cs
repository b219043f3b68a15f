using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The steps of an IRP's life: told to the observers that want them, and noted in its record if somebody wants
/// its history.</summary>
sealed partial class Io
{
    // What an IRP's history tells in words.
    static bool IsHistory(IrpEventKind kind) => kind is IrpEventKind.Dispatch or IrpEventKind.Return
        or IrpEventKind.Complete or IrpEventKind.Completion or IrpEventKind.Cancel;

    /// <summary>Only if <see cref="NtKernel.WatchesIrps"/>: nothing is to be found out for nobody.</summary>
    /// <param name="depth">Stack locations above: see <see cref="DepthOf"/>. Given, since the IRP may be gone.</param>
    void Note(IrpRecord? record, Va irp, int depth, IrpEvent happened)
    {
        if (nt.KeepsIrpHistory && IsHistory(happened.Kind)) record?.Add(happened);
        nt.OnIrpStep(irp, depth, happened);
    }

    /// <summary>A step at the IRP's current location.</summary>
    void Note(Irp irp, IrpEventKind kind, Va routine)
    {
        if (!nt.WatchesIrps) return;
        var status = Peek<NtStatus>(irp.Address + 0x30);
        Note(FindRecord(irp.Address), irp.Address, DepthOf(irp), new IrpEvent(kind, DeviceAt(irp), routine, 0, status));
    }

    void NoteFree(Va irp)
    {
        if (nt.WatchesIrps) Note(null, irp, 0, new IrpEvent(IrpEventKind.Free, Va.Null, Va.Null, 0, default));
    }

    int DepthOf(Irp irp) => !nt.WatchesIrps ? 0
        : Math.Clamp(Peek<sbyte>(irp.Address + 0x42) - Peek<sbyte>(irp.Address + 0x43), 0, sbyte.MaxValue);

    // One that was never sent has no location yet.
    Va DeviceAt(Irp irp) => Peek<sbyte>(irp.Address + 0x43) > Peek<sbyte>(irp.Address + 0x42) ? Va.Null
        : Peek<Va>(Peek<Va>(irp.Address + 0xB8) + 0x28);

    // Drivers may have spoiled it all, and whoever watches must not be what faults.
    T Peek<T>(Va address) where T : unmanaged => nt.Memory.TryPeek(address, out T value) ? value : default;
}
