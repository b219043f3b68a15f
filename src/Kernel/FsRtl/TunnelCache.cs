namespace Ringdown.Kernel;

/// <summary>What is remembered of a file whose name went away, for one that soon takes its place.</summary>
sealed record TunnelEntry(ulong Directory, string Key, string ShortName, string LongName, byte[] Data, long Expires);

/// <summary>Names that went away, for 15 seconds; the oldest go when there are many.</summary>
sealed class TunnelCache(NtKernel nt)
{
    const long AgeTicks = 15 * 10_000_000L;
    const int MaximumEntries = 256;

    readonly List<TunnelEntry> _entries = [];

    public int Count => _entries.Count;

    public void Add(ulong directory, string shortName, string longName, bool keyByShortName, byte[] data)
    {
        string key = Fold(keyByShortName ? shortName : longName);
        _entries.RemoveAll(e => e.Directory == directory && e.Key == key);
        _entries.Add(new TunnelEntry(directory, key, shortName, longName, data, nt.Ke.Clock.Now + AgeTicks));
        Expire();
        if (_entries.Count > MaximumEntries) _entries.RemoveAt(0);
    }

    public TunnelEntry? Find(ulong directory, string name)
    {
        Expire();
        string key = Fold(name);
        return _entries.Find(e => e.Directory == directory && e.Key == key);
    }

    public void RemoveDirectory(ulong directory) => _entries.RemoveAll(e => e.Directory == directory);

    void Expire() => _entries.RemoveAll(e => e.Expires <= nt.Ke.Clock.Now);

    string Fold(string name) => string.Create(name.Length, name, (folded, n) =>
    {
        for (int i = 0; i < folded.Length; i++) folded[i] = (char)nt.Rtl.RtlUpcaseUnicodeChar(n[i]);
    });
}
