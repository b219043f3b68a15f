using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A highest-level driver that splits a read: its device reads from another one, which gives 512 bytes at a
/// time, with an associated IRP for each part. The last part that is complete completes the read itself.</summary>
public sealed class Associated : Sample
{
    const uint Part = 512, Parts = 16, LowerCapacity = 4096;

    DeviceObject _top, _lower;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_READ, Routine(Read));
        driverObject.DriverUnload = Routine(Unload);
        NtStatus status = CreateNamed(driverObject, "AssociatedLower", 0, DO_DIRECT_IO, out _lower);
        if (!status.IsSuccess) return status;
        status = CreateNamed(driverObject, "Associated", 0, DO_DIRECT_IO, out _top);
        if (!status.IsSuccess)
        {
            DeleteNamed(_lower, "AssociatedLower");
            return status;
        }
        _lower.Flags &= ~DO_DEVICE_INITIALIZING;
        _top.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
        DeleteNamed(_top, "Associated");
        DeleteNamed(_lower, "AssociatedLower");
    }

    NtStatus Read(DeviceObject device, Irp irp) => device == _top ? ReadTop(irp) : ReadLower(irp);

    // The lower device: byte n of it is n modulo 251.
    NtStatus ReadLower(Irp irp)
    {
        uint length = irp.CurrentStackLocation.Length;
        long offset = irp.CurrentStackLocation.ByteOffset;
        // Of no bytes there is no MDL.
        if (length == 0) return Complete(irp, STATUS_SUCCESS);
        if (length > Part) return Complete(irp, STATUS_INVALID_PARAMETER);
        if (offset < 0 || offset > LowerCapacity - length) return Complete(irp, STATUS_END_OF_FILE);
        Va data = MmGetSystemAddressForMdlSafe(irp.MdlAddress);
        if (data.IsNull) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
        for (uint i = 0; i < length; i++) Memory.Write(data + i, (byte)((offset + i) % 251));
        return Complete(irp, STATUS_SUCCESS, length);
    }

    // A part has failed: then so has the whole. The I/O manager frees the part and its MDL, and counts it.
    NtStatus PartDone(DeviceObject device, Irp part, Irp master)
    {
        if (!part.IoStatus.Status.IsSuccess) master.IoStatus = new(part.IoStatus.Status, 0);
        return STATUS_SUCCESS;
    }

    Irp MakePart(Irp irp, uint from, uint length)
    {
        Irp part = Nt.IoMakeAssociatedIrp(irp, _lower.StackSize);
        if (part.IsNull) return default;
        Va address = irp.MdlAddress.VirtualAddress + from;
        Mdl mdl = Nt.IoAllocateMdl(address, length, false, false, default);
        if (mdl.IsNull)
        {
            Nt.IoFreeIrp(part);
            return default;
        }
        // The pages are the master's, and are locked as long as that is not complete.
        Nt.IoBuildPartialMdl(irp.MdlAddress, mdl, address, length);
        part.MdlAddress = mdl;
        IoStackLocation next = part.NextStackLocation;
        next.MajorFunction = IRP_MJ_READ;
        next.Length = length;
        next.ByteOffset = irp.CurrentStackLocation.ByteOffset + from;
        part.SetCompletionRoutine(Routine(PartDone), irp.Address);
        return part;
    }

    NtStatus ReadTop(Irp irp)
    {
        uint length = irp.CurrentStackLocation.Length;
        if (length == 0) return Complete(irp, STATUS_SUCCESS);
        if (length > Part * Parts) return Complete(irp, STATUS_INVALID_PARAMETER);
        // Not only for a better answer: a sum of what a user gives can overflow.
        if (irp.CurrentStackLocation.ByteOffset is < 0 or > LowerCapacity) return Complete(irp, STATUS_END_OF_FILE);
        // All of them are made before the first is sent: from then on there is no way back.
        var parts = new List<Irp>();
        for (uint from = 0; from < length; from += Part)
        {
            Irp made = MakePart(irp, from, Math.Min(length - from, Part));
            if (made.IsNull)
            {
                FreeAll(parts);
                return Complete(irp, STATUS_INSUFFICIENT_RESOURCES);
            }
            parts.Add(made);
        }
        irp.IrpCount = parts.Count;
        irp.IoStatus = new(STATUS_SUCCESS, length);
        irp.MarkPending();
        // With the last call the master may be gone.
        foreach (Irp part in parts) Nt.IofCallDriver(_lower, part);
        return STATUS_PENDING;
    }

    void FreeAll(List<Irp> parts)
    {
        foreach (Irp part in Enumerable.Reverse(parts))
        {
            Nt.IoFreeMdl(part.MdlAddress);
            Nt.IoFreeIrp(part);
        }
    }
}
