using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

[Layout("_KBUGCHECK_CALLBACK_RECORD", Size = 0x40)]
public readonly partial struct KBugCheckCallbackRecord
{
    [Field(0x10)] public partial Va CallbackRoutine { get; set; }
    [Field(0x18)] public partial Va Buffer { get; set; }
    [Field(0x20)] public partial uint Length { get; set; }
    [Field(0x28)] public partial Va Component { get; set; }
    [Field(0x38)] public partial byte State { get; set; }
}

[Layout("_KBUGCHECK_REASON_CALLBACK_RECORD", Size = 0x30)]
public readonly partial struct KBugCheckReasonCallbackRecord
{
    [Field(0x10)] public partial Va CallbackRoutine { get; set; }
    [Field(0x18)] public partial Va Component { get; set; }
    [Field(0x28)] public partial uint Reason { get; set; }
    [Field(0x2C)] public partial byte State { get; set; }
}

/// <summary>What a driver said when the machine stopped.</summary>
/// <param name="Component">The name under which its callback was registered.</param>
/// <param name="Data">What it left in its buffer, or gave for the dump.</param>
public sealed record BugCheckCallback(string Component, byte[] Data);

/// <summary>Callbacks that drivers register for the case of a bug check.</summary>
sealed partial class Ke
{
    const byte BufferInserted = 1;
    const uint SecondaryDumpData = 2, LastReason = 7;
    const int MaximumData = 0x1_0000, SecondaryDumpBytes = 0x40;
    const long CallbackInstructions = 1_000_000;

    readonly List<Va> _callbacks = [], _reasonCallbacks = [];

    [Export]
    public bool KeRegisterBugCheckCallback(
        KBugCheckCallbackRecord callbackRecord, Va callbackRoutine, Va buffer, uint length, Va component)
    {
        if (_callbacks.Contains(callbackRecord.Address)) return false;
        (callbackRecord.CallbackRoutine, callbackRecord.Buffer, callbackRecord.Length, callbackRecord.Component) =
            (callbackRoutine, buffer, length, component);
        callbackRecord.State = BufferInserted;
        _callbacks.Add(callbackRecord.Address);
        return true;
    }

    [Export]
    public bool KeDeregisterBugCheckCallback(KBugCheckCallbackRecord callbackRecord)
    {
        if (!_callbacks.Remove(callbackRecord.Address)) return false;
        callbackRecord.State = 0;
        return true;
    }

    [Export(Support.Partial, "Only callbacks for secondary dump data are called.")]
    public bool KeRegisterBugCheckReasonCallback(
        KBugCheckReasonCallbackRecord callbackRecord, Va callbackRoutine, uint reason, Va component)
    {
        if (reason is 0 or > LastReason || _reasonCallbacks.Contains(callbackRecord.Address)) return false;
        (callbackRecord.CallbackRoutine, callbackRecord.Reason, callbackRecord.Component) =
            (callbackRoutine, reason, component);
        callbackRecord.State = BufferInserted;
        _reasonCallbacks.Add(callbackRecord.Address);
        return true;
    }

    [Export]
    public bool KeDeregisterBugCheckReasonCallback(KBugCheckReasonCallbackRecord callbackRecord)
    {
        if (!_reasonCallbacks.Remove(callbackRecord.Address)) return false;
        callbackRecord.State = 0;
        return true;
    }

    /// <summary>The code and the four parameters of the stop; all zero while there is none.</summary>
    [ExportData(Words = 5)] public ulong[] KiBugCheckData => new ulong[5];

    void PublishStop(BugCheck stop)
    {
        Va data = _nt.Loader.FindExport(nameof(KiBugCheckData));
        _nt.Memory.Write(data, (ulong)stop.Code);
        for (int i = 0; i < stop.Parameters.Length; i++) _nt.Memory.Write(data + 8 + i * 8, stop.Parameters[i]);
    }

    // At HIGH_LEVEL, on a stack that is certainly there. What goes wrong in a callback is the callback's end.
    IReadOnlyList<BugCheckCallback> RunBugCheckCallbacks(BugCheck stop)
    {
        PublishStop(stop);
        if (_callbacks.Count + _reasonCallbacks.Count == 0) return [];
        var said = new List<BugCheckCallback>();
        var stopped = new CpuContext();
        _nt.Cpu.CopyTo(stopped);
        // A stop within a callback is reported as well: none is called twice.
        (Va[] callbacks, Va[] reasons) = ([.. _callbacks], [.. _reasonCallbacks]);
        _callbacks.Clear();
        _reasonCallbacks.Clear();
        foreach (Va callback in callbacks) Try(() => said.Add(Call(KBugCheckCallbackRecord.At(_nt.Memory, callback))));
        foreach (Va callback in reasons)
        {
            Try(() =>
            {
                if (CallReason(KBugCheckReasonCallbackRecord.At(_nt.Memory, callback)) is { } data) said.Add(data);
            });
        }
        _nt.Cpu.CopyFrom(stopped);
        return said;
    }

    void Try(Action callback)
    {
        SetIrql(HIGH_LEVEL);
        Clock.Limit(CallbackInstructions);
        try
        {
            callback();
        }
        catch (Exception e) when (e is MachineStop or PageFault or GuestException)
        {
        }
    }

    BugCheckCallback Call(KBugCheckCallbackRecord record)
    {
        (Va buffer, uint length) = (record.Buffer, record.Length);
        _nt.Routines.CallOn(Scheduler.Active.DpcStack, record.CallbackRoutine, buffer.Value, length);
        return new BugCheckCallback(ComponentOf(record.Component), Data(buffer, length));
    }

    // KBUGCHECK_SECONDARY_DUMP_DATA: the driver sets OutBuffer and OutBufferLength.
    BugCheckCallback? CallReason(KBugCheckReasonCallbackRecord record)
    {
        if (record.Reason != SecondaryDumpData) return null;
        Va area = _nt.Mm.Pool.Allocate(SecondaryDumpBytes + MaximumData, WaitTag), data = area + SecondaryDumpBytes;
        _nt.Memory.Write(area, data);
        _nt.Memory.Write(area + 8, (uint)MaximumData);
        _nt.Memory.Write(area + 12, (uint)MaximumData);
        _nt.Routines.CallOn(Scheduler.Active.DpcStack, record.CallbackRoutine, SecondaryDumpData, record.Address.Value,
            area.Value, SecondaryDumpBytes - 0x10);
        return new BugCheckCallback(
            ComponentOf(record.Component), Data(_nt.Memory.Read<Va>(area + 0x20), _nt.Memory.Read<uint>(area + 0x28)));
    }

    byte[] Data(Va buffer, uint length)
    {
        byte[] bytes = new byte[Math.Min(length, MaximumData)];
        return _nt.Memory.TryPeek(buffer, bytes) ? bytes : [];
    }

    string ComponentOf(Va name)
    {
        byte[] bytes = new byte[32];
        int count = 0;
        while (count < bytes.Length && _nt.Memory.TryPeek(name + count, out byte c) && c != 0) bytes[count++] = c;
        return Encoding.ASCII.GetString(bytes, 0, count);
    }
}
