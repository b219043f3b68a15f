using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Partition tables, read and written through the disk's device.</summary>
sealed partial class Io
{
    const string OnlyMbr = "Only master boot records, no GUID partition tables.";
    const string FourPartitions = "Only the four partitions of the master boot record are written.";
    const uint LayoutTag = 0x74506F49;
    const int LayoutHeader = 8, LayoutEntry = 0x20, LayoutExHeader = 0x30, LayoutExEntry = 0x90;

    /// <summary>One sector to or from a disk. Null: the disk failed.</summary>
    byte[]? Sector(DeviceObject disk, IrpMajor major, ulong offset, uint bytes, byte[]? data = null)
    {
        Va buffer = nt.Mm.Pool.Allocate((ulong)bytes, PoolKind.NonPaged, LayoutTag, Va.Null, zero: true);
        if (buffer.IsNull) return null;
        if (data is not null) nt.Memory.Write(buffer, data);
        DeviceObject top = TopOf(disk);
        NtStatus status = SendTo(top, (irp, location) =>
        {
            location.MajorFunction = major;
            (location.Parameter1, location.Parameter3) = (bytes, offset);
            var request = new IoRequest(major, FileObject.At(nt.Memory, Va.Null))
            {
                InputBuffer = data is null ? Va.Null : buffer,
                InputLength = data is null ? 0 : bytes,
                OutputBuffer = data is null ? buffer : Va.Null,
                OutputLength = data is null ? bytes : 0,
            };
            return SetUpTransfer(irp, request, top);
        });
        // A request that never ends keeps its buffer.
        if (status == STATUS_IO_TIMEOUT) return null;
        byte[] read = nt.Memory.ReadBytes(buffer, (int)bytes);
        nt.Mm.Pool.Free(buffer);
        return status.IsSuccess ? read : null;
    }

    static bool IsSectorSize(uint bytes) => bytes is >= PartitionTable.LeastSectorBytes and <= 0x1000;

    PartitionTable? ReadTable(DeviceObject disk, uint sectorBytes) => PartitionTable.Read(sectorBytes, at =>
    {
        nt.Ke.Clock.Spend();
        return Sector(disk, IRP_MJ_READ, at, sectorBytes);
    });

    uint SectorSizeOf(DeviceObject disk) => IsSectorSize(disk.SectorSize) ? disk.SectorSize : 512u;

    /// <summary>The first sector, in a buffer that the caller frees, if its first partition is of a type.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void HalExamineMBR(DeviceObject deviceObject, uint sectorSize, uint mbrTypeIdentifier, Va buffer)
    {
        nt.Memory.Write(buffer, Va.Null);
        uint bytes = Math.Max(sectorSize, PartitionTable.LeastSectorBytes);
        if (!IsSectorSize(bytes) || Sector(deviceObject, IRP_MJ_READ, 0, bytes) is not { } sector) return;
        if (!PartitionTable.IsMarked(sector) || sector[0x1BE + 4] != mbrTypeIdentifier) return;
        Va copy = nt.Mm.Pool.Allocate((ulong)bytes, PoolKind.NonPaged, LayoutTag, nt.Caller, zero: true);
        if (copy.IsNull) return;
        nt.Memory.Write(copy, sector);
        nt.Memory.Write(buffer, copy);
    }

    /// <summary>DRIVE_LAYOUT_INFORMATION, in a buffer that the caller frees.</summary>
    [Export(Support.Partial, OnlyMbr), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReadPartitionTable(
        DeviceObject deviceObject, uint sectorSize, bool returnRecognizedPartitions, Va partitionBuffer)
    {
        nt.Memory.Write(partitionBuffer, Va.Null);
        if (!IsSectorSize(sectorSize)) return STATUS_INVALID_PARAMETER;
        if (ReadTable(deviceObject, sectorSize) is not { } table) return STATUS_IO_DEVICE_ERROR;
        Va layout = LayoutOf(table.Signature,
            [.. table.Partitions.Where(p => !returnRecognizedPartitions || p.IsRecognized)]);
        if (layout.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Write(partitionBuffer, layout);
        return STATUS_SUCCESS;
    }

    Va LayoutOf(uint signature, Partition[] listed)
    {
        Va layout = Allocate(LayoutHeader + listed.Length * LayoutEntry);
        if (layout.IsNull) return layout;
        nt.Memory.Write(layout, (uint)listed.Length);
        nt.Memory.Write(layout + 4, signature);
        uint number = 0;
        for (int i = 0; i < listed.Length; i++)
            WriteEntry(layout + LayoutHeader + i * LayoutEntry, listed[i], NumberOf(listed[i], ref number));
        return layout;
    }

    Va Allocate(int bytes) =>
        nt.Mm.Pool.Allocate((ulong)bytes, PoolKind.NonPaged, LayoutTag, nt.Caller, zero: true);

    // Partitions count from 1; what is unused or holds others has no number.
    static uint NumberOf(Partition partition, ref uint number) =>
        partition.Type == Partition.Unused || partition.IsExtended ? 0 : ++number;

    void WriteEntry(Va entry, Partition partition, uint number)
    {
        nt.Memory.Write(entry, partition.Start);
        nt.Memory.Write(entry + 8, partition.Length);
        nt.Memory.Write(entry + 0x10, partition.HiddenSectors);
        nt.Memory.Write(entry + 0x14, number);
        nt.Memory.Write(entry + 0x18, partition.Type);
        nt.Memory.Write(entry + 0x19, (byte)(partition.IsBootable ? 1 : 0));
        nt.Memory.Write(entry + 0x1A, (byte)(partition.IsRecognized ? 1 : 0));
    }

    /// <summary>DRIVE_LAYOUT_INFORMATION_EX, in a buffer that the caller frees.</summary>
    [Export(Support.Partial, OnlyMbr), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoReadPartitionTableEx(DeviceObject deviceObject, Va driveLayout)
    {
        nt.Memory.Write(driveLayout, Va.Null);
        if (ReadTable(deviceObject, SectorSizeOf(deviceObject)) is not { } table) return STATUS_IO_DEVICE_ERROR;
        Va layout = Allocate(LayoutExHeader + table.Partitions.Count * LayoutExEntry);
        if (layout.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Write(layout + 4, (uint)table.Partitions.Count);
        nt.Memory.Write(layout + 8, table.Signature);
        uint number = 0;
        for (int i = 0; i < table.Partitions.Count; i++)
        {
            Partition partition = table.Partitions[i];
            Va entry = layout + LayoutExHeader + i * LayoutExEntry;
            nt.Memory.Write(entry + 8, partition.Start);
            nt.Memory.Write(entry + 0x10, partition.Length);
            nt.Memory.Write(entry + 0x18, NumberOf(partition, ref number));
            nt.Memory.Write(entry + 0x20, partition.Type);
            nt.Memory.Write(entry + 0x21, (byte)(partition.IsBootable ? 1 : 0));
            nt.Memory.Write(entry + 0x22, (byte)(partition.IsRecognized ? 1 : 0));
            nt.Memory.Write(entry + 0x24, partition.HiddenSectors);
        }
        nt.Memory.Write(driveLayout, layout);
        return STATUS_SUCCESS;
    }

    /// <summary>DISK_SIGNATURE.</summary>
    [Export(Support.Partial, OnlyMbr)]
    public NtStatus IoReadDiskSignature(DeviceObject deviceObject, uint bytesPerSector, Va signature)
    {
        uint bytes = Math.Max(bytesPerSector, PartitionTable.LeastSectorBytes);
        if (!IsSectorSize(bytes)) return STATUS_INVALID_PARAMETER;
        if (Sector(deviceObject, IRP_MJ_READ, 0, bytes) is not { } sector) return STATUS_IO_DEVICE_ERROR;
        if (!PartitionTable.IsMarked(sector)) return STATUS_UNSUCCESSFUL;
        uint sum = 0;
        for (int i = 0; i < PartitionTable.LeastSectorBytes; i += 4) sum += BitConverter.ToUInt32(sector, i);
        nt.Memory.Write(signature, 0u);
        nt.Memory.Write(signature + 4, BitConverter.ToUInt32(sector, 0x1B8));
        nt.Memory.Write(signature + 8, ~sum + 1);
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, OnlyMbr), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoSetPartitionInformation(
        DeviceObject deviceObject, uint sectorSize, uint partitionNumber, uint partitionType)
    {
        if (!IsSectorSize(sectorSize)) return STATUS_INVALID_PARAMETER;
        if (ReadTable(deviceObject, sectorSize) is not { } table) return STATUS_IO_DEVICE_ERROR;
        uint number = 0;
        int at = table.Partitions.FindIndex(p => NumberOf(p, ref number) == partitionNumber && partitionNumber != 0);
        if (at < 0) return STATUS_INVALID_PARAMETER;
        ulong place = table.Places[at], start = place / sectorSize * sectorSize;
        if (Sector(deviceObject, IRP_MJ_READ, start, sectorSize) is not { } sector) return STATUS_IO_DEVICE_ERROR;
        sector[(int)(place - start) + 4] = (byte)partitionType;
        return Sector(deviceObject, IRP_MJ_WRITE, start, sectorSize, sector) is null ? STATUS_IO_DEVICE_ERROR
            : STATUS_SUCCESS;
    }

    /// <summary>SET_PARTITION_INFORMATION_EX: the style, then the type.</summary>
    [Export(Support.Partial, OnlyMbr), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoSetPartitionInformationEx(DeviceObject deviceObject, uint partitionNumber, Va partitionInfo)
    {
        if (nt.Memory.Read<uint>(partitionInfo) != 0) return STATUS_NOT_SUPPORTED;
        return IoSetPartitionInformation(deviceObject, SectorSizeOf(deviceObject), partitionNumber,
            nt.Memory.Read<byte>(partitionInfo + 8));
    }

    [Export(Support.Partial, FourPartitions), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWritePartitionTable(
        DeviceObject deviceObject, uint sectorSize, uint sectorsPerTrack, uint numberOfHeads, Va partitionBuffer)
    {
        if (!IsSectorSize(sectorSize)) return STATUS_INVALID_PARAMETER;
        uint count = Math.Min(4, nt.Memory.Read<uint>(partitionBuffer));
        List<Partition> partitions = [];
        for (int i = 0; i < count; i++)
        {
            Va entry = partitionBuffer + LayoutHeader + i * LayoutEntry;
            partitions.Add(new Partition(nt.Memory.Read<byte>(entry + 0x18), nt.Memory.Read<byte>(entry + 0x19) != 0,
                nt.Memory.Read<ulong>(entry), nt.Memory.Read<ulong>(entry + 8), 0));
        }
        return WriteTable(deviceObject, sectorSize, nt.Memory.Read<uint>(partitionBuffer + 4), partitions);
    }

    [Export(Support.Partial, FourPartitions), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWritePartitionTableEx(DeviceObject deviceObject, Va driveLayout)
    {
        if (nt.Memory.Read<uint>(driveLayout) != 0) return STATUS_NOT_SUPPORTED;
        uint count = Math.Min(4, nt.Memory.Read<uint>(driveLayout + 4));
        List<Partition> partitions = [];
        for (int i = 0; i < count; i++)
        {
            Va entry = driveLayout + LayoutExHeader + i * LayoutExEntry;
            partitions.Add(new Partition(nt.Memory.Read<byte>(entry + 0x20), nt.Memory.Read<byte>(entry + 0x21) != 0,
                nt.Memory.Read<ulong>(entry + 8), nt.Memory.Read<ulong>(entry + 0x10), 0));
        }
        return WriteTable(deviceObject, SectorSizeOf(deviceObject), nt.Memory.Read<uint>(driveLayout + 8), partitions);
    }

    NtStatus WriteTable(DeviceObject disk, uint sectorBytes, uint signature, List<Partition> partitions)
    {
        if (Sector(disk, IRP_MJ_READ, 0, sectorBytes) is not { } sector) return STATUS_IO_DEVICE_ERROR;
        PartitionTable.Write(sector, signature, partitions, sectorBytes);
        return Sector(disk, IRP_MJ_WRITE, 0, sectorBytes, sector) is null ? STATUS_IO_DEVICE_ERROR : STATUS_SUCCESS;
    }

    [Export(Support.Partial, "There is no boot disk."), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoGetBootDiskInformation(Va bootDiskInformation, uint size) =>
        size < 0x28 ? STATUS_INVALID_PARAMETER : STATUS_TOO_LATE;
}
