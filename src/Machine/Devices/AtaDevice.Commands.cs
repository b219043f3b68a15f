namespace Ringdown.Machine;

// What a command does.
sealed partial class AtaDevice
{
    /// <summary>The command register is written.</summary>
    public void Execute(byte command)
    {
        // A new command while one runs ends nothing and begins nothing; one that sleeps hears only a reset.
        if ((_file.Status & Busy) != 0 || _sleeps) return;
        SetInterrupt(false);
        _timer.Cancel();
        (_command, _file.Error, _isExtended) = (command, 0, IsExtended(command));
        switch (command)
        {
            case 0x20 or 0x21 or 0x24 or 0xC4 or 0x29:
                if (TryPlace()) After(Drive.AccessTicks(_sector, Math.Min(_left, BlockSectors)), AtaPhase.ReadBlock);
                break;
            case 0x30 or 0x31 or 0x34 or 0xC5 or 0x39 or 0xCE:
                if (!TryPlace()) break;
                ExpectBlock();
                After(CommandTicks, AtaPhase.DataOut);
                break;
            case 0xC8 or 0xC9 or 0x25:
                if (TryPlace()) After(Drive.AccessTicks(_sector, _left), AtaPhase.Dma);
                break;
            case 0xCA or 0xCB or 0x35 or 0x3D:
                if (TryPlace()) After(Drive.WriteTicks(_sector, _left, IsThrough), AtaPhase.Dma);
                break;
            case 0x40 or 0x41 or 0x42:
                if (TryPlace()) After(Drive.AccessTicks(_sector, _left), AtaPhase.NoData);
                break;
            case 0xE7 or 0xEA:
                After(Drive.FlushTicks(), AtaPhase.NoData);
                break;
            case 0xEC:
                Drive.Identify().CopyTo(Block(1));
                (_left, _sector) = (1, 0);
                After(CommandTicks, AtaPhase.NoData);
                break;
            case 0x90:
                _channel.Diagnose();
                break;
            default:
                After(CommandTicks + (IsStandby ? Drive.FlushTicks() : 0), AtaPhase.NoData);
                break;
        }
    }

    static bool IsExtended(byte command) =>
        command is 0x24 or 0x25 or 0x29 or 0x34 or 0x35 or 0x39 or 0x3D or 0x42 or 0xCE or 0xEA or 0x27;

    // STANDBY IMMEDIATE, STANDBY, SLEEP, and their old codes.
    bool IsStandby => _command is 0xE0 or 0xE2 or 0xE6 or 0x94 or 0x96 or 0x99;

    // Where the command begins and how much it moves; false: it ends at once, since that is not on the disk.
    bool TryPlace()
    {
        _left = _file.Sectors(_isExtended);
        if (BlockSectors == 0) Finish(Abort);
        else if (_file.Sector(_isExtended) is not { } sector || sector > Drive.Disk.Sectors - _left) Finish(NotFound);
        else
        {
            _sector = sector;
            return true;
        }
        return false;
    }

    void EndCommand()
    {
        switch (_command)
        {
            case 0xEC:
                Present();
                return;
            case 0x40 or 0x41 or 0x42:
                if (Drive.FirstBad(_sector, _left) is { } bad) FinishAt(bad, Uncorrectable);
                else Finish();
                return;
            case 0xE7 or 0xEA:
                Drive.Flush();
                break;
            case 0xEF:
                if (!Drive.SetFeature((byte)_file.Features, (byte)_file.Count)) Finish(Abort);
                else Finish();
                return;
            case 0xC6:
                if (!TrySetMultiple((byte)_file.Count)) Finish(Abort);
                else Finish();
                return;
            // CHECK POWER MODE.
            case 0xE5 or 0x98:
                _file.Count = (byte)(Drive.IsDown ? 0 : 0xFF);
                break;
            case 0xF8 or 0x27:
                _file.Tell(Math.Min(Drive.Disk.Sectors - 1, _isExtended ? long.MaxValue : 0xFFF_FFFF), _isExtended);
                break;
            // INITIALIZE DEVICE PARAMETERS of the geometry that it has anyway; IDLE; SEEK.
            case 0x91 when (_file.Device & 0xF) == 15 && (byte)_file.Count == 63:
            case 0xE1 or 0xE3 or 0x95 or 0x97 or 0x70:
                break;
            default:
                if (!IsStandby)
                {
                    Finish(Abort);
                    return;
                }
                Drive.SpinDown();
                _sleeps = _command is 0xE6 or 0x99;
                break;
        }
        Finish();
    }

    bool TrySetMultiple(byte sectors)
    {
        bool isGood = sectors <= AtaDrive.MostMultiple && (sectors & (sectors - 1)) == 0;
        if (isGood) Drive.Multiple = sectors;
        return isGood;
    }

    /// <summary>EXECUTE DEVICE DIAGNOSTIC: both devices do it, and device 0 answers for both.</summary>
    public void Diagnose()
    {
        _command = 0x90;
        BeginReset();
        EndReset();
    }

    /// <summary>How many bytes the DMA command moves, and whether into the device.</summary>
    public (int Bytes, bool ToDevice) DmaLength =>
        (_left * AtaDrive.SectorBytes, _command is 0xCA or 0xCB or 0x35 or 0x3D);

    /// <summary>Sectors on their way to memory, up to the first bad one.</summary>
    public byte[] DmaRead()
    {
        int count = (int)((Drive.FirstBad(_sector, _left) ?? _sector + _left) - _sector);
        var bytes = new byte[count * AtaDrive.SectorBytes];
        Drive.Read(_sector, bytes);
        return bytes;
    }

    public void DmaWrite(ReadOnlySpan<byte> bytes) => Drive.Write(_sector, bytes, IsThrough);

    public void EndDma()
    {
        if (!DmaLength.ToDevice && Drive.FirstBad(_sector, _left) is { } bad) FinishAt(bad, Uncorrectable);
        else Finish();
    }
}
