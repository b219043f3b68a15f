using System.Runtime.InteropServices;
using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Counted strings of UTF-16: made, compared, joined.</summary>
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
            int difference = ignoreCase ? Casing.ToUpper(a[i]) - Casing.ToUpper(b[i]) : a[i] - b[i];
            if (difference != 0) return difference;
        }
        return a.Length - b.Length;
    }

    /// <summary>As RtlCompareUnicodeString, over characters that are counted apart.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public int RtlCompareUnicodeStrings(
        Va string1, ulong string1Length, Va string2, ulong string2Length, bool caseInsensitive)
    {
        ulong common = Math.Min(string1Length, string2Length);
        for (ulong i = 0; i < common; i++)
        {
            char a = nt.Memory.Read<char>(string1 + i * 2), b = nt.Memory.Read<char>(string2 + i * 2);
            int difference = caseInsensitive ? Casing.ToUpper(a) - Casing.ToUpper(b) : a - b;
            if (difference != 0) return difference;
        }
        return unchecked((int)(string1Length - string2Length));
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public ushort RtlDowncaseUnicodeChar(ushort sourceCharacter) => Casing.ToLower((char)sourceCharacter);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlDowncaseUnicodeString(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        Store(destinationString, Encoding.Unicode.GetBytes(Casing.ToLower(sourceString.Text)), 0,
            allocateDestinationString);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool RtlCreateUnicodeString(UnicodeString destinationString, Va sourceString)
    {
        string text = nt.Crt.ReadWide(sourceString, 0x8000);
        return text.Length * 2 <= MaximumStringBytes
            && Store(destinationString, Encoding.Unicode.GetBytes(text), 2, allocate: true).IsSuccess;
    }

    const uint RTL_DUPLICATE_UNICODE_STRING_NULL_TERMINATE = 1;
    const uint RTL_DUPLICATE_UNICODE_STRING_ALLOCATE_NULL_STRING = 2;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlDuplicateUnicodeString(uint flags, UnicodeString stringIn, UnicodeString stringOut)
    {
        if (stringOut.IsNull || flags > 3 || flags == RTL_DUPLICATE_UNICODE_STRING_ALLOCATE_NULL_STRING)
            return STATUS_INVALID_PARAMETER;
        bool empty = stringIn.IsNull || stringIn.Length == 0;
        if (empty && (flags & RTL_DUPLICATE_UNICODE_STRING_ALLOCATE_NULL_STRING) == 0)
        {
            stringOut.Set(Va.Null, 0, 0);
            return STATUS_SUCCESS;
        }
        byte[] text = stringIn.IsNull ? [] : nt.Memory.ReadBytes(stringIn.Buffer, stringIn.Length);
        return Store(stringOut, text, (int)(flags & RTL_DUPLICATE_UNICODE_STRING_NULL_TERMINATE) * 2, allocate: true);
    }

    /// <summary>Whether lengths are even and agree with each other and with the buffer.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlValidateUnicodeString(uint flags, UnicodeString @string)
    {
        if (flags != 0) return STATUS_INVALID_PARAMETER;
        if (@string.IsNull) return STATUS_SUCCESS;
        (ushort length, ushort maximum) = (@string.Length, @string.MaximumLength);
        bool good = (length & 1) == 0 && (maximum & 1) == 0 && length <= maximum
            && (!@string.Buffer.IsNull || maximum == 0);
        return good ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
    }

    /// <summary>HASH_STRING_ALGORITHM_X65599 (1), which is also the default (0).</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlHashUnicodeString(UnicodeString @string, bool caseInSensitive, uint hashAlgorithm, Va hashValue)
    {
        if (@string.IsNull || hashValue.IsNull || hashAlgorithm > 1) return STATUS_INVALID_PARAMETER;
        uint hash = 0;
        foreach (char c in @string.Text)
            hash = unchecked(hash * 65599 + (caseInSensitive ? Casing.ToUpper(c) : c));
        nt.Memory.Write(hashValue, hash);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public ushort RtlUpcaseUnicodeChar(ushort sourceCharacter) => Casing.ToUpper((char)sourceCharacter);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlUpcaseUnicodeString(
        UnicodeString destinationString, UnicodeString sourceString, bool allocateDestinationString) =>
        Store(destinationString, Encoding.Unicode.GetBytes(Casing.ToUpper(sourceString.Text)), 0,
            allocateDestinationString);

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

    /// <summary>Leaves the status in the thread's environment block, if it has one.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlNtStatusToDosError(NtStatus status)
    {
        const int lastStatusValue = 0x1250;
        Va teb = nt.Ke.CurrentThread.Teb;
        if (!teb.IsNull && nt.Memory.CanAccess(teb + lastStatusValue, 4, Access.Write))
            nt.Memory.Write(teb + lastStatusValue, status);
        return (uint)Status.Win32Of(status);
    }

    /// <summary>The same, and the status is left nowhere.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint RtlNtStatusToDosErrorNoTeb(NtStatus status) => (uint)Status.Win32Of(status);

    /// <summary>The address of an export of ntoskrnl.exe or hal.dll; null if neither has it.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va MmGetSystemRoutineAddress(UnicodeString systemRoutineName) =>
        nt.Loader.FindExport(systemRoutineName.Text);
}
