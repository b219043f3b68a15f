using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Samples;

// Requests that wait, and can be canceled meanwhile: cancel-safe queues, each with a lock of its own.
public sealed partial class Edu
{
    [Layout("EDU_QUEUE", Size = 0x58)]
    public readonly partial struct RequestQueue
    {
        [Embedded(0x00)] public partial IoCsq Csq { get; }
        [Embedded(0x40)] public partial ListEntry Irps { get; }
        [Embedded(0x50)] public partial KSpinLock Lock { get; }
    }

    // It is the first thing in its queue.
    RequestQueue QueueOf(IoCsq csq) => At<RequestQueue>(csq.Address);

    void InsertIrp(IoCsq csq, Irp irp) => QueueOf(csq).Irps.InsertTail(irp.ListEntry);

    void RemoveIrp(IoCsq csq, Irp irp) => irp.ListEntry.Remove();

    // The next one behind an IRP, or the first; of one file, if there is one given.
    Irp PeekNextIrp(IoCsq csq, Irp irp, FileObject file)
    {
        ListEntry head = QueueOf(csq).Irps;
        ListEntry entry = irp.IsNull ? head.Flink : irp.ListEntry.Flink;
        for (; entry != head; entry = entry.Flink)
        {
            Irp next = Irp.FromListEntry(Memory, entry);
            if (file.IsNull || next.CurrentStackLocation.FileObject == file) return next;
        }
        return default;
    }

    void AcquireLock(IoCsq csq, Va irql) => Memory.Write(irql, Nt.KeAcquireSpinLockRaiseToDpc(QueueOf(csq).Lock));

    void ReleaseLock(IoCsq csq, Irql irql) => Nt.KeReleaseSpinLock(QueueOf(csq).Lock, irql);

    void CompleteCanceledIrp(IoCsq csq, Irp irp) => End(irp, STATUS_CANCELLED);

    void InitializeQueue(RequestQueue queue)
    {
        queue.Irps.Initialize();
        Nt.KeInitializeSpinLock(queue.Lock);
        Nt.IoCsqInitialize(queue.Csq, Routine(InsertIrp), Routine(RemoveIrp), Routine(PeekNextIrp),
            Routine(AcquireLock), Routine(ReleaseLock), Routine(CompleteCanceledIrp));
    }

    // Ends what is in a queue: of one file, if there is one given.
    void EndAll(RequestQueue queue, FileObject file, NtStatus status)
    {
        while (Nt.IoCsqRemoveNextIrp(queue.Csq, file.Address) is { IsNull: false } irp) End(irp, status);
    }
}
