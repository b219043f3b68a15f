namespace Ringdown.Kernel;

/// <summary>The configuration manager: the registry.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Cm(NtKernel nt)
{
    readonly NtKernel _nt = nt;

    readonly RegistryKey _root = new("REGISTRY");

    public RegistryKey Root => _root;

    /// <summary>The key of a service, with its values; returns the path that DriverEntry is given.</summary>
    public string CreateServiceKey(string service, IReadOnlyList<(string Name, RegistryValue Value)> values)
    {
        string path = $@"\Registry\Machine\System\CurrentControlSet\Services\{service}";
        RegistryKey key = Create(path);
        key.Set("ImagePath", RegistryValue.String($@"\SystemRoot\System32\drivers\{service}.sys"));
        key.Set("Type", RegistryValue.Dword(1));
        key.Set("Start", RegistryValue.Dword(3));
        key.Set("ErrorControl", RegistryValue.Dword(1));
        foreach ((string name, RegistryValue value) in values)
        {
            int slash = name.LastIndexOf('\\');
            RegistryKey target = slash < 0 ? key : Create($@"{path}\{name[..slash]}");
            target.Set(name[(slash + 1)..], value);
        }
        return path;
    }

    /// <summary>The key at a path, made with all above it where it is not there.</summary>
    public RegistryKey Create(string path)
    {
        RegistryKey key = _root;
        foreach (string part in Parts(path))
            key = key.Subkeys.TryGetValue(part, out RegistryKey? found) ? found : key.Add(part);
        return key;
    }

    public RegistryKey? Find(string path)
    {
        RegistryKey? key = _root;
        foreach (string part in Parts(path))
            if (!key!.Subkeys.TryGetValue(part, out key)) return null;
        return key;
    }

    static IEnumerable<string> Parts(string path) =>
        path.Split('\\', StringSplitOptions.RemoveEmptyEntries)
            .Skip(path.StartsWith(@"\Registry", StringComparison.OrdinalIgnoreCase) ? 1 : 0);
}

/// <summary>A key: values and subkeys by name, in the order in which they were made.</summary>
sealed class RegistryKey(string name)
{
    public string Name { get; } = name;
    public RegistryKey? Parent { get; private init; }
    public Dictionary<string, RegistryKey> Subkeys { get; } = new(StringComparer.OrdinalIgnoreCase);
    public Dictionary<string, RegistryValue> Values { get; } = new(StringComparer.OrdinalIgnoreCase);
    public bool IsDeleted { get; set; }
    public string Path => Parent is null ? @"\REGISTRY" : $@"{Parent.Path}\{Name}";

    public RegistryKey Add(string child)
    {
        var made = new RegistryKey(child) { Parent = this };
        Subkeys.Add(child, made);
        return made;
    }

    public void Set(string value, RegistryValue data) => Values[value] = data;
}

/// <summary>A value: its type (REG_SZ 1, REG_BINARY 3, REG_DWORD 4, REG_MULTI_SZ 7, REG_QWORD 11) and its
/// bytes.</summary>
public sealed record RegistryValue(uint Type, byte[] Data)
{
    public static RegistryValue String(string text) => new(1, System.Text.Encoding.Unicode.GetBytes(text + '\0'));

    public static RegistryValue Dword(uint value) => new(4, BitConverter.GetBytes(value));

    /// <summary>A value as a command line gives it: a number (decimal or 0x) is a REG_DWORD, anything else a
    /// REG_SZ.</summary>
    public static RegistryValue Parse(string text)
    {
        if (uint.TryParse(text, out uint number)) return Dword(number);
        return text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
            && uint.TryParse(text.AsSpan(2), System.Globalization.NumberStyles.HexNumber, null, out number)
                ? Dword(number) : String(text);
    }
}
