namespace Ringdown.Machine;

/// <summary>The registers of a chip, declared one by one. An access may be narrower or wider than a register: each one
/// that it touches is read or written once, as a whole; bytes without a register read as <see cref="Empty"/>.</summary>
public sealed class RegisterBlock : IMmioDevice
{
    readonly List<Register> _registers = [];

    sealed record Register(
        string Name, ulong Offset, int Size, Func<ulong> Read, Action<ulong> Write, bool IsWriteOnly);

    /// <summary>What is read where no register is.</summary>
    public byte Empty { get; init; } = 0xFF;

    /// <summary>Adds a register. A write of a part of it takes the rest from <paramref name="read"/>, unless it is
    /// <paramref name="writeOnly"/>: then the rest is zero.</summary>
    /// <param name="size">Bytes: 1, 2, 4 or 8.</param>
    public RegisterBlock Add(
        string name, ulong offset, int size, Func<ulong> read, Action<ulong> write, bool writeOnly = false)
    {
        if (_registers.Exists(r => offset < r.Offset + (ulong)r.Size && r.Offset < offset + (ulong)size))
            throw new ArgumentException($"{name} overlaps another register.", nameof(offset));
        _registers.Add(new Register(name, offset, size, read, write, writeOnly));
        return this;
    }

    /// <summary>The name of the register at an offset, for traces; null where none is.</summary>
    public string? NameAt(ulong offset) => At(offset)?.Name;

    public ulong Read(ulong offset, int size)
    {
        ulong result = 0;
        for (int i = 0; i < size;)
        {
            if (At(offset + (ulong)i) is not { } register)
            {
                result |= (ulong)Empty << (8 * i++);
                continue;
            }
            int from = (int)(offset + (ulong)i - register.Offset), count = Math.Min(register.Size - from, size - i);
            result |= (register.Read() >> (8 * from) & Mask(count)) << (8 * i);
            i += count;
        }
        return result;
    }

    public void Write(ulong offset, int size, ulong value)
    {
        for (int i = 0; i < size;)
        {
            if (At(offset + (ulong)i) is not { } register)
            {
                i++;
                continue;
            }
            int from = (int)(offset + (ulong)i - register.Offset), count = Math.Min(register.Size - from, size - i);
            ulong part = (value >> (8 * i) & Mask(count)) << (8 * from);
            if (count < register.Size && !register.IsWriteOnly) part |= register.Read() & ~(Mask(count) << (8 * from));
            register.Write(part);
            i += count;
        }
    }

    Register? At(ulong offset) => _registers.Find(r => offset - r.Offset < (ulong)r.Size);

    static ulong Mask(int bytes) => bytes == 8 ? ulong.MaxValue : (1UL << (8 * bytes)) - 1;
}

/// <summary>The time of the machine, as devices use it: in units of 100 ns since it was switched on.</summary>
public interface IDeviceClock
{
    long Now { get; }

    /// <summary>Does something so much later. What is due at the same time is done in the order in which it was
    /// asked for.</summary>
    /// <returns>By which it can be taken back. Of two, the one that is done first compares as the smaller.</returns>
    object After(long ticks, Action action);

    void Cancel(object scheduled);
}

/// <summary>Memory as a device that is a bus master sees it: physical addresses.</summary>
public interface IDeviceMemory
{
    /// <returns>False if some of it is not there, or the device cannot reach it: then nothing was read.</returns>
    bool TryReadPhysical(ulong address, Span<byte> bytes);

    /// <returns>False if some of it is not there, or the device cannot reach it: then nothing was written.</returns>
    bool TryWritePhysical(ulong address, ReadOnlySpan<byte> bytes);
}
