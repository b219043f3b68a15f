using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>FAST_MUTEX, and KGUARDED_MUTEX, which is the same.</summary>
[Layout("_FAST_MUTEX", Size = 0x38)]
public readonly partial struct FastMutex
{
    [Field(0x00)] public partial int Count { get; set; }
    [Field(0x08)] public partial Va Owner { get; set; }
    [Field(0x10)] public partial uint Contention { get; set; }
    [Embedded(0x18)] public partial KEvent Event { get; }
    [Field(0x30)] public partial uint OldIrql { get; set; }
}

/// <summary>Fast mutexes. Count is 1 when free and falls by one with each that holds or waits.</summary>
sealed partial class Ex
{
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExAcquireFastMutex([AcquiresLock] FastMutex fastMutex)
    {
        Irql old = nt.Ke.Raise(APC_LEVEL);
        ExAcquireFastMutexUnsafe(fastMutex);
        fastMutex.OldIrql = (uint)old;
    }

    [Export, IrqlRequiresMin(APC_LEVEL), IrqlRequiresMax(APC_LEVEL)]
    public void ExReleaseFastMutex([ReleasesLock] FastMutex fastMutex)
    {
        var old = (Irql)(byte)fastMutex.OldIrql;
        ExReleaseFastMutexUnsafe(fastMutex);
        nt.Ke.Lower(old);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExAcquireFastMutexUnsafe([AcquiresLock] FastMutex fastMutex)
    {
        int count = fastMutex.Count;
        fastMutex.Count = unchecked(count - 1);
        if (count != 1)
        {
            fastMutex.Contention++;
            nt.Ke.WaitFor([fastMutex.Event.Header], all: false, deadline: null);
        }
        fastMutex.Owner = nt.Ke.CurrentThread.Address;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExReleaseFastMutexUnsafe([ReleasesLock] FastMutex fastMutex)
    {
        if (fastMutex.Owner != nt.Ke.CurrentThread.Address)
            throw new BugCheck(BugCheckCode.THREAD_NOT_MUTEX_OWNER, nt.Ke.CurrentThread.Address.Value,
                fastMutex.Address.Value);
        fastMutex.Owner = Va.Null;
        if (++fastMutex.Count <= 0) nt.Ke.KeSetEvent(fastMutex.Event, 0, false);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public bool ExTryToAcquireFastMutex([AcquiresLock] FastMutex fastMutex)
    {
        if (fastMutex.Count != 1) return false;
        ExAcquireFastMutex(fastMutex);
        return true;
    }
}
