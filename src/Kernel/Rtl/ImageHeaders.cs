using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The headers of an image in guest memory, as it stands there: it may be anything.</summary>
readonly struct ImageHeaders
{
    const int MaximumHeaderOffset = 0x1000_0000;
    const int OptionalOffset = 24, SectionBytes = 40;

    readonly Memory _memory;
    readonly Va _base, _nt;

    ImageHeaders(Memory memory, Va start, Va headers) => (_memory, _base, _nt) = (memory, start, headers);

    public Va Base => _base;

    /// <summary>Where IMAGE_NT_HEADERS begins; null for what is no image.</summary>
    public Va NtHeaders => _nt;

    public static ImageHeaders At(Memory memory, Va start)
    {
        var none = new ImageHeaders(memory, start, Va.Null);
        if (start.IsNull || start.Value == ulong.MaxValue || memory.Read<ushort>(start) != 0x5A4D) return none;
        uint offset = memory.Read<uint>(start + 0x3C);
        if (offset >= MaximumHeaderOffset) return none;
        Va headers = start + (ulong)offset;
        return memory.Read<uint>(headers) == 0x4550 ? new ImageHeaders(memory, start, headers) : none;
    }

    /// <summary>An entry of the data directory: RVA and size, zero where there is none.</summary>
    public (uint Rva, uint Size) Directory(uint index)
    {
        if (_nt.IsNull) return default;
        int directories = _memory.Read<ushort>(_nt + OptionalOffset) switch { 0x20B => 112, 0x10B => 96, _ => 0 };
        if (directories == 0) return default;
        Va at = _nt + OptionalOffset + directories;
        return index >= _memory.Read<uint>(at - 4) || index >= 16 ? default
            : (_memory.Read<uint>(at + index * 8UL), _memory.Read<uint>(at + index * 8UL + 4));
    }

    /// <summary>Where in a file that is not laid out as an image an RVA lies; null if no section holds it.</summary>
    public Va InFile(uint rva)
    {
        if (rva < _memory.Read<uint>(_nt + OptionalOffset + 60)) return _base + (ulong)rva;
        int count = _memory.Read<ushort>(_nt + 6);
        Va section = _nt + OptionalOffset + _memory.Read<ushort>(_nt + 20);
        for (int i = 0; i < count; i++, section += SectionBytes)
        {
            uint start = _memory.Read<uint>(section + 12), size = _memory.Read<uint>(section + 16);
            if (rva >= start
                && rva - start < size) return _base + (ulong)_memory.Read<uint>(section + 20) + (rva - start);
        }
        return Va.Null;
    }
}
