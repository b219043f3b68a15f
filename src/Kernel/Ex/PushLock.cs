using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>EX_PUSH_LOCK: bit 0 held, bit 1 somebody waits, from bit 4 on how many share it.</summary>
/// <remarks>Who waits, and in which order, is kept here; NT chains it through the lock. Drivers' inline code knows only
/// the lock that nobody waits for, so the difference does not show.</remarks>
sealed class PushLocks(NtKernel nt)
{
    const ulong Locked = 1, Waiting = 2, ShareOne = 0x10;
    const uint WaiterTag = 0x6C50_7845;     // 'ExPl'

    readonly Dictionary<Va, Queue<Waiter>> _waiting = [];

    sealed record Waiter(bool Exclusive, KEvent Event);

    public void AcquireExclusive(Va pushLock)
    {
        ulong value = nt.Memory.Read<ulong>(pushLock);
        if ((value & Locked) == 0 && !_waiting.ContainsKey(pushLock))
            nt.Memory.Write(pushLock, Locked);
        else WaitFor(pushLock, value, exclusive: true);
    }

    public void AcquireShared(Va pushLock)
    {
        ulong value = nt.Memory.Read<ulong>(pushLock);
        bool isFree = (value & Locked) == 0 || value >= ShareOne;
        if (isFree && !_waiting.ContainsKey(pushLock))
            nt.Memory.Write(pushLock, (value & ~(Waiting | Locked)) + ShareOne | Locked);
        else WaitFor(pushLock, value, exclusive: false);
    }

    public bool TryAcquireExclusive(Va pushLock)
    {
        if (nt.Memory.Read<ulong>(pushLock) != 0) return false;
        nt.Memory.Write(pushLock, Locked);
        return true;
    }

    public bool TryAcquireShared(Va pushLock)
    {
        ulong value = nt.Memory.Read<ulong>(pushLock);
        if ((value & Waiting) != 0 || (value & Locked) != 0 && value < ShareOne) return false;
        AcquireShared(pushLock);
        return true;
    }

    /// <summary>Gives up whichever way the caller held it: the lock itself says which.</summary>
    public void Release(Va pushLock)
    {
        ulong value = nt.Memory.Read<ulong>(pushLock);
        if ((value & Locked) == 0)
            throw new BugCheck(BugCheckCode.SPIN_LOCK_NOT_OWNED, pushLock.Value, value);
        if (value >= ShareOne) value -= ShareOne;
        if (value < ShareOne) value &= ~Locked;
        nt.Memory.Write(pushLock, value);
        if ((value & Locked) == 0) Wake(pushLock);
    }

    /// <summary>The lock is free: lets in whose turn it is, one alone or all that share up to the next such
    /// one.</summary>
    public void Wake(Va pushLock)
    {
        ulong value = nt.Memory.Read<ulong>(pushLock);
        if ((value & Locked) != 0 || !_waiting.TryGetValue(pushLock, out Queue<Waiter>? queue)) return;
        List<Waiter> woken = [];
        do woken.Add(queue.Dequeue());
        while (!woken[^1].Exclusive && queue.TryPeek(out Waiter? next) && !next.Exclusive);
        if (queue.Count == 0) _waiting.Remove(pushLock);
        value = Locked | (queue.Count > 0 ? Waiting : 0)
            | (woken[0].Exclusive ? 0 : ShareOne * (ulong)woken.Count);
        nt.Memory.Write(pushLock, value);
        foreach (Waiter waiter in woken) nt.Ke.KeSetEvent(waiter.Event, 0, false);
    }

    void WaitFor(Va pushLock, ulong value, bool exclusive)
    {
        KEvent turn = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, WaiterTag));
        turn.Header.Initialize(DispatcherType.SynchronizationEvent, KEvent.Size, 0);
        if (!_waiting.TryGetValue(pushLock, out Queue<Waiter>? queue)) _waiting.Add(pushLock, queue = new());
        queue.Enqueue(new Waiter(exclusive, turn));
        nt.Memory.Write(pushLock, value | Waiting);
        // A lock that its memory's next user has made free would else never be given.
        Wake(pushLock);
        nt.Ke.WaitFor([turn.Header], all: false, deadline: null);
        nt.Mm.Pool.Free(turn.Address);
    }
}
