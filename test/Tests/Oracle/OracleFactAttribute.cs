using Xunit;

namespace Ringdown.Tests;

/// <summary>A test that needs the host's processor as its judge. Elsewhere it is skipped, and says why.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class OracleFactAttribute : FactAttribute
{
    public OracleFactAttribute() => Skip = HostProcessor.WhyNot;
}
