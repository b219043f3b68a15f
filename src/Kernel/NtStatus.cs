using System.Globalization;

namespace Ringdown.Kernel;

/// <summary>NTSTATUS: the result of an operation that may fail. Success is any non-negative value, as
/// NT_SUCCESS.</summary>
public readonly record struct NtStatus(uint Value)
{
    public bool IsSuccess => (int)Value >= 0;

    /// <summary>NT's name of it, or the number.</summary>
    public override string ToString() => Status.NameOf(this) ?? $"0x{Value:X8}";
}

public static partial class Status
{
    /// <summary>NT's name, or null where the table has none.</summary>
    public static string? NameOf(NtStatus status) => Find(status) is [_, var name, _] && name != "-" ? name : null;

    /// <summary>The Win32 error that RtlNtStatusToDosError gives; 317 (ERROR_MR_MID_NOT_FOUND) where there is
    /// none.</summary>
    public static int Win32Of(NtStatus status)
    {
        const uint customer = 0x2000_0000, hresult = 0x1000_0000;
        uint value = status.Value;
        if (value == 0 || (value & customer) != 0) return (int)value;
        // An error as an HRESULT has it.
        if (value >> 28 == 0xD) value &= ~hresult;
        if (Find(new NtStatus(value)) is [_, _, var error] && int.TryParse(error, CultureInfo.InvariantCulture,
            out int code)) return code;
        return value >> 16 is 0xC001 or 0x8007 or 0xC007 ? (int)(value & 0xFFFF) : 317;
    }

    static string[]? Find(NtStatus status)
    {
        int at = Table.IndexOf($"{status.Value:X8} ", StringComparison.Ordinal);
        if (at < 0) return null;
        int end = Table.IndexOf('\n', at);
        return Table[at..(end < 0 ? Table.Length : end)].Trim().Split(' ');
    }
}
