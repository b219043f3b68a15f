using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Power settings, requests to stay awake, and what the system's state is held by. The machine runs on mains
/// power, is on, and never sleeps.</summary>
sealed partial class Po
{
    const string NeverSleeps = "The system never sleeps, so nothing is kept awake by it.";
    const uint PowerTag = 0x7277_6F50, ES_CONTINUOUS = 0x8000_0000, ES_VALID = 0x47;

    static readonly Guid s_powerSource = new("5d3e9a59-e9d5-4b00-a6bd-ff34ff516548"),
        s_displayState = new("6fe69556-704a-47a0-8f24-c28d936fda47"),
        s_personality = new("245d8541-3943-4422-b025-13a784f679b7"),
        s_balanced = new("381b4222-f694-41f0-9685-ff5bb260df2e");

    readonly SortedDictionary<Va, (Va Routine, Va Context, Guid Setting)> _settings = [];
    readonly SortedDictionary<Va, int[]> _requests = [];
    readonly SortedSet<Va> _systemStates = [];

    /// <summary>The routine is called at once with the setting's value, if the setting is known; values do not
    /// change.</summary>
    [Export(Support.Partial, "Power source, display state and scheme are told once; they never change.")]
    [IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PoRegisterPowerSettingCallback(
        DeviceObject deviceObject, Va settingGuid, Va callback, Va context, Va handle)
    {
        if (callback.IsNull) return STATUS_INVALID_PARAMETER;
        Guid setting = nt.Memory.Read<Guid>(settingGuid);
        Va made = nt.Mm.Pool.Allocate(0x40, PowerTag);
        _settings.Add(made, (callback, context, setting));
        if (!handle.IsNull) nt.Memory.Write(handle, made);
        byte[]? value = setting == s_powerSource ? BitConverter.GetBytes(0u)
            : setting == s_displayState ? BitConverter.GetBytes(1u)
            : setting == s_personality ? s_balanced.ToByteArray() : null;
        if (value is null) return STATUS_SUCCESS;
        nt.Memory.Write(made, setting);
        nt.Memory.Write(made + 16, value);
        nt.Routines.Call(callback, made.Value, made.Value + 16, (ulong)value.Length, context.Value);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PoUnregisterPowerSettingCallback(Va handle)
    {
        if (!_settings.Remove(handle)) return STATUS_INVALID_PARAMETER;
        nt.Mm.Pool.Free(handle);
        return STATUS_SUCCESS;
    }

    [Export(Support.Partial, NeverSleeps), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PoCreatePowerRequest(Va powerRequest, DeviceObject deviceObject, Va context)
    {
        if (nt.Ob.Find(deviceObject.Address)?.Type != nt.Ob.DeviceType) return STATUS_INVALID_PARAMETER;
        Va made = nt.Mm.Pool.Allocate(0x10, PowerTag);
        _requests.Add(made, new int[4]);
        nt.Memory.Write(powerRequest, made);
        return STATUS_SUCCESS;
    }

    /// <summary>Counted: each set wants its clear.</summary>
    [Export(Support.Partial, NeverSleeps), IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus PoSetPowerRequest(Va powerRequest, uint type)
    {
        if (type > 3 || !_requests.TryGetValue(powerRequest, out int[]? counts)) return STATUS_INVALID_PARAMETER;
        counts[type]++;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus PoClearPowerRequest(Va powerRequest, uint type)
    {
        if (type > 3 || !_requests.TryGetValue(powerRequest, out int[]? counts) || counts[type] == 0)
            return STATUS_INVALID_PARAMETER;
        counts[type]--;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PoDeletePowerRequest([FreesMem] Va powerRequest)
    {
        if (_requests.Remove(powerRequest)) nt.Mm.Pool.Free(powerRequest);
    }

    /// <returns>A handle, or null.</returns>
    [Export(Support.Partial, NeverSleeps), IrqlRequiresMax(APC_LEVEL)]
    public Va PoRegisterSystemState(Va stateHandle, uint flags)
    {
        if ((flags & ~(ES_CONTINUOUS | ES_VALID)) != 0) return Va.Null;
        if (!stateHandle.IsNull) return _systemStates.Contains(stateHandle) ? stateHandle : Va.Null;
        Va made = nt.Mm.Pool.Allocate(0x10, PowerTag);
        _systemStates.Add(made);
        return made;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void PoUnregisterSystemState([FreesMem] Va stateHandle)
    {
        if (_systemStates.Remove(stateHandle)) nt.Mm.Pool.Free(stateHandle);
    }

    [Export(Support.Partial, NeverSleeps), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoSetSystemState(uint flags)
    {
    }

    /// <summary>Marks an IRP as the one that woke the system.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void PoSetSystemWake(Irp irp) => irp.Flags |= SystemWake;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool PoGetSystemWake(Irp irp) => (irp.Flags & SystemWake) != 0;

    const uint SystemWake = 0x4000_0000;

    /// <summary>No watchdog watches IRP_MJ_POWER here.</summary>
    /// <returns>False: none is running for the device.</returns>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool PoQueryWatchdogTime(DeviceObject pdo, Va secondsRemaining) => false;

    [Export(Support.Partial, "Devices are never idle for long enough: no counter is given.")]
    [IrqlRequiresMax(APC_LEVEL)]
    public Va PoRegisterDeviceForIdleDetection(
        DeviceObject deviceObject, uint conservationIdleTime, uint performanceIdleTime, uint state) => Va.Null;

    // A pointer from PoRegisterDeviceForIdleDetection, which gives none.
    [Export(Support.Partial, "There are no idle counters.")]
    public void PoSetDeviceBusyEx(Va idlePointer)
    {
    }

    [Export(Support.Partial, "There are no idle counters.")]
    public void PoStartDeviceBusy(Va idlePointer)
    {
    }

    [Export(Support.Partial, "There are no idle counters.")]
    public void PoEndDeviceBusy(Va idlePointer)
    {
    }

    /// <summary>The item runs when the system ends, before devices are told.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus PoQueueShutdownWorkItem(Va workItem)
    {
        _shutdownItems.Enqueue(workItem);
        return STATUS_SUCCESS;
    }

    readonly Queue<Va> _shutdownItems = new();

    public void RunShutdownItems()
    {
        while (_shutdownItems.TryDequeue(out Va item))
        {
            WorkQueueItem work = WorkQueueItem.At(nt.Memory, item);
            nt.Routines.Call(work.WorkerRoutine, work.Parameter.Value);
        }
    }
}
