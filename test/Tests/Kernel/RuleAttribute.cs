namespace Ringdown.Tests;

/// <summary>The rule of NT's I/O system that a test checks, by its number.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
sealed class RuleAttribute(string number) : Attribute
{
    public string Number { get; } = number;

    /// <summary>The rule is general knowledge of NT, found in no document that was read: to be confirmed.</summary>
    public bool Hypothesis { get; init; }
}
