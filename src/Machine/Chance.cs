using System.Numerics;

namespace Ringdown.Machine;

/// <summary>All chance of a machine: xoshiro256**, seeded by SplitMix64. One seed, one sequence, on every
/// host.</summary>
public sealed class Chance
{
    ulong _a, _b, _c, _d;

    public Chance(ulong seed)
    {
        ulong x = seed;
        _a = Split(ref x);
        _b = Split(ref x);
        _c = Split(ref x);
        _d = Split(ref x);
    }

    public ulong Next()
    {
        ulong result = BitOperations.RotateLeft(_b * 5, 7) * 9, t = _b << 17;
        _c ^= _a;
        _d ^= _b;
        _b ^= _c;
        _a ^= _d;
        _c ^= t;
        _d = BitOperations.RotateLeft(_d, 45);
        return result;
    }

    /// <summary>A number from 0 to <paramref name="limit"/> - 1.</summary>
    public int Next(int limit) => (int)Math.BigMul(Next(), (ulong)limit, out _);

    public bool OneIn(int n) => Next(n) == 0;

    public void Fill(Span<byte> bytes)
    {
        for (int i = 0; i < bytes.Length; i++) bytes[i] = (byte)Next();
    }

    static ulong Split(ref ulong x)
    {
        ulong z = x += 0x9E37_79B9_7F4A_7C15;
        z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
        z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
        return z ^ (z >> 31);
    }
}
