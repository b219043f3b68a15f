using System.Collections.Frozen;

namespace Ringdown.Kernel;

/// <summary>The directories that INF files name by numbers, as a Windows on drive C has them.</summary>
static class InfDirectories
{
    public const uint Absolute = 0xFFFF_FFFF, Source = 1, DriverStore = 13;
    public const string SystemRoot = @"C:\Windows";

    static readonly FrozenDictionary<uint, string> s_paths = new Dictionary<uint, string>
    {
        [10] = SystemRoot,
        [11] = SystemRoot + @"\System32",
        [12] = SystemRoot + @"\System32\drivers",
        [17] = SystemRoot + @"\INF",
        [18] = SystemRoot + @"\Help",
        [20] = SystemRoot + @"\Fonts",
        [21] = SystemRoot + @"\System32\viewers",
        [23] = SystemRoot + @"\System32\spool\drivers\color",
        [24] = "C:",
        [25] = SystemRoot,
        [30] = "C:",
        [50] = SystemRoot + @"\System",
        [51] = SystemRoot + @"\System32\spool",
        [52] = SystemRoot + @"\System32\spool\drivers\x64",
        [53] = @"C:\Users\Default",
        [54] = "C:",
        [55] = SystemRoot + @"\System32\spool\prtprocs\x64",
        [16406] = @"C:\ProgramData\Microsoft\Windows\Start Menu",
        [16419] = @"C:\ProgramData",
        [16420] = SystemRoot,
        [16421] = SystemRoot + @"\System32",
        [16422] = @"C:\Program Files",
        [16425] = SystemRoot + @"\SysWOW64",
        [16426] = @"C:\Program Files (x86)",
        [16427] = @"C:\Program Files\Common Files",
        [16428] = @"C:\Program Files (x86)\Common Files",
    }.ToFrozenDictionary();

    /// <summary>A directory by its number, without a backslash at its end; null for one that is not known.</summary>
    /// <param name="store">The package's own directory, where 13 (and 1) is.</param>
    public static string? Find(uint number, string store) =>
        number is DriverStore or Source ? store : number == Absolute ? "" : s_paths.GetValueOrDefault(number);

    /// <summary>The directory in the driver store of an INF file.</summary>
    public static string StoreOf(string inf, ReadOnlySpan<byte> bytes)
    {
        // FNV-1a: another text is another directory.
        ulong hash = 0xCBF2_9CE4_8422_2325;
        foreach (byte b in bytes) hash = (hash ^ b) * 0x100_0000_01B3;
        return $@"{SystemRoot}\System32\DriverStore\FileRepository\{inf.ToLowerInvariant()}_amd64_{hash:x16}";
    }

    /// <summary>A path as the kernel writes it in a service's ImagePath.</summary>
    public static string ImagePath(string path) =>
        path.StartsWith(SystemRoot + '\\', StringComparison.OrdinalIgnoreCase)
            ? @"\SystemRoot" + path[SystemRoot.Length..]
            : path.Length > 1 && path[1] == ':' ? @"\??\" + path : path;

    /// <summary>One form, in lower case, for all the forms that ImagePath has for a file.</summary>
    public static string Normalize(string path)
    {
        string text = path.Trim().Trim('"').ToLowerInvariant();
        foreach (string start in (ReadOnlySpan<string>)[@"\??\", @"\systemroot\", @"%systemroot%\", @"\dosdevices\"])
        {
            if (!text.StartsWith(start, StringComparison.Ordinal)) continue;
            string rest = text[start.Length..];
            return start.Contains("systemroot") ? SystemRoot.ToLowerInvariant() + '\\' + rest : rest;
        }
        return text.Length > 1 && text[1] == ':' ? text
            : SystemRoot.ToLowerInvariant() + '\\' + text.TrimStart('\\');
    }
}
