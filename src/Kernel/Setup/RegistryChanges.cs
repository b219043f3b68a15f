namespace Ringdown.Kernel;

/// <summary>Does in a machine's registry what lines of an INF file say.</summary>
static class RegistryChanges
{
    const string Machine = @"\Registry\Machine";

    /// <param name="relative">The path that HKR stands for.</param>
    /// <param name="divert">What the key of a relative value is, for values that have a place of their own; null: there
    /// are none.</param>
    /// <exception cref="InfException">A line says what cannot be.</exception>
    public static void Apply(NtKernel nt, IEnumerable<InfRegistryChange> changes, string relative,
        Func<InfRegistryChange, (string Path, RegistryValue? Data)?>? divert = null)
    {
        foreach (InfRegistryChange change in changes)
        {
            string root = change.Root switch
            {
                InfRoot.LocalMachine => Machine,
                InfRoot.ClassesRoot => Machine + @"\Software\Classes",
                InfRoot.CurrentUser => @"\Registry\User\.Default",
                InfRoot.Users => @"\Registry\User",
                _ => relative,
            };
            string path = change.Key.Length == 0 ? root : $@"{root}\{change.Key}";
            RegistryValue? data = change.Data;
            if (change.Root == InfRoot.Relative && divert?.Invoke(change) is { } other) (path, data) = other;
            if (change.Deletes) Delete(nt.Cm, change, path);
            else Set(nt, change, path, data);
        }
    }

    static void Delete(Cm cm, InfRegistryChange change, string path)
    {
        if (cm.Find(path) is not { } key) return;
        if (change.Name is null)
        {
            // A root itself stays.
            if (change.Key.Length > 0 && key.Parent is not null) key.Delete();
            return;
        }
        if (change.Data is not { } text)
        {
            key.RemoveValue(change.Name);
            return;
        }
        if (key.Node.FindValue(change.Name) is { Type: RegistryValue.REG_MULTI_SZ } list)
            key.Set(change.Name, RegistryValue.MultiString([.. Strings(list).Where(
                s => !s.Equals(text.Text, StringComparison.OrdinalIgnoreCase))]));
    }

    static void Set(NtKernel nt, InfRegistryChange change, string path, RegistryValue? data)
    {
        if (change.Bits is { } bits)
        {
            if (nt.Cm.Find(path) is { } found && found.Node.FindValue(change.Name!) is { } value
                && bits.Change(value) is { } changed) found.Set(change.Name!, changed);
            return;
        }
        RegistryKey key = nt.Cm.Create(path);
        if (change.Security is { } sddl) Protect(nt, change, key, sddl);
        if (change.Name is not { } name || data is null) return;
        RegistryValue? old = key.Node.FindValue(name);
        if ((change.Flags & InfRegistryFlags.NoClobber) != 0 && old is not null) return;
        if ((change.Flags & InfRegistryFlags.OverwriteOnly) != 0 && old is null) return;
        bool appends = (change.Flags & InfRegistryFlags.Append) != 0 && data.Type == RegistryValue.REG_MULTI_SZ;
        key.Set(name, appends && old is not null ? Appended(old, Strings(data)) : data);
    }

    static void Protect(NtKernel nt, InfRegistryChange change, RegistryKey key, string sddl)
    {
        if (Sddl.TryParse(sddl, nt.Ob.KeyType.Mapping) is not { } security)
            throw change.Line.Wrong($"\"{sddl}\" of its .Security section is no security descriptor.");
        key.Change(n => n with { Security = [.. security.ToBytes()] }, RegistryChange.Security);
    }

    /// <summary>A list with strings that are not in it yet behind the others.</summary>
    public static RegistryValue Appended(RegistryValue? list, IEnumerable<string> more)
    {
        List<string> all = list is null ? [] : Strings(list);
        foreach (string text in more)
            if (!all.Contains(text, StringComparer.OrdinalIgnoreCase)) all.Add(text);
        return RegistryValue.MultiString([.. all]);
    }

    static List<string> Strings(RegistryValue list) =>
        [.. list.RawText.Split('\0', StringSplitOptions.RemoveEmptyEntries)];
}
