using System.Text;

namespace Ringdown.Machine;

/// <summary>Which .pdb belongs to an image.</summary>
/// <param name="Path">As the linker wrote it: a name or a path of the building machine.</param>
/// <param name="Guid">Of one build, or a hash of it.</param>
/// <param name="Age">How often the linker wrote that .pdb.</param>
public sealed record CodeView(string Path, Guid Guid, uint Age);

public sealed partial class PeImage
{
    /// <summary>What the debug directory says of the .pdb; null when it says nothing or is broken.</summary>
    public CodeView? CodeView
    {
        get
        {
            const uint TypeCodeView = 2, Rsds = 0x53445352;
            PeDirectory directory = Directory(PeDirectoryKind.Debug);
            if (!directory.IsPresent || !_mapped.Has(directory.Rva, directory.Size)) return null;
            ByteCursor table = new(_mapped.Span(directory.Rva, directory.Size, ""));
            while (table.Left >= 28)
            {
                table.Skip(12);
                uint type = table.U32(), size = table.U32(), rva = table.U32(), offset = table.U32();
                if (type != TypeCodeView) continue;
                ByteCursor record = new(DebugData(rva, offset, size));
                if (record.U32() != Rsds) continue;
                ReadOnlySpan<byte> guid = record.Take(16);
                uint age = record.U32();
                string path = record.Text(Encoding.UTF8);
                if (!record.Failed) return new CodeView(path, new Guid(guid), age);
            }
            return null;
        }
    }

    /// <summary>Debug data need not be mapped: then it has no RVA.</summary>
    ReadOnlySpan<byte> DebugData(uint rva, uint offset, uint size)
    {
        if (rva != 0) return _mapped.Has(rva, size) ? _mapped.Span(rva, size, "") : default;
        ImageBytes file = new(File, "the file");
        return file.Has(offset, size) ? file.Span(offset, size, "") : default;
    }
}
