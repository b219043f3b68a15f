using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>IO_ERROR_LOG_PACKET; dump data follows from 0x28 on, and strings where StringOffset says.</summary>
[Layout("_IO_ERROR_LOG_PACKET", Size = 0x30)]
public readonly partial struct IoErrorLogPacket
{
    public const int DumpDataOffset = 0x28;

    [Field(0x00)] public partial byte MajorFunctionCode { get; set; }
    [Field(0x01)] public partial byte RetryCount { get; set; }
    [Field(0x02)] public partial ushort DumpDataSize { get; set; }
    [Field(0x04)] public partial ushort NumberOfStrings { get; set; }
    [Field(0x06)] public partial ushort StringOffset { get; set; }
    [Field(0x08)] public partial ushort EventCategory { get; set; }
    [Field(0x0C)] public partial NtStatus ErrorCode { get; set; }
    [Field(0x10)] public partial uint UniqueErrorValue { get; set; }
    [Field(0x14)] public partial NtStatus FinalStatus { get; set; }
    [Field(0x18)] public partial uint SequenceNumber { get; set; }
    [Field(0x1C)] public partial uint IoControlCode { get; set; }
    [Field(0x20)] public partial long DeviceOffset { get; set; }
}

/// <summary>An entry of the system's error log, as a driver wrote it.</summary>
/// <param name="Source">The driver that it is about.</param>
/// <param name="Device">The name of the device; empty if the entry is about a driver, or the device has none.</param>
/// <param name="ErrorCode">The message: a code of the driver's own, or of the system's.</param>
/// <param name="FinalStatus">What the request came to.</param>
/// <param name="Strings">What is put into the message's text.</param>
/// <param name="Time">The machine's, in 100 ns since it booted.</param>
public sealed record ErrorLogEntry(
    string Source, string Device, NtStatus ErrorCode, uint UniqueErrorValue, NtStatus FinalStatus, IrpMajor Major,
    byte RetryCount, ushort EventCategory, uint SequenceNumber, uint IoControlCode, long DeviceOffset, byte[] DumpData,
    IReadOnlyList<string> Strings, long Time)
{
    public override string ToString() =>
        $"{Source}{(Device.Length > 0 ? $" ({Device})" : "")}: 0x{ErrorCode.Value:X8}, "
        + $"unique value {UniqueErrorValue}, "
        + $"final status {FinalStatus}"
        + (Strings.Count > 0 ? $", \"{string.Join("\", \"", Strings)}\"" : "")
        + (DumpData.Length > 0 ? $", data {Convert.ToHexStringLower(DumpData)}" : "");
}

/// <summary>The error log: a driver fills an entry and hands it over.</summary>
sealed partial class Io
{
    const uint ErrorLogTag = 0x4C72_7245;
    const int MaximumErrorLogEntry = 240, MostErrorLogEntries = 4096;

    readonly Dictionary<Va, NtObject> _openLogEntries = [];
    readonly List<ErrorLogEntry> _errorLog = [];

    public IReadOnlyList<ErrorLogEntry> ErrorLog => _errorLog;

    /// <summary>An entry about a device or a driver, which is referenced until the entry is written or freed.</summary>
    /// <param name="entrySize">IO_ERROR_LOG_PACKET with dump data and strings: 0x30 to 240 bytes.</param>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Va IoAllocateErrorLogEntry(Va ioObject, byte entrySize)
    {
        if (entrySize is < IoErrorLogPacket.Size or > MaximumErrorLogEntry) return Va.Null;
        if (nt.Ob.Find(ioObject) is not { } about
            || about.Type != nt.Ob.DeviceType && about.Type != nt.Ob.DriverType) return Va.Null;
        Va made = nt.Mm.Pool.Allocate(entrySize, PoolKind.NonPaged, ErrorLogTag, nt.Caller, zero: true);
        if (made.IsNull) return made;
        nt.Ob.Reference(about);
        _openLogEntries.Add(made, about);
        return made;
    }

    /// <summary>Puts an entry into the log, and frees it. A log that is full keeps its oldest entries.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoWriteErrorLogEntry([FreesMem] Va elEntry)
    {
        if (_openLogEntries.TryGetValue(elEntry, out NtObject? about) && _errorLog.Count < MostErrorLogEntries)
            _errorLog.Add(EntryAt(elEntry, about));
        IoFreeErrorLogEntry(elEntry);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoFreeErrorLogEntry([FreesMem] Va elEntry)
    {
        if (_openLogEntries.Remove(elEntry, out NtObject? about)) nt.Ob.Dereference(about);
        nt.Mm.Pool.Free(elEntry);
    }

    ErrorLogEntry EntryAt(Va at, NtObject about)
    {
        IoErrorLogPacket packet = IoErrorLogPacket.At(nt.Memory, at);
        int size = nt.Mm.Pool.TryFind(at, out PoolBlock? block) ? (int)block!.Bytes : IoErrorLogPacket.Size;
        byte[] all = nt.Memory.ReadBytes(at, size);
        bool isDevice = about.Type == nt.Ob.DeviceType;
        DriverObject driver = isDevice ? DeviceObject.At(nt.Memory, about.Body).DriverObject
            : DriverObject.At(nt.Memory, about.Body);
        int dump = Math.Min(packet.DumpDataSize, all.Length - IoErrorLogPacket.DumpDataOffset);
        return new ErrorLogEntry(driver.DriverName.Text, isDevice && about.Parent is not null ? about.Path : "",
            packet.ErrorCode, packet.UniqueErrorValue, packet.FinalStatus, (IrpMajor)packet.MajorFunctionCode,
            packet.RetryCount, packet.EventCategory, packet.SequenceNumber, packet.IoControlCode, packet.DeviceOffset,
            all[IoErrorLogPacket.DumpDataOffset..(IoErrorLogPacket.DumpDataOffset + dump)],
            StringsIn(all, packet.StringOffset, packet.NumberOfStrings), nt.Ke.Clock.Now);
    }

    // Each ends with a zero; one that does not ends with the entry.
    static List<string> StringsIn(byte[] entry, int offset, int count)
    {
        var strings = new List<string>();
        for (int at = offset; strings.Count < count && at + 2 <= entry.Length;)
        {
            int end = at;
            while (end + 2 <= entry.Length && (entry[end] | entry[end + 1]) != 0) end += 2;
            strings.Add(Encoding.Unicode.GetString(entry, at, end - at));
            at = end + 2;
        }
        return strings;
    }
}
