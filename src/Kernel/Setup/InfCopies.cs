namespace Ringdown.Kernel;

/// <summary>A file that is copied.</summary>
/// <param name="Source">Below the package's folder, with backslashes.</param>
/// <param name="Target">Where it comes to lie: C:\Windows\...</param>
sealed record InfCopy(InfLine Line, string Source, string Target);

/// <summary>CopyFiles: which file comes from where and goes where.</summary>
static class InfCopies
{
    const int MostFiles = 10_000;

    public static List<InfCopy> Read(InfSections sections, IReadOnlyList<InfLine> lines)
    {
        List<InfCopy> copies = [];
        InfFile inf = sections.Inf;
        foreach (InfLine line in lines.Where(l => l.IsKey("CopyFiles")))
            foreach (string name in line.Fields.Where(f => f.Length > 0))
            {
                if (name[0] == '@')
                {
                    string file = name[1..];
                    copies.Add(Copy(inf, line, file, file, Directory(inf, line, null)));
                    continue;
                }
                if (inf.Find(name) is not { } list) throw line.Wrong($"There is no section [{name}].");
                if (copies.Count + list.Count > MostFiles) throw line.Wrong("So many files no package has.");
                string target = Directory(inf, line, name);
                copies.AddRange(list.Select(l => Copy(inf, l, l.Field(1).Length > 0 ? l.Field(1) : l.Field(0),
                    l.Field(0), target)));
            }
        return copies;
    }

    static InfCopy Copy(InfFile inf, InfLine line, string source, string name, string target)
    {
        if (name.Length == 0 || name.Contains('\\') && name.Contains(".."))
            throw line.Wrong("A file's name is expected.");
        return new InfCopy(line, Source(inf, line, source), target.Length == 0 ? name : $@"{target}\{name}");
    }

    // [DestinationDirs]: by the list's own name, or for all others.
    static string Directory(InfFile inf, InfLine line, string? list)
    {
        InfLine? found = (list is null ? null : inf.Line("DestinationDirs", list))
            ?? inf.Line("DestinationDirs", "DefaultDestDir");
        if (found is null)
            throw line.Wrong($"[DestinationDirs] says neither {list ?? "@"} nor DefaultDestDir.");
        uint number = found.NumberAt(0);
        string directory = InfDirectories.Find(number, inf.Store)
            ?? throw found.Wrong($"The directory {number} is not known.");
        string below = found.Field(1).Trim('\\');
        return below.Length == 0 ? directory : directory.Length == 0 ? below : $@"{directory}\{below}";
    }

    // [SourceDisksFiles] says on which disk and in which folder of it, [SourceDisksNames] where the disk begins.
    static string Source(InfFile inf, InfLine line, string file)
    {
        InfLine? place = inf.Line("SourceDisksFiles.amd64", file) ?? inf.Line("SourceDisksFiles", file);
        if (place is null) throw line.Wrong($"[SourceDisksFiles] does not say where {file} is.");
        string disk = place.Field(0);
        InfLine? root = inf.Line("SourceDisksNames.amd64", disk) ?? inf.Line("SourceDisksNames", disk);
        if (root is null) throw place.Wrong($"[SourceDisksNames] has no disk {disk}.");
        string path = string.Join('\\', new[] { root.Field(3), place.Field(1), file }
            .Select(p => p.Trim('\\')).Where(p => p.Length is > 0));
        return path.StartsWith(@".\", StringComparison.Ordinal) ? path[2..] : path;
    }
}
