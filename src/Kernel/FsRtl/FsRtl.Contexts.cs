using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>FSRTL_PER_STREAM_CONTEXT, and that of a file, which is the same.</summary>
[Layout("_FSRTL_PER_STREAM_CONTEXT", Size = 0x28)]
public readonly partial struct PerStreamContext
{
    [Embedded(0x00)] public partial ListEntry Links { get; }
    [Field(0x10)] public partial Va OwnerId { get; set; }
    [Field(0x18)] public partial Va InstanceId { get; set; }
    [Field(0x20)] public partial Va FreeCallback { get; set; }
}

/// <summary>What filters hang on streams: in true lists in the file system's own structures.</summary>
sealed partial class FsRtl
{
    const byte FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS = 2;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlInsertPerStreamContext(AdvancedFcbHeader advancedHeader, PerStreamContext ptr)
    {
        if (advancedHeader.IsNull || (advancedHeader.Flags2 & FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS) == 0)
            return STATUS_INVALID_DEVICE_REQUEST;
        advancedHeader.FilterContexts.InsertHead(ptr.Links);
        return STATUS_SUCCESS;
    }

    /// <summary>The first of an owner, of any owner for null; of an instance of its, of any for null.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public PerStreamContext FsRtlLookupPerStreamContextInternal(
        AdvancedFcbHeader advancedHeader, Va ownerId, Va instanceId)
    {
        ListEntry head = advancedHeader.FilterContexts;
        for (ListEntry at = head.Flink; at != head; at = at.Flink)
        {
            nt.Ke.Clock.Spend();
            PerStreamContext context = PerStreamContext.At(nt.Memory, at.Address);
            bool isIt = ownerId.IsNull
                || context.OwnerId == ownerId && (instanceId.IsNull || context.InstanceId == instanceId);
            if (isIt) return context;
        }
        return PerStreamContext.At(nt.Memory, Va.Null);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public PerStreamContext FsRtlRemovePerStreamContext(
        AdvancedFcbHeader advancedHeader, Va ownerId, Va instanceId)
    {
        if ((advancedHeader.Flags2 & FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS) == 0)
            return PerStreamContext.At(nt.Memory, Va.Null);
        PerStreamContext found = FsRtlLookupPerStreamContextInternal(advancedHeader, ownerId, instanceId);
        if (!found.IsNull) found.Links.Remove();
        return found;
    }

    /// <summary>The stream is gone: each filter frees what it hung on it.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlTeardownPerStreamContexts(AdvancedFcbHeader advancedHeader)
    {
        ListEntry head = advancedHeader.FilterContexts;
        while (head.Flink != head)
        {
            nt.Ke.Clock.Spend();
            PerStreamContext context = PerStreamContext.At(nt.Memory, head.Flink.Address);
            context.Links.Remove();
            nt.Routines.Call(context.FreeCallback, context.Address.Value);
        }
    }
}
