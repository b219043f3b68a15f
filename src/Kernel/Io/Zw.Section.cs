using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Sections: physical memory, as drivers map it into processes.</summary>
sealed partial class Zw
{
    readonly Dictionary<Va, ulong> _views = [];

    [Export(Support.Partial, @"Only \Device\PhysicalMemory and named sections; none of files.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenSection(Va sectionHandle, uint desiredAccess, ObjectAttributes objectAttributes)
    {
        NtStatus status = nt.Ob.Lookup(objectAttributes.ObjectName.Text, out NtObject? found, out _);
        if (!status.IsSuccess) return status;
        if (found!.Type != nt.Ob.SectionType) return STATUS_OBJECT_TYPE_MISMATCH;
        bool kernel = (objectAttributes.Attributes & Ob.OBJ_KERNEL_HANDLE) != 0;
        nt.Memory.Write(sectionHandle, nt.Ob.Open(found, desiredAccess, kernel));
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, "Views of physical memory only."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwMapViewOfSection(
        Handle sectionHandle, Handle processHandle, Va baseAddress, ulong zeroBits, ulong commitSize, Va sectionOffset,
        Va viewSize, uint inheritDisposition, uint allocationType, uint win32Protect)
    {
        if (nt.Ob.Lookup(sectionHandle) is not { } section) return STATUS_INVALID_HANDLE;
        if (section.Type != nt.Ob.SectionType) return STATUS_OBJECT_TYPE_MISMATCH;
        ulong wanted = sectionOffset.IsNull ? 0 : nt.Memory.Read<ulong>(sectionOffset), offset = wanted & ~0xFFFFUL;
        ulong size = nt.Memory.Read<ulong>(viewSize);
        if (size is 0 or > 1UL << 28) return STATUS_INVALID_VIEW_SIZE;
        // The view begins up to 64 KB early, and still reaches as far as was asked for.
        size += wanted - offset;
        ulong pages = (size + 0xFFF) >> 12;
        Va view = nt.Mm.AllocateUser(pages << 12);
        for (ulong i = 0; i < pages; i++) nt.Mm.MapPhysical(view + (i << 12), (offset >> 12) + i, Protection.User);
        _views.Add(view, pages << 12);
        nt.Memory.Write(baseAddress, view);
        nt.Memory.Write(viewSize, pages << 12);
        if (!sectionOffset.IsNull) nt.Memory.Write(sectionOffset, offset);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwUnmapViewOfSection(Handle processHandle, Va baseAddress)
    {
        if (!_views.Remove(baseAddress, out ulong bytes)) return STATUS_NOT_MAPPED_VIEW;
        nt.Mm.FreeUser(baseAddress, bytes);
        return STATUS_SUCCESS;
    }
}
