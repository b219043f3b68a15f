namespace Ringdown.Tests;

/// <summary>The rule of NT's I/O system that a test shows, by its number.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
sealed class RuleAttribute(string number) : Attribute
{
    public string Number { get; } = number;

    /// <summary>No document says so: it is what is known of NT, to be confirmed.</summary>
    public bool Hypothesis { get; init; }
}
