using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Sections by handles.</summary>
sealed partial class Zw
{
    const uint ViewShare = 1, ViewUnmap = 2;

    static string NameOf(ObjectAttributes attributes) =>
        attributes.IsNull || attributes.ObjectName.IsNull ? "" : attributes.ObjectName.Text;

    [Export(Support.Partial, "File-backed sections need a file system."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCreateSection(
        Va sectionHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va maximumSize,
        uint sectionPageProtection, uint allocationAttributes, Handle fileHandle)
    {
        if (!fileHandle.IsNull) return STATUS_INVALID_FILE_FOR_SECTION;
        ulong size = maximumSize.IsNull ? 0 : nt.Memory.Read<ulong>(maximumSize);
        string name = NameOf(objectAttributes);
        bool kernel = !objectAttributes.IsNull && (objectAttributes.Attributes & Ob.OBJ_KERNEL_HANDLE) != 0;
        NtStatus status = nt.Mm.NewSection(size, sectionPageProtection, allocationAttributes, out NtObject? made);
        if (!status.IsSuccess) return status;
        if (name.Length > 0) status = nt.Ob.Insert(name, made!);
        if (status.IsSuccess) nt.Memory.Write(sectionHandle, nt.Ob.Open(made!, desiredAccess, kernel));
        nt.Ob.Dereference(made!);
        return status;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenSection(Va sectionHandle, uint desiredAccess, ObjectAttributes objectAttributes)
    {
        NtStatus status = nt.Ob.Lookup(objectAttributes.ObjectName.Text, out NtObject? found, out _);
        if (!status.IsSuccess) return status;
        if (found!.Type != nt.Ob.SectionType) return STATUS_OBJECT_TYPE_MISMATCH;
        bool kernel = (objectAttributes.Attributes & Ob.OBJ_KERNEL_HANDLE) != 0;
        nt.Memory.Write(sectionHandle, nt.Ob.Open(found, desiredAccess, kernel));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwMapViewOfSection(
        Handle sectionHandle, Handle processHandle, Va baseAddress, ulong zeroBits, ulong commitSize, Va sectionOffset,
        Va viewSize, uint inheritDisposition, uint allocationType, uint win32Protect)
    {
        if (nt.Ob.Lookup(sectionHandle) is not { } section) return STATUS_INVALID_HANDLE;
        if (section.Type != nt.Ob.SectionType) return STATUS_OBJECT_TYPE_MISMATCH;
        if (inheritDisposition is not (ViewShare or ViewUnmap)) return STATUS_INVALID_PARAMETER_8;
        if (LimitOf(zeroBits) is not { } limit) return STATUS_INVALID_PARAMETER_4;
        return InProcess(processHandle, () =>
        {
            Va start = nt.Memory.Read<Va>(baseAddress);
            ulong bytes = nt.Memory.Read<ulong>(viewSize);
            ulong offset = sectionOffset.IsNull ? 0 : nt.Memory.Read<ulong>(sectionOffset);
            bool topDown = (allocationType & UserSpace.MEM_TOP_DOWN) != 0;
            NtStatus status = nt.Mm.MapView(section, ref start, ref offset, ref bytes, limit, topDown, win32Protect);
            if (!status.IsSuccess) return status;
            nt.Memory.Write(baseAddress, start);
            nt.Memory.Write(viewSize, bytes);
            if (!sectionOffset.IsNull) nt.Memory.Write(sectionOffset, offset);
            return status;
        });
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwUnmapViewOfSection(Handle processHandle, Va baseAddress) => InProcess(processHandle, () =>
    {
        if (nt.Mm.Space.Find(baseAddress.Page) is not { Kind: VadKind.Section } vad) return STATUS_NOT_MAPPED_VIEW;
        nt.Mm.UnmapView(vad);
        return STATUS_SUCCESS;
    });

    [Export(Support.Partial, "File-backed sections need a file system."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtCreateSection(
        Va sectionHandle, uint desiredAccess, ObjectAttributes objectAttributes, Va maximumSize,
        uint sectionPageProtection, uint allocationAttributes, Handle fileHandle) =>
        ZwCreateSection(sectionHandle, desiredAccess, objectAttributes, maximumSize, sectionPageProtection,
            allocationAttributes, fileHandle);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus NtMapViewOfSection(
        Handle sectionHandle, Handle processHandle, Va baseAddress, ulong zeroBits, ulong commitSize, Va sectionOffset,
        Va viewSize, uint inheritDisposition, uint allocationType, uint win32Protect) =>
        ZwMapViewOfSection(sectionHandle, processHandle, baseAddress, zeroBits, commitSize, sectionOffset, viewSize,
            inheritDisposition, allocationType, win32Protect);
}
