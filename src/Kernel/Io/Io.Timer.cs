using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The timer that each device may have: its routine runs once a second, at DISPATCH_LEVEL, while it is
/// started.</summary>
/// <remarks>One DPC serves all devices. Its timer runs only while some device's is started.</remarks>
sealed partial class Io
{
    const uint IoTimerTag = 0x6D54_6F49;
    const long SecondTicks = 10_000_000;
    const int DpcOffset = KTimer.Size;
    const int RoutineOffset = 0x18, ContextOffset = 0x20, DeviceOffset = 0x28, IoTimerSize = 0x30;

    readonly SortedSet<Va> _startedTimers = [];
    Va _timerBlock;

    /// <summary>Once a device. The timer is stopped at first.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoInitializeTimer(DeviceObject deviceObject, Va timerRoutine, Va context)
    {
        const short IO_TYPE_TIMER = 9;
        nt.OnDeviceUsed(DeviceUse.InitializeTimer, deviceObject);
        Va timer = deviceObject.Timer;
        if (timer.IsNull)
        {
            timer = nt.Mm.Pool.Allocate(IoTimerSize, IoTimerTag);
            nt.Memory.Write(timer, IO_TYPE_TIMER);
            nt.Memory.Write(timer + DeviceOffset, deviceObject.Address);
            deviceObject.Timer = timer;
        }
        nt.Memory.Write(timer + RoutineOffset, timerRoutine);
        nt.Memory.Write(timer + ContextOffset, context);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoStartTimer(DeviceObject deviceObject)
    {
        // A device that goes has no use for it.
        if (deviceObject.Timer.IsNull || IsDeletePending(deviceObject)) return;
        bool isFirst = _startedTimers.Count == 0;
        if (!_startedTimers.Add(deviceObject.Address) || !isFirst) return;
        KTimer timer = SecondTimer();
        nt.Ke.KeSetTimerEx(timer, -SecondTicks, 1000, KDpc.At(nt.Memory, timer.Address + DpcOffset));
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoStopTimer(DeviceObject deviceObject)
    {
        if (_startedTimers.Remove(deviceObject.Address) && _startedTimers.Count == 0)
            nt.Ke.KeCancelTimer(SecondTimer());
    }

    KTimer SecondTimer()
    {
        if (_timerBlock.IsNull)
        {
            _timerBlock = nt.Mm.Pool.Allocate(KTimer.Size + KDpc.Size, IoTimerTag);
            nt.Ke.KeInitializeTimer(KTimer.At(nt.Memory, _timerBlock));
            Va routine = nt.Routines.Add("IopTimerDispatch", static (nt, _) => nt.Io.RunTimers());
            nt.Ke.KeInitializeDpc(KDpc.At(nt.Memory, _timerBlock + DpcOffset), routine, Va.Null);
        }
        return KTimer.At(nt.Memory, _timerBlock);
    }

    void RunTimers()
    {
        foreach (Va address in _startedTimers.ToArray())
        {
            // One routine may stop another's timer.
            if (!_startedTimers.Contains(address)) continue;
            Va timer = DeviceObject.At(nt.Memory, address).Timer;
            nt.Routines.Call(nt.Memory.Read<Va>(timer + RoutineOffset), address.Value,
                nt.Memory.Read<ulong>(timer + ContextOffset));
        }
    }

    void RemoveTimer(DeviceObject device)
    {
        IoStopTimer(device);
        Va timer = device.Timer;
        if (timer.IsNull || !nt.Mm.Pool.TryFind(timer, out PoolBlock? block) || block!.Tag != IoTimerTag) return;
        device.Timer = Va.Null;
        nt.Mm.Pool.Free(timer);
    }
}
