using System.Buffers.Binary;

namespace Ringdown.Machine;

// The bus master: it moves data between memory and the selected device, along a table of physical regions.
public sealed partial class AtaChannel
{
    const byte Start = 1, ToMemory = 8;
    const byte Active = 1, MasterError = 2, Interrupted = 4, Capable = 0x60;
    const uint LastRegion = 0x8000_0000;

    byte _masterCommand, _masterStatus = Capable;
    uint _table;
    bool _wasAsserted;

    RegisterBlock MakeBusMaster() => new RegisterBlock()
        .Add("COMMAND", 0, 1, () => _masterCommand, v => SetMasterCommand((byte)v))
        .Add("STATUS", 2, 1, () => _masterStatus, v => _masterStatus =
            (byte)(_masterStatus & ~(v & (MasterError | Interrupted) | Capable) | v & Capable), writeOnly: true)
        .Add("TABLE", 4, 4, () => _table, v => _table = (uint)v & ~3u);

    void ResetBusMaster() => (_masterCommand, _masterStatus) = (0, (byte)(_masterStatus & Capable));

    void SetMasterCommand(byte value)
    {
        bool was = (_masterCommand & Start) != 0, now = (value & Start) != 0;
        // The direction stays as it is while it runs.
        _masterCommand = (byte)(value & (was && now ? Start : Start | ToMemory)
            | (was && now ? _masterCommand & ToMemory : 0));
        if (was == now) return;
        if (now) _masterStatus |= Active;
        else _masterStatus = (byte)(_masterStatus & ~Active);
        if (now) MoveDma();
    }

    /// <summary>Moves the data of the selected device's command, if both sides are ready.</summary>
    internal void MoveDma()
    {
        if ((_masterStatus & Active) == 0 || Selected is not { WantsDma: true } device) return;
        (int length, bool toDevice) = device.DmaLength;
        bool isRight = toDevice == ((_masterCommand & ToMemory) == 0);
        byte[] bytes = toDevice ? new byte[length] : device.DmaRead();
        int moved = 0;
        bool isLast = false, isUsedUp = false;
        uint entry = _table;
        while (isRight && !isLast && moved < bytes.Length)
        {
            isRight = TryRegion(entry, out uint address, out int count, out isLast);
            int part = Math.Min(count, bytes.Length - moved);
            isRight = isRight && TryMove(address, bytes.AsSpan(moved, part), toDevice);
            isUsedUp = isLast && part == count;
            moved += part;
            entry = entry & 0xFFFF_0000 | (ushort)(entry + 8);
        }
        // An error, or all of the table is used up. With more memory than data it stays active; with less, or without
        // memory, the device waits until it is reset.
        if (!isRight) _masterStatus |= MasterError;
        if (!isRight || isUsedUp || moved < bytes.Length) _masterStatus = (byte)(_masterStatus & ~Active);
        if (!isRight || moved < bytes.Length) return;
        if (toDevice) device.DmaWrite(bytes);
        device.EndDma();
    }

    bool TryRegion(uint entry, out uint address, out int count, out bool isLast)
    {
        Span<byte> bytes = stackalloc byte[8];
        bool isThere = _memory.TryReadPhysical(entry, bytes);
        address = BinaryPrimitives.ReadUInt32LittleEndian(bytes) & ~1u;
        uint rest = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
        count = (rest & 0xFFFE) == 0 ? 0x1_0000 : (int)(rest & 0xFFFE);
        isLast = (rest & LastRegion) != 0;
        return isThere;
    }

    // Addresses count within 64 KiB: a region that would leave them goes on at their start.
    bool TryMove(uint address, Span<byte> bytes, bool toDevice)
    {
        int first = Math.Min(bytes.Length, 0x1_0000 - (ushort)address);
        return TryPiece(address, bytes[..first], toDevice)
            && TryPiece(address & 0xFFFF_0000, bytes[first..], toDevice);
    }

    bool TryPiece(uint address, Span<byte> bytes, bool toDevice) =>
        toDevice ? _memory.TryReadPhysical(address, bytes) : _memory.TryWritePhysical(address, bytes);
}
