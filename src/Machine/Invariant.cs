using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Ringdown.Machine;

/// <summary>What must hold whatever a driver does. On in every build: when it fails the mistake is ours.</summary>
/// <remarks>An invariant never reads what a driver can write.</remarks>
public static class Invariant
{
    public static void Holds(
        [DoesNotReturnIf(false)] bool condition, [CallerArgumentExpression(nameof(condition))] string text = "")
    {
        if (!condition) throw new InvariantException(text);
    }
}

/// <summary>A mistake of Ringdown's own. Nothing catches it but the edge of a process or a test.</summary>
public sealed class InvariantException(string text) : Exception($"invariant broken: {text}");
