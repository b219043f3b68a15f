using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Common buffers: memory in one piece that driver and device use at the same time, one by one or as a
/// vector.</summary>
sealed partial class Hal
{
    const int MostElements = 0x1_0000, MostGuarded = 64;
    const uint VectorTag = 0x5661_6D44;         // 'DmaV'

    readonly Dictionary<Va, CommonBuffer?[]> _vectors = [];

    void AllocateCommonBuffer(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        call.Return(AddBuffer(adapter, (uint)call.Argument(1), 0, ulong.MaxValue, new Va(call.Argument(2))).Value);
    }

    // Adapter, highest address or null, length, address (out), cached, node.
    void AllocateCommonBufferEx(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        ulong highest = LimitAt(new Va(call.Argument(1)), ulong.MaxValue);
        call.Return(AddBuffer(adapter, (uint)call.Argument(2), 0, highest, new Va(call.Argument(3))).Value);
    }

    // Adapter, lowest, highest, length, flags, cache type, node, address (out).
    void AllocateCommonBufferWithBounds(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        ulong lowest = LimitAt(new Va(call.Argument(1)), 0),
            highest = LimitAt(new Va(call.Argument(2)), ulong.MaxValue);
        // Large pages are all that flags could ask for.
        Va made = (uint)call.Argument(4) != 0 ? Va.Null
            : AddBuffer(adapter, (uint)call.Argument(3), lowest, highest, new Va(call.Argument(7)));
        call.Return(made.Value);
    }

    ulong LimitAt(Va pointer, ulong otherwise) => pointer.IsNull ? otherwise : nt.Memory.Read<ulong>(pointer);

    Va AddBuffer(DmaAdapter adapter, ulong bytes, ulong lowest, ulong highest, Va address)
    {
        if (CommonBuffer.Make(nt, adapter, bytes, lowest, highest) is not { } made) return Va.Null;
        adapter.Buffers.Add(made.Start, made);
        if (!address.IsNull) nt.Memory.Write(address, made.Physical);
        nt.OnDmaUsed(new DmaUse(DmaStep.BufferAllocated, adapter.Address)
        {
            Buffer = made.Start,
            Physical = made.Physical,
            Length = (uint)bytes,
        });
        return made.Start;
    }

    // Adapter, length, address, buffer, cached. It is freed as it was made, whatever else is said.
    void FreeCommonBuffer(GuestCall call)
    {
        DmaAdapter adapter = AdapterAt(call.Argument(0));
        Va start = new(call.Argument(3));
        DmaAdapter? maker = adapter.Buffers.ContainsKey(start) ? adapter
            : _adapters.OrderBy(a => a.Key).Select(a => a.Value).FirstOrDefault(a => a.Buffers.ContainsKey(start));
        nt.OnDmaUsed(new DmaUse(DmaStep.BufferFreed, adapter.Address)
        {
            Buffer = start,
            Physical = call.Argument(2),
            Length = (uint)call.Argument(1),
            Harm = maker?.Buffers[start].FindHarm() ?? DmaHarm.None,
        });
        if (maker is null) throw new BugCheck(BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, 3, 1, start.Value);
        maker.Buffers.Remove(start, out CommonBuffer? buffer);
        buffer!.Free();
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
        var elements = new CommonBuffer?[count];
        for (int i = 0; i < count; i++)
        {
            elements[i] = CommonBuffer.Make(nt, adapter, bytes, lowest, highest, isGuarded: count <= MostGuarded);
            if (elements[i] is not null) continue;
            FreeElements(elements);
            nt.Mm.Pool.Free(vector);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        _vectors.Add(vector, elements);
        nt.Memory.Write(result, vector);
        nt.OnDmaUsed(new DmaUse(DmaStep.BufferAllocated, adapter.Address) { Buffer = vector });
        return STATUS_SUCCESS;
    }

    // Adapter, vector, index, buffer (out), address (out).
    void GetCommonBufferFromVectorByIndex(GuestCall call)
    {
        AdapterAt(call.Argument(0));
        CommonBuffer? element = _vectors.TryGetValue(new Va(call.Argument(1)), out CommonBuffer?[]? elements)
            && (uint)call.Argument(2) < (uint)elements.Length ? elements[(uint)call.Argument(2)] : null;
        if (element is not null)
        {
            nt.Memory.Write(new Va(call.Argument(3)), element.Start);
            nt.Memory.Write(new Va(call.Argument(4)), element.Physical);
        }
        call.Return((element is null ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS).Value);
    }

    void FreeCommonBufferFromVector(GuestCall call)
    {
        CommonBuffer?[] elements = VectorOf(call);
        if ((uint)call.Argument(2) < (uint)elements.Length) FreeElements(elements.AsSpan((int)call.Argument(2), 1));
    }

    void FreeCommonBufferVector(GuestCall call)
    {
        CommonBuffer?[] elements = VectorOf(call);
        nt.OnDmaUsed(new DmaUse(DmaStep.BufferFreed, new Va(call.Argument(0)))
        {
            Buffer = new Va(call.Argument(1)),
            Harm = elements.Select(e => e?.FindHarm() ?? DmaHarm.None).FirstOrDefault(h => h != DmaHarm.None),
        });
        FreeElements(elements);
        _vectors.Remove(new Va(call.Argument(1)));
        nt.Mm.Pool.Free(new Va(call.Argument(1)));
    }

    CommonBuffer?[] VectorOf(GuestCall call)
    {
        AdapterAt(call.Argument(0));
        return _vectors.GetValueOrDefault(new Va(call.Argument(1)))
            ?? throw new BugCheck(BugCheckCode.DRIVER_VERIFIER_DMA_VIOLATION, 3, call.Argument(1));
    }

    void FreeElements(Span<CommonBuffer?> elements)
    {
        foreach (ref CommonBuffer? element in elements)
        {
            element?.Free();
            element = null;
        }
        _dmaMemory.Retry();
    }
}
