using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>An event as a provider wrote it.</summary>
/// <param name="Name">The provider's name, if it told one.</param>
/// <param name="Text">The text of an event that is one; else null.</param>
public sealed record TraceEvent(
    Guid Provider, string Name, ushort Id, byte Level, ulong Keyword, byte[] Data, string? Text);

/// <summary>Event tracing: one session listens to every provider, at every level.</summary>
[NtModule("ntoskrnl.exe")]
sealed class Etw(NtKernel nt)
{
    const int MaximumDescriptors = 128, MaximumBytes = 0xFFFF, EventsKept = 4096;
    const byte LevelOfSession = 0xFF;

    sealed class Provider(Guid id, Va callback, Va context)
    {
        public Guid Id { get; } = id;
        public Va Callback { get; } = callback;
        public Va Context { get; } = context;
        public string Name { get; set; } = "";
    }

    readonly SortedDictionary<ulong, Provider> _providers = [];
    readonly Queue<TraceEvent> _events = new();
    readonly Dictionary<Va, Guid> _activities = [];
    ulong _nextHandle = 0x10, _nextActivity;

    /// <summary>The last events, oldest first.</summary>
    public IReadOnlyCollection<TraceEvent> Events => _events;

    /// <summary>How many providers are registered.</summary>
    public int ProviderCount => _providers.Count;

    /// <summary>The session has it enabled already: its callback is told so before this returns.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus EtwRegister(Va providerId, Va enableCallback, Va callbackContext, Va regHandle)
    {
        const ulong enable = 1;
        Guid id = nt.Memory.Read<Guid>(providerId);
        ulong handle = _nextHandle += 0x10;
        _providers.Add(handle, new Provider(id, enableCallback, callbackContext));
        nt.Memory.Write(regHandle, handle);
        if (!enableCallback.IsNull)
            nt.Routines.Call(enableCallback, providerId.Value, enable, LevelOfSession, ulong.MaxValue, 0, 0,
                callbackContext.Value);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus EtwUnregister(ulong regHandle) =>
        _providers.Remove(regHandle) ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;

    [Export]
    public bool EtwEventEnabled(ulong regHandle, Va eventDescriptor) => _providers.ContainsKey(regHandle);

    [Export]
    public bool EtwProviderEnabled(ulong regHandle, byte level, ulong keyword) => _providers.ContainsKey(regHandle);

    [Export]
    public NtStatus EtwWrite(
        ulong regHandle, Va eventDescriptor, Va activityId, uint userDataCount, Va userData) =>
        Write(regHandle, eventDescriptor, userDataCount, userData);

    [Export]
    public NtStatus EtwWriteTransfer(
        ulong regHandle, Va eventDescriptor, Va activityId, Va relatedActivityId, uint userDataCount, Va userData) =>
        Write(regHandle, eventDescriptor, userDataCount, userData);

    [Export(Support.Partial, "Filters do not choose between sessions: there is one.")]
    public NtStatus EtwWriteEx(
        ulong regHandle, Va eventDescriptor, ulong filter, uint flags, Va activityId, Va relatedActivityId,
        uint userDataCount, Va userData) =>
        Write(regHandle, eventDescriptor, userDataCount, userData);

    NtStatus Write(ulong handle, Va descriptor, uint count, Va userData)
    {
        if (!_providers.TryGetValue(handle, out Provider? provider)) return STATUS_INVALID_HANDLE;
        if (count > MaximumDescriptors) return STATUS_INVALID_PARAMETER;
        var data = new List<byte>();
        for (int i = 0; i < count; i++)
        {
            // EVENT_DATA_DESCRIPTOR: where, how much.
            Va at = userData + i * 16;
            uint size = nt.Memory.Read<uint>(at + 8);
            if (size > MaximumBytes || data.Count + size > MaximumBytes) return STATUS_INTEGER_OVERFLOW;
            data.AddRange(nt.Memory.ReadBytes(nt.Memory.Read<Va>(at), (int)size));
        }
        Keep(new TraceEvent(provider.Id, provider.Name, nt.Memory.Read<ushort>(descriptor),
            nt.Memory.Read<byte>(descriptor + 4), nt.Memory.Read<ulong>(descriptor + 8), [.. data], null));
        return STATUS_SUCCESS;
    }

    [Export]
    public NtStatus EtwWriteString(ulong regHandle, byte level, ulong keyword, Va activityId, Va @string)
    {
        if (!_providers.TryGetValue(regHandle, out Provider? provider)) return STATUS_INVALID_HANDLE;
        if (@string.IsNull) return STATUS_INVALID_PARAMETER;
        var text = new System.Text.StringBuilder();
        for (Va at = @string; nt.Memory.Read<char>(at) is not '\0' and var c; at += 2)
        {
            if (text.Length * 2 > MaximumBytes) return STATUS_INTEGER_OVERFLOW;
            text.Append(c);
        }
        Keep(new TraceEvent(provider.Id, provider.Name, 0, level, keyword, [], text.ToString()));
        return STATUS_SUCCESS;
    }

    /// <summary>Keeps an event, and shows it to who looks.</summary>
    public void Keep(TraceEvent written)
    {
        _events.Enqueue(written);
        if (_events.Count > EventsKept) _events.Dequeue();
        nt.OnEventWritten(written);
    }

    /// <summary>The activity of the thread: got, set, made, or two of these.</summary>
    [Export]
    public NtStatus EtwActivityIdControl(uint controlCode, Va activityId)
    {
        const uint get = 1, set = 2, create = 3, getSet = 4, createSet = 5;
        if (controlCode is < get or > createSet) return STATUS_INVALID_PARAMETER;
        Va thread = nt.Ke.CurrentThread.Address;
        Guid before = _activities.GetValueOrDefault(thread), given = nt.Memory.Read<Guid>(activityId);
        if (controlCode != set)
            nt.Memory.Write(activityId, controlCode is create
                ? new Guid(1, 0, 0, BitConverter.GetBytes(++_nextActivity)) : before);
        if (controlCode is set or getSet) _activities[thread] = given;
        if (controlCode == createSet) _activities[thread] = new Guid(1, 0, 0, BitConverter.GetBytes(++_nextActivity));
        return STATUS_SUCCESS;
    }

    /// <summary>Traits: two bytes of length, then the provider's name in UTF-8.</summary>
    [Export(Support.Partial, "Traits (2) and the type of descriptors (3) only."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus EtwSetInformation(
        ulong regHandle, uint informationClass, Va eventInformation, uint informationLength)
    {
        if (!_providers.TryGetValue(regHandle, out Provider? provider)) return STATUS_INVALID_HANDLE;
        if (informationClass is not (2 or 3)) return STATUS_NOT_SUPPORTED;
        if (informationClass == 3) return informationLength == 1 ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
        if (informationLength < 3 || nt.Memory.Read<ushort>(eventInformation) != informationLength)
            return STATUS_INVALID_PARAMETER;
        byte[] traits = nt.Memory.ReadBytes(eventInformation + 2, (int)informationLength - 2);
        int end = Array.IndexOf(traits, (byte)0);
        if (end < 0) return STATUS_INVALID_PARAMETER;
        provider.Name = System.Text.Encoding.UTF8.GetString(traits, 0, end);
        return STATUS_SUCCESS;
    }
}
