using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>Drivers as consumers: a block is opened, asked, and closed by ObDereferenceObject.</summary>
sealed partial class Wmi
{
    const uint WMIGUID_NOTIFICATION = 4;
    const int MaximumSet = 0x1_0000;

    /// <summary>A block that a driver has open.</summary>
    sealed record OpenBlock(Guid Guid)
    {
        public Va Callback { get; set; }
        public Va Context { get; set; }
    }

    ObjectType GuidType { get; set; } = null!;

    /// <summary>A GUID that nobody has may be opened only to hear of events.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMIOpenBlock(Va guid, uint desiredAccess, Va dataBlockObject)
    {
        Guid wanted = nt.Memory.Read<Guid>(guid);
        nt.Memory.Write(dataBlockObject, Va.Null);
        if ((desiredAccess & WMIGUID_NOTIFICATION) == 0 && !Find(wanted).Any()) return STATUS_WMI_GUID_NOT_FOUND;
        Collect(wanted, 1);
        nt.Memory.Write(dataBlockObject, nt.Ob.Create(GuidType, 16, new OpenBlock(wanted)).Body);
        return STATUS_SUCCESS;
    }

    // The last reference may go at DISPATCH_LEVEL: a worker tells the providers.
    void OnDeleteBlock(NtObject closed)
    {
        var open = (OpenBlock)closed.State!;
        bool hasCallback = !open.Callback.IsNull;
        open.Callback = Va.Null;
        nt.Ex.PoolOf(DelayedWorkQueue).Queue(() =>
        {
            Collect(open.Guid, -1);
            if (hasCallback) Enable(open.Guid, -1);
        });
    }

    /// <summary>A block comes from <c>IoWMIOpenBlock</c>; what is no object is a bug check.</summary>
    OpenBlock? BlockAt(Va dataBlockObject) => nt.Ob.At(dataBlockObject).State as OpenBlock;

    /// <summary>WNODE_ALL_DATA of each provider, one behind the other by their Linkage.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMIQueryAllData(Va dataBlockObject, Va inOutBufferSize, Va outBuffer)
    {
        if (BlockAt(dataBlockObject) is not { } open) return STATUS_OBJECT_TYPE_MISMATCH;
        NtStatus status = QueryAllData(open.Guid, out List<byte[]> nodes);
        return status.IsSuccess ? Return(Chain(nodes), inOutBufferSize, outBuffer) : status;
    }

    static byte[] Chain(List<byte[]> nodes)
    {
        const int linkage = 0x0C;
        byte[] all = new byte[nodes.Sum(n => (n.Length + 7) & ~7)];
        int at = 0;
        for (int i = 0; i < nodes.Count; i++)
        {
            int bytes = (nodes[i].Length + 7) & ~7;
            nodes[i].CopyTo(all, at);
            Put(all, at + linkage, i < nodes.Count - 1 ? (uint)bytes : 0);
            at += bytes;
        }
        return all;
    }

    NtStatus Return(byte[] answer, Va inOutBufferSize, Va outBuffer)
    {
        uint room = nt.Memory.Read<uint>(inOutBufferSize);
        nt.Memory.Write(inOutBufferSize, (uint)answer.Length);
        if (room < answer.Length) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Write(outBuffer, answer);
        return STATUS_SUCCESS;
    }

    /// <summary>A WNODE_SINGLE_INSTANCE.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMIQuerySingleInstance(
        Va dataBlockObject, UnicodeString instanceName, Va inOutBufferSize, Va outBuffer)
    {
        if (BlockAt(dataBlockObject) is not { } open) return STATUS_OBJECT_TYPE_MISMATCH;
        NtStatus status = QuerySingleInstance(open.Guid, instanceName.Text, out byte[] node);
        return status.IsSuccess ? Return(node, inOutBufferSize, outBuffer) : status;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMISetSingleInstance(
        Va dataBlockObject, UnicodeString instanceName, uint version, uint valueBufferSize, Va valueBuffer)
    {
        if (BlockAt(dataBlockObject) is not { } open) return STATUS_OBJECT_TYPE_MISMATCH;
        if (valueBufferSize > MaximumSet) return STATUS_INSUFFICIENT_RESOURCES;
        return SetSingleInstance(
            open.Guid, instanceName.Text, nt.Memory.ReadBytes(valueBuffer, (int)valueBufferSize));
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMISetSingleItem(Va dataBlockObject, UnicodeString instanceName, uint dataItemId, uint version,
        uint valueBufferSize, Va valueBuffer)
    {
        if (BlockAt(dataBlockObject) is not { } open) return STATUS_OBJECT_TYPE_MISMATCH;
        if (valueBufferSize > MaximumSet) return STATUS_INSUFFICIENT_RESOURCES;
        return SetSingleItem(
            open.Guid, instanceName.Text, dataItemId, nt.Memory.ReadBytes(valueBuffer, (int)valueBufferSize));
    }

    /// <summary>The output takes the place of the input.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMIExecuteMethod(Va dataBlockObject, UnicodeString instanceName, uint methodId,
        uint inBufferSize, Va outBufferSize, Va inOutBuffer)
    {
        if (BlockAt(dataBlockObject) is not { } open) return STATUS_OBJECT_TYPE_MISMATCH;
        if (inBufferSize > MaximumSet) return STATUS_INSUFFICIENT_RESOURCES;
        byte[] input = nt.Memory.ReadBytes(inOutBuffer, (int)inBufferSize);
        NtStatus status = ExecuteMethod(open.Guid, instanceName.Text, methodId, input, out byte[] output);
        return status.IsSuccess ? Return(output, outBufferSize, inOutBuffer) : status;
    }

    /// <summary>Calls back with each event of an open block, at PASSIVE_LEVEL: the WNODE, and the context.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMISetNotificationCallback(Va @object, Va callback, Va context)
    {
        if (BlockAt(@object) is not { } open) return STATUS_OBJECT_TYPE_MISMATCH;
        int change = (callback.IsNull ? 0 : 1) - (open.Callback.IsNull ? 0 : 1);
        (open.Callback, open.Context) = (callback, context);
        if (change != 0) Enable(open.Guid, change);
        return STATUS_SUCCESS;
    }

    void CallBack(Guid guid, byte[] node)
    {
        foreach (NtObject block in nt.Ob.OfType(GuidType).ToArray())
        {
            if (block.State is not OpenBlock open || open.Guid != guid || open.Callback.IsNull) continue;
            Va copy = nt.Mm.Pool.Allocate((ulong)node.Length, PoolKind.NonPaged, WmiTag, Va.Null, zero: false);
            if (copy.IsNull) return;
            nt.Memory.Write(copy, node);
            nt.Routines.Call(open.Callback, copy.Value, open.Context.Value);
            nt.Mm.Pool.Free(copy);
        }
    }
}
