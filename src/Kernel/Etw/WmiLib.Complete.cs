using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>Answers: what a driver registers, what a request brings back, and events.</summary>
sealed partial class WmiLib
{
    const uint WmiTag = 0x4C69_6D57;      // 'WmiL'
    const uint MaximumEvent = 0x1_0000;

    /// <summary>Completes an IRP that WmiSystemControl gave to a routine of the driver.</summary>
    /// <param name="bufferUsed">The bytes of data; with STATUS_BUFFER_TOO_SMALL those that it would take.</param>
    /// <returns>The status that the IRP has: a buffer that is too small is told in it, with success.</returns>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus WmiCompleteRequest(
        DeviceObject deviceObject, [AliasesMem] Irp irp, NtStatus status, uint bufferUsed, sbyte priorityBoost)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        uint start = StartOf(location), information = 0;
        ulong needed = start + (ulong)bufferUsed;
        if (start == 0) information = 0;
        else if (status.IsSuccess && needed <= location.WmiBufferSize)
            information = Finish(location, start, bufferUsed);
        else if (status.IsSuccess || status == STATUS_BUFFER_TOO_SMALL)
            (status, information) = TellNeeded(location, needed);
        irp.IoStatus = new IoStatusBlock(status, information);
        nt.IofCompleteRequest(irp, priorityBoost);
        return status;
    }

    /// <summary>Where the data of an answer begins; 0: the request brings none.</summary>
    uint StartOf(IoStackLocation location) => location.MinorFunction switch
    {
        IRP_MN_QUERY_ALL_DATA => WnodeAllData.At(nt.Memory, location.WmiBuffer).DataBlockOffset,
        IRP_MN_QUERY_SINGLE_INSTANCE => Math.Max(
            WnodeSingleInstance.At(nt.Memory, location.WmiBuffer).DataBlockOffset, (uint)WnodeSingleInstance.Size),
        IRP_MN_EXECUTE_METHOD => WnodeMethodItem.At(nt.Memory, location.WmiBuffer).DataBlockOffset,
        _ => 0,
    };

    (NtStatus Status, uint Information) TellNeeded(IoStackLocation location, ulong needed)
    {
        if (location.WmiBufferSize < WnodeTooSmall.Size) return (STATUS_BUFFER_TOO_SMALL, 0);
        WnodeHeader header = Header(location);
        header.BufferSize = (uint)WnodeTooSmall.Size;
        header.Flags |= WnodeFlags.TooSmall;
        var node = WnodeTooSmall.At(nt.Memory, location.WmiBuffer);
        node.SizeNeeded = (uint)Math.Min(needed, uint.MaxValue);
        return (STATUS_SUCCESS, (uint)WnodeTooSmall.Size);
    }

    uint Finish(IoStackLocation location, uint start, uint bufferUsed)
    {
        WnodeHeader header = Header(location);
        (header.BufferSize, header.TimeStamp) = (start + bufferUsed, nt.Ke.Clock.SystemTime);
        switch (location.MinorFunction)
        {
            case IRP_MN_QUERY_ALL_DATA:
                PlaceInstances(location, start);
                break;
            case IRP_MN_QUERY_SINGLE_INSTANCE:
                var single = WnodeSingleInstance.At(nt.Memory, location.WmiBuffer);
                (single.DataBlockOffset, single.SizeDataBlock) = (start, bufferUsed);
                break;
            default:
                var method = WnodeMethodItem.At(nt.Memory, location.WmiBuffer);
                method.SizeDataBlock = bufferUsed;
                break;
        }
        return start + bufferUsed;
    }

    // Each instance begins on a boundary of 8 bytes. The lengths lie where the pairs come: so they are read first.
    void PlaceInstances(IoStackLocation location, uint start)
    {
        Va list = location.WmiBuffer + WnodeAllData.Instances;
        uint count = WnodeAllData.At(nt.Memory, location.WmiBuffer).InstanceCount;
        count = Math.Min(count, location.WmiBufferSize / 8);
        uint[] lengths = [.. Enumerable.Range(0, (int)count).Select(i => nt.Memory.Read<uint>(list + i * 4))];
        uint at = start;
        for (int i = 0; i < lengths.Length; i++)
        {
            nt.Memory.Write(list + i * 8, at);
            nt.Memory.Write(list + (i * 8 + 4), lengths[i]);
            at += (lengths[i] + 7) & ~7u;
        }
    }

    /// <summary>Sends an event of one instance. Its data is the library's, which frees it.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus WmiFireEvent(
        DeviceObject deviceObject, Va guid, uint instanceIndex, uint eventDataSize, [AliasesMem] Va eventData)
    {
        if (eventData.IsNull) eventDataSize = 0;
        NtStatus status = STATUS_UNSUCCESSFUL;
        if (eventDataSize <= MaximumEvent - WnodeSingleInstance.Size)
            status = Send(deviceObject, nt.Memory.Read<Guid>(guid), instanceIndex, eventDataSize, eventData);
        if (!eventData.IsNull) nt.Mm.Pool.Free(eventData);
        return status;
    }

    NtStatus Send(DeviceObject device, Guid guid, uint instance, uint size, Va data)
    {
        int start = WnodeSingleInstance.Size;
        Va block = nt.Mm.Pool.Allocate((ulong)start + size, PoolKind.NonPaged, WmiTag, Va.Null, zero: true);
        if (block.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        var header = WnodeHeader.At(nt.Memory, block);
        header.BufferSize = (uint)start + size;
        header.ProviderId = nt.IoWMIDeviceObjectToProviderId(device);
        (header.Guid, header.TimeStamp) = (guid, nt.Ke.Clock.SystemTime);
        header.Flags = WnodeFlags.SingleInstance | WnodeFlags.EventItem | WnodeFlags.StaticInstanceNames;
        var node = WnodeSingleInstance.At(nt.Memory, block);
        (node.InstanceIndex, node.DataBlockOffset, node.SizeDataBlock) = (instance, (uint)start, size);
        if (size > 0) nt.Memory.Write(block + start, nt.Memory.ReadBytes(data, (int)size));
        NtStatus status = nt.IoWMIWriteEvent(block);
        if (!status.IsSuccess) nt.Mm.Pool.Free(block);
        return status;
    }

    /// <summary>Asks the driver for its names, and fills a WMIREGINFO with them and its blocks.</summary>
    NtStatus Describe(WmiLibContext context, DeviceObject device, IoStackLocation location, out uint used)
    {
        used = 0;
        if (context.QueryWmiRegInfo.IsNull || context.GuidList.IsNull || context.GuidCount > MaximumGuids)
            return STATUS_INVALID_DEVICE_REQUEST;
        const int flagsAt = 0, pathAt = 8, pdoAt = 0x10, nameAt = 0x18, mofAt = 0x28, bytes = 0x38;
        Va block = nt.Mm.Pool.Allocate(bytes, WmiTag);
        if (block.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Fill(block, bytes, 0);
        var status = new NtStatus((uint)nt.Routines.Call(context.QueryWmiRegInfo, device.Address.Value,
            (block + flagsAt).Value, (block + nameAt).Value, (block + pathAt).Value, (block + mofAt).Value,
            (block + pdoAt).Value));
        var flags = nt.Memory.Read<WmiRegFlags>(block + flagsAt);
        UnicodeString name = UnicodeString.At(nt.Memory, block + nameAt);
        UnicodeString path = UnicodeString.At(nt.Memory, nt.Memory.Read<Va>(block + pathAt));
        string mof = UnicodeString.At(nt.Memory, block + mofAt).Text;
        Va pdo = nt.Memory.Read<Va>(block + pdoAt), buffer = name.Buffer;
        bool isPdo = (flags & WmiRegFlags.InstancePdo) != 0;
        if (status.IsSuccess && !isPdo && buffer.IsNull) status = STATUS_INVALID_DEVICE_REQUEST;
        if (status.IsSuccess)
            status = Fill(context, location, flags, isPdo ? pdo : Va.Null, name.Text,
                path.Address.IsNull ? "" : path.Text, mof, out used);
        // The name is the library's to free: the driver has made it for this.
        if (!buffer.IsNull) nt.Mm.Pool.Free(buffer);
        nt.Mm.Pool.Free(block);
        return status;
    }

    NtStatus Fill(WmiLibContext context, IoStackLocation location, WmiRegFlags flags, Va pdo, string baseName,
        string registryPath, string mof, out uint used)
    {
        bool isPdo = (flags & WmiRegFlags.InstancePdo) != 0;
        uint count = context.GuidCount, nameAt = WmiRegInfo.SizeOf(count);
        uint mofAt = nameAt + (isPdo ? 0 : CountedBytes(baseName)), pathAt = mofAt + CountedBytes(mof);
        uint needed = pathAt + CountedBytes(registryPath);
        Va buffer = location.WmiBuffer;
        used = Math.Min(location.WmiBufferSize, sizeof(uint));
        if (location.WmiBufferSize < needed)
        {
            if (used == sizeof(uint)) nt.Memory.Write(buffer, needed);
            return STATUS_BUFFER_TOO_SMALL;
        }
        nt.Memory.Fill(buffer, needed, 0);
        var info = WmiRegInfo.At(nt.Memory, buffer);
        (info.BufferSize, info.GuidCount) = (needed, count);
        (info.MofResourceName, info.RegistryPath) = (mofAt, pathAt);
        WmiRegFlags names = isPdo ? WmiRegFlags.InstancePdo : WmiRegFlags.InstanceBasename;
        for (uint i = 0; i < count; i++)
        {
            WmiGuidRegInfo known = context.Entry(i);
            WmiRegGuid entry = info.Entry((int)i);
            entry.Guid = nt.Memory.Read<Guid>(known.Guid);
            (entry.Flags, entry.InstanceCount) = (known.Flags | flags | names, known.InstanceCount);
            entry.InstanceInfo = isPdo ? pdo.Value : nameAt;
            // One reference each: who reads the answer gives them back.
            if (isPdo && location.MinorFunction == IRP_MN_REGINFO_EX) nt.ObfReferenceObject(pdo);
        }
        if (!isPdo) WriteCounted(buffer + nameAt, baseName);
        WriteCounted(buffer + mofAt, mof);
        WriteCounted(buffer + pathAt, registryPath);
        used = needed;
        return STATUS_SUCCESS;
    }

    static uint CountedBytes(string text) => sizeof(ushort) + (uint)text.Length * 2;

    void WriteCounted(Va at, string text)
    {
        nt.Memory.Write(at, (ushort)(text.Length * 2));
        nt.Memory.Write(at + 2, Encoding.Unicode.GetBytes(text));
    }
}
