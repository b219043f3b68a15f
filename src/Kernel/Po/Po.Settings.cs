using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Power settings, requests to stay awake, and idle detection.</summary>
sealed partial class Po
{
    const uint ES_SYSTEM_REQUIRED = 1, ES_CONTINUOUS = 0x8000_0000, ES_VALID = 0x47;
    const int RequestDisplay = 0, RequestSystem = 1, RequestAwayMode = 2, RequestTypes = 4;

    readonly SortedDictionary<Va, int[]> _requests = [];
    readonly SortedDictionary<Va, uint> _systemStates = [];

    public PowerSettings Settings { get; } = new(nt);
    public IdleDetection Idle { get; } = new(nt);

    /// <summary>The routine is called at once with the setting's value, if the setting has one, and whenever it
    /// changes.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PoRegisterPowerSettingCallback(
        DeviceObject deviceObject, Va settingGuid, Va callback, Va context, Va handle)
    {
        if (callback.IsNull) return STATUS_INVALID_PARAMETER;
        Va made = Settings.Register(nt.Memory.Read<Guid>(settingGuid), callback, context);
        if (made.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        if (!handle.IsNull) nt.Memory.Write(handle, made);
        Settings.Tell(made);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PoUnregisterPowerSettingCallback(Va handle) =>
        Settings.Unregister(handle) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;

    /// <summary>Somebody needs the system: it does not go to sleep for being idle.</summary>
    public bool IsHeldAwake => _systemStates.Values.Any(s => (s & ES_SYSTEM_REQUIRED) != 0)
        || _requests.Values.Any(c => c[RequestSystem] + c[RequestAwayMode] > 0);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PoCreatePowerRequest(Va powerRequest, DeviceObject deviceObject, Va context)
    {
        if (nt.Ob.Find(deviceObject.Address)?.Type != nt.Ob.DeviceType) return STATUS_INVALID_PARAMETER;
        Va made = nt.Mm.Pool.Allocate(0x10, PowerTag);
        if (made.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        _requests.Add(made, new int[RequestTypes]);
        nt.Memory.Write(powerRequest, made);
        return STATUS_SUCCESS;
    }

    /// <summary>Counted: each set wants its clear.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus PoSetPowerRequest(Va powerRequest, uint type)
    {
        if (type >= RequestTypes || !_requests.TryGetValue(powerRequest, out int[]? counts))
            return STATUS_INVALID_PARAMETER;
        counts[type]++;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus PoClearPowerRequest(Va powerRequest, uint type)
    {
        if (type >= RequestTypes || !_requests.TryGetValue(powerRequest, out int[]? counts) || counts[type] == 0)
            return STATUS_INVALID_PARAMETER;
        counts[type]--;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PoDeletePowerRequest([FreesMem] Va powerRequest)
    {
        if (_requests.Remove(powerRequest)) nt.Mm.Pool.Free(powerRequest);
    }

    /// <summary>With a handle: what it holds from now on. Without ES_CONTINUOUS it holds nothing.</summary>
    /// <returns>A handle, or null.</returns>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va PoRegisterSystemState(Va stateHandle, uint flags)
    {
        if ((flags & ~(ES_CONTINUOUS | ES_VALID)) != 0) return Va.Null;
        if (!stateHandle.IsNull && !_systemStates.ContainsKey(stateHandle)) return Va.Null;
        Va handle = stateHandle.IsNull ? nt.Mm.Pool.Allocate(0x10, PowerTag) : stateHandle;
        if (!handle.IsNull) _systemStates[handle] = (flags & ES_CONTINUOUS) != 0 ? flags : 0;
        return handle;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PoUnregisterSystemState([FreesMem] Va stateHandle)
    {
        if (_systemStates.Remove(stateHandle)) nt.Mm.Pool.Free(stateHandle);
    }

    /// <summary>The system is in use at this moment: its idle time begins anew.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoSetSystemState(uint flags)
    {
        if ((flags & ES_SYSTEM_REQUIRED) != 0) System.LastUsed = nt.Ke.Clock.Now;
    }

    /// <summary>A counter of seconds in which the device was not used: when it reaches so many, the device is put into
    /// the state. A driver sets it to zero whenever it uses the device.</summary>
    /// <returns>Null if the device is not counted any more.</returns>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va PoRegisterDeviceForIdleDetection(
        DeviceObject deviceObject, uint conservationIdleTime, uint performanceIdleTime, uint state) =>
        Idle.Register(deviceObject, conservationIdleTime, performanceIdleTime, state);

    [Export]
    public void PoSetDeviceBusyEx(Va idlePointer) => Idle.SetBusy(idlePointer, 0);

    [Export]
    public void PoStartDeviceBusy(Va idlePointer) => Idle.SetBusy(idlePointer, 1);

    [Export]
    public void PoEndDeviceBusy(Va idlePointer) => Idle.SetBusy(idlePointer, -1);
}
