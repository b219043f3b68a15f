using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Times, identifiers, and what the processor and the edition can do.</summary>
sealed partial class Ex
{
    static readonly Va s_sharedData = new(0xFFFF_F780_0000_0000);

    const uint FinestResolution = 5_000, CoarsestResolution = 156_250;
    const int TimeZoneBiasOffset = 0x20, ProcessorFeatures = 0x274, SuiteMask = 0x2D0, FeatureCount = 64;

    uint _resolution = CoarsestResolution;
    int _resolutionRequests;

    /// <summary>What local time is behind system time, in 100 ns units: a KSYSTEM_TIME of the shared page.</summary>
    public long TimeZoneBias => nt.Memory.Read<long>(s_sharedData + TimeZoneBiasOffset);

    [Export]
    public void ExSystemTimeToLocalTime(Va systemTime, Va localTime) =>
        nt.Memory.Write(localTime, unchecked(nt.Memory.Read<long>(systemTime) - TimeZoneBias));

    [Export]
    public void ExLocalTimeToSystemTime(Va localTime, Va systemTime) =>
        nt.Memory.Write(systemTime, unchecked(nt.Memory.Read<long>(localTime) + TimeZoneBias));

    /// <summary>A random identifier (version 4), out of the machine's chance.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ExUuidCreate(Va uuid)
    {
        ulong first = nt.Computer.Chance.Next(), second = nt.Computer.Chance.Next();
        nt.Memory.Write(uuid, first & ~0xF000_0000_0000_0000 | 0x4000_0000_0000_0000);
        nt.Memory.Write(uuid + 8, second & ~0xC0UL | 0x80);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool ExIsProcessorFeaturePresent(uint processorFeature) =>
        processorFeature < FeatureCount
        && nt.Memory.Read<byte>(s_sharedData + ProcessorFeatures + processorFeature) != 0;

    /// <summary>Whether the edition has a suite: the bit of that number in the suite mask.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public bool ExVerifySuite(uint suiteType) =>
        suiteType < 32 && (nt.Memory.Read<uint>(s_sharedData + SuiteMask) >> (int)suiteType & 1) != 0;

    /// <summary>Timers fire exactly here whatever the resolution is; it is kept for callers to see.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public uint ExSetTimerResolution(uint desiredTime, bool setResolution)
    {
        if (setResolution)
        {
            _resolutionRequests++;
            _resolution = Math.Min(_resolution, Math.Clamp(desiredTime, FinestResolution, CoarsestResolution));
        }
        else if (_resolutionRequests > 0 && --_resolutionRequests == 0) _resolution = CoarsestResolution;
        return _resolution;
    }

    [Export]
    public void ExQueryTimerResolution(Va maximumTime, Va minimumTime, Va currentTime)
    {
        nt.Memory.Write(maximumTime, CoarsestResolution);
        nt.Memory.Write(minimumTime, FinestResolution);
        nt.Memory.Write(currentTime, _resolution);
    }
}
