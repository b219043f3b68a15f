namespace Ringdown.Kernel;

/// <summary>The worker threads of one work queue: as many at work at once as there are processors; one that waits lets
/// another begin.</summary>
/// <remarks>A worker without work has no stack on the host.</remarks>
sealed class WorkerPool(NtKernel nt, string name, int priority)
{
    const int MaximumThreads = 64;

    readonly Queue<Action> _items = new();
    readonly Stack<NtThread> _idle = new();
    readonly List<NtThread> _busy = [];
    int _threads, _made;

    /// <summary>Has a worker thread do something, at PASSIVE_LEVEL.</summary>
    public void Queue(Action item)
    {
        _items.Enqueue(item);
        StartOne();
    }

    void StartOne()
    {
        int running = 0;
        foreach (NtThread thread in _busy)
            if (thread.State != ThreadState.Waiting) running++;
        if (_items.Count == 0 || running >= nt.Ke.Scheduler.Processors.Count) return;
        if (!_idle.TryPop(out NtThread? worker))
        {
            if (_threads == MaximumThreads) return;
            worker = NewWorker();
        }
        _busy.Add(worker);
        worker.Continue = () => Work(worker);
        nt.Ke.Scheduler.MakeReady(worker);
    }

    NtThread NewWorker()
    {
        NtThread worker = nt.Ps.NewSystemThread($"{name} worker {_made++}");
        _threads++;
        worker.BasePriority = (sbyte)priority;
        worker.SetPriority(priority);
        worker.Blocks = StartOne;
        nt.Ke.Scheduler.Add(worker);
        return worker;
    }

    void Work(NtThread worker)
    {
        try
        {
            while (_items.TryDequeue(out Action? item)) item();
        }
        catch (ThreadExit) when (!nt.Ke.Scheduler.IsDisposed)
        {
            // A routine has ended the worker: another one takes its place.
            _busy.Remove(worker);
            _threads--;
            StartOne();
            throw;
        }
        _busy.Remove(worker);
        _idle.Push(worker);
        worker.State = ThreadState.Waiting;
    }
}
