namespace Ringdown.Kernel;

public readonly partial struct KThread
{
    /// <summary>ETHREAD.IrpList: the IRPs that the thread is to wait for.</summary>
    [Embedded(0x4B0)] public partial ListEntry IrpList { get; }
}

/// <summary>A thread's list of its IRPs.</summary>
sealed partial class Io
{
    /// <summary>Puts an IRP into the list of its thread.</summary>
    public void QueueToThread(Irp irp)
    {
        if (irp.Thread.IsNull) return;
        ListEntry list = irp.Thread.IrpList;
        if (list.Flink.IsNull) list.Initialize();
        list.InsertTail(irp.ThreadListEntry);
    }

    /// <summary>Takes an IRP out of its thread's list, if it is in one.</summary>
    public void DequeueFromThread(Irp irp)
    {
        if (!irp.IsOnThreadList) return;
        irp.ThreadListEntry.Remove();
        irp.ThreadListEntry.Initialize();
    }
}
