using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>An ATA channel alone in a computer, and a program that knows how to talk to it.</summary>
sealed class AtaCable : IDisposable
{
    public const int Data = 0, Error = 1, Count = 2, Low = 3, Middle = 4, High = 5, Device = 6, Status = 7;

    public AtaCable(long sectors = 0x1_0000, long seekTicks = 1000)
    {
        Computer = new Computer(1, new CodeCache()) { Clock = Clock };
        Line = Computer.Interrupts.Line(14);
        Channel = new AtaChannel(Computer.Memory, Clock, Line);
        Medium = new MemoryDisk(sectors);
        Channel.Connect(0, new AtaDrive(Medium, "SERIAL", seekTicks));
        Computer.Chips.Add(Channel);
        Frames = (ulong)Computer.Memory.Physical.AllocateContiguous(64) << 12;
    }

    public Computer Computer { get; }
    public FakeClock Clock { get; } = new();
    public InterruptLine Line { get; }
    public AtaChannel Channel { get; }
    public MemoryDisk Medium { get; }

    /// <summary>64 pages of memory: the table of regions is in the first.</summary>
    public ulong Frames { get; }

    public AtaDrive Drive => Channel.Drive(0)!;

    public byte this[int register]
    {
        get => (byte)Channel.Registers.Read((ulong)register, 1);
        set => Channel.Registers.Write((ulong)register, 1, value);
    }

    public byte Control
    {
        get => (byte)Channel.Control.Read(0, 1);
        set => Channel.Control.Write(0, 1, value);
    }

    public byte MasterStatus => (byte)Channel.BusMaster.Read(2, 1);

    public void Dispose() => Computer.Dispose();

    public void Command(byte command, long sector = 0, int count = 1, bool extended = false)
    {
        if (extended)
        {
            this[Count] = (byte)(count >> 8);
            (this[Low], this[Middle], this[High]) =
                ((byte)(sector >> 24), (byte)(sector >> 32), (byte)(sector >> 40));
        }
        this[Count] = (byte)count;
        (this[Low], this[Middle], this[High]) = ((byte)sector, (byte)(sector >> 8), (byte)(sector >> 16));
        this[Device] = (byte)(0xE0 | (extended ? 0 : (byte)(sector >> 24 & 0xF)));
        this[Status] = command;
    }

    /// <summary>Until the device is no longer busy.</summary>
    /// <returns>The status; reading it takes the interrupt away.</returns>
    public byte Wait()
    {
        for (int i = 0; (Control & 0x80) != 0 && i < 100_000; i++) Clock.Advance(1000);
        return this[Status];
    }

    public byte[] ReadWords(int sectors)
    {
        var bytes = new byte[sectors * 512];
        for (int i = 0; i < bytes.Length; i += 2)
        {
            ulong word = Channel.Registers.Read(0, 2);
            (bytes[i], bytes[i + 1]) = ((byte)word, (byte)(word >> 8));
        }
        return bytes;
    }

    public void WriteWords(ReadOnlySpan<byte> bytes)
    {
        for (int i = 0; i < bytes.Length; i += 4)
            Channel.Registers.Write(0, 4, BitConverter.ToUInt32(bytes.Slice(i, 4)));
    }

    /// <summary>Reads by programmed I/O; null if it failed.</summary>
    public byte[]? ReadSectors(byte command, long sector, int count, int block, bool extended = false)
    {
        var all = new List<byte>();
        Command(command, sector, count, extended);
        for (int left = count; left > 0; left -= block)
        {
            if ((Wait() & 9) != 8) return null;
            all.AddRange(ReadWords(Math.Min(block, left)));
        }
        return [.. all];
    }

    public bool WriteSectors(byte command, long sector, ReadOnlySpan<byte> bytes, int block, bool extended = false)
    {
        Command(command, sector, bytes.Length / 512, extended);
        while (bytes.Length > 0)
        {
            if ((Wait() & 9) != 8) return false;
            int piece = Math.Min(bytes.Length, block * 512);
            WriteWords(bytes[..piece]);
            bytes = bytes[piece..];
        }
        return (Wait() & 9) == 0;
    }

    /// <summary>Regions of memory for the bus master: offsets from <see cref="Frames"/>, and bytes.</summary>
    public void SetTable(params ReadOnlySpan<(int Offset, int Bytes)> regions)
    {
        for (int i = 0; i < regions.Length; i++)
        {
            Put(Frames + (ulong)i * 8, (uint)(Frames + (ulong)regions[i].Offset));
            uint last = i == regions.Length - 1 ? 0x8000_0000 : 0;
            Put(Frames + (ulong)i * 8 + 4, (uint)regions[i].Bytes & 0xFFFF | last);
        }
        Channel.BusMaster.Write(4, 4, Frames);
    }

    public void Put(ulong address, uint value) =>
        Computer.Memory.TryWritePhysical(address, BitConverter.GetBytes(value));

    public void Start(bool toMemory)
    {
        Channel.BusMaster.Write(0, 1, toMemory ? 8u : 0);
        Channel.BusMaster.Write(2, 1, 0x66);
        Channel.BusMaster.Write(0, 1, toMemory ? 9u : 1);
    }

    public void Stop() => Channel.BusMaster.Write(0, 1, 0);

    public byte[] MemoryAt(int offset, int bytes)
    {
        var read = new byte[bytes];
        Computer.Memory.TryReadPhysical(Frames + (ulong)offset, read);
        return read;
    }
}
