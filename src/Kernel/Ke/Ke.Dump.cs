using System.Buffers.Binary;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Headers of crash dumps, as drivers ask for them.</summary>
sealed partial class Ke
{
    /// <summary>DUMP_TYPE_FULL is 1; triage dumps, which are small, are 4.</summary>
    const uint FullDump = 1, TriageDump = 4;

    /// <summary>Makes the header of a full dump in a driver's buffer.</summary>
    [Export]
    public NtStatus KeInitializeCrashDumpHeader(
        uint dumpType, uint flags, Va buffer, uint bufferSize, Va bufferNeeded)
    {
        if (!bufferNeeded.IsNull) _nt.Memory.Write(bufferNeeded, DumpHeader.Bytes);
        if (dumpType != FullDump || flags != 0) return STATUS_INVALID_PARAMETER;
        if (bufferSize < DumpHeader.Bytes) return STATUS_INVALID_PARAMETER;
        _nt.Memory.Write(buffer, NewHeader(FullDump, BugCheckCode.MANUALLY_INITIATED_CRASH, []).ToArray());
        return STATUS_SUCCESS;
    }

    /// <summary>Writes a triage dump of a thread into memory of the caller's.</summary>
    /// <returns>Its length in bytes.</returns>
    [Export(Support.Partial, "The dump has its header with the context, but no stack and no list of drivers.")]
    public uint KeCapturePersistentThreadState(
        ContextView context, KThread thread, uint bugCheckCode, ulong bugCheckParameter1, ulong bugCheckParameter2,
            ulong bugCheckParameter3, ulong bugCheckParameter4, Va virtualAddress)
    {
        ReadOnlySpan<ulong> parameters =
            [bugCheckParameter1, bugCheckParameter2, bugCheckParameter3, bugCheckParameter4];
        DumpHeader header = NewHeader(TriageDump, (BugCheckCode)bugCheckCode, parameters);
        if (!context.IsNull) header.SetContext(_nt.Memory.ReadBytes(context.Address, ContextView.Size));
        _nt.Memory.Write(virtualAddress, header.ToArray());
        return DumpHeader.Bytes;
    }

    DumpHeader NewHeader(uint type, BugCheckCode code, ReadOnlySpan<ulong> parameters) =>
        new(type, code, parameters, Scheduler.Processors.Count, Clock.SystemTime, Clock.Now);
}

/// <summary>DUMP_HEADER64.</summary>
readonly ref struct DumpHeader
{
    public const int Bytes = 0x2000;
    const int ContextOffset = 0x348;

    readonly Span<byte> _bytes;

    public DumpHeader(
        uint type, BugCheckCode code, ReadOnlySpan<ulong> parameters, int processors, long systemTime, long upTime)
    {
        _bytes = new byte[Bytes];
        // What the format leaves free is filled with its first word, as Windows does.
        for (int i = 0; i < Bytes; i += 4) Put(i, 0x4547_4150u);
        Put(0x04, 0x3436_5544u);            // DU64
        Put(0x08, 15u);
        Put(0x0C, SharedData.BuildNumber);
        Put(0x30, 0x8664u);
        Put(0x34, (uint)processors);
        Put(0x38, (uint)code);
        for (int i = 0; i < 4; i++) Put(0x40 + i * 8, i < parameters.Length ? parameters[i] : 0);
        Put(0xF98, type);
        Put(0xFA0, (ulong)Bytes);
        Put(0xFA8, (ulong)systemTime);
        Put(0x1030, (ulong)upTime);
    }

    public void SetContext(ReadOnlySpan<byte> context) => context.CopyTo(_bytes[ContextOffset..]);

    public byte[] ToArray() => _bytes.ToArray();

    void Put(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_bytes[offset..], value);

    void Put(int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(_bytes[offset..], value);
}
