namespace Ringdown.Tests;

/// <summary>The sources of the guest drivers: what line a text is in.</summary>
static class SourceText
{
    /// <summary>The number, from one, of the first line that has a text, from a line on.</summary>
    public static int LineOf(string file, string text, int from = 1)
    {
        string[] lines = File.ReadAllLines(Path.Combine(Drivers.Folder, file));
        for (int i = from - 1; i < lines.Length; i++)
            if (lines[i].Contains(text, StringComparison.Ordinal)) return i + 1;
        throw new ArgumentException($"{file} has no line with {text}.", nameof(text));
    }
}
