using System.Numerics;

namespace Ringdown.Kernel;

/// <summary>Threads that could run, by priority: the highest first, and within one the one that came first.</summary>
sealed class ReadyQueue
{
    const int Priorities = 32;

    readonly LinkedList<NtThread>[] _lists = new LinkedList<NtThread>[Priorities];
    uint _occupied;

    public ReadyQueue()
    {
        for (int i = 0; i < Priorities; i++) _lists[i] = new LinkedList<NtThread>();
    }

    public bool IsEmpty => _occupied == 0;

    public void Add(NtThread thread, bool first = false)
    {
        int priority = thread.Priority & (Priorities - 1);
        if (first) _lists[priority].AddFirst(thread);
        else _lists[priority].AddLast(thread);
        thread.ReadyAt = priority;
        _occupied |= 1u << priority;
    }

    public void Remove(NtThread thread)
    {
        LinkedList<NtThread> list = _lists[thread.ReadyAt];
        list.Remove(thread);
        if (list.Count == 0) _occupied &= ~(1u << thread.ReadyAt);
    }

    /// <summary>The highest priority of a thread that may run on a processor; -1 if there is none.</summary>
    public int HighestFor(int processor)
    {
        for (uint left = _occupied; left != 0;)
        {
            int priority = BitOperations.Log2(left);
            foreach (NtThread thread in _lists[priority])
                if (thread.MayRunOn(processor)) return priority;
            left &= ~(1u << priority);
        }
        return -1;
    }

    /// <summary>Takes out a thread of that priority that may run on a processor: the schedule says which.</summary>
    public NtThread Take(int priority, int processor, Schedule schedule)
    {
        NtThread[] fitting = [.. _lists[priority].Where(t => t.MayRunOn(processor))];
        NtThread chosen = fitting[0];
        if (fitting.Length > 1)
        {
            ulong[] ids = [.. fitting.Select(t => t.Id)];
            chosen = fitting[schedule.ChooseThread(ids)];
        }
        Remove(chosen);
        return chosen;
    }
}
