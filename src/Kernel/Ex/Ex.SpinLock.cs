using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>EX_SPIN_LOCK: 32 bits, of which the highest says exclusive and the others count those that share.</summary>
sealed partial class Ex
{
    const uint HeldExclusive = 0x8000_0000, WantedExclusive = 0x4000_0000;

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irql ExAcquireSpinLockExclusive([AcquiresLock] Va spinLock)
    {
        Irql old = nt.Ke.Raise(DISPATCH_LEVEL);
        ExAcquireSpinLockExclusiveAtDpcLevel(spinLock);
        return old;
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL)]
    public void ExAcquireSpinLockExclusiveAtDpcLevel([AcquiresLock] Va spinLock)
    {
        Await(spinLock, uint.MaxValue);
        nt.Memory.Write(spinLock, HeldExclusive);
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExReleaseSpinLockExclusive([ReleasesLock] Va spinLock, Irql oldIrql)
    {
        ExReleaseSpinLockExclusiveFromDpcLevel(spinLock);
        nt.Ke.Lower(oldIrql);
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL)]
    public void ExReleaseSpinLockExclusiveFromDpcLevel([ReleasesLock] Va spinLock)
    {
        if ((nt.Memory.Read<uint>(spinLock) & HeldExclusive) == 0)
            throw new BugCheck(BugCheckCode.SPIN_LOCK_NOT_OWNED, spinLock.Value);
        nt.Memory.Write(spinLock, 0u);
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public Irql ExAcquireSpinLockShared([AcquiresLock] Va spinLock)
    {
        Irql old = nt.Ke.Raise(DISPATCH_LEVEL);
        ExAcquireSpinLockSharedAtDpcLevel(spinLock);
        return old;
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL)]
    public void ExAcquireSpinLockSharedAtDpcLevel([AcquiresLock] Va spinLock)
    {
        Await(spinLock, HeldExclusive | WantedExclusive);
        nt.Memory.Write(spinLock, nt.Memory.Read<uint>(spinLock) + 1);
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExReleaseSpinLockShared([ReleasesLock] Va spinLock, Irql oldIrql)
    {
        ExReleaseSpinLockSharedFromDpcLevel(spinLock);
        nt.Ke.Lower(oldIrql);
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL)]
    public void ExReleaseSpinLockSharedFromDpcLevel([ReleasesLock] Va spinLock)
    {
        uint value = nt.Memory.Read<uint>(spinLock);
        if ((value & HeldExclusive) != 0 || (value & ~WantedExclusive) == 0)
            throw new BugCheck(BugCheckCode.SPIN_LOCK_NOT_OWNED, spinLock.Value);
        nt.Memory.Write(spinLock, value - 1);
    }

    /// <summary>Exclusive from shared, if nobody else shares it and nobody waits for it.</summary>
    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public bool ExTryConvertSharedSpinLockExclusive(Va spinLock)
    {
        if (nt.Memory.Read<uint>(spinLock) != 1) return false;
        nt.Memory.Write(spinLock, HeldExclusive);
        return true;
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL)]
    public bool ExTryAcquireSpinLockExclusiveAtDpcLevel([AcquiresLock] Va spinLock)
    {
        if (nt.Memory.Read<uint>(spinLock) != 0) return false;
        nt.Memory.Write(spinLock, HeldExclusive);
        return true;
    }

    [Export, IrqlRequiresMin(DISPATCH_LEVEL)]
    public bool ExTryAcquireSpinLockSharedAtDpcLevel([AcquiresLock] Va spinLock)
    {
        uint value = nt.Memory.Read<uint>(spinLock);
        if ((value & (HeldExclusive | WantedExclusive)) != 0) return false;
        nt.Memory.Write(spinLock, value + 1);
        return true;
    }

    // Lets the other processors go on until none of these bits is set.
    void Await(Va spinLock, uint bits)
    {
        if ((nt.Memory.Read<uint>(spinLock) & bits) == 0) return;
        nt.Ke.SpinOn(spinLock, () => !nt.Memory.TryPeek(spinLock, out uint value) || (value & bits) == 0);
    }
}
