using System.Numerics;

namespace Ringdown.Kernel;

/// <summary>IRQ_DEVICE_POLICY.</summary>
public enum IrqDevicePolicy : ushort
{
    IrqPolicyMachineDefault, IrqPolicyAllCloseProcessors, IrqPolicyOneCloseProcessor, IrqPolicyAllProcessorsInMachine,
    IrqPolicySpecifiedProcessors, IrqPolicySpreadMessagesAcrossAllProcessors,
    IrqPolicyAllProcessorsInMachineWhenSteered,
}

/// <summary>IRQ_PRIORITY.</summary>
public enum IrqPriority : uint
{
    IrqPriorityUndefined, IrqPriorityLow, IrqPriorityNormal, IrqPriorityHigh,
}

/// <summary>Which processors a device's interrupts are for, and how urgent they are: a package's values below
/// <c>Interrupt Management\Affinity Policy</c>, or what a driver puts into IO_RESOURCE_DESCRIPTOR.</summary>
/// <param name="Targets">With IrqPolicySpecifiedProcessors: a bit for each of them.</param>
readonly record struct InterruptPolicy(IrqDevicePolicy Affinity, IrqPriority Priority, ulong Targets)
{
    /// <summary>The two words of a descriptor: policy, group and priority; the processors.</summary>
    public ulong Head => (ulong)Affinity | (ulong)Priority << 32;

    public static InterruptPolicy Of(ulong head, ulong targets) =>
        new((IrqDevicePolicy)(ushort)head, (IrqPriority)(uint)(head >> 32), targets);

    /// <summary>The processors that may service a line; 0: all.</summary>
    public ulong Lines(int processors) =>
        Affinity == IrqDevicePolicy.IrqPolicySpecifiedProcessors ? Targets & All(processors) : 0;

    /// <summary>The processors that a message may go to, the best first.</summary>
    /// <param name="message">Which one of the device's it is.</param>
    public IEnumerable<int> Messages(int message, int processors)
    {
        ulong mask = Lines(processors) is var given and not 0 ? given : All(processors);
        int[] all = [.. Enumerable.Range(0, processors).Where(p => (mask >> p & 1) != 0)];
        int first = Affinity == IrqDevicePolicy.IrqPolicySpreadMessagesAcrossAllProcessors ? message % all.Length : 0;
        return all[first..].Concat(all[..first]);
    }

    static ulong All(int processors) => processors == 64 ? ulong.MaxValue : (1UL << processors) - 1;

    /// <summary>The first processor of a set.</summary>
    public static int First(ulong processors) => processors == 0 ? 0 : BitOperations.TrailingZeroCount(processors);
}
