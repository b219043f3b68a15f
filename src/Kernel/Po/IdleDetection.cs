using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Counts the seconds in which devices are not used, and asks for their sleep. The counter lies in guest
/// memory: a driver that is busy sets it to zero.</summary>
/// <remarks>The clock of it runs only while some device that is on is counted.</remarks>
sealed class IdleDetection(NtKernel nt)
{
    const uint IdleTag = 0x656C_6449;
    const int CounterBytes = 16;
    const long ScanTicks = 10_000_000;

    sealed class Entry(DeviceObject device, Va counter)
    {
        public DeviceObject Device { get; } = device;
        public Va Counter { get; } = counter;
        public uint Conservation { get; set; }
        public uint Performance { get; set; }
        public uint State { get; set; }
        public int Busy { get; set; }
        public bool IsOn { get; set; } = true;
    }

    readonly SortedDictionary<Va, Entry> _entries = [];
    (long Due, long Order)? _scan;

    /// <summary>The machine runs on its battery: then devices sleep earlier.</summary>
    public bool Conserves { get; set; }

    /// <summary>Seconds, all ones for the usual; both zero: the device is not counted any more.</summary>
    /// <returns>Where the counter is; null for none.</returns>
    public Va Register(DeviceObject device, uint conservation, uint performance, uint state)
    {
        const uint usual = 20 * 60, asUsual = uint.MaxValue;
        if (conservation == 0 && performance == 0)
        {
            OnDeleted(device);
            return Va.Null;
        }
        if (!_entries.TryGetValue(device.Address, out Entry? entry))
        {
            Va counter = nt.Mm.Pool.Allocate(CounterBytes, IdleTag);
            if (counter.IsNull) return counter;
            _entries.Add(device.Address, entry = new Entry(device, counter));
        }
        nt.Memory.Write(entry.Counter, 0u);
        entry.Conservation = conservation == asUsual ? usual : conservation;
        entry.Performance = performance == asUsual ? usual : performance;
        entry.State = state;
        Start();
        return entry.Counter;
    }

    /// <summary>PoSetDeviceBusyEx, and the beginning or end of a time in which a device is busy.</summary>
    public void SetBusy(Va counter, int change)
    {
        if (_entries.Values.FirstOrDefault(e => e.Counter == counter) is not { } entry) return;
        entry.Busy = Math.Max(0, entry.Busy + change);
        nt.Memory.Write(counter, 0u);
    }

    public void OnPowerState(DeviceObject device, uint state)
    {
        Va physical = Io.BottomOf(device).Address;
        foreach (Entry entry in _entries.Values)
        {
            if (Io.BottomOf(entry.Device).Address != physical) continue;
            entry.IsOn = state <= PowerRequest.D0;
            if (entry.IsOn) nt.Memory.Write(entry.Counter, 0u);
        }
        Start();
    }

    public void OnDeleted(DeviceObject device)
    {
        if (_entries.Remove(device.Address, out Entry? gone)) nt.Mm.Pool.Free(gone.Counter);
    }

    void Start()
    {
        if (_scan is null && _entries.Values.Any(e => e.IsOn))
            _scan = nt.Ke.Timers.Add(nt.Ke.Clock.Now + ScanTicks, () => nt.Ex.PoolOf(Wdm.DelayedWorkQueue).Queue(Scan));
    }

    void Scan()
    {
        _scan = null;
        foreach (Entry entry in _entries.Values.ToArray())
        {
            uint limit = Conserves ? entry.Conservation : entry.Performance;
            if (!entry.IsOn || entry.Busy > 0 || limit == 0) continue;
            // The counter is the driver's to write, and so to spoil.
            if (!nt.Memory.TryPeek(entry.Counter, out uint count)) continue;
            nt.Memory.Poke(entry.Counter, ++count);
            if (count < limit) continue;
            entry.IsOn = false;
            nt.Po.PoRequestPowerIrp(entry.Device, PowerRequest.SetPower, entry.State, Va.Null, Va.Null, Va.Null);
        }
        Start();
    }
}
