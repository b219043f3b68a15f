using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>A device that pends reads, writes and controls, and has them until the test completes them. They can be
/// canceled.</summary>
sealed class Keeper
{
    readonly TestMachine _m;
    readonly Va _cancel;

    public Keeper(TestMachine m, string name = "Keeper", uint flags = Io.DO_BUFFERED_IO, bool cancelable = true)
    {
        _m = m;
        _cancel = m.Routine(call =>
        {
            Irp irp = Irp.At(m.Nt.Memory, new Va(call.Argument(1)));
            m.Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
            Kept.Remove(irp);
            return m.Complete(irp, STATUS_CANCELLED).Value;
        });
        Path = @"\Device\" + name;
        Device = m.Dispatching(name, (_, irp) =>
        {
            Seen.Add(irp.CurrentStackLocation.MajorFunction);
            if (irp.CurrentStackLocation.MajorFunction is IRP_MJ_CREATE or IRP_MJ_CLEANUP or IRP_MJ_CLOSE)
                return m.Complete(irp, STATUS_SUCCESS);
            irp.MarkPending();
            if (cancelable) irp.CancelRoutine = _cancel;
            Kept.Add(irp);
            return STATUS_PENDING;
        }, flags: flags);
    }

    public DeviceObject Device { get; }
    public string Path { get; }
    public List<Irp> Kept { get; } = [];
    public List<IrpMajor> Seen { get; } = [];

    /// <summary>Completes the one that it has had longest.</summary>
    public void Complete(NtStatus status = default, ulong information = 0, byte fill = 0)
    {
        Irp irp = Kept[0];
        Kept.RemoveAt(0);
        irp.CancelRoutine = Va.Null;
        if (fill != 0 && !irp.SystemBuffer.IsNull) _m.Nt.Memory.Fill(irp.SystemBuffer, information, fill);
        _m.Complete(irp, status, information);
    }

    /// <summary>The same in a system thread, which runs when others may.</summary>
    public void CompleteInThread(NtStatus status = default, ulong information = 0, byte fill = 0) =>
        _m.Thread(() => Complete(status, information, fill));
}
