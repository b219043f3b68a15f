using System.Text;

namespace Ringdown.Machine;

/// <summary>Imports, exports and the load configuration.</summary>
public sealed partial class PeImage
{
    const int MaximumEntries = 65536, MaximumName = 512;

    List<PeImport> ReadImports()
    {
        var imports = new List<PeImport>();
        PeDirectory directory = Directory(1, "import");
        if (directory.Rva == 0) return imports;
        for (uint at = directory.Rva; ; at += 20)
        {
            uint names = Rva32(at), name = Rva32(at + 12), addresses = Rva32(at + 16);
            if (name == 0 && addresses == 0) return imports;
            ReadThunks(imports, Text(name), names == 0 ? addresses : names, addresses, delayed: false);
        }
    }

    List<PeImport> ReadDelayImports()
    {
        var imports = new List<PeImport>();
        PeDirectory directory = Directory(13, "delay import");
        if (directory.Rva == 0) return imports;
        for (uint at = directory.Rva; ; at += 32)
        {
            uint name = Rva32(at + 4), addresses = Rva32(at + 12), names = Rva32(at + 16);
            if (name == 0) return imports;
            ReadThunks(imports, Text(name), names, addresses, delayed: true);
        }
    }

    void ReadThunks(List<PeImport> imports, string module, uint names, uint addresses, bool delayed)
    {
        for (uint i = 0; ; i++)
        {
            ulong thunk = Rva64(names + i * 8);
            if (thunk == 0) return;
            if (imports.Count >= MaximumEntries) throw Bad("The import table does not end.");
            uint slot = addresses + i * 8;
            if ((ulong)slot + 8 > SizeOfImage) throw Bad($"The import addresses of {module} lie outside the image.");
            imports.Add((long)thunk < 0
                ? new PeImport(module, null, (ushort)thunk, slot, delayed)
                : new PeImport(module, Text((uint)thunk + 2), 0, slot, delayed));
        }
    }

    List<PeExport> ReadExports()
    {
        var exports = new List<PeExport>();
        PeDirectory directory = Directory(0, "export");
        if (directory.Rva == 0) return exports;
        uint ordinalBase = Rva32(directory.Rva + 16), functions = Rva32(directory.Rva + 20), names = Rva32(directory.Rva + 24);
        uint functionTable = Rva32(directory.Rva + 28), nameTable = Rva32(directory.Rva + 32), ordinalTable = Rva32(directory.Rva + 36);
        if (functions > MaximumEntries || names > MaximumEntries) throw Bad("The export table is too long to be true.");
        var nameOf = new Dictionary<uint, string>();
        for (uint i = 0; i < names; i++) nameOf.TryAdd(Rva16(ordinalTable + i * 2), Text(Rva32(nameTable + i * 4)));
        for (uint i = 0; i < functions; i++)
        {
            uint rva = Rva32(functionTable + i * 4);
            if (rva == 0) continue;
            bool forwards = rva >= directory.Rva && rva < directory.Rva + directory.Size;
            exports.Add(new PeExport(nameOf.GetValueOrDefault(i), ordinalBase + i, forwards ? 0 : rva, forwards ? Text(rva) : null));
        }
        return exports;
    }

    uint? ReadCookie()
    {
        PeDirectory directory = Directory(10, "load configuration");
        if (directory.Rva == 0 || directory.Size < 0x60) return null;
        ulong cookie = Rva64(directory.Rva + 0x58);
        if (cookie == 0) return null;
        ulong rva = unchecked(cookie - PreferredBase);
        if (rva + 8 > SizeOfImage || rva + 8 < rva) throw Bad("The security cookie lies outside the image.");
        return (uint)rva;
    }

    string Text(uint rva)
    {
        var text = new StringBuilder();
        for (uint i = 0; i < MaximumName; i++)
        {
            byte c = At(rva + i, 1)[0];
            if (c == 0) return text.ToString();
            text.Append((char)c);
        }
        throw Bad($"The name at 0x{rva:x} does not end.");
    }
}
