using System.Collections.Concurrent;

namespace Ringdown.Kernel;

/// <summary>Tasks over requests that are pending.</summary>
/// <remarks>
/// The machine belongs to one host thread at a time, and a task's continuation may use the machine again. So a task is
/// completed neither inside of the machine nor on a thread of the pool: the call into the machine that has seen the end
/// of the request completes it when it is about to return, on the thread of its caller, and continuations run there. A
/// token that is canceled on another thread is seen by the next call.
/// </remarks>
public sealed partial class UserSide
{
    readonly Queue<UserRequest> _finished = new();
    readonly List<TaskCompletionSource<UserRequest>> _awaited = [];
    readonly ConcurrentQueue<IoRequest> _canceled = new();
    int _depth, _hostThread;

    /// <summary>A task that ends with a request.</summary>
    internal Task<UserRequest> TaskOf(UserRequest request, CancellationToken token)
    {
        if (request.IsComplete) return Task.FromResult(request);
        var source = new TaskCompletionSource<UserRequest>();
        _awaited.Add(source);
        CancellationTokenRegistration canceled = token.Register(() => CancelSoon(request.Request));
        request.Ended = ended =>
        {
            canceled.Dispose();
            _awaited.Remove(source);
            source.TrySetResult(ended);
        };
        // A token that was canceled before has had its effect already.
        if (request.IsComplete) Finished(request);
        return source.Task;
    }

    void CancelSoon(IoRequest request)
    {
        _canceled.Enqueue(request);
        if (_depth == 0 && Environment.CurrentManagedThreadId == _hostThread) RunUntilIdle();
    }

    internal void Finished(UserRequest request)
    {
        _finished.Enqueue(request);
        if (_depth == 0) TellFinished();
    }

    void TellFinished()
    {
        while (_finished.TryDequeue(out UserRequest? request))
        {
            Action<UserRequest>? ended = request.Ended;
            request.Ended = null;
            ended?.Invoke(request);
        }
    }

    /// <summary>Runs a service of the machine's owner; tasks that end with it end when it is over.</summary>
    NtStatus Enter(Func<NtStatus> service)
    {
        if (_nt.Ke.Scheduler.Current != _nt.Ke.Scheduler.Owner) return service();
        _hostThread = Environment.CurrentManagedThreadId;
        _depth++;
        NtStatus status;
        try
        {
            while (_depth == 1 && _canceled.TryDequeue(out IoRequest? request)) _nt.Io.Cancel(request);
            status = service();
        }
        catch (MachineStop stop)
        {
            // No task ends any more.
            foreach (TaskCompletionSource<UserRequest> source in _awaited.ToArray()) source.TrySetException(stop);
            _awaited.Clear();
            throw;
        }
        finally
        {
            _depth--;
        }
        if (_depth == 0) TellFinished();
        return status;
    }
}
