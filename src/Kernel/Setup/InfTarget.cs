namespace Ringdown.Kernel;

/// <summary>Which of several sections is for this system: an x64 Windows 10, build 19041, a workstation.</summary>
static class InfTarget
{
    const uint Major = 10, Minor = 0, Workstation = 1, SingleUserTerminalServices = 0x100;

    /// <summary>How well a decoration of a models section (<c>NTamd64.10.0...16299</c>) is for this system; the more
    /// the better.</summary>
    /// <returns>Null if it is not for it. One without an architecture is for x86 alone.</returns>
    public static ulong? ScoreOf(string decoration)
    {
        string[] parts = decoration.Split('.');
        if (!parts[0].Trim().Equals("NTamd64", StringComparison.OrdinalIgnoreCase)) return null;
        uint?[] numbers = new uint?[5];
        for (int i = 1; i < parts.Length; i++)
        {
            if (i > numbers.Length) return null;
            if (parts[i].Trim() is not { Length: > 0 } text) continue;
            if (!InfNumber.TryParse(text, out long number) || number is < 0 or > uint.MaxValue) return null;
            numbers[i - 1] = (uint)number;
        }
        (uint major, uint minor) = (numbers[0] ?? 0, numbers[1] ?? 0);
        if (major > Major || major == Major && minor > Minor) return null;
        if (numbers[2] is { } type && type != Workstation) return null;
        if (numbers[3] is { } suite && (suite & SingleUserTerminalServices) == 0) return null;
        // The build number counts for systems of the same version only.
        uint build = major == Major && minor == Minor ? numbers[4] ?? 0 : 0;
        if (build > SharedData.BuildNumber) return null;
        return (ulong)Math.Min(major, 255) << 40 | (ulong)Math.Min(minor, 255) << 32 | (ulong)build << 2
            | (numbers[2] is null ? 0UL : 2) | (numbers[3] is null ? 0UL : 1);
    }

    /// <summary>The name under which a section for installation is there: with .NTamd64, with .NT, or as it is
    /// named.</summary>
    public static string? Actual(InfFile inf, string section) =>
        Array.Find([section + ".NTamd64", section + ".NT", section], inf.Has);
}
