using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.PageProtection;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Section objects, and views of them in the kernel's half.</summary>
sealed partial class Mm
{
    const int SectionBody = 0x40;
    const ulong MaximumSection = 1UL << 46, MaximumView = 1UL << 28;

    readonly Dictionary<Va, (NtObject Section, ulong Pages)> _systemViews = [];

    /// <summary>What a section object keeps; null for an object of another type.</summary>
    public Section? SectionOf(NtObject target) =>
        target.Type != _nt.Ob.SectionType ? null : target.State as Section ?? Section.Physical;

    public void OnDeleteSection(NtObject target)
    {
        if (target.State is not Section section) return;
        Uncommit((section.Attributes & Section.SEC_COMMIT) != 0 ? section.Size >> 12 : section.Frames);
        section.Delete(_nt.Memory);
    }

    /// <summary>A section of zeroed pages, as the paging file backs.</summary>
    public NtStatus NewSection(ulong size, uint protect, uint attributes, out NtObject? made)
    {
        made = null;
        const uint kinds = Section.SEC_COMMIT | Section.SEC_RESERVE;
        const uint known = kinds | Section.SEC_NOCACHE | Section.SEC_WRITECOMBINE;
        if ((attributes & (Section.SEC_IMAGE | Section.SEC_FILE)) != 0) return STATUS_INVALID_FILE_FOR_SECTION;
        if ((attributes & ~known) != 0 || (attributes & kinds) is 0 or kinds) return STATUS_INVALID_PARAMETER_6;
        if (!IsValid(protect) || (protect & (PAGE_GUARD | PAGE_NOACCESS)) != 0) return STATUS_INVALID_PAGE_PROTECTION;
        if (size == 0) return STATUS_INVALID_PARAMETER_4;
        if (size > MaximumSection) return STATUS_SECTION_TOO_BIG;
        ulong bytes = (size + 0xFFF) & ~0xFFFUL;
        bool commit = (attributes & Section.SEC_COMMIT) != 0;
        if (commit && bytes >> 12 > AvailablePages) return STATUS_COMMITMENT_LIMIT;
        if (commit) Commit(bytes >> 12);
        made = _nt.Ob.Create(_nt.Ob.SectionType, SectionBody, new Section(bytes, protect, attributes));
        return STATUS_SUCCESS;
    }

    /// <summary>The same, for a driver that wants the object and no handle.</summary>
    [Export(Support.Partial, "File-backed sections need a file system."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus MmCreateSection(
        Va sectionObject, uint desiredAccess, ObjectAttributes objectAttributes, Va inputMaximumSize,
        uint sectionPageProtection, uint allocationAttributes, Handle fileHandle, FileObject fileObject)
    {
        if (!fileHandle.IsNull || !fileObject.IsNull) return STATUS_INVALID_FILE_FOR_SECTION;
        NtStatus status = NewSection(_nt.Memory.Read<ulong>(inputMaximumSize), sectionPageProtection,
            allocationAttributes, out NtObject? made);
        if (status.IsSuccess) _nt.Memory.Write(sectionObject, made!.Body);
        return status;
    }

    // The pages of a view take their frames when it is made; the last view does not take them away.
    NtStatus MapPages(Section section, Va view, ulong first, ulong pages, Protection protection)
    {
        Spend(pages);
        ulong had = section.Frames;
        uint cache = (section.Attributes & Section.SEC_NOCACHE) != 0 ? CacheTypes.MmNonCached : CacheTypes.MmCached;
        for (ulong i = 0; i < pages; i++)
        {
            ulong pfn = section.IsPhysical ? first + i : (ulong)section.Frame(_nt.Memory, first + i);
            MapPhysical(view + (i << 12), pfn, protection, cache);
        }
        if ((section.Attributes & Section.SEC_COMMIT) == 0) Commit(section.Frames - had);
        return STATUS_SUCCESS;
    }

    /// <summary>A view in the current process.</summary>
    /// <param name="offset">Where in the section it begins; rounded down for physical memory.</param>
    /// <param name="bytes">How long it is; 0 for all that is left.</param>
    public NtStatus MapView(
        NtObject target, ref Va start, ref ulong offset, ref ulong bytes, ulong limit, bool topDown, uint protect)
    {
        Section section = SectionOf(target)!;
        ulong wanted = offset;
        if (section.IsPhysical) offset &= ~0xFFFFUL;
        if ((offset & 0xFFFF) != 0 || (start.Value & 0xFFFF) != 0) return STATUS_MAPPED_ALIGNMENT;
        if (!IsValid(protect) || (protect & PAGE_GUARD) != 0) return STATUS_INVALID_PAGE_PROTECTION;
        if (!section.IsPhysical && !Allows(section.Protect, protect)) return STATUS_SECTION_PROTECTION;
        if (offset >= section.Size || section.IsPhysical && bytes == 0) return STATUS_INVALID_VIEW_SIZE;
        // The view begins up to 64 KB early, and still reaches as far as was asked for.
        ulong size = bytes == 0 ? section.Size - offset : bytes + (wanted - offset);
        if (size < bytes || size > section.Size - offset || size > MaximumView) return STATUS_INVALID_VIEW_SIZE;
        ulong pages = (size + 0xFFF) >> 12;
        if (!section.IsPhysical && (section.Attributes & Section.SEC_RESERVE) != 0 && pages > AvailablePages)
            return STATUS_COMMITMENT_LIMIT;
        ulong? first = start.IsNull ? Space.FindGap(pages, limit, topDown) : start.Page;
        if (first is not { } page) return STATUS_NO_MEMORY;
        if (!Space.IsFree(page, page + pages)) return STATUS_CONFLICTING_ADDRESSES;
        var vad = new Vad(page, page + pages, VadKind.Section, protect) { Section = section };
        vad.Committed.Set(vad.Start, vad.End, protect);
        Space.Add(vad);
        start = new Va(page << 12);
        bytes = pages << 12;
        _viewed[vad] = target;
        _nt.Ob.Reference(target);
        return MapPages(section, start, offset >> 12, pages, Of(protect));
    }

    /// <summary>The objects that views keep alive.</summary>
    readonly Dictionary<Vad, NtObject> _viewed = [];

    public void UnmapView(Vad vad)
    {
        Space.Remove(vad, vad.Start, vad.End);
        if (_viewed.Remove(vad, out NtObject? section)) _nt.Ob.Dereference(section);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmMapViewInSystemSpace(Va section, Va mappedBase, Va viewSize) =>
        MapInSystem(section, mappedBase, viewSize, 0);

    /// <summary>From an offset on, a multiple of 64 KiB.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmMapViewInSystemSpaceEx(Va section, Va mappedBase, Va viewSize, Va sectionOffset, ulong flags)
    {
        ulong offset = _nt.Memory.Read<ulong>(sectionOffset);
        return (offset & 0xFFFF) != 0 ? STATUS_MAPPED_ALIGNMENT : MapInSystem(section, mappedBase, viewSize, offset);
    }

    /// <summary>There is one session, whose space is the system's.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmMapViewInSessionSpace(Va section, Va mappedBase, Va viewSize) =>
        MapInSystem(section, mappedBase, viewSize, 0);

    NtStatus MapInSystem(Va address, Va mappedBase, Va viewSize, ulong offset)
    {
        NtObject target = _nt.Ob.At(address);
        if (SectionOf(target) is not { } section) return STATUS_OBJECT_TYPE_MISMATCH;
        ulong bytes = _nt.Memory.Read<ulong>(viewSize);
        if (offset >= section.Size || section.IsPhysical && bytes == 0) return STATUS_INVALID_VIEW_SIZE;
        if (bytes == 0) bytes = section.Size - offset;
        if (bytes > section.Size - offset || bytes > MaximumView) return STATUS_INVALID_VIEW_SIZE;
        ulong pages = (bytes + 0xFFF) >> 12;
        if (pages > AvailablePages) return STATUS_NO_MEMORY;
        Va start = ReservePtes((int)pages);
        _nt.Memory.Write(mappedBase, start);
        _nt.Memory.Write(viewSize, pages << 12);
        Protection protection = Of(section.Protect) & ~Protection.User;
        _systemViews.Add(start, (target, pages));
        _nt.Ob.Reference(target);
        return MapPages(section, start, offset >> 12, pages, protection);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmUnmapViewInSystemSpace(Va mappedBase)
    {
        if (!_systemViews.Remove(mappedBase, out var view))
            throw new BugCheck(BugCheckCode.DRIVER_UNMAPPING_INVALID_VIEW, mappedBase.Value, 1);
        _nt.Memory.Unmap(mappedBase, view.Pages << 12);
        _nt.Ob.Dereference(view.Section);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus MmUnmapViewInSessionSpace(Va mappedBase) => MmUnmapViewInSystemSpace(mappedBase);

    /// <summary>A view of a section object in a process; the pointers are the kernel's to write.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus MmMapViewOfSection(
        Va sectionToMap, EProcess process, Va capturedBase, ulong zeroBits, ulong commitSize, Va sectionOffset,
        Va capturedViewSize, uint inheritDisposition, uint allocationType, uint win32Protect)
    {
        NtObject target = _nt.Ob.At(sectionToMap);
        if (SectionOf(target) is null) return STATUS_OBJECT_TYPE_MISMATCH;
        if (Zw.LimitOf(zeroBits) is not { } limit) return STATUS_INVALID_PARAMETER_4;
        Va start = _nt.Memory.Read<Va>(capturedBase);
        ulong bytes = _nt.Memory.Read<ulong>(capturedViewSize), offset = _nt.Memory.Read<ulong>(sectionOffset);
        bool topDown = (allocationType & UserSpace.MEM_TOP_DOWN) != 0;
        NtStatus status = InProcess(process, () =>
            MapView(target, ref start, ref offset, ref bytes, limit, topDown, win32Protect));
        if (!status.IsSuccess) return status;
        _nt.Memory.Write(capturedBase, start);
        _nt.Memory.Write(capturedViewSize, bytes);
        _nt.Memory.Write(sectionOffset, offset);
        return status;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus MmUnmapViewOfSection(EProcess process, Va baseAddress) => InProcess(process, () =>
    {
        if (Space.Find(baseAddress.Page) is not { Kind: VadKind.Section } vad) return STATUS_NOT_MAPPED_VIEW;
        UnmapView(vad);
        return STATUS_SUCCESS;
    });

    // SECTION_OBJECT_POINTERS: the data section, the cache map, the image section. No section of a file is ever made
    // here, so a file system that asks finds its pointers empty; what a driver itself put there counts as in use.
    bool HasSection(Va pointers, int offset) => !_nt.Memory.Read<Va>(pointers + offset).IsNull;

    /// <summary>Whether no image section of a file is left: it may be written, or deleted.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool MmFlushImageSection(Va sectionObjectPointer, uint flushType) => !HasSection(sectionObjectPointer, 0x10);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool MmCanFileBeTruncated(Va sectionPointer, Va newFileSize) =>
        !HasSection(sectionPointer, 0x10) && !HasSection(sectionPointer, 0);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool MmForceSectionClosed(Va sectionObjectPointer, bool delayClose) =>
        !HasSection(sectionObjectPointer, 0x10) && !HasSection(sectionObjectPointer, 0);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool MmForceSectionClosedEx(Va sectionObjectPointer, uint forceCloseFlags) =>
        MmForceSectionClosed(sectionObjectPointer, delayClose: false);

    /// <summary>No page fault here is served by reading a file.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool MmIsRecursiveIoFault() => false;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint MmDoesFileHaveUserWritableReferences(Va sectionPointer) => HasSection(sectionPointer, 0) ? 1u : 0;

    /// <summary>The longest that a section of a file could be.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public ulong MmGetMaximumFileSectionSize() => MaximumSection;
}
