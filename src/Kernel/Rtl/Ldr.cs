using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>How deep in an image's resources something lies: type, name, language, and the data below.</summary>
enum ResourceLevel { Type, Name, Language, Data }

/// <summary>Resources of images: a tree of directories, by type, name and language.</summary>
[NtModule("ntoskrnl.exe")]
sealed class Ldr(NtKernel nt)
{
    const int DirectoryBytes = 16, EntryBytes = 8;
    const ushort ResourceDirectory = 2;
    const uint IsNamed = 0x8000_0000, IsDirectory = 0x8000_0000;

    /// <summary>The IMAGE_RESOURCE_DATA_ENTRY at a path of type, name and language, each a number or a pointer to
    /// text.</summary>
    [Export]
    public NtStatus LdrFindResource_U(Va dllHandle, Va resourceInfo, uint level, Va resourceDataEntry)
    {
        if (level > 3) return STATUS_INVALID_PARAMETER;
        ulong[] path = new ulong[level];
        for (int i = 0; i < path.Length; i++) path[i] = nt.Memory.Read<ulong>(resourceInfo + i * 8);
        NtStatus status = Find(dllHandle, path, out Va entry, ResourceLevel.Data);
        if (status.IsSuccess) nt.Memory.Write(resourceDataEntry, entry);
        return status;
    }

    [Export]
    public NtStatus LdrFindResourceDirectory_U(Va dllHandle, Va resourceInfo, uint level, Va resourceDirectory)
    {
        if (level > 3) return STATUS_INVALID_PARAMETER;
        ulong[] path = new ulong[level];
        for (int i = 0; i < path.Length; i++) path[i] = nt.Memory.Read<ulong>(resourceInfo + i * 8);
        NtStatus status = Find(dllHandle, path, out Va found, (ResourceLevel)level);
        if (status.IsSuccess) nt.Memory.Write(resourceDirectory, found);
        return status;
    }

    /// <summary>Where the bytes of a resource are, and how many.</summary>
    [Export]
    public NtStatus LdrAccessResource(Va dllHandle, Va resourceDataEntry, Va address, Va size)
    {
        Va start = new(dllHandle.Value & ~3UL);
        ImageHeaders image = ImageHeaders.At(nt.Memory, start);
        if (image.Directory(ResourceDirectory).Rva == 0) return STATUS_RESOURCE_DATA_NOT_FOUND;
        uint rva = nt.Memory.Read<uint>(resourceDataEntry);
        Va data = start == dllHandle ? start + (ulong)rva : image.InFile(rva);
        if (data.IsNull) return STATUS_RESOURCE_DATA_NOT_FOUND;
        if (!address.IsNull) nt.Memory.Write(address, data);
        if (!size.IsNull) nt.Memory.Write(size, nt.Memory.Read<uint>(resourceDataEntry + 4));
        return STATUS_SUCCESS;
    }

    /// <summary>Walks down the tree. A level that the path leaves out takes its first entry.</summary>
    public NtStatus Find(Va module, ReadOnlySpan<ulong> path, out Va found, ResourceLevel until)
    {
        Va start = new(module.Value & ~3UL);
        ImageHeaders image = ImageHeaders.At(nt.Memory, start);
        (uint rva, _) = image.Directory(ResourceDirectory);
        found = Va.Null;
        if (rva == 0) return STATUS_RESOURCE_DATA_NOT_FOUND;
        Va root = start == module ? start + (ulong)rva : image.InFile(rva), at = root;
        if (root.IsNull) return STATUS_RESOURCE_DATA_NOT_FOUND;
        bool isDirectory = true;
        for (int level = 0; level < (int)until && isDirectory; level++)
        {
            nt.Ke.Clock.Spend();
            uint offset = level < path.Length ? Lookup(root, at, path[level], level == (int)ResourceLevel.Language)
                : FirstOf(at);
            if (offset == 0) return Missing(level);
            (isDirectory, at) = ((offset & IsDirectory) != 0, root + (ulong)(offset & ~IsDirectory));
        }
        if (until == ResourceLevel.Data && isDirectory) return STATUS_RESOURCE_DATA_NOT_FOUND;
        found = at;
        return STATUS_SUCCESS;
    }

    static NtStatus Missing(int level) => level switch
    {
        0 => STATUS_RESOURCE_TYPE_NOT_FOUND,
        1 => STATUS_RESOURCE_NAME_NOT_FOUND,
        _ => STATUS_RESOURCE_LANG_NOT_FOUND,
    };

    int CountOf(Va directory) => nt.Memory.Read<ushort>(directory + 12) + nt.Memory.Read<ushort>(directory + 14);

    uint FirstOf(Va directory) => CountOf(directory) == 0 ? 0 : nt.Memory.Read<uint>(directory + DirectoryBytes + 4);

    // The offset of what an entry names, zero where none does; any language is better than none for language 0.
    uint Lookup(Va root, Va directory, ulong id, bool isLanguage)
    {
        string? name = id > ushort.MaxValue ? nt.Crt.ReadWide(new Va(id), ushort.MaxValue) : null;
        if (isLanguage && id == 0) return FirstOf(directory);
        for (int i = 0, count = CountOf(directory); i < count; i++)
        {
            nt.Ke.Clock.Spend();
            Va entry = directory + DirectoryBytes + i * EntryBytes;
            uint key = nt.Memory.Read<uint>(entry);
            bool match = (key & IsNamed) == 0 ? name is null && key == id
                : name is not null && Rtl.Compare(NameAt(root + (ulong)(key & ~IsNamed)), name, ignoreCase: true) == 0;
            if (match) return nt.Memory.Read<uint>(entry + 4);
        }
        return 0;
    }

    string NameAt(Va at)
    {
        int length = nt.Memory.Read<ushort>(at);
        return System.Text.Encoding.Unicode.GetString(nt.Memory.ReadBytes(at + 2, length * 2));
    }
}
