using Ringdown.Kernel;

namespace Ringdown.Check;

/// <summary>A function that real drivers import.</summary>
/// <param name="Drivers">How many of <see cref="KnownImports.Drivers"/> import it.</param>
public sealed record KnownImport(string Module, string Name, int Drivers);

/// <summary>What real drivers import: so that it can be said what is missing, and how much it is missed.</summary>
public static partial class KnownImports
{
    /// <summary>The drivers that were counted.</summary>
    public const int Drivers = 469;

    /// <summary>All, in the order of how many drivers import them, module by module.</summary>
    public static readonly IReadOnlyList<KnownImport> All = [.. Parse()];

    static readonly Dictionary<string, KnownImport> s_byName = All.GroupBy(k => k.Name).ToDictionary(
        g => g.Key, g => g.First());

    public static KnownImport? Find(string name) => s_byName.GetValueOrDefault(name);

    /// <summary>Those that nothing exports here.</summary>
    public static IEnumerable<KnownImport> Missing
    {
        get
        {
            HashSet<string> there = [.. Exports.All.Select(e => e.Name), .. Exports.Data.Select(d => d.Name)];
            return All.Where(k => !there.Contains(k.Name));
        }
    }

    // A line with a module's name, then lines of name:count.
    static IEnumerable<KnownImport> Parse()
    {
        string module = "";
        foreach (string line in Table.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            foreach (string word in line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                int colon = word.IndexOf(':');
                if (colon < 0) module = word.Trim();
                else yield return new KnownImport(module, word[..colon], int.Parse(word[(colon + 1)..]));
            }
        }
    }
}
