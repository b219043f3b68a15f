using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

[Layout("_ECP_LIST", Size = 0x18)]
public readonly partial struct EcpList
{
    [Field(0x00)] public partial uint Signature { get; set; }
    [Field(0x04)] public partial uint Flags { get; set; }
    [Embedded(0x08)] public partial ListEntry Parameters { get; }
}

[Layout("_ECP_HEADER", Size = 0x48)]
public readonly partial struct EcpHeader
{
    [Field(0x00)] public partial uint Signature { get; set; }
    [Embedded(0x08)] public partial ListEntry ListEntry { get; }
    [Field(0x18)] public partial Guid EcpType { get; set; }
    [Field(0x28)] public partial Va CleanupCallback { get; set; }
    [Field(0x30)] public partial uint Flags { get; set; }
    [Field(0x34, Name = "Size")] public partial uint ContextSize { get; set; }

    public Va Context => Address + Size;
}

/// <summary>Extra create parameters: contexts by GUIDs, in a list that goes with a create.</summary>
sealed partial class FsRtl
{
    const uint EcpTag = 0x7045_5346, ListSignature = 0x4C70_6345, EcpSignature = 0x4870_6345;
    const uint EcpFromUserMode = 2;
    const uint MaximumEcp = 0x1_0000;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlAllocateExtraCreateParameterList(uint flags, Va ecpList)
    {
        Va block = nt.Mm.Pool.Allocate((ulong)EcpList.Size, PoolKind.Paged, EcpTag, nt.Caller, zero: true);
        nt.Memory.Write(ecpList, block);
        if (block.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        EcpList list = EcpList.At(nt.Memory, block);
        list.Signature = ListSignature;
        list.Parameters.Initialize();
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlFreeExtraCreateParameterList([FreesMem] EcpList ecpList)
    {
        ListEntry head = ecpList.Parameters;
        while (head.Flink != head)
        {
            nt.Ke.Clock.Spend();
            EcpHeader first = HeaderAt(head.Flink);
            first.ListEntry.Remove();
            FsRtlFreeExtraCreateParameter(first.Context);
        }
        nt.Mm.Pool.Free(ecpList.Address);
    }

    EcpHeader HeaderAt(ListEntry entry) => EcpHeader.At(nt.Memory, entry.Address - 8UL);

    EcpHeader HeaderOf(Va context) => EcpHeader.At(nt.Memory, context - (ulong)EcpHeader.Size);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlAllocateExtraCreateParameter(
        Va ecpType, uint sizeOfContext, uint flags, Va cleanupCallback, uint poolTag, Va ecpContext)
    {
        if (sizeOfContext > MaximumEcp) return STATUS_INVALID_PARAMETER;
        const uint nonPaged = 2;
        PoolKind kind = (flags & nonPaged) != 0 ? PoolKind.NonPaged : PoolKind.Paged;
        Va block = nt.Mm.Pool.Allocate((ulong)EcpHeader.Size + sizeOfContext, kind, poolTag, nt.Caller, zero: true);
        if (block.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        EcpHeader header = EcpHeader.At(nt.Memory, block);
        (header.Signature, header.ContextSize) = (EcpSignature, sizeOfContext);
        header.EcpType = nt.Memory.Read<Guid>(ecpType);
        header.CleanupCallback = cleanupCallback;
        header.ListEntry.Initialize();
        nt.Memory.Write(ecpContext, header.Context);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void FsRtlFreeExtraCreateParameter([FreesMem] Va ecpContext)
    {
        EcpHeader header = HeaderOf(ecpContext);
        Va type = header.Address + 0x18;
        if (!header.CleanupCallback.IsNull) nt.Routines.Call(header.CleanupCallback, ecpContext.Value, type.Value);
        nt.Mm.Pool.Free(header.Address);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlInsertExtraCreateParameter(EcpList ecpList, Va ecpContext)
    {
        EcpHeader header = HeaderOf(ecpContext);
        if (!FindEcp(ecpList, header.EcpType).IsNull) return STATUS_INVALID_PARAMETER;
        ecpList.Parameters.InsertTail(header.ListEntry);
        return STATUS_SUCCESS;
    }

    EcpHeader FindEcp(EcpList list, Guid type)
    {
        ListEntry head = list.Parameters;
        for (ListEntry at = head.Flink; at != head; at = at.Flink)
        {
            nt.Ke.Clock.Spend();
            if (HeaderAt(at).EcpType == type) return HeaderAt(at);
        }
        return EcpHeader.At(nt.Memory, Va.Null);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlFindExtraCreateParameter(EcpList ecpList, Va ecpType, Va ecpContext, Va ecpContextSize)
    {
        EcpHeader found = FindEcp(ecpList, nt.Memory.Read<Guid>(ecpType));
        if (!ecpContext.IsNull) nt.Memory.Write(ecpContext, found.IsNull ? Va.Null : found.Context);
        if (!ecpContextSize.IsNull) nt.Memory.Write(ecpContextSize, found.IsNull ? 0 : found.ContextSize);
        return found.IsNull ? STATUS_NOT_FOUND : STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlRemoveExtraCreateParameter(EcpList ecpList, Va ecpType, Va ecpContext, Va ecpContextSize)
    {
        NtStatus status = FsRtlFindExtraCreateParameter(ecpList, ecpType, ecpContext, ecpContextSize);
        if (status.IsSuccess) FindEcp(ecpList, nt.Memory.Read<Guid>(ecpType)).ListEntry.Remove();
        return status;
    }

    /// <summary>Null where a create has none.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlGetEcpListFromIrp(Irp irp, Va ecpList)
    {
        nt.Memory.Write(ecpList, nt.Io.FindRecord(irp.Address)?.EcpList ?? Va.Null);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus FsRtlSetEcpListIntoIrp(Irp irp, EcpList ecpList)
    {
        if (nt.Io.FindRecord(irp.Address) is not { } record) return STATUS_INVALID_PARAMETER;
        record.EcpList = ecpList.Address;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool FsRtlIsEcpFromUserMode(Va ecpContext) => (HeaderOf(ecpContext).Flags & EcpFromUserMode) != 0;
}
