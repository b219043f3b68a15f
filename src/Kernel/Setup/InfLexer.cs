using System.Text;

namespace Ringdown.Kernel;

/// <summary>Takes the text of an INF file apart: section heads and lines of fields. Comments begin with a semicolon, a
/// backslash at the end of a line continues it, quotes keep spaces and punctuation, two quotes are one.</summary>
sealed class InfLexer(string file, string text)
{
    int _at, _line = 1;

    /// <summary>A section's name in <see cref="Section"/>, or a line in <see cref="Key"/> and <see
    /// cref="Fields"/>.</summary>
    public bool Next()
    {
        while (_at < text.Length)
        {
            SkipSpaces();
            if (PassEnd()) continue;
            Number = _line;
            (Section, Key) = (null, null);
            Fields = [];
            if (text[_at] == '[') ReadSection();
            else ReadLine();
            return true;
        }
        return false;
    }

    public int Number { get; private set; }
    public string? Section { get; private set; }
    public string? Key { get; private set; }
    public List<string> Fields { get; private set; } = [];

    // Whether a line ends here, with a comment or without: it is passed then.
    bool PassEnd()
    {
        if (_at < text.Length && text[_at] == ';') while (_at < text.Length && text[_at] != '\n') _at++;
        if (_at >= text.Length) return true;
        if (text[_at] != '\n') return false;
        _at++;
        _line++;
        return true;
    }

    void SkipSpaces()
    {
        while (_at < text.Length && text[_at] != '\n' && IsSpace(text[_at])) _at++;
    }

    // Control characters count as spaces; Ctrl-Z too, which old files end with.
    static bool IsSpace(char c) => c <= ' ';

    void ReadSection()
    {
        var name = new StringBuilder();
        for (_at++; ; _at++)
        {
            if (_at >= text.Length || text[_at] == '\n')
                throw new InfException(file, Number, "The name of a section ends with ].");
            if (text[_at] == ']')
            {
                if (_at + 1 >= text.Length || text[_at + 1] != ']') break;
                _at++;
            }
            if (text[_at] != '"') name.Append(text[_at]);
        }
        _at++;
        SkipSpaces();
        if (!PassEnd()) throw new InfException(file, Number, "Something follows the name of the section.");
        Section = name.ToString().Trim();
    }

    void ReadLine()
    {
        while (true)
        {
            string field = ReadField(out char end);
            if (end == '=' && Key is null && Fields.Count == 0)
            {
                Key = field;
                continue;
            }
            Fields.Add(field);
            if (end != ',') return;
        }
    }

    /// <param name="end">The comma or equals sign behind the field, which is passed; a line break for the line's
    /// end.</param>
    string ReadField(out char end)
    {
        var field = new StringBuilder();
        // How much of it stays when spaces at the end are cut off: quoted ones do.
        int kept = 0;
        SkipSpaces();
        while (true)
        {
            if (PassEnd())
            {
                end = '\n';
                break;
            }
            char c = text[_at++];
            if (c == '\\' && IsContinued())
            {
                SkipSpaces();
                continue;
            }
            if (c == ',' || c == '=' && Key is null && Fields.Count == 0)
            {
                end = c;
                break;
            }
            if (c == '"') ReadQuoted(field);
            else field.Append(c);
            if (c == '"' || !IsSpace(c)) kept = field.Length;
        }
        field.Length = kept;
        return field.ToString();
    }

    // Behind a backslash: whether only spaces and a comment follow it in its line, which are passed then.
    bool IsContinued()
    {
        int at = _at;
        SkipSpaces();
        if (PassEnd()) return true;
        _at = at;
        return false;
    }

    void ReadQuoted(StringBuilder field)
    {
        for (; _at < text.Length && text[_at] != '\n'; _at++)
        {
            if (text[_at] == '"')
            {
                _at++;
                if (_at >= text.Length || text[_at] != '"') return;
            }
            if (text[_at] != '\r') field.Append(text[_at]);
        }
        throw new InfException(file, _line, "A string has no closing quote.");
    }
}
