using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Waiting in a service: for the end of a request, and for the turn on a synchronous file.</summary>
sealed partial class Io
{
    /// <summary>How long the machine's owner waits for a request while something still happens in the machine: 10 s of
    /// its time.</summary>
    const long PatienceTicks = 100_000_000;

    /// <summary>Events on which services wait for requests; each wait has one of its own.</summary>
    readonly Stack<KEvent> _freeEvents = new();

    /// <summary>Runs the machine until the request is complete. The machine's owner waits only until nothing more
    /// happens in it, and ten seconds at most; <paramref name="givesUp"/>: so does any thread.</summary>
    /// <returns>The request's status; STATUS_PENDING if it waits for something from outside.</returns>
    public NtStatus Await(IoRequest request, bool givesUp = false)
    {
        // A driver that has left the IRQL raised: no service can wait, and its caller is told why.
        if (request.IsComplete || nt.Ke.Irql >= Irql.DISPATCH_LEVEL) return request.Status;
        KEvent done = TakeEvent();
        request.Done = done;
        long deadline = Deadline(givesUp);
        bool alertable = (request.File.Flags & (FO_SYNCHRONOUS_IO | FO_ALERTABLE_IO))
            == (FO_SYNCHRONOUS_IO | FO_ALERTABLE_IO);
        while (!request.IsComplete)
        {
            done.SignalState = 0;
            NtStatus status = nt.Ke.WaitFor(new Wait(nt.Ke.Scheduler.Current, [done.Header], all: false, deadline)
            {
                Idle = STATUS_PENDING,
                Alertable = alertable,
                Mode = request.Mode,
            });
            if (status == STATUS_USER_APC || status == STATUS_ALERTED)
            {
                // Who is alerted gets the request back canceled, as soon as its driver lets it go.
                alertable = false;
                Cancel(request);
            }
            else if (status != STATUS_SUCCESS) break;
        }
        request.Done = null;
        _freeEvents.Push(done);
        return request.Status;
    }

    /// <summary>Waits until nothing can happen any more.</summary>
    public NtStatus AwaitNothing()
    {
        KEvent never = TakeEvent();
        never.SignalState = 0;
        NtStatus status = nt.Ke.WaitFor([never.Header], all: false, deadline: null, idle: STATUS_SUCCESS);
        _freeEvents.Push(never);
        return status;
    }

    // What is outside of the process may take its time.
    long Deadline(bool givesUp) => nt.Computer.HostInput is null
        && (givesUp || nt.Ke.Scheduler.Current == nt.Ke.Scheduler.Owner)
        ? nt.Ke.Clock.Now + PatienceTicks : Wait.Forever;

    KEvent TakeEvent()
    {
        if (_freeEvents.TryPop(out KEvent free)) return free;
        KEvent made = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, IrpTag));
        made.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        return made;
    }

    /// <summary>Sends a request on an open file as a service does: a synchronous file carries one at a time, and the
    /// service waits for it.</summary>
    /// <param name="waits">It waits whatever the file was opened for.</param>
    public NtStatus Carry(IoRequest request, bool waits = false, bool givesUp = false)
    {
        FileObject file = request.File;
        bool isSynchronous = (file.Flags & FO_SYNCHRONOUS_IO) != 0;
        if (!isSynchronous)
        {
            request.IsSynchronousApi = waits;
            NtStatus sent = Send(request);
            return waits && sent == STATUS_PENDING ? Await(request, givesUp) : sent;
        }
        request.IsSynchronous = true;
        NtStatus locked = LockFile(file, request.Mode);
        if (locked != STATUS_SUCCESS) return Refuse(request, locked);
        try
        {
            NtStatus sent = Send(request);
            return sent == STATUS_PENDING ? Await(request) : sent;
        }
        finally
        {
            UnlockFile(file);
        }
    }

    /// <summary>A synchronous file carries one request at a time: the next one waits here, alertably if the file was
    /// opened so.</summary>
    /// <returns>STATUS_SUCCESS, or why it has not got its turn; STATUS_IO_TIMEOUT if that would never come.</returns>
    public NtStatus LockFile(FileObject file, ProcessorMode mode)
    {
        while (file.Busy != 0)
        {
            nt.Ke.Clock.Spend();
            file.Waiters++;
            NtStatus status = nt.Ke.WaitFor(
                new Wait(nt.Ke.Scheduler.Current, [file.Lock.Header], all: false, Deadline(givesUp: false))
                {
                    Idle = STATUS_PENDING,
                    Alertable = (file.Flags & FO_ALERTABLE_IO) != 0,
                    Mode = mode,
                });
            file.Waiters--;
            if (status == STATUS_PENDING || status == STATUS_TIMEOUT) return STATUS_IO_TIMEOUT;
            if (status != STATUS_SUCCESS) return status;
        }
        file.Busy = 1;
        return STATUS_SUCCESS;
    }

    public void UnlockFile(FileObject file)
    {
        file.Busy = 0;
        if (file.Waiters != 0) nt.Ke.KeSetEvent(file.Lock, 0, false);
    }
}
