using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Which sections of drivers may be paged out: those named PAGE…, unless somebody has locked them. What may
/// be is away at DISPATCH_LEVEL and above, as when Windows' verifier trims the system.</summary>
sealed class DriverPaging(NtKernel nt)
{
    readonly Dictionary<Va, int> _locks = [];
    readonly HashSet<Va> _wholeDrivers = [], _readOnly = [];

    /// <summary>Sets the protection of an image's pages, and whether they can be away.</summary>
    public void Apply(LoadedImage image)
    {
        nt.Memory.Protect(image.Base, image.Size, Protection.Read | Paged(_wholeDrivers.Contains(image.Base)));
        foreach (PeSection section in image.Image.Sections)
        {
            Va start = image.Base + section.Rva;
            Protection may = section.Protection & (_readOnly.Contains(start) ? ~Protection.Write : ~Protection.None);
            nt.Memory.Protect(start, section.VirtualSize, may | Paged(IsPageable(image, section)));
        }
        foreach ((Va start, ulong bytes) in image.HostPages)
            nt.Memory.Protect(start, bytes, Protection.ReadExecute | Protection.Host);
    }

    static Protection Paged(bool pageable) => pageable ? Protection.Paged : Protection.None;

    bool IsPageable(LoadedImage image, PeSection section)
    {
        Va start = image.Base + section.Rva;
        if (image.IsKernel || _locks.ContainsKey(start)) return false;
        return section.IsPageable || _wholeDrivers.Contains(image.Base);
    }

    /// <summary>The section of a driver in which an address lies.</summary>
    public (LoadedImage Image, PeSection Section)? SectionAt(Va address)
    {
        if (nt.Loader.ImageAt(address) is not { } image) return null;
        uint rva = (uint)(address - image.Base);
        PeSection? section = image.Image.Sections.FirstOrDefault(s => s.Contains(rva));
        return section is null ? null : (image, section);
    }

    public bool IsPageable(Va address) => SectionAt(address) is var (image, section) && IsPageable(image, section);

    /// <summary>Locks the section in which an address lies.</summary>
    /// <returns>Its handle: where it begins; null if the address is in no section.</returns>
    public Va Lock(Va address)
    {
        if (SectionAt(address) is not var (image, section)) return Va.Null;
        Va handle = image.Base + section.Rva;
        _locks[handle] = _locks.GetValueOrDefault(handle) + 1;
        if (_locks[handle] == 1) Apply(image);
        return handle;
    }

    /// <returns>False if the section is not locked.</returns>
    public bool Unlock(Va handle)
    {
        if (!_locks.TryGetValue(handle, out int count)) return false;
        if (count > 1) _locks[handle] = count - 1;
        else
        {
            _locks.Remove(handle);
            Apply(nt.Loader.ImageAt(handle)!);
        }
        return true;
    }

    /// <summary>From now on the section in which an address lies cannot be written.</summary>
    /// <returns>False if the address is in no section of a driver.</returns>
    public bool MakeReadOnly(Va address)
    {
        if (SectionAt(address) is not var (image, section) || image.IsKernel) return false;
        if (_readOnly.Add(image.Base + section.Rva)) Apply(image);
        return true;
    }

    /// <summary>MmPageEntireDriver: all of it may go, whatever its sections are called.</summary>
    public Va PageAll(Va address)
    {
        if (nt.Loader.ImageAt(address) is not { IsKernel: false } image) return Va.Null;
        if (_wholeDrivers.Add(image.Base)) Apply(image);
        return image.Base;
    }

    /// <summary>MmResetDriverPaging: as its sections say again.</summary>
    public void Reset(Va address)
    {
        if (nt.Loader.ImageAt(address) is { } image && _wholeDrivers.Remove(image.Base)) Apply(image);
    }
}
