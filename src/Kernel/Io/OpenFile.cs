namespace Ringdown.Kernel;

/// <summary>What of an open file is not in its file object: the requests that are under way on it, in the order in
/// which they were sent.</summary>
sealed class OpenFile
{
    IoRequest? _first, _last;

    public IEnumerable<IoRequest> Requests
    {
        get
        {
            for (IoRequest? request = _first; request is not null; request = request.Next) yield return request;
        }
    }

    public void Add(IoRequest request)
    {
        request.Previous = _last;
        if (_last is null) _first = request;
        else _last.Next = request;
        _last = request;
    }

    public void Remove(IoRequest request)
    {
        if (request.Previous is { } before) before.Next = request.Next;
        else _first = request.Next;
        if (request.Next is { } after) after.Previous = request.Previous;
        else _last = request.Previous;
        request.Next = request.Previous = null;
    }
}
