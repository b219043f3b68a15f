using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What is done to a stream, as far as the oplocks of others mind.</summary>
enum OplockOperation { None, Open, Overwrite, Read, Write, Lock, Rename, Delete, ShareConflict }

/// <summary>An oplock must go down to a level.</summary>
/// <param name="Waits">The operation goes on only when its holder has said that it has given up.</param>
readonly record struct OplockBreak(OplockLevel To, bool Waits = true);

/// <summary>What an operation demands of the oplocks of others.</summary>
static class OplockDemand
{
    const uint SetZeroData = 0x980C8;
    const uint IRP_PAGING_IO = 2;
    const ulong FILE_COMPLETE_IF_OPLOCKED = 0x100, FILE_OPEN_REQUIRING_OPLOCK = 0x1_0000,
        FILE_RESERVE_OPFILTER = 0x10_0000;

    /// <summary>With no more than these a stream's data stay as they are: attributes, READ_DATA, READ_EA, EXECUTE,
    /// SYNCHRONIZE, READ_CONTROL.</summary>
    const uint FilterAccess = 0x12_01A9;

    /// <summary>What breaks a holder's oplock, and how far; null: it may stay.</summary>
    public static OplockBreak? Of(OplockOperation operation, OplockHolder holder, Memory memory, Irp irp) =>
        operation == OplockOperation.None ? null : holder.Kind switch
        {
            OplockKind.LevelOne => operation switch
            {
                OplockOperation.Open or OplockOperation.Read => new(OplockLevel.Read),
                OplockOperation.Overwrite or OplockOperation.Write or OplockOperation.Lock => new(OplockLevel.None),
                _ => null,
            },
            OplockKind.LevelTwo => operation is OplockOperation.Overwrite or OplockOperation.Write
                or OplockOperation.Lock ? new(OplockLevel.None, Waits: false) : null,
            OplockKind.Batch => operation switch
            {
                OplockOperation.Open or OplockOperation.Read or OplockOperation.ShareConflict => new(OplockLevel.Read),
                OplockOperation.Delete => null,
                _ => new(OplockLevel.None),
            },
            OplockKind.Filter => operation switch
            {
                OplockOperation.Open or OplockOperation.Overwrite => BreaksFilter(memory, irp)
                    ? new(OplockLevel.None) : null,
                OplockOperation.Write or OplockOperation.Rename or OplockOperation.ShareConflict =>
                    new(OplockLevel.None),
                _ => null,
            },
            _ => OfCache(operation, holder.Level),
        };

    static OplockBreak? OfCache(OplockOperation operation, OplockLevel level)
    {
        bool hasWrite = (level & OplockLevel.Write) != 0, hasHandle = (level & OplockLevel.Handle) != 0;
        return operation switch
        {
            OplockOperation.Open or OplockOperation.Read => hasWrite ? new(level & ~OplockLevel.Write) : null,
            OplockOperation.Overwrite or OplockOperation.Write => new(OplockLevel.None, Waits: hasWrite),
            OplockOperation.Lock => new(OplockLevel.None, Waits: hasWrite && !hasHandle),
            _ => hasHandle ? new(level & ~OplockLevel.Handle) : null,
        };
    }

    // A filter oplock is for who only looks on: others may read beside it.
    static bool BreaksFilter(Memory memory, Irp irp)
    {
        const uint FILE_SHARE_READ = 1;
        IoStackLocation at = irp.CurrentStackLocation;
        return (AccessOf(memory, at) & ~FilterAccess) != 0 && ((at.Parameter3 >> 16) & FILE_SHARE_READ) == 0;
    }

    public static OplockOperation OperationOf(Memory memory, Irp irp)
    {
        IoStackLocation at = irp.CurrentStackLocation;
        return at.MajorFunction switch
        {
            IrpMajor.IRP_MJ_CREATE => OfCreate(memory, at),
            IrpMajor.IRP_MJ_READ or IrpMajor.IRP_MJ_FLUSH_BUFFERS => OplockOperation.Read,
            IrpMajor.IRP_MJ_WRITE when (irp.Flags & IRP_PAGING_IO) == 0 => OplockOperation.Write,
            IrpMajor.IRP_MJ_LOCK_CONTROL => OplockOperation.Lock,
            IrpMajor.IRP_MJ_SET_INFORMATION => OfSet(memory, irp, (uint)at.Parameter2),
            IrpMajor.IRP_MJ_FILE_SYSTEM_CONTROL when (uint)at.Parameter3 == SetZeroData => OplockOperation.Write,
            _ => OplockOperation.None,
        };
    }

    // SECURITY: IO_SECURITY_CONTEXT.DesiredAccess
    static uint AccessOf(Memory memory, IoStackLocation at) =>
        at.Parameter1 == 0 ? uint.MaxValue : memory.Read<uint>(new Va(at.Parameter1) + 0x10);

    static OplockOperation OfCreate(Memory memory, IoStackLocation at)
    {
        const uint attributesOnly = 0x10_0000 | 0x80 | 0x100;     // SYNCHRONIZE, FILE_READ_ and _WRITE_ATTRIBUTES
        bool reserves = (at.Parameter2 & FILE_RESERVE_OPFILTER) != 0;
        if ((AccessOf(memory, at) & ~attributesOnly) == 0 && !reserves) return OplockOperation.None;
        bool overwrites = (uint)at.Parameter2 >> 24 is 0 or 4 or 5;   // SUPERSEDE, OVERWRITE, OVERWRITE_IF
        return overwrites || reserves ? OplockOperation.Overwrite : OplockOperation.Open;
    }

    static OplockOperation OfSet(Memory memory, Irp irp, uint informationClass) => informationClass switch
    {
        // End of file, allocation, valid data. Rename, link, short name. Deletion, if it is wanted.
        19 or 20 or 39 => OplockOperation.Write,
        10 or 11 or 40 or 65 or 72 => OplockOperation.Rename,
        13 or 64 when (memory.Read<byte>(irp.SystemBuffer) & 1) != 0 => OplockOperation.Delete,
        _ => OplockOperation.None,
    };

    /// <summary>FILE_COMPLETE_IF_OPLOCKED: the opener does not want to wait.</summary>
    public static bool CompletesIfOplocked(Irp irp) => IsCreateWith(irp, FILE_COMPLETE_IF_OPLOCKED);

    /// <summary>FILE_OPEN_REQUIRING_OPLOCK: the opener wants one itself, and breaks none.</summary>
    public static bool RequiresOplock(Irp irp) => IsCreateWith(irp, FILE_OPEN_REQUIRING_OPLOCK);

    static bool IsCreateWith(Irp irp, ulong option)
    {
        IoStackLocation at = irp.CurrentStackLocation;
        return at.MajorFunction == IrpMajor.IRP_MJ_CREATE && (at.Parameter2 & option) != 0;
    }
}
