using System.Text;

namespace Ringdown.Cli;

/// <summary>Text that a driver chose, made fit for a terminal.</summary>
static class CleanText
{
    /// <summary>What is not printable ASCII becomes <c>\u1234</c>: it could move the cursor, or break the
    /// layout.</summary>
    public static string Clean(this string text)
    {
        if (text.AsSpan().IndexOfAnyExceptInRange(' ', '~') < 0) return text;
        var clean = new StringBuilder();
        foreach (char c in text)
        {
            if (c is >= ' ' and <= '~') clean.Append(c);
            else clean.Append($"\\u{(int)c:x4}");
        }
        return clean.ToString();
    }
}
