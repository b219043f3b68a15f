using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The machine's time for its devices: what they plan is in the same queue as timers.</summary>
sealed class DeviceClock(Ke ke) : IDeviceClock
{
    public long Now => ke.Clock.Now;

    public object After(long ticks, Action action) => ke.Timers.Add(ke.Clock.Now + Math.Max(0, ticks), action);

    public void Cancel(object scheduled) => ke.Timers.Remove(((long, long))scheduled);
}
