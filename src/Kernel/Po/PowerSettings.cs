using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Power settings by their GUIDs, and who is told when one changes.</summary>
sealed class PowerSettings
{
    const uint SettingTag = 0x7453_6F50;
    const int MostBytes = 0x100;

    public static readonly Guid Source = new("5d3e9a59-e9d5-4b00-a6bd-ff34ff516548"),
        Display = new("6fe69556-704a-47a0-8f24-c28d936fda47"),
        MonitorOn = new("02731015-4510-4526-99e6-e5a17ebd1aea"),
        Battery = new("a7ad8041-b45a-4cae-87a3-eecbb468a9e1"),
        Scheme = new("245d8541-3943-4422-b025-13a784f679b7"),
        Balanced = new("381b4222-f694-41f0-9685-ff5bb260df2e"),
        AwayMode = new("98a7f580-01f7-48aa-9c0f-44352c29e5c0");

    readonly NtKernel _nt;
    readonly SortedDictionary<Va, (Va Routine, Va Context, Guid Setting)> _registered = [];
    readonly Dictionary<Guid, byte[]> _values = new()
    {
        [Source] = BitConverter.GetBytes(0u),
        [Display] = BitConverter.GetBytes(1u),
        [MonitorOn] = BitConverter.GetBytes(1u),
        [Battery] = BitConverter.GetBytes(100u),
        [Scheme] = Balanced.ToByteArray(),
        [AwayMode] = BitConverter.GetBytes(0u),
    };

    public PowerSettings(NtKernel nt) => _nt = nt;

    /// <summary>Gives a setting a value; who has registered for it is told if it is another one, at
    /// PASSIVE_LEVEL.</summary>
    public void Set(Guid setting, byte[] value)
    {
        if (_values.TryGetValue(setting, out byte[]? old) && old.AsSpan().SequenceEqual(value)) return;
        _values[setting] = value;
        if (setting == Source) _nt.Po.Idle.Conserves = value.Length > 0 && value[0] != 0;
        foreach ((Va handle, (_, _, Guid wanted)) in _registered.ToArray())
            if (wanted == setting && _registered.ContainsKey(handle)) Tell(handle);
    }

    public void Set(Guid setting, uint value) => Set(setting, BitConverter.GetBytes(value));

    /// <summary>Registers a routine, and tells it the value at once if there is one.</summary>
    public Va Register(Guid setting, Va routine, Va context)
    {
        Va made = _nt.Mm.Pool.Allocate(16 + MostBytes, SettingTag);
        if (made.IsNull) return made;
        _registered.Add(made, (routine, context, setting));
        return made;
    }

    public void Tell(Va handle)
    {
        (Va routine, Va context, Guid setting) = _registered[handle];
        if (!_values.TryGetValue(setting, out byte[]? value)) return;
        _nt.Memory.Write(handle, setting);
        _nt.Memory.Write(handle + 16, value.AsSpan(0, Math.Min(value.Length, MostBytes)).ToArray());
        _nt.Routines.Call(routine, handle.Value, handle.Value + 16, (ulong)value.Length, context.Value);
    }

    public bool Unregister(Va handle)
    {
        if (!_registered.Remove(handle)) return false;
        _nt.Mm.Pool.Free(handle);
        return true;
    }
}
