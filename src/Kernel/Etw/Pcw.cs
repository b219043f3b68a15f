using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>One instance of a counter set, with the bytes of its counters.</summary>
public sealed record CounterInstance(string Name, uint Id, byte[] Data);

/// <summary>Performance counters: sets that drivers register, and their instances.</summary>
[NtModule("ntoskrnl.exe")]
sealed class Pcw(NtKernel nt)
{
    const uint PcwTag = 0x7743_7750, Version1 = 0x100;      // 'PwCw'
    const uint MaximumBlocks = 64, MaximumBytes = 0x1_0000;
    const int CollectData = 3;

    sealed class CounterSet(string name, Va callback, Va context)
    {
        public string Name { get; } = name;
        public Va Callback { get; } = callback;
        public Va Context { get; } = context;
        public SortedDictionary<Va, CounterInstance> Instances { get; } = [];
    }

    readonly SortedDictionary<Va, CounterSet> _sets = [];
    readonly Dictionary<Va, List<CounterInstance>> _buffers = [];
    uint _nextInstance;

    /// <summary>PCW_REGISTRATION_INFORMATION: version, counters, callback, the set's name.</summary>
    [Export(Support.Partial, "The descriptors of the counters are not looked at."), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PcwRegister(Va registration, Va info)
    {
        if (nt.Memory.Read<uint>(info) != Version1) return STATUS_INVALID_PARAMETER;
        string name = UnicodeString.At(nt.Memory, nt.Memory.Read<Va>(info + 0x20)).Text;
        if (name.Length == 0) return STATUS_INVALID_PARAMETER;
        Va made = nt.Mm.Pool.Allocate(0x20, PcwTag);
        _sets.Add(made, new CounterSet(name, nt.Memory.Read<Va>(info + 0x10), nt.Memory.Read<Va>(info + 0x18)));
        nt.Memory.Write(registration, made);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PcwUnregister(Va registration)
    {
        if (!_sets.Remove(registration, out CounterSet? set)) return;
        foreach (Va instance in set.Instances.Keys) nt.Mm.Pool.Free(instance);
        nt.Mm.Pool.Free(registration);
    }

    /// <summary>An instance of a set without a callback: its data are read from where they lie whenever somebody
    /// asks.</summary>
    [Export(Support.Partial, "The data are those of the time of creation."), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PcwCreateInstance(Va instance, Va registration, UnicodeString name, uint count, Va data)
    {
        if (!_sets.TryGetValue(registration, out CounterSet? set)) return STATUS_INVALID_PARAMETER;
        if (ReadData(count, data) is not { } bytes) return STATUS_INVALID_PARAMETER;
        Va made = nt.Mm.Pool.Allocate(0x20, PcwTag);
        set.Instances.Add(made, new CounterInstance(name.Text, ++_nextInstance, bytes));
        nt.Memory.Write(instance, made);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PcwCloseInstance(Va instance)
    {
        foreach (CounterSet set in _sets.Values)
            if (set.Instances.Remove(instance)) nt.Mm.Pool.Free(instance);
    }

    /// <summary>Called by a set's callback, into the buffer that it was given.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PcwAddInstance(Va buffer, UnicodeString name, uint id, uint count, Va data)
    {
        if (!_buffers.TryGetValue(buffer, out List<CounterInstance>? collected)) return STATUS_INVALID_PARAMETER;
        if (ReadData(count, data) is not { } bytes) return STATUS_INVALID_PARAMETER;
        collected.Add(new CounterInstance(name.Text, id, bytes));
        return STATUS_SUCCESS;
    }

    // PCW_DATA: a pointer and a size each.
    byte[]? ReadData(uint count, Va data)
    {
        if (count > MaximumBlocks) return null;
        var bytes = new List<byte>();
        for (int i = 0; i < count; i++)
        {
            uint size = nt.Memory.Read<uint>(data + i * 16 + 8);
            if (size > MaximumBytes) return null;
            bytes.AddRange(nt.Memory.ReadBytes(nt.Memory.Read<Va>(data + i * 16), (int)size));
        }
        return [.. bytes];
    }

    /// <summary>The instances of a set as a consumer sees them: the callback is asked to add them.</summary>
    public IReadOnlyList<CounterInstance> Collect(string name)
    {
        CounterSet? set = _sets.Values.FirstOrDefault(s => s.Name == name);
        if (set is null) return [];
        if (set.Callback.IsNull) return [.. set.Instances.Values];
        // PCW_MASK_INFORMATION: all counters of all instances, and the buffer.
        Va mask = nt.Mm.Pool.Allocate(0x28, PcwTag), buffer = nt.Mm.Pool.Allocate(0x10, PcwTag);
        var collected = new List<CounterInstance>();
        _buffers.Add(buffer, collected);
        nt.Memory.Write(mask, ulong.MaxValue);
        nt.Memory.Write(mask + 8, nt.Rtl.AllocateString("*"));
        nt.Memory.Write(mask + 0x10, uint.MaxValue);
        nt.Memory.Write(mask + 0x18, buffer);
        nt.BeginRequest();
        nt.Routines.Call(set.Callback, CollectData, mask.Value, set.Context.Value);
        _buffers.Remove(buffer);
        Va any = nt.Memory.Read<Va>(mask + 8);
        nt.Mm.Pool.Free(UnicodeString.At(nt.Memory, any).Buffer);
        foreach (Va block in (ReadOnlySpan<Va>)[any, mask, buffer]) nt.Mm.Pool.Free(block);
        return collected;
    }
}
