using System.Runtime.InteropServices;

namespace Ringdown.Machine;

/// <summary>A chip whose state can be kept and brought back.</summary>
public interface IChipState
{
    /// <summary>Hands over each part of the state, always in the same order: it is kept, or replaced by what was kept.
    /// Then the chip's lines are as its state says.</summary>
    void Exchange(ChipState state);
}

/// <summary>A chip that forgets everything without power.</summary>
public interface ILosesState : IChipState;

/// <summary>The state of chips on its way out of them or back.</summary>
/// <remarks>Times are kept as what is left of them: the clock itself goes on. What was planned for the same moment
/// keeps its order.</remarks>
public sealed class ChipState
{
    readonly BinaryWriter? _writer;
    readonly BinaryReader? _reader;
    readonly List<(ChipTimer Timer, long LeftTicks)> _timers = [];

    ChipState(BinaryWriter? writer, BinaryReader? reader) => (_writer, _reader) = (writer, reader);

    /// <summary>The chips get the state that was kept; else theirs is kept.</summary>
    public bool IsRestoring => _reader is not null;

    public static byte[] Save(IEnumerable<IChipState> chips)
    {
        var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream);
        var state = new ChipState(writer, null);
        foreach (IChipState chip in chips) chip.Exchange(state);
        state.SaveOrder();
        return stream.ToArray();
    }

    /// <param name="chips">The same as when it was kept, in the same order.</param>
    public static void Restore(byte[] kept, IEnumerable<IChipState> chips)
    {
        using var reader = new BinaryReader(new MemoryStream(kept));
        var state = new ChipState(null, reader);
        foreach (IChipState chip in chips) chip.Exchange(state);
        state.RestoreOrder();
    }

    public void Value<T>(ref T value) where T : unmanaged =>
        Bytes(MemoryMarshal.AsBytes(new Span<T>(ref value)));

    public void Bytes(Span<byte> bytes)
    {
        if (_reader is null) _writer!.Write(bytes);
        else _reader.BaseStream.ReadExactly(bytes);
    }

    public void Items<T>(Queue<T> queue) where T : unmanaged
    {
        T[] items = Exchange<T>([.. queue]);
        if (!IsRestoring) return;
        queue.Clear();
        foreach (T item in items) queue.Enqueue(item);
    }

    public void Items<T>(List<T> list) where T : unmanaged
    {
        T[] items = Exchange<T>([.. list]);
        if (!IsRestoring) return;
        list.Clear();
        list.AddRange(items);
    }

    /// <summary>Blocks of bytes by their number.</summary>
    public void Blocks(SortedDictionary<long, byte[]> blocks, int blockBytes)
    {
        int count = blocks.Count;
        Value(ref count);
        if (!IsRestoring)
        {
            foreach ((long number, byte[] block) in blocks)
            {
                _writer!.Write(number);
                _writer.Write(block);
            }
            return;
        }
        blocks.Clear();
        for (int i = 0; i < count; i++) blocks.Add(_reader!.ReadInt64(), _reader.ReadBytes(blockBytes));
    }

    public void Timer(ChipTimer timer)
    {
        long left = timer.IsSet ? timer.LeftTicks : -1;
        Value(ref left);
        if (IsRestoring) timer.Cancel();
        if (left >= 0) _timers.Add((timer, left));
    }

    T[] Exchange<T>(T[] items) where T : unmanaged
    {
        int count = items.Length;
        Value(ref count);
        if (IsRestoring) items = new T[count];
        Bytes(MemoryMarshal.AsBytes(items.AsSpan()));
        return items;
    }

    void SaveOrder()
    {
        foreach (int index in Enumerable.Range(0, _timers.Count).OrderBy(i => _timers[i].Timer.Order))
            _writer!.Write(index);
    }

    void RestoreOrder()
    {
        for (int i = 0; i < _timers.Count; i++)
        {
            (ChipTimer timer, long left) = _timers[_reader!.ReadInt32()];
            timer.Set(left);
        }
    }
}

/// <summary>One thing that a chip does later: it is planned once at a time.</summary>
public sealed class ChipTimer(IDeviceClock clock, Action action)
{
    object? _scheduled;
    long _due;

    public bool IsSet => _scheduled is not null;

    /// <summary>In 100 ns, until it is due.</summary>
    public long LeftTicks => Math.Max(0, _due - clock.Now);

    internal IComparable? Order => (IComparable?)_scheduled;

    /// <summary>Plans it; what was planned before is taken back.</summary>
    public void Set(long ticks)
    {
        Cancel();
        ticks = Math.Clamp(ticks, 0, long.MaxValue / 4);
        _due = clock.Now + ticks;
        _scheduled = clock.After(ticks, () =>
        {
            _scheduled = null;
            action();
        });
    }

    public void Cancel()
    {
        if (_scheduled is not null) clock.Cancel(_scheduled);
        _scheduled = null;
    }
}
