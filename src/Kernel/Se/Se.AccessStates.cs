using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>ACCESS_STATE: what an open asks for, for whom, and what it has got so far.</summary>
[Layout("_ACCESS_STATE", Size = 0xA0)]
public readonly partial struct AccessState
{
    [Field(0x00)] public partial ulong OperationID { get; set; }
    [Field(0x0C)] public partial uint Flags { get; set; }
    [Field(0x10)] public partial uint RemainingDesiredAccess { get; set; }
    [Field(0x14)] public partial uint PreviouslyGrantedAccess { get; set; }
    [Field(0x18)] public partial uint OriginalDesiredAccess { get; set; }
    [Embedded(0x20)] public partial SubjectContext SubjectSecurityContext { get; }
    [Field(0x40)] public partial Va SecurityDescriptor { get; set; }
    [Field(0x48)] public partial Va AuxData { get; set; }
}

sealed partial class Se
{
    const uint AuxDataSize = 0xE0;

    void Fill(AccessState state, Va auxData, uint desired, GenericMapping mapping)
    {
        state.OperationID = NewLuid();
        state.RemainingDesiredAccess = mapping.Map(desired);
        state.OriginalDesiredAccess = desired;
        state.AuxData = auxData;
        CaptureSubject(state.SubjectSecurityContext);
    }

    /// <summary>Sets up an access state for the calling thread, with the memory that the caller gives.</summary>
    [Export(Support.Partial, "AUX_ACCESS_DATA has the generic mapping alone."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeCreateAccessState(AccessState accessState, Va auxData, uint desiredAccess, Va genericMapping)
    {
        GenericMapping mapping = genericMapping.IsNull ? default : nt.Memory.Read<GenericMapping>(genericMapping);
        nt.Memory.Fill(accessState.Address, AccessState.Size, 0);
        nt.Memory.Fill(auxData, AuxDataSize, 0);
        nt.Memory.Write(auxData + 8, mapping);
        Fill(accessState, auxData, desiredAccess, mapping);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void SeDeleteAccessState(AccessState accessState) => ReleaseSubject(accessState.SubjectSecurityContext);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void SeSetAccessStateGenericMapping(AccessState accessState, Va genericMapping) =>
        nt.Memory.Write(accessState.AuxData + 8, nt.Memory.Read<GenericMapping>(genericMapping));

    /// <summary>The path of a process's image: a UNICODE_STRING in pool with its characters behind it, which the caller
    /// frees.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus SeLocateProcessImageName(EProcess process, Va imageFileName)
    {
        byte[] text = System.Text.Encoding.Unicode.GetBytes(nt.Ps.At(process).ImageName + '\0');
        Va made = nt.Mm.Pool.Allocate(
            (ulong)(UnicodeString.Size + text.Length), PoolKind.Paged, TokenTag, nt.Caller, zero: true);
        if (made.IsNull) return STATUS_NO_MEMORY;
        nt.Memory.Write(made + UnicodeString.Size, text);
        UnicodeString.At(nt.Memory, made).Set(made + UnicodeString.Size, text.Length - 2, text.Length);
        nt.Memory.Write(imageFileName, made);
        return STATUS_SUCCESS;
    }
}
