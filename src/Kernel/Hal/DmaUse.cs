using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A register of a PCI function was touched that is in D1, D2 or D3.</summary>
public readonly record struct TouchedAsleep(PciBar Bar, ulong Offset, bool IsWrite);

/// <summary>What the HAL does with a DMA adapter.</summary>
public enum DmaStep
{
    /// <summary>A driver calls a routine of DMA_OPERATIONS.</summary>
    Called,

    /// <summary>An adapter was asked for; null if there is none.</summary>
    Got,

    /// <summary>PutDmaAdapter; Count is how many requests still wait.</summary>
    Put,
    BufferAllocated, BufferFreed,

    /// <summary>AllocateAdapterChannel: Count is how many map registers, Most how many there are.</summary>
    ChannelAsked,

    /// <summary>Channel and map registers are there.</summary>
    RegistersGiven,

    /// <summary>The channel is given back, and the registers if some are named.</summary>
    ChannelFreed, RegistersFreed,

    /// <summary>Part of an MDL is about to be mapped for the device, as a list or not.</summary>
    Mapping,

    /// <summary>It is, so far as Length says.</summary>
    Mapped, Flushed, ListGiven, ListPut,

    /// <summary>The IOMMU has kept the device of Node from Physical; what adapter that is for, nobody knows.</summary>
    Refused,
}

/// <summary>What was written beside a common buffer.</summary>
public enum DmaHarm { None, Before, Behind, Padding }

/// <summary>A step of a driver's DMA; what it does not speak of is zero. Told before it has its effect, but for what is
/// given.</summary>
public readonly record struct DmaUse(DmaStep Step, Va Adapter)
{
    /// <summary>The routine that was called.</summary>
    public string Routine { get; init; } = "";

    /// <summary>The physical device object that the adapter is for.</summary>
    public DeviceObject Device { get; init; }

    /// <summary>The device; null: there is none.</summary>
    public DeviceNode? Node { get; init; }

    /// <summary>The base of map registers; null: they are none that the adapter has.</summary>
    public Va Registers { get; init; }

    /// <summary>Of map registers, of requests; of <see cref="DmaStep.Got"/> the description's version.</summary>
    public int Count { get; init; }
    public int Most { get; init; }
    public Mdl Mdl { get; init; }

    /// <summary>The address in the MDL's memory.</summary>
    public Va Current { get; init; }
    public uint Length { get; init; }
    public bool ToDevice { get; init; }

    /// <summary>The device cannot reach the memory: it works with a copy.</summary>
    public bool IsCopied { get; init; }

    /// <summary>A common buffer, or a list.</summary>
    public Va Buffer { get; init; }
    public ulong Physical { get; init; }
    public DmaHarm Harm { get; init; }
}
