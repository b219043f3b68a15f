namespace Ringdown.Machine;

/// <summary>The command block registers of an ATA device. Those that 48 bit commands use keep the value of
/// before.</summary>
struct AtaTaskFile
{
    public ushort Features, Count, Low, Middle, High;
    public byte Device, Status, Error;

    public readonly bool IsLba => (Device & 0x40) != 0;

    /// <summary>A register is written: its old value moves up.</summary>
    public void Write(int register, byte value)
    {
        switch (register)
        {
            case 1: Features = (ushort)(Features << 8 | value); break;
            case 2: Count = (ushort)(Count << 8 | value); break;
            case 3: Low = (ushort)(Low << 8 | value); break;
            case 4: Middle = (ushort)(Middle << 8 | value); break;
            case 5: High = (ushort)(High << 8 | value); break;
            default: Device = value; break;
        }
    }

    /// <param name="isHigh">The value of before is wanted.</param>
    public readonly byte Read(int register, bool isHigh)
    {
        int shift = isHigh ? 8 : 0;
        return register switch
        {
            1 => Error,
            2 => (byte)(Count >> shift),
            3 => (byte)(Low >> shift),
            4 => (byte)(Middle >> shift),
            5 => (byte)(High >> shift),
            6 => Device,
            _ => Status,
        };
    }

    /// <summary>How many sectors a command is for: 0 is all that fits into the register, and one.</summary>
    public readonly int Sectors(bool isExtended) =>
        isExtended ? (Count == 0 ? 0x1_0000 : Count) : (byte)Count == 0 ? 0x100 : (byte)Count;

    /// <summary>Where a command begins; null: there is no such place.</summary>
    public readonly long? Sector(bool isExtended)
    {
        if (isExtended)
            return (long)(High >> 8) << 40 | (long)(Middle >> 8) << 32 | (long)(Low >> 8) << 24
                | (long)(byte)High << 16 | (long)(byte)Middle << 8 | (byte)Low;
        if (IsLba) return (long)(Device & 0xF) << 24 | (long)(byte)High << 16 | (long)(byte)Middle << 8 | (byte)Low;
        return AtaDrive.SectorAt((byte)High << 8 | (byte)Middle, Device & 0xF, (byte)Low);
    }

    /// <summary>Tells a sector, in the way in which the command has told its own.</summary>
    public void Tell(long sector, bool isExtended)
    {
        if (!isExtended && !IsLba)
        {
            (long track, long rest) = Math.DivRem(sector, 63);
            (long cylinder, long head) = Math.DivRem(track, 16);
            (Low, Middle, High) = ((ushort)(rest + 1), (byte)cylinder, (byte)(cylinder >> 8));
            Device = (byte)(Device & 0xF0 | (byte)head);
            return;
        }
        (Low, Middle, High) = ((byte)sector, (byte)(sector >> 8), (byte)(sector >> 16));
        if (isExtended)
        {
            Low |= (ushort)(sector >> 24 << 8);
            Middle |= (ushort)(sector >> 32 << 8);
            High |= (ushort)(sector >> 40 << 8);
        }
        else Device = (byte)(Device & 0xF0 | (byte)(sector >> 24 & 0xF));
    }

    /// <summary>What a disk shows after a reset.</summary>
    public void SetSignature() => (Count, Low, Middle, High, Device, Error) = (1, 1, 0, 0, 0, 1);
}
