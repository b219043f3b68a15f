using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Common buffers: memory in one piece that driver and device use at the same time, one by one or as a
/// vector.</summary>
sealed partial class Hal
{
    const int MostElements = 0x1_0000;
    const uint VectorTag = 0x5661_6D44;         // 'DmaV'

    readonly Dictionary<Va, Va[]> _vectors = [];

    void AllocateCommonBuffer(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        call.Return(CommonBuffer(adapter, (uint)call.Argument(1), 0, ulong.MaxValue, new Va(call.Argument(2))).Value);
    }

    // Adapter, highest address or null, length, address (out), cached, node.
    void AllocateCommonBufferEx(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        ulong highest = LimitAt(new Va(call.Argument(1)), ulong.MaxValue);
        call.Return(CommonBuffer(adapter, (uint)call.Argument(2), 0, highest, new Va(call.Argument(3))).Value);
    }

    // Adapter, lowest, highest, length, flags, cache type, node, address (out).
    void AllocateCommonBufferWithBounds(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        ulong lowest = LimitAt(new Va(call.Argument(1)), 0),
            highest = LimitAt(new Va(call.Argument(2)), ulong.MaxValue);
        // Large pages are all that flags could ask for.
        Va made = (uint)call.Argument(4) != 0 ? Va.Null
            : CommonBuffer(adapter, (uint)call.Argument(3), lowest, highest, new Va(call.Argument(7)));
        call.Return(made.Value);
    }

    ulong LimitAt(Va pointer, ulong otherwise) => pointer.IsNull ? otherwise : nt.Memory.Read<ulong>(pointer);

    // Of a slave it must be what its channel can reach without a change of the page.
    Va CommonBuffer(DmaAdapter adapter, ulong bytes, ulong lowest, ulong highest, Va address)
    {
        Va made = nt.Mm.MmAllocateContiguousMemorySpecifyCache(bytes, lowest,
            Math.Min(highest, adapter.Reach.Highest), adapter.Channel?.Boundary ?? 0, CacheTypes.MmCached);
        if (!made.IsNull && !address.IsNull) nt.Memory.Write(address, nt.Mm.MmGetPhysicalAddress(made));
        return made;
    }

    void FreeCommonBuffer(GuestCall call)
    {
        AdapterAt(call.Argument(0));
        nt.Mm.MmFreeContiguousMemory(new Va(call.Argument(3)));
        _dmaMemory.Retry();
    }

    // Adapter, lowest, highest, cache type, node, flags, count, bytes of each, vector (out).
    void AllocateCommonBufferVector(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        (uint count, ulong bytes, Va result) = ((uint)call.Argument(6), call.Argument(7), new Va(call.Argument(8)));
        nt.Memory.Write(result, Va.Null);
        call.Return((count == 0 || bytes == 0 || (uint)call.Argument(5) != 0 ? STATUS_INVALID_PARAMETER
            : count > MostElements ? STATUS_INSUFFICIENT_RESOURCES
            : Vector(adapter, call.Argument(1), call.Argument(2), (int)count, bytes, result)).Value);
    }

    NtStatus Vector(DmaAdapter adapter, ulong lowest, ulong highest, int count, ulong bytes, Va result)
    {
        Va vector = nt.Mm.Pool.Allocate(16, VectorTag);
        if (vector.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        var elements = new Va[count];
        for (int i = 0; i < count; i++)
        {
            elements[i] = CommonBuffer(adapter, bytes, lowest, highest, Va.Null);
            if (!elements[i].IsNull) continue;
            FreeElements(elements);
            nt.Mm.Pool.Free(vector);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        _vectors.Add(vector, elements);
        nt.Memory.Write(result, vector);
        return STATUS_SUCCESS;
    }

    // Adapter, vector, index, buffer (out), address (out).
    void GetCommonBufferFromVectorByIndex(GuestCall call)
    {
        AdapterAt(call.Argument(0));
        Va element = _vectors.TryGetValue(new Va(call.Argument(1)), out Va[]? elements)
            && (uint)call.Argument(2) < (uint)elements.Length ? elements[(uint)call.Argument(2)] : Va.Null;
        if (!element.IsNull)
        {
            nt.Memory.Write(new Va(call.Argument(3)), element);
            nt.Memory.Write(new Va(call.Argument(4)), nt.Mm.MmGetPhysicalAddress(element));
        }
        call.Return((element.IsNull ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS).Value);
    }

    void FreeCommonBufferFromVector(GuestCall call)
    {
        Va[] elements = VectorOf(call);
        if ((uint)call.Argument(2) < (uint)elements.Length) FreeElements(elements.AsSpan((int)call.Argument(2), 1));
    }

    void FreeCommonBufferVector(GuestCall call)
    {
        FreeElements(VectorOf(call));
        _vectors.Remove(new Va(call.Argument(1)));
        nt.Mm.Pool.Free(new Va(call.Argument(1)));
    }

    Va[] VectorOf(GuestCall call)
    {
        AdapterAt(call.Argument(0));
        return _vectors.GetValueOrDefault(new Va(call.Argument(1)))
            ?? throw new BugCheck(BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, 3, call.Argument(1));
    }

    void FreeElements(Span<Va> elements)
    {
        foreach (ref Va element in elements)
        {
            if (!element.IsNull) nt.Mm.MmFreeContiguousMemory(element);
            element = Va.Null;
        }
        _dmaMemory.Retry();
    }
}
