namespace Ringdown.Machine;

/// <summary>What may be done with a page.</summary>
[Flags]
public enum Protection : byte
{
    None = 0,
    Read = 1,
    Write = 2,
    Execute = 4,

    /// <summary>User mode may touch it: the page belongs to the user half of a process.</summary>
    User = 8,

    /// <summary>No access; a touch is reported as <see cref="FaultCause.Guard"/>, as below the end of a
    /// stack.</summary>
    Guard = 16,

    /// <summary>Entry points of routines on the host: jumping here calls C#, see <c>Processor.Run</c>.</summary>
    Host = 32,

    /// <summary>Not there while <see cref="Memory.PagedIsOut"/> says so: NT may have paged it out.</summary>
    Paged = 64,

    ReadWrite = Read | Write,
    ReadExecute = Read | Execute,
    All = Read | Write | Execute,
}

public enum Access : byte { Read, Write, Execute }

/// <summary>Why an address could not be accessed.</summary>
public enum FaultCause : byte { None, NotPresent, Protection, Guard, NonCanonical }

/// <summary>Host code touched guest memory that is not there. The kernel turns it into what NT would do.</summary>
public sealed class PageFault(Va address, Access access, FaultCause cause)
    : Exception($"page fault: {access} of {address} ({cause})")
{
    public Va Address { get; } = address;
    public Access Access { get; } = access;
    public FaultCause Cause { get; } = cause;

    /// <summary>The processor's error code: bit 0 the page is present, bit 1 a write, bit 4 an instruction
    /// fetch.</summary>
    public uint ErrorCode =>
        (Cause == FaultCause.Protection ? 1u : 0) | (Access == Access.Write ? 2u : 0) | (
            Access == Access.Execute ? 0x10u : 0);
}

/// <summary>A device's registers in the address space. Offsets count from the start of its mapping.</summary>
public interface IMmioDevice
{
    ulong Read(ulong offset, int size);
    void Write(ulong offset, int size, ulong value);
}
