namespace Ringdown.Machine;

/// <summary>Why a processor stopped.</summary>
public enum StopKind
{
    /// <summary>
    /// The budget does not cover the next block; after <see cref="Processor.Step"/>, the instruction is done.
    /// </summary>
    Budget,

    /// <summary>RIP is on a page with <see cref="Protection.Host"/>: the owner is to run the routine there.</summary>
    HostCall,

    /// <summary>An exception or a software interrupt: the owner is to deliver it.</summary>
    Exception,

    /// <summary>HLT or MWAIT: nothing to do until an interrupt.</summary>
    Halt,

    /// <summary>CR8 was changed or IF set: an interrupt that had to wait may be delivered now.</summary>
    Poll,
}

/// <summary>How a run ended.</summary>
/// <param name="Vector">The vector of an exception.</param>
/// <param name="ErrorCode">Its error code, if the vector has one.</param>
/// <param name="FaultAddress">For #PF, and for #GP of an address that is not canonical: the address.</param>
/// <param name="Detail">For an instruction that this processor does not know: which; null for a genuine #UD.</param>
public readonly record struct Stop(
    StopKind Kind, byte Vector, uint ErrorCode, Va FaultAddress, FaultCause Cause, string? Detail);

/// <summary>The I/O ports that IN and OUT reach.</summary>
public interface IPortSpace
{
    /// <param name="size">Bytes: 1, 2 or 4.</param>
    uint Read(ushort port, int size);
    void Write(ushort port, int size, uint value);
}
