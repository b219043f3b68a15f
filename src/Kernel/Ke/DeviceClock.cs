using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The machine's time for its devices: what they plan is in the same queue as timers.</summary>
sealed class DeviceClock(Ke ke) : IDeviceClock
{
    public long Now => ke.Clock.Now;

    public object After(long ticks, Action action)
    {
        // Far ahead there is no need to count instructions, and not enough numbers.
        long due = ke.Clock.Now + Math.Clamp(ticks, 0, long.MaxValue / 4);
        if (ticks < Schedule.LongestSlice) ke.Clock.EndSliceAt(due);
        return ke.Timers.Add(due, action, isDevice: true);
    }

    public void Cancel(object scheduled) => ke.Timers.Remove(((long, long))scheduled);
}
