using System.Numerics;
using System.Text;

namespace Ringdown.Machine;

/// <summary>A .pdb: which image it belongs to, names of functions, and lines.</summary>
/// <remarks>Throws nothing: what is broken is absent.</remarks>
sealed class PdbReader
{
    const uint PdbStream = 1, DbiStream = 3;
    const ushort NoStream = 0xFFFF;

    readonly MsfFile _file;
    readonly byte[] _dbi;
    readonly List<(uint Rva, uint Size)> _sections = [];

    PdbReader(MsfFile file, byte[] dbi) => (_file, _dbi) = (file, dbi);

    /// <summary>The same in the image's debug directory, when the .pdb belongs to it.</summary>
    public Guid Guid { get; private init; }
    public uint Age { get; private init; }

    /// <summary>Null when the bytes are no .pdb.</summary>
    public static PdbReader? Open(byte[] bytes)
    {
        if (MsfFile.Open(bytes) is not { } file) return null;
        ByteCursor info = new(file.Read(PdbStream));
        info.Skip(12);
        ReadOnlySpan<byte> guid = info.Take(16);
        byte[] dbi = file.Read(DbiStream);
        ByteCursor header = new(dbi);
        header.Skip(8);
        // Tools that write into a .pdb later count the age of its first stream up, but not this one.
        uint age = header.U32();
        if (info.Failed || header.Failed || dbi.Length < 64) return null;
        PdbReader reader = new(file, dbi) { Guid = new Guid(guid), Age = age };
        return reader.ReadSections() ? reader : null;
    }

    /// <summary>Adds names by RVA; a procedure's own name replaces a public, which may be decorated.</summary>
    public void AddFunctions(PeImage image, Dictionary<uint, string> names)
    {
        ByteCursor header = new(_dbi);
        header.Skip(20);
        ReadSymbols(_file.Read(header.U16()), image, names);
        foreach (Module module in Modules())
        {
            ReadOnlySpan<byte> stream = _file.Read(module.Stream);
            // A signature is before the first symbol.
            if (module.SymbolBytes >= 4 && module.SymbolBytes <= stream.Length)
                ReadSymbols(stream[4..(int)module.SymbolBytes], image, names);
        }
    }

    public void AddLines(LineTable.Builder lines)
    {
        byte[] names = NameTable();
        foreach (Module module in Modules())
        {
            ByteCursor stream = new(_file.Read(module.Stream));
            stream.Skip(module.SymbolBytes);
            stream.Skip(module.OldLineBytes);
            PdbLines.Read(stream.Take(module.LineBytes), names, Rva, lines);
        }
    }

    readonly record struct Module(ushort Stream, uint SymbolBytes, uint OldLineBytes, uint LineBytes);

    /// <summary>The object files that have a stream; each stream once.</summary>
    List<Module> Modules()
    {
        ByteCursor header = new(_dbi);
        header.Skip(24);
        uint size = header.U32();
        header.Skip(36);
        ByteCursor list = new(header.Take(size));
        List<Module> modules = [];
        HashSet<ushort> seen = [];
        while (list.Left >= 64)
        {
            list.Skip(34);
            Module module = new(list.U16(), list.U32(), list.U32(), list.U32());
            list.Skip(16);
            list.Text(Encoding.UTF8);
            list.Text(Encoding.UTF8);
            list.Align(4);
            if (!list.Failed && module.Stream != NoStream && seen.Add(module.Stream)) modules.Add(module);
        }
        return modules;
    }

    bool ReadSections()
    {
        ByteCursor header = new(_dbi);
        header.Skip(24);
        // The sizes of the parts before the last one, which says where the headers of the sections are.
        ulong before = 0;
        for (int i = 0; i < 5; i++) before += header.U32();
        header.Skip(4);
        uint size = header.U32();
        before += header.U32();
        header.Skip(8);
        header.Skip(before);
        ByteCursor streams = new(header.Take(size));
        streams.Skip(6);
        ushort toSource = streams.U16();
        streams.Skip(2);
        ushort sections = streams.U16();
        // An image whose code was moved after it was linked has other addresses than its .pdb; none was for years.
        if (streams.Failed || (toSource is not 0 and not NoStream)) return false;
        ByteCursor table = new(_file.Read(sections));
        while (table.Left >= 40)
        {
            table.Skip(8);
            uint length = table.U32(), rva = table.U32();
            table.Skip(24);
            _sections.Add((rva, length));
        }
        return _sections.Count > 0;
    }

    uint? Rva(ushort section, uint offset) =>
        section == 0 || section > _sections.Count || offset > _sections[section - 1].Size
            ? null : _sections[section - 1].Rva + offset;

    void ReadSymbols(ReadOnlySpan<byte> records, PeImage image, Dictionary<uint, string> names)
    {
        const ushort Public = 0x110E, Procedure = 0x1110, LocalProcedure = 0x110F, ProcedureId = 0x1147;
        const ushort LocalProcedureId = 0x1146;
        ByteCursor cursor = new(records);
        while (!cursor.AtEnd)
        {
            ByteCursor record = new(cursor.Take(cursor.U16()));
            ushort kind = record.U16();
            bool isProcedure = kind is Procedure or LocalProcedure or ProcedureId or LocalProcedureId;
            if (!isProcedure && kind != Public) continue;
            record.Skip(isProcedure ? 28UL : 4UL);
            uint offset = record.U32();
            ushort section = record.U16();
            if (isProcedure) record.Skip(1);
            string name = record.Text(Encoding.UTF8);
            if (!record.Failed && name.Length > 0 && Rva(section, offset) is { } rva
                && image.SectionAt(rva) is { IsExecutable: true })
                names[rva] = name;
        }
    }

    /// <summary>The texts of the stream "/names", to which lines refer by offset.</summary>
    byte[] NameTable()
    {
        ByteCursor info = new(_file.Read(PdbStream));
        info.Skip(28);
        ReadOnlySpan<byte> texts = info.Take(info.U32());
        info.Skip(4);
        uint capacity = info.U32();
        ByteCursor present = new(info.Take(info.U32() * 4UL));
        info.Skip(info.U32() * 4UL);
        int count = 0;
        for (uint i = 0; i < capacity && !present.AtEnd; i += 32) count += BitOperations.PopCount(present.U32());
        for (; count > 0 && !info.AtEnd; count--)
        {
            uint name = info.U32(), stream = info.U32();
            if (name >= texts.Length || !texts[(int)name..].StartsWith("/names\0"u8)) continue;
            ByteCursor table = new(_file.Read(stream));
            table.Skip(8);
            return table.Take(table.U32()).ToArray();
        }
        return [];
    }
}
