namespace Ringdown.Machine;

/// <summary>Which NaN goes on when an operand is one.</summary>
static class NaN
{
    /// <summary>SSE and AVX: the first operand if it is a NaN, else the second; made quiet.</summary>
    public static bool Sse(ref RealContext c, in Real a, in Real b, out Real result)
    {
        result = a.IsNaN ? a.Quieted : b.Quieted;
        if (!a.IsNaN && !b.IsNaN) return false;
        if (a.Kind == RealKind.SignalingNaN || b.Kind == RealKind.SignalingNaN) c.Before |= RealContext.Invalid;
        return true;
    }

    public static bool Sse(ref RealContext c, in Real a, out Real result)
    {
        result = a.Quieted;
        if (a.Kind == RealKind.SignalingNaN) c.Before |= RealContext.Invalid;
        return a.IsNaN;
    }

    /// <summary>
    /// x87: of two NaNs the one with the larger significand, but a quiet one before a signalling one.
    /// </summary>
    public static bool X87(ref RealContext c, in Real a, in Real b, out Real result)
    {
        result = a;
        bool invalid = a.Kind is RealKind.SignalingNaN or RealKind.Unsupported
            || b.Kind is RealKind.SignalingNaN or RealKind.Unsupported;
        if (a.Kind == RealKind.Unsupported || b.Kind == RealKind.Unsupported)
        {
            result = c.MakeInvalid();
            return true;
        }
        if (!a.IsNaN && !b.IsNaN) return false;
        if (invalid) c.Before |= RealContext.Invalid;
        result = (a.IsNaN && b.IsNaN ? Larger(a, b) : a.IsNaN ? a : b).Quieted;
        return true;
    }

    static Real Larger(in Real a, in Real b)
    {
        if (a.Kind != b.Kind) return a.Kind == RealKind.QuietNaN ? a : b;
        if (a.Significand != b.Significand) return a.Significand > b.Significand ? a : b;
        return a.Sign ? b : a;
    }
}
