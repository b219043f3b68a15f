using System.Globalization;

namespace Ringdown.Host;

/// <summary>What happened at a wire.</summary>
public enum WireChange
{
    /// <summary>Bytes came.</summary>
    Bytes,

    /// <summary>Somebody is at the other end.</summary>
    Opened,

    /// <summary>The other end has gone.</summary>
    Closed,
}

/// <summary>Something that entered a machine from outside.</summary>
/// <param name="Question">The how-manieth time it was that the machine asked; from 1.</param>
/// <param name="Time">The machine's, in 100 ns.</param>
/// <param name="Wire">From 0, in the board's order.</param>
public sealed record InputEvent(long Question, long Time, int Wire, WireChange Change, byte[] Bytes)
{
    const string Head = "input";

    /// <summary>Whether a line of a record is about input.</summary>
    public static bool IsLine(string line) => line.StartsWith(Head + " ", StringComparison.Ordinal);

    public string ToLine() => string.Create(CultureInfo.InvariantCulture, $"{Head} {Question} {Time} {Wire} ")
        + (Change == WireChange.Bytes ? Convert.ToHexStringLower(Bytes) : Change.ToString().ToLowerInvariant());

    /// <exception cref="FormatException">It is no such line.</exception>
    public static InputEvent Parse(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words.Length != 5) throw new FormatException("Five words are expected.");
        (long question, long time, int wire) = (long.Parse(words[1], CultureInfo.InvariantCulture),
            long.Parse(words[2], CultureInfo.InvariantCulture), int.Parse(words[3], CultureInfo.InvariantCulture));
        return words[4] switch
        {
            "opened" => new InputEvent(question, time, wire, WireChange.Opened, []),
            "closed" => new InputEvent(question, time, wire, WireChange.Closed, []),
            _ => new InputEvent(question, time, wire, WireChange.Bytes, Convert.FromHexString(words[4])),
        };
    }
}
