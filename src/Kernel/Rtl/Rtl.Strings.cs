using System.Runtime.InteropServices;
using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Counted strings: made, compared, joined, converted.</summary>
sealed partial class Rtl
{
    const int MaximumStringBytes = 0xFFFC;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void RtlInitUnicodeString(UnicodeString destinationString, Va sourceString)
    {
        int bytes = sourceString.IsNull ? 0
            : Math.Min(nt.Crt.ReadWide(sourceString, 0x8000).Length * 2, MaximumStringBytes);
        destinationString.Set(sourceString, bytes, sourceString.IsNull ? 0 : bytes + 2);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus RtlInitUnicodeStringEx(UnicodeString destinationString, Va sourceString)
    {
        if (!sourceString.IsNull && nt.Crt.ReadWide(sourceString, 0x8000).Length * 2 > MaximumStringBytes)
            return STATUS_NAME_TOO_LONG;
        RtlInitUnicodeString(destinationString, sourceString);
        return STATUS_SUCCESS;
    }

    [Export]
    public void RtlInitAnsiString(UnicodeString destinationString, Va sourceString)
    {
        int bytes = sourceString.IsNull ? 0 : Math.Min(nt.Crt.ReadAnsi(sourceString, 0x10000).Length, 0xFFFE);
        destinationString.Set(sourceString, bytes, sourceString.IsNull ? 0 : bytes + 1);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void RtlInitString(UnicodeString destinationString, Va sourceString) =>
        RtlInitAnsiString(destinationString, sourceString);

    [Export]
    public void RtlCopyUnicodeString(UnicodeString destinationString, UnicodeString sourceString)
    {
        if (sourceString.IsNull)
        {
            destinationString.Length = 0;
            return;
        }
        int bytes = Math.Min(sourceString.Length, destinationString.MaximumLength);
        nt.Memory.Write(destinationString.Buffer, nt.Memory.ReadBytes(sourceString.Buffer, bytes));
        destinationString.Length = (ushort)bytes;
        if (bytes + 2 <= destinationString.MaximumLength) nt.Memory.Write<ushort>(destinationString.Buffer + bytes, 0);
    }

    [Export]
    public NtStatus RtlAppendUnicodeToString(UnicodeString destination, Va source) =>
        source.IsNull ? STATUS_SUCCESS : Append(destination, nt.Crt.ReadWide(source, 0x8000));

    [Export]
    public NtStatus RtlAppendUnicodeStringToString(UnicodeString destination, UnicodeString source) =>
        Append(destination, source.Text);

    NtStatus Append(UnicodeString destination, string text)
    {
        int old = destination.Length, sum = old + text.Length * 2;
        if (sum > destination.MaximumLength) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Write(destination.Buffer + old, MemoryMarshal.AsBytes(text.AsSpan()));
        destination.Length = (ushort)sum;
        if (sum + 2 <= destination.MaximumLength) nt.Memory.Write<ushort>(destination.Buffer + sum, 0);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlFreeUnicodeString(UnicodeString unicodeString) => FreeBuffer(unicodeString);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlFreeAnsiString(UnicodeString ansiString) => FreeBuffer(ansiString);

    void FreeBuffer(UnicodeString target)
    {
        if (target.Buffer.IsNull) return;
        nt.Mm.Pool.Free(target.Buffer);
        target.Set(Va.Null, 0, 0);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public int RtlCompareUnicodeString(UnicodeString string1, UnicodeString string2, bool caseInsensitive) =>
        Compare(string1.Text, string2.Text, caseInsensitive);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool RtlEqualUnicodeString(UnicodeString string1, UnicodeString string2, bool caseInsensitive) =>
        Compare(string1.Text, string2.Text, caseInsensitive) == 0;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool RtlPrefixUnicodeString(UnicodeString string1, UnicodeString string2, bool caseInsensitive)
    {
        (string prefix, string whole) = (string1.Text, string2.Text);
        return prefix.Length <= whole.Length && Compare(prefix, whole[..prefix.Length], caseInsensitive) == 0;
    }

    /// <summary>The difference of the first characters that differ, else of the lengths.</summary>
    public static int Compare(string a, string b, bool ignoreCase)
    {
        for (int i = 0; i < Math.Min(a.Length, b.Length); i++)
        {
            int difference = ignoreCase ? char.ToUpperInvariant(a[i]) - char.ToUpperInvariant(b[i]) : a[i] - b[i];
            if (difference != 0) return difference;
        }
        return a.Length - b.Length;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public ushort RtlUpcaseUnicodeChar(ushort sourceCharacter) => char.ToUpperInvariant((char)sourceCharacter);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUpcaseUnicodeString(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        Store(destinationString, Encoding.Unicode.GetBytes(sourceString.Text.ToUpperInvariant()), 0,
            allocateDestinationString);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlAnsiStringToUnicodeString(
        UnicodeString destinationString, AnsiString sourceString, bool allocateDestinationString) =>
        Store(destinationString, Encoding.Unicode.GetBytes(sourceString.Text), 2, allocateDestinationString);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlUnicodeStringToAnsiString(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        Store(destinationString, Encoding.Latin1.GetBytes(sourceString.Text), 1, allocateDestinationString);

    // The terminating zero is stored, and room for it is asked for, though it does not count.
    NtStatus Store(UnicodeString destination, byte[] bytes, int terminator, bool allocate)
    {
        if (bytes.Length + terminator > 0xFFFF) return STATUS_INVALID_PARAMETER_2;
        if (allocate)
        {
            Va buffer = nt.Mm.Pool.Allocate(
                (ulong)(bytes.Length + terminator), PoolKind.Paged, StringTag, nt.Caller, zero: true);
            if (buffer.IsNull) return STATUS_NO_MEMORY;
            destination.Set(buffer, bytes.Length, bytes.Length + terminator);
        }
        else if (bytes.Length + terminator > destination.MaximumLength) return STATUS_BUFFER_OVERFLOW;
        nt.Memory.Write(destination.Buffer, bytes);
        if (terminator > 0) nt.Memory.Fill(destination.Buffer + bytes.Length, (ulong)terminator, 0);
        destination.Length = (ushort)bytes.Length;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlIntegerToUnicodeString(uint value, uint @base, UnicodeString destination)
    {
        if (@base is not (0 or 2 or 8 or 10 or 16)) return STATUS_INVALID_PARAMETER;
        string digits = @base switch
        {
            2 or 8 => Convert.ToString(value, (int)@base),
            16 => value.ToString("X"),
            _ => value.ToString(),
        };
        return Store(destination, Encoding.Unicode.GetBytes(digits), 0, allocate: false);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlUnicodeStringToInteger(UnicodeString source, uint @base, Va value)
    {
        string text = source.Text.Trim();
        bool negative = text.StartsWith('-');
        text = text.TrimStart('-', '+');
        if (@base == 0)
        {
            @base = text switch { ['0', 'x', ..] => 16, ['0', 'o', ..] => 8, ['0', 'b', ..] => 2, _ => 10 };
            if (@base != 10) text = text[2..];
        }
        if (@base is not (2 or 8 or 10 or 16)) return STATUS_INVALID_PARAMETER;
        uint result = 0;
        foreach (char c in text)
        {
            int digit = char.IsAsciiHexDigit(c) ? Convert.ToInt32(c.ToString(), 16) : int.MaxValue;
            if (digit >= @base) break;
            result = unchecked(result * @base + (uint)digit);
        }
        nt.Memory.Write(value, negative ? unchecked((uint)-result) : result);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlGetVersion(Va versionInformation)
    {
        nt.Memory.Write(versionInformation + 4, 10u);
        nt.Memory.Write(versionInformation + 8, 0u);
        nt.Memory.Write(versionInformation + 12, SharedData.BuildNumber);
        nt.Memory.Write(versionInformation + 16, 2u);           // VER_PLATFORM_WIN32_NT
        nt.Memory.Write<ushort>(versionInformation + 20, 0);    // no service pack
        if (nt.Memory.Read<uint>(versionInformation) < 284) return STATUS_SUCCESS;
        nt.Memory.Write(versionInformation + 276, 0u);
        nt.Memory.Write(versionInformation + 280, 0x0001_0100u);    // VER_SUITE_SINGLEUSERTS, VER_NT_WORKSTATION
        return STATUS_SUCCESS;
    }

    [Export]
    public ulong RtlCompareMemory(Va source1, Va source2, ulong length)
    {
        for (ulong i = 0; i < length; i++)
            if (nt.Memory.Read<byte>(source1 + i) != nt.Memory.Read<byte>(source2 + i)) return i;
        return length;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlNtStatusToDosError(NtStatus status) => (uint)Status.Win32Of(status);

    /// <summary>The address of an export of ntoskrnl.exe or hal.dll; null if neither has it.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va MmGetSystemRoutineAddress(UnicodeString systemRoutineName) =>
        nt.Loader.FindExport(systemRoutineName.Text);
}
