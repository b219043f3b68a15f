using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>A request that a program sent, and what it has read. One that is pending becomes complete while the machine
/// runs.</summary>
public sealed class UserRequest
{
    internal UserRequest(IoRequest request) => Request = request;

    public IoRequest Request { get; }

    /// <summary>What the request has brought; empty as long as it is pending, and if it failed.</summary>
    public byte[] Output { get; internal set; } = [];
    public bool IsComplete => Request.IsComplete;
    public NtStatus Status => Request.Status;

    /// <summary>The Win32 error code that GetLastError would give; 997 (ERROR_IO_PENDING) while it is
    /// pending.</summary>
    public int Win32Error => Win32Of(Status);
    public ulong Information => Request.Information;

    /// <summary>Called once, after the call into the machine that has seen its end.</summary>
    internal Action<UserRequest>? Ended { get; set; }
}
