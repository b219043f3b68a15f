using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What an operation demands of the oplocks of others.</summary>
static class OplockDemand
{
    /// <summary>The levels that holders may keep.</summary>
    public static OplockLevel Keep(Memory memory, Irp irp)
    {
        const OplockLevel all = OplockLevel.Read | OplockLevel.Handle | OplockLevel.Write;
        IoStackLocation at = irp.CurrentStackLocation;
        return at.MajorFunction switch
        {
            IrpMajor.IRP_MJ_CREATE => KeepForCreate(memory, at),
            IrpMajor.IRP_MJ_READ or IrpMajor.IRP_MJ_FLUSH_BUFFERS => OplockLevel.Read | OplockLevel.Handle,
            IrpMajor.IRP_MJ_WRITE or IrpMajor.IRP_MJ_LOCK_CONTROL => OplockLevel.None,
            IrpMajor.IRP_MJ_SET_INFORMATION => KeepForSet((uint)at.Parameter2),
            IrpMajor.IRP_MJ_FILE_SYSTEM_CONTROL when (uint)at.Parameter3 == SetZeroData => OplockLevel.None,
            _ => all,
        };
    }

    const uint SetZeroData = 0x980C8;

    static OplockLevel KeepForCreate(Memory memory, IoStackLocation at)
    {
        const uint attributesOnly = 0x10_0000 | 0x80 | 0x100;     // SYNCHRONIZE, FILE_READ_ and _WRITE_ATTRIBUTES
        // SECURITY: IO_SECURITY_CONTEXT.DesiredAccess
        uint access = at.Parameter1 == 0 ? uint.MaxValue : memory.Read<uint>(new Va(at.Parameter1) + 0x10);
        uint disposition = (uint)at.Parameter2 >> 24;
        bool overwrites = disposition is 0 or 4 or 5;             // SUPERSEDE, OVERWRITE, OVERWRITE_IF
        if (overwrites) return OplockLevel.None;
        return (access & ~attributesOnly) == 0 ? OplockLevel.Read | OplockLevel.Handle | OplockLevel.Write
            : OplockLevel.Read | OplockLevel.Handle;
    }

    static OplockLevel KeepForSet(uint informationClass) => informationClass switch
    {
        // End of file, allocation, valid data: the data change. Rename, link, short name, deletion: handles must go.
        19 or 20 or 39 => OplockLevel.None,
        10 or 11 or 40 or 13 or 64 or 65 => OplockLevel.Read,
        _ => OplockLevel.Read | OplockLevel.Handle | OplockLevel.Write,
    };

    /// <summary>FILE_COMPLETE_IF_OPLOCKED: the opener does not want to wait.</summary>
    public static bool CompletesIfOplocked(Irp irp)
    {
        IoStackLocation at = irp.CurrentStackLocation;
        return at.MajorFunction == IrpMajor.IRP_MJ_CREATE && (at.Parameter2 & 0x100) != 0;
    }
}
