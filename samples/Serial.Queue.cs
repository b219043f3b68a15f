using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Samples;

// Requests that wait: reads, writes and flushes, waits for events. Each can be canceled, timed out and aborted.
public sealed partial class Serial
{
    const ulong Forever = ulong.MaxValue;

    // Requests of one kind. The first one is served as soon as it is Head; until when, Due says.
    sealed class IrpQueue
    {
        public IrpQueue(Serial driver, QueueExtension extension)
        {
            (Irps, Timer) = (extension.Irps, extension.Timer);
            Irps.Initialize();
            driver.Nt.KeInitializeTimer(Timer);
        }

        public ListEntry Irps { get; }
        public KTimer Timer { get; }
        public Irp Head { get; set; }
        public ulong Due { get; set; }
    }

    sealed partial class Port
    {
        Timeouts _timeouts;
        ulong _intervalDue;

        public IrpQueue Reads { get; } = new(driver, driver.At<Extension>(self.DeviceExtension).Reads);
        public IrpQueue Writes { get; } = new(driver, driver.At<Extension>(self.DeviceExtension).Writes);
        IrpQueue Waits { get; } = new(driver, driver.At<Extension>(self.DeviceExtension).Waits);

        // Which queue an IRP is in stands in it, and how much of it is done.
        IrpQueue QueueOf(Irp irp) => irp.DriverContext3.Value switch { 0 => Reads, 1 => Writes, _ => Waits };

        static uint Done(Irp irp) => (uint)irp.DriverContext0.Value;

        public NtStatus End(Irp irp, NtStatus status, ulong information)
        {
            _driver.Complete(irp, status, information);
            _driver.IoReleaseRemoveLock(RemoveLock, irp.Address);
            return status;
        }

        // The request that is being served goes: under the lock of the queues.
        void Stop(IrpQueue queue)
        {
            queue.Head = default;
            Nt.KeCancelTimer(queue.Timer);
            if (queue != Writes) return;
            Enter();
            _sendLeft = 0;
            Leave();
        }

        // What of a request is done, as far as it is known now.
        uint DoneOf(Irp irp)
        {
            IoStackLocation at = irp.CurrentStackLocation;
            return irp != Writes.Head || at.MajorFunction != IRP_MJ_WRITE ? Done(irp) : at.Length - _sendLeft;
        }

        public void Cancel(Irp irp)
        {
            Nt.IoReleaseCancelSpinLock(irp.CancelIrql);
            Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(Extension.Lock);
            IrpQueue queue = QueueOf(irp);
            uint done = DoneOf(irp);
            irp.ListEntry.Remove();
            if (queue.Head == irp) Stop(queue);
            Nt.KeReleaseSpinLock(Extension.Lock, irql);
            End(irp, STATUS_CANCELLED, done);
            Service();
        }

        /// <summary>Puts a request behind the others of its kind.</summary>
        public NtStatus Enqueue(IrpQueue queue, Irp irp)
        {
            irp.DriverContext0 = Va.Null;
            irp.DriverContext3 = new Va(queue == Reads ? 0UL : queue == Writes ? 1UL : 2);
            Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(Extension.Lock);
            // Of waits there is one at a time.
            bool refused = queue == Waits && !queue.Irps.IsEmpty;
            if (Gone || refused)
            {
                Nt.KeReleaseSpinLock(Extension.Lock, irql);
                return End(irp, Gone ? STATUS_DEVICE_REMOVED : STATUS_INVALID_PARAMETER, 0);
            }
            irp.SetCancelRoutine(_driver.Routine(_driver.CancelIrp));
            if (irp.Cancel && !irp.SetCancelRoutine(Va.Null).IsNull)
            {
                Nt.KeReleaseSpinLock(Extension.Lock, irql);
                return End(irp, STATUS_CANCELLED, 0);
            }
            irp.MarkPending();
            queue.Irps.InsertTail(irp.ListEntry);
            Nt.KeReleaseSpinLock(Extension.Lock, irql);
            Service();
            return STATUS_PENDING;
        }

        // Takes a request out, if its cancel routine does not have it already.
        bool Take(Irp irp, NtStatus status, ulong done, List<Irp> ended)
        {
            if (irp.SetCancelRoutine(Va.Null).IsNull) return false;
            IrpQueue queue = QueueOf(irp);
            irp.ListEntry.Remove();
            if (queue.Head == irp) Stop(queue);
            irp.IoStatus = new IoStatusBlock(status, done);
            ended.Add(irp);
            return true;
        }

        void EndAll(List<Irp> ended)
        {
            foreach (Irp irp in ended) End(irp, irp.IoStatus.Status, irp.IoStatus.Information);
        }

        void Abort(IrpQueue queue, NtStatus status)
        {
            List<Irp> ended = [];
            Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(Extension.Lock);
            for (ListEntry entry = queue.Irps.Flink, next; entry != queue.Irps; entry = next)
            {
                next = entry.Flink;
                Irp irp = Irp.FromListEntry(Memory, entry);
                Take(irp, status, DoneOf(irp), ended);
            }
            Nt.KeReleaseSpinLock(Extension.Lock, irql);
            EndAll(ended);
        }

        static ulong After(ulong now, uint multiplier, uint length, uint constant) =>
            now + ((ulong)multiplier * length + constant) * 10_000;

        // The timer of a queue whose first request is due some time; whether it is now.
        bool IsDue(IrpQueue queue, ulong due, ulong now)
        {
            if (due == Forever) return false;
            if (now >= due) return true;
            Nt.KeSetTimer(queue.Timer, -(long)(due - now), Extension.TimeOut);
            return false;
        }

        // As much as there is, and is wanted, from the ring.
        uint TakeReceived(Va to, uint length)
        {
            uint taken = 0;
            Enter();
            for (; taken < length && _count > 0; _count--)
            {
                Memory.Write(to + taken++, _ring[_first]);
                _first = (_first + 1) % _ring.Length;
            }
            if (taken > 0) HoldOther();
            Leave();
            return taken;
        }

        void ServiceReads(ulong now, List<Irp> ended)
        {
            while (!Reads.Irps.IsEmpty)
            {
                Irp irp = Irp.FromListEntry(Memory, Reads.Irps.Flink);
                uint length = irp.CurrentStackLocation.Length;
                Timeouts t = _timeouts;
                bool atOnce = t is { ReadInterval: uint.MaxValue, ReadMultiplier: 0, ReadConstant: 0 };
                // Any byte will do, and it is waited for as long as the constant says.
                bool any = t is { ReadInterval: uint.MaxValue, ReadMultiplier: uint.MaxValue };
                if (Reads.Head != irp)
                {
                    Reads.Head = irp;
                    _intervalDue = Reads.Due = Forever;
                    if (any) Reads.Due = After(now, 0, 0, t.ReadConstant);
                    else if (t.ReadMultiplier != 0 || t.ReadConstant != 0)
                        Reads.Due = After(now, t.ReadMultiplier, length, t.ReadConstant);
                }
                uint taken = TakeReceived(irp.SystemBuffer + Done(irp), length - Done(irp));
                irp.DriverContext0 = new Va(Done(irp) + taken);
                if (taken > 0 && t.ReadInterval is not (0 or uint.MaxValue))
                    _intervalDue = After(now, 0, 0, t.ReadInterval);
                NtStatus status = STATUS_SUCCESS;
                if (Done(irp) < length && !atOnce && !(any && Done(irp) > 0))
                {
                    if (!IsDue(Reads, Math.Min(_intervalDue, Reads.Due), now)) return;
                    status = STATUS_TIMEOUT;
                }
                if (!Take(irp, status, Done(irp), ended)) return;
            }
        }

        void ServiceWrites(ulong now, List<Irp> ended)
        {
            while (!Writes.Irps.IsEmpty)
            {
                Irp irp = Irp.FromListEntry(Memory, Writes.Irps.Flink);
                IoStackLocation at = irp.CurrentStackLocation;
                // A flush is a write of nothing: it ends when all before it have.
                uint length = at.MajorFunction == IRP_MJ_WRITE ? at.Length : 0;
                if (Writes.Head != irp)
                {
                    Timeouts t = _timeouts;
                    Writes.Head = irp;
                    Writes.Due = t.WriteMultiplier == 0 && t.WriteConstant == 0 ? Forever
                        : After(now, t.WriteMultiplier, length, t.WriteConstant);
                    Enter();
                    (_send, _sendLeft) = (irp.SystemBuffer, length);
                    Kick();
                    Leave();
                }
                uint left = _sendLeft;
                if (left > 0 && !IsDue(Writes, Writes.Due, now)) return;
                if (!Take(irp, left > 0 ? STATUS_TIMEOUT : STATUS_SUCCESS, length - left, ended)) return;
            }
        }

        void ServiceWaits(List<Irp> ended)
        {
            if (Waits.Irps.IsEmpty) return;
            Enter();
            uint events = _events;
            _events = 0;
            Leave();
            if (events == 0) return;
            Irp irp = Irp.FromListEntry(Memory, Waits.Irps.Flink);
            Memory.Write(irp.SystemBuffer, events);
            Take(irp, STATUS_SUCCESS, 4, ended);
        }

        /// <summary>Does for the requests what can be done now.</summary>
        public void Service()
        {
            List<Irp> ended = [];
            Irql irql = Nt.KeAcquireSpinLockRaiseToDpc(Extension.Lock);
            if (Runs)
            {
                ulong now = Nt.KeQueryInterruptTime();
                ServiceReads(now, ended);
                ServiceWrites(now, ended);
                ServiceWaits(ended);
            }
            Nt.KeReleaseSpinLock(Extension.Lock, irql);
            EndAll(ended);
        }
    }
}
