using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Sorting and searching with the caller's comparison, chance, and what compilers call by
/// themselves.</summary>
sealed partial class Crt
{
    uint _random = 1;

    [Export]
    public void qsort(Va @base, ulong number, ulong width, Va compare) =>
        Sort(@base, number, width, (a, b) => (int)nt.Routines.Call(compare, a.Value, b.Value));

    [Export]
    public void qsort_s(Va @base, ulong number, ulong width, Va compare, Va context) =>
        Sort(@base, number, width, (a, b) => (int)nt.Routines.Call(compare, context.Value, a.Value, b.Value));

    // A heap: it ends whatever the comparison says, and needs no memory beside.
    void Sort(Va start, ulong count, ulong width, Func<Va, Va, int> compare)
    {
        if (count < 2 || width == 0) return;
        for (ulong root = count / 2; root-- > 0;) Sink(root, count);
        for (ulong end = count - 1; end > 0; end--)
        {
            Swap(start, start + end * width, width);
            Sink(0, end);
        }

        void Sink(ulong root, ulong end)
        {
            while (root * 2 + 1 < end)
            {
                nt.Ke.Clock.Spend();
                ulong child = root * 2 + 1;
                if (child + 1 < end && compare(start + child * width, start + (child + 1) * width) < 0) child++;
                if (compare(start + root * width, start + child * width) >= 0) return;
                Swap(start + root * width, start + child * width, width);
                root = child;
            }
        }
    }

    void Swap(Va a, Va b, ulong width)
    {
        for (ulong done = 0; done < width;)
        {
            int size = (int)Math.Min(Va.PageSize, width - done);
            byte[] first = nt.Memory.ReadBytes(a + done, size), second = nt.Memory.ReadBytes(b + done, size);
            nt.Memory.Write(a + done, second);
            nt.Memory.Write(b + done, first);
            done += (ulong)size;
        }
    }

    [Export]
    public Va bsearch(Va key, Va @base, ulong number, ulong width, Va compare)
    {
        ulong low = 0, high = number;
        while (low < high)
        {
            nt.Ke.Clock.Spend();
            ulong middle = low + (high - low) / 2;
            Va at = @base + unchecked(middle * width);
            int order = (int)nt.Routines.Call(compare, key.Value, at.Value);
            if (order == 0) return at;
            if (order < 0) high = middle;
            else low = middle + 1;
        }
        return Va.Null;
    }

    [Export] public void srand(uint seed) => _random = seed;

    /// <summary>Microsoft's row of numbers up to 32767.</summary>
    [Export]
    public int rand()
    {
        _random = unchecked(_random * 214013 + 2531011);
        return (int)(_random >> 16 & 0x7FFF);
    }

    /// <summary>A call of a function that a class has only declared.</summary>
    [Export] public void _purecall() => throw new GuestException(Status.STATUS_NOT_IMPLEMENTED.Value);

    /// <summary>Touches the stack page by page down to where RAX more bytes of it will be used.</summary>
    [Export]
    public void __chkstk()
    {
        Va top = new(nt.Cpu.Rsp);
        ulong bytes = nt.Cpu.Rax;
        for (ulong down = Va.PageSize; down <= bytes; down += Va.PageSize) nt.Memory.Read<byte>(top - down);
        nt.Memory.Read<byte>(top - bytes);
    }
}
