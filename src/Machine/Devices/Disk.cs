namespace Ringdown.Machine;

/// <summary>What a disk drive keeps its sectors on. Of 512 bytes each.</summary>
public interface IDisk : IDisposable
{
    long Sectors { get; }

    /// <summary>Reads whole sectors; all of them are there.</summary>
    void Read(long sector, Span<byte> bytes);

    /// <summary>Writes whole sectors; all of them are there.</summary>
    void Write(long sector, ReadOnlySpan<byte> bytes);
}

/// <summary>A disk in the process's memory: what was never written reads as zeros and takes no room.</summary>
public sealed class MemoryDisk(long sectors) : IDisk, IChipState
{
    const int BlockBytes = 0x1_0000;

    readonly SortedDictionary<long, byte[]> _blocks = [];

    public long Sectors { get; } = sectors;

    public void Read(long sector, Span<byte> bytes)
    {
        for (long at = sector * AtaDrive.SectorBytes; bytes.Length > 0;)
        {
            Span<byte> piece = bytes[..Piece(at, bytes.Length)];
            if (_blocks.TryGetValue(at / BlockBytes, out byte[]? block))
                block.AsSpan((int)(at % BlockBytes), piece.Length).CopyTo(piece);
            else piece.Clear();
            at += piece.Length;
            bytes = bytes[piece.Length..];
        }
    }

    public void Write(long sector, ReadOnlySpan<byte> bytes)
    {
        for (long at = sector * AtaDrive.SectorBytes; bytes.Length > 0;)
        {
            ReadOnlySpan<byte> piece = bytes[..Piece(at, bytes.Length)];
            if (!_blocks.TryGetValue(at / BlockBytes, out byte[]? block))
                _blocks.Add(at / BlockBytes, block = new byte[BlockBytes]);
            piece.CopyTo(block.AsSpan((int)(at % BlockBytes)));
            at += piece.Length;
            bytes = bytes[piece.Length..];
        }
    }

    static int Piece(long at, int bytes) => (int)Math.Min(bytes, BlockBytes - at % BlockBytes);

    public void Exchange(ChipState state) => state.Blocks(_blocks, BlockBytes);

    public void Dispose()
    {
    }
}

/// <summary>A disk whose sectors are an image file of the host, from its first byte on.</summary>
/// <remarks>Read and written directly it has no state that a snapshot could bring back.</remarks>
public sealed class ImageDisk : IDisk
{
    readonly FileStream _file;

    /// <exception cref="IOException">It cannot be opened.</exception>
    public ImageDisk(string path, bool writes)
    {
        _file = new FileStream(path, FileMode.Open, writes ? FileAccess.ReadWrite : FileAccess.Read,
            writes ? FileShare.Read : FileShare.ReadWrite, bufferSize: 0);
        Sectors = _file.Length / AtaDrive.SectorBytes;
    }

    public long Sectors { get; }

    public void Read(long sector, Span<byte> bytes)
    {
        _file.Position = sector * AtaDrive.SectorBytes;
        // Somebody else may have cut it off.
        int read = _file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        bytes[read..].Clear();
    }

    public void Write(long sector, ReadOnlySpan<byte> bytes)
    {
        _file.Position = sector * AtaDrive.SectorBytes;
        _file.Write(bytes);
    }

    public void Dispose() => _file.Dispose();
}

/// <summary>A disk as another one was, and what was written since, in memory: the other one is never
/// written.</summary>
public sealed class CopyOnWriteDisk(IDisk below) : IDisk, IChipState
{
    readonly SortedDictionary<long, byte[]> _written = [];

    public long Sectors => below.Sectors;

    public void Read(long sector, Span<byte> bytes)
    {
        below.Read(sector, bytes);
        for (int i = 0; i < bytes.Length / AtaDrive.SectorBytes; i++)
            if (_written.TryGetValue(sector + i, out byte[]? own)) own.CopyTo(bytes[(i * AtaDrive.SectorBytes)..]);
    }

    public void Write(long sector, ReadOnlySpan<byte> bytes)
    {
        for (; bytes.Length > 0; sector++, bytes = bytes[AtaDrive.SectorBytes..])
            _written[sector] = bytes[..AtaDrive.SectorBytes].ToArray();
    }

    public void Exchange(ChipState state) => state.Blocks(_written, AtaDrive.SectorBytes);

    public void Dispose() => below.Dispose();
}
