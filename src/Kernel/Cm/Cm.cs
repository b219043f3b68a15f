using static Ringdown.Kernel.RegistryValue;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The configuration manager: the registry.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Cm
{
    const int MostLinks = 32, MostLevels = 512, LongestName = 255, LongestValueName = 16383, MostData = 1 << 20;

    readonly NtKernel _nt;
    ulong _keyIds;

    public Cm(NtKernel nt)
    {
        _nt = nt;
        Root = new RegistryKey(this, null, "REGISTRY", NextKeyId());
        // Values that are set at boot have nobody to tell, and no time of their own.
        foreach (RegistryDocument document in nt.Options.Registry) Apply(document);
    }

    /// <summary>All of it. Setting it is how a change is made, and how a snapshot is brought back.</summary>
    public RegistryNode RootNode { get; set; } = BootRegistry.Root;

    public RegistryKey Root { get; }

    public long Now => _nt.Ke.Clock.SystemTime;

    public ulong NextKeyId() => ++_keyIds;

    /// <summary>The key of a service, with its values; returns the path that DriverEntry is given.</summary>
    public string CreateServiceKey(string service, IReadOnlyList<(string Name, RegistryValue Value)> values)
    {
        string path = $@"\Registry\Machine\System\CurrentControlSet\Services\{service}";
        RegistryKey key = Create(path);
        SetDefault(key, "ImagePath", ExpandString($@"\SystemRoot\System32\drivers\{service}.sys"));
        SetDefault(key, "Type", Dword(1));
        SetDefault(key, "Start", Dword(3));
        SetDefault(key, "ErrorControl", Dword(1));
        foreach ((string name, RegistryValue value) in values)
        {
            int slash = name.LastIndexOf('\\');
            RegistryKey target = slash < 0 ? key : Create($@"{path}\{name[..slash]}");
            target.Set(name[(slash + 1)..], value);
        }
        return path;
    }

    // What a .reg file said of the service stays.
    static void SetDefault(RegistryKey key, string name, RegistryValue value)
    {
        if (key.Node.FindValue(name) is null) key.Set(name, value);
    }

    /// <summary>The key at a path, made with all above it where it is not there. The path is the machine's own, or
    /// of no more levels than there may be.</summary>
    public RegistryKey Create(string path)
    {
        Walk(Root, Relative(path), openLink: false, out RegistryKey key, out string rest);
        foreach (string part in Parts(rest)) key = key.Child(part) ?? key.Add(new RegistryNode(part));
        return key;
    }

    public RegistryKey? Find(string path) =>
        Walk(Root, Relative(path), openLink: false, out RegistryKey key, out _).IsSuccess ? key : null;

    static string Relative(string path) =>
        path.StartsWith(@"\Registry", StringComparison.OrdinalIgnoreCase) ? path[@"\Registry".Length..] : path;

    static string[] Parts(string path) => path.Split('\\', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Goes down from a key as far as a path is there, through links.</summary>
    /// <param name="key">The last key that is there.</param>
    /// <param name="rest">What is not there below it.</param>
    /// <param name="openLink">A link at the path's end is meant itself.</param>
    public NtStatus Walk(RegistryKey start, string path, bool openLink, out RegistryKey key, out string rest)
    {
        (key, rest) = (start, path.Trim('\\'));
        for (int links = 0; ;)
        {
            if (key.Node.Target is { } target && !(openLink && rest.Length == 0))
            {
                if (++links > MostLinks) return STATUS_OBJECT_NAME_NOT_FOUND;
                if (!IsAbsolute(target)) return STATUS_OBJECT_PATH_SYNTAX_BAD;
                (key, rest) = (Root, (Relative(target) + '\\' + rest).Trim('\\'));
                continue;
            }
            if (rest.Length == 0) return STATUS_SUCCESS;
            int slash = rest.IndexOf('\\');
            string part = slash < 0 ? rest : rest[..slash];
            if (part.Length > LongestName) return STATUS_INVALID_PARAMETER;
            if (key.Child(part) is not { } child) return STATUS_OBJECT_NAME_NOT_FOUND;
            (key, rest) = (child, slash < 0 ? "" : rest[slash..].TrimStart('\\'));
        }
    }

    /// <summary>The same from the root, by a whole path.</summary>
    public NtStatus Walk(string path, out RegistryKey key, out string rest)
    {
        (key, rest) = (Root, path);
        return IsAbsolute(path) ? Walk(Root, Relative(path), false, out key, out rest)
            : path.StartsWith('\\') ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_OBJECT_PATH_SYNTAX_BAD;
    }

    /// <summary>A new key, as short-lived as the one above it.</summary>
    public RegistryKey Make(RegistryKey parent, string name) =>
        parent.Depth >= MostLevels || name.Length is 0 or > LongestName ? parent
            : parent.Add(new RegistryNode(name) { IsVolatile = parent.Node.IsVolatile });

    static bool IsAbsolute(string path) =>
        path.StartsWith(@"\Registry", StringComparison.OrdinalIgnoreCase)
            && (path.Length == @"\Registry".Length || path[@"\Registry".Length] == '\\');

    /// <summary>Does what a .reg file says.</summary>
    public void Apply(RegistryDocument document)
    {
        foreach (RegistrySection section in document.Sections)
        {
            if (section.IsDeleted)
            {
                if (Find(section.Path) is { Parent: not null } gone) gone.Delete();
                continue;
            }
            RegistryKey key = Create(section.Path);
            foreach ((string name, RegistryValue? value) in section.Values)
            {
                if (value is null) key.RemoveValue(name);
                else key.Set(name, value);
            }
        }
    }

    /// <summary>Everything at a path and below, but what is volatile, with links as links are written.</summary>
    public RegistryDocument Save(string path)
    {
        List<RegistrySection> sections = [];
        if (Find(path) is { } key) Collect(key.Node, path, sections);
        return new RegistryDocument(sections);
    }

    static void Collect(RegistryNode node, string path, List<RegistrySection> sections)
    {
        if (node.IsVolatile) return;
        sections.Add(new RegistrySection(path, false, [.. node.Values.Select(v => (v.Name, (RegistryValue?)v.Value))]));
        foreach (RegistryNode child in node.Subkeys) Collect(child, $@"{path}\{child.Name}", sections);
    }
}
