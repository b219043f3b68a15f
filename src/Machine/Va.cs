namespace Ringdown.Machine;

/// <summary>A virtual address in the guest. Its own type, so it never mixes with a length or a host pointer.</summary>
/// <remarks>Arithmetic wraps as the processor's does: an address comes from the driver, so a wild one is its
/// fault.</remarks>
public readonly record struct Va(ulong Value) : IComparable<Va>
{
    /// <summary>Bytes in a page.</summary>
    public const int PageSize = 0x1000;

    public static readonly Va Null = default;

    /// <summary>The number of the page that holds this address.</summary>
    public ulong Page => Value >> 12;

    /// <summary>The distance in bytes from the start of the page, 0 to 4095.</summary>
    public uint PageOffset => (uint)Value & 0xFFF;

    public bool IsNull => Value == 0;

    /// <summary>Bits 63 to 47 are equal, as the processor demands of an address that it translates.</summary>
    public bool IsCanonical => (ulong)((long)(Value << 16) >> 16) == Value;

    public Va PageStart => new(Value & ~0xFFFUL);

    public static Va operator +(Va address, ulong bytes) => new(unchecked(address.Value + bytes));
    public static Va operator +(Va address, int bytes) => new(unchecked(address.Value + (ulong)(long)bytes));
    public static Va operator -(Va address, ulong bytes) => new(unchecked(address.Value - bytes));
    public static ulong operator -(Va a, Va b) => unchecked(a.Value - b.Value);
    public static bool operator <(Va a, Va b) => a.Value < b.Value;
    public static bool operator >(Va a, Va b) => a.Value > b.Value;
    public static bool operator <=(Va a, Va b) => a.Value <= b.Value;
    public static bool operator >=(Va a, Va b) => a.Value >= b.Value;

    public int CompareTo(Va other) => Value.CompareTo(other.Value);

    /// <summary>The debugger's form: <c>fffff800`12345678</c>.</summary>
    public override string ToString() => $"{Value >> 32:x8}`{(uint)Value:x8}";
}
