namespace Ringdown.Machine;

/// <summary>A function's name and where it starts.</summary>
public readonly record struct Symbol(string Name, uint Rva);

/// <summary>A line of source code.</summary>
public sealed record SourceLine(string File, int Line);

/// <summary>Names and lines of an image's code.</summary>
public sealed class Symbols
{
    public static readonly Symbols None = new(null, null);

    public Symbols(PeImage? image, byte[]? pdb)
    {
    }

    public Symbol? FunctionAt(uint rva) => null;

    public SourceLine? LineAt(uint rva) => null;
}
