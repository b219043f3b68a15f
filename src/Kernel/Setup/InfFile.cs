using System.Text;

namespace Ringdown.Kernel;

/// <summary>An INF file: its sections, merged by name whatever the case, with the text of %strings% and %directories%
/// put in.</summary>
sealed class InfFile
{
    const int MostBytes = 16 << 20, LongestSection = 255, LongestField = 4096, LanguageEnglish = 0x0409;

    readonly Dictionary<string, List<InfLine>> _sections = new(StringComparer.OrdinalIgnoreCase);
    readonly List<InfFile> _appended = [];
    readonly Dictionary<string, string> _strings = new(StringComparer.OrdinalIgnoreCase);

    InfFile(string name, string store) => (Name, Store) = (name, store);

    /// <summary>The file's name, without a path.</summary>
    public string Name { get; }

    /// <summary>Its directory in the driver store.</summary>
    public string Store { get; }

    /// <summary>Section names in the order in which the file has them.</summary>
    public IEnumerable<string> Sections => _sections.Keys;

    /// <exception cref="InfException">It is none.</exception>
    public static InfFile Parse(string name, byte[] bytes)
    {
        if (bytes.Length > MostBytes) throw new InfException(name, 0, "No INF file is so long.");
        var inf = new InfFile(name, InfDirectories.StoreOf(name, bytes));
        inf.Read(Decode(name, bytes));
        return inf;
    }

    // UTF-16 and UTF-8 say so by their first bytes; anything else is ANSI.
    static string Decode(string name, byte[] bytes)
    {
        if (bytes is [0xFF, 0xFE, .. var little]) return Encoding.Unicode.GetString(little);
        if (bytes is [0xFE, 0xFF, .. var big]) return Encoding.BigEndianUnicode.GetString(big);
        if (bytes is [0xEF, 0xBB, 0xBF, .. var utf8]) return Encoding.UTF8.GetString(utf8);
        return bytes.AsSpan(0, Math.Min(bytes.Length, 4)).Contains((byte)0)
            ? throw new InfException(name, 1, "It is no text: UTF-16 begins with a byte order mark.")
            : NlsCodePage.Ansi.Decode(bytes);
    }

    void Read(string text)
    {
        var lexer = new InfLexer(Name, text);
        List<InfLine>? section = null;
        while (lexer.Next())
        {
            if (lexer.Section is { } name)
            {
                if (name.Length is 0 or > LongestSection)
                    throw new InfException(Name, lexer.Number, "The name of a section has 1 to 255 characters.");
                if (!_sections.TryGetValue(name, out section)) _sections.Add(name, section = []);
                continue;
            }
            if (section is null) throw new InfException(Name, lexer.Number, "A section ([name]) comes first.");
            section.Add(new InfLine(Name, lexer.Number, lexer.Key, lexer.Fields));
        }
        ReadStrings("Strings");
        ReadStrings($"Strings.{LanguageEnglish & 0xFF:X4}");
        ReadStrings($"Strings.{LanguageEnglish:X4}");
        foreach (List<InfLine> lines in _sections.Where(s => !IsStrings(s.Key)).Select(s => s.Value))
            for (int i = 0; i < lines.Count; i++)
                lines[i] = lines[i] with
                {
                    Key = lines[i].Key is { } key ? Expand(lines[i], key) : null,
                    Fields = [.. lines[i].Fields.Select(f => Expand(lines[i], f))],
                };
    }

    public static bool IsStrings(string section) =>
        section.Equals("Strings", StringComparison.OrdinalIgnoreCase)
            || section.StartsWith("Strings.", StringComparison.OrdinalIgnoreCase);

    // A later one is nearer to the language of the system, and wins.
    void ReadStrings(string section)
    {
        foreach (InfLine line in _sections.GetValueOrDefault(section) ?? [])
            if (line.Key is { Length: > 0 } key) _strings[key] = line.Field(0);
    }

    /// <summary>Puts the text of %keys% in, once; a number is a directory, two percent signs are one, and what is not
    /// known stays as it is.</summary>
    string Expand(InfLine line, string text)
    {
        int open = text.IndexOf('%');
        if (open < 0) return Checked(line, text);
        var made = new StringBuilder();
        int at = 0;
        for (; open >= 0; open = text.IndexOf('%', at))
        {
            made.Append(text, at, open - at);
            int close = text.IndexOf('%', open + 1);
            if (close < 0)
            {
                at = open;
                break;
            }
            made.Append(close == open + 1 ? "%" : TextOf(text[(open + 1)..close]) ?? text[open..(close + 1)]);
            at = close + 1;
            if (made.Length > LongestField) break;
        }
        return Checked(line, made.Append(text, at, text.Length - at).ToString());
    }

    static string Checked(InfLine line, string text) => text.Length <= LongestField ? text
        : throw line.Wrong($"A field has at most {LongestField} characters.");

    string? TextOf(string key) => _strings.TryGetValue(key, out string? text) ? text
        : uint.TryParse(key, out uint number) && number != InfDirectories.Absolute
            ? InfDirectories.Find(number, Store) : null;

    /// <summary>From now on its sections count too: what a section is not in this file, it may be in that.</summary>
    public void Append(InfFile other)
    {
        if (other != this && !_appended.Contains(other)) _appended.Add(other);
    }

    public bool Has(string section) => Find(section) is not null;

    /// <summary>The lines of a section; none where there is no such section.</summary>
    public IReadOnlyList<InfLine> Lines(string section) => Find(section) ?? [];

    public IReadOnlyList<InfLine>? Find(string section) => _sections.GetValueOrDefault(section)
        ?? _appended.Select(a => a._sections.GetValueOrDefault(section)).FirstOrDefault(s => s is not null);

    /// <summary>The line of a key in a section: the first.</summary>
    public InfLine? Line(string section, string key) => Lines(section).FirstOrDefault(l => l.IsKey(key));
}
