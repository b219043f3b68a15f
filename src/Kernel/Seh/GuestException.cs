using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>An exception as NT describes it.</summary>
public sealed record ExceptionRecord(uint Code, Va Address, params ulong[] Parameters)
{
    public const uint Noncontinuable = 1, Unwinding = 2, ExitUnwind = 4, TargetUnwind = 0x20;

    public uint Flags { get; init; }
}

/// <summary>A kernel service raises an exception in its caller: a guest <c>__try</c> around the call sees it.</summary>
public sealed class GuestException(uint code, params ulong[] parameters) : Exception($"exception 0x{code:X8}")
{
    public ExceptionRecord Record { get; } = new(code, Va.Null, parameters) { Flags = ExceptionRecord.Noncontinuable };

    internal static GuestException AccessViolation(Va address, Access access) =>
        new(Status.STATUS_ACCESS_VIOLATION.Value, access == Access.Write ? 1UL : 0, address.Value);
}

/// <summary>Guest execution goes on at another place further up the stack; C# frames between are left.</summary>
sealed class UnwindTo(CpuContext context) : Exception
{
    public CpuContext Context { get; } = context;
}
