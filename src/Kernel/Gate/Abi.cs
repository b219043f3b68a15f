using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Values as they stand in a register.</summary>
public static class Abi
{
    public static ulong ToRaw(ulong value) => value;
    public static ulong ToRaw(long value) => (ulong)value;
    public static ulong ToRaw(uint value) => value;
    public static ulong ToRaw(int value) => (uint)value;
    public static ulong ToRaw(ushort value) => value;
    public static ulong ToRaw(short value) => (ushort)value;
    public static ulong ToRaw(byte value) => value;
    public static ulong ToRaw(sbyte value) => (byte)value;
    public static ulong ToRaw(bool value) => value ? 1UL : 0;
    public static ulong ToRaw(Va value) => value.Value;
    public static ulong ToRaw(Handle value) => value.Value;
    public static ulong ToRaw(NtStatus value) => value.Value;
    public static ulong ToRaw(Irql value) => (ulong)value;
    public static ulong ToRaw(ProcessorMode value) => (ulong)value;
    public static ulong ToRaw<T>(T view) where T : struct, IView<T> => view.Address.Value;
}

/// <summary>A HANDLE: an index into a process's table of open objects.</summary>
public readonly record struct Handle(ulong Value)
{
    public bool IsNull => Value == 0;
    public override string ToString() => $"0x{Value:x}";
}

/// <summary>One call from guest code, at the callee's first instruction: Microsoft's x64 convention.</summary>
public readonly struct GuestCall(Computer computer)
{
    // Not kept in a field: a thread that waits may go on on another processor.
    Processor Cpu => computer.Cpu;

    /// <summary>The n-th integer argument: four in registers, then the stack above the home space.</summary>
    public ulong Argument(int n) => n switch
    {
        0 => Cpu.Rcx,
        1 => Cpu.Rdx,
        2 => Cpu.R8,
        3 => Cpu.R9,
        _ => computer.Memory.Read<ulong>(new Va(Cpu.Rsp) + 8 + n * 8),
    };

    /// <summary>The arguments from the n-th on, of a function with an ellipsis.</summary>
    public VarArgs VarArgs(int n)
    {
        // A callee with an ellipsis first stores its register arguments in the home space: then all lie in a row.
        Va home = new Va(Cpu.Rsp) + 8;
        computer.Memory.Write(home, Cpu.Rcx);
        computer.Memory.Write(home + 8, Cpu.Rdx);
        computer.Memory.Write(home + 16, Cpu.R8);
        computer.Memory.Write(home + 24, Cpu.R9);
        return new VarArgs(computer.Memory, home + n * 8);
    }

    public void Return(ulong value) => Cpu.Rax = value;
}

/// <summary>A va_list: arguments of 8 bytes each, in guest memory.</summary>
public sealed class VarArgs(Memory memory, Va address)
{
    public ulong Next()
    {
        ulong value = memory.Read<ulong>(address);
        address += 8;
        return value;
    }
}
