namespace Ringdown.Kernel;

/// <summary>Sections with what Include and Needs add to them.</summary>
sealed class InfSections(InfFile inf, Func<string, byte[]?> open, List<InfNote> notes)
{
    const int MostNeeds = 200, MostChanges = 100_000, MostIncluded = 32;

    readonly HashSet<string> _included = new(StringComparer.OrdinalIgnoreCase);
    int _changes;

    public InfFile Inf { get; } = inf;

    public void Tell(InfNote note)
    {
        if (!notes.Contains(note)) notes.Add(note);
    }

    /// <summary>The lines of a section, and after them those of the sections that it needs; without Include and Needs
    /// themselves.</summary>
    public List<InfLine> Lines(string section)
    {
        List<InfLine> all = [];
        var seen = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        var waiting = new Queue<string>();
        waiting.Enqueue(section);
        while (waiting.TryDequeue(out string? name))
        {
            if (!seen.Add(name)) continue;
            foreach (InfLine line in Inf.Lines(name))
            {
                if (line.IsKey("Include")) Include(line);
                else if (line.IsKey("Needs"))
                {
                    foreach (string needed in line.Fields.Where(f => f.Length > 0))
                    {
                        if (seen.Count + waiting.Count > MostNeeds) throw line.Wrong("So many sections none needs.");
                        if (Inf.Has(needed)) waiting.Enqueue(needed);
                        else Tell(line.Note($"Needs: [{needed}] is not there, so what it says is not done."));
                    }
                }
                else all.Add(line);
            }
        }
        return all;
    }

    void Include(InfLine line)
    {
        foreach (string name in line.Fields.Where(f => f.Length > 0))
        {
            if (!_included.Add(name)) continue;
            if (_included.Count > MostIncluded) throw line.Wrong("So many files none includes.");
            if (open(name) is { } bytes) Inf.Append(InfFile.Parse(name, bytes));
            else Tell(line.Note($"Include: {name} is not beside the package."));
        }
    }

    /// <summary>What AddReg, DelReg and BitReg lines say, by the section's own lines: deletions come first, as SetupAPI
    /// does them.</summary>
    public List<InfRegistryChange> Registry(IReadOnlyList<InfLine> lines)
    {
        List<InfRegistryChange> changes = [];
        Collect(lines, "DelReg", InfRegistryChange.Delete, changes);
        Collect(lines, "AddReg", InfRegistryChange.Add, changes);
        Collect(lines, "BitReg", InfRegistryChange.Bit, changes);
        return changes;
    }

    void Collect(IReadOnlyList<InfLine> lines, string key, Func<InfLine, InfRegistryChange> read,
        List<InfRegistryChange> changes)
    {
        foreach (InfLine line in lines.Where(l => l.IsKey(key)))
            foreach (string section in line.Fields.Where(f => f.Length > 0))
            {
                if (Inf.Find(section) is not { } found) throw line.Wrong($"There is no section [{section}].");
                // A section may be named again and again.
                if ((_changes += found.Count + 1) > MostChanges)
                    throw line.Wrong("So many changes of the registry no package makes.");
                string? security = key == "AddReg" ? Inf.Lines(section + ".Security") is [var sddl, ..]
                    ? sddl.Field(0) : null : null;
                changes.AddRange(found.Select(l => read(l) with { Security = security }));
            }
    }
}
