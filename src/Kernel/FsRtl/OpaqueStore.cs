using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>State that NT keeps opaque, behind a pointer that a driver holds: a block of pool that stands for
/// it.</summary>
sealed class OpaqueStore<T>(NtKernel nt, int bytes, uint tag) where T : class
{
    readonly Dictionary<Va, T> _items = [];

    public Va Add(T item)
    {
        Va token = nt.Mm.Pool.Allocate(bytes, tag);
        _items.Add(token, item);
        return token;
    }

    /// <exception cref="PageFault">The pointer is none that was given out.</exception>
    public T this[Va token] =>
        Find(token) ?? throw new PageFault(token, Access.Read, FaultCause.NotPresent);

    public T? Find(Va token) => _items.GetValueOrDefault(token);

    public void Remove(Va token)
    {
        if (_items.Remove(token)) nt.Mm.Pool.Free(token);
    }
}
