namespace Ringdown.Machine;

/// <summary>The container of a .pdb, MSF 7.00: a file of blocks, which make numbered streams.</summary>
/// <remarks>Throws nothing: a broken container does not open, a broken stream is empty.</remarks>
sealed class MsfFile
{
    readonly byte[] _file;
    readonly int _blockSize;
    // Of each stream its length and where in the directory its blocks are listed.
    readonly (uint Length, int Blocks)[] _streams;
    readonly byte[] _directory;

    MsfFile(byte[] file, int blockSize, byte[] directory, (uint Length, int Blocks)[] streams) =>
        (_file, _blockSize, _directory, _streams) = (file, blockSize, directory, streams);

    static ReadOnlySpan<byte> Magic => "Microsoft C/C++ MSF 7.00\r\n\u001ADS\0\0\0"u8;

    /// <summary>Null when the bytes are no such container.</summary>
    public static MsfFile? Open(byte[] file)
    {
        ByteCursor head = new(file);
        if (!head.Take((ulong)Magic.Length).SequenceEqual(Magic)) return null;
        uint blockSize = head.U32();
        head.Skip(8);
        uint length = head.U32();
        head.Skip(4);
        uint map = head.U32();
        if (head.Failed || blockSize is < 512 or > 65536 || (blockSize & (blockSize - 1)) != 0) return null;
        if (length > file.Length || map * (ulong)blockSize >= (ulong)file.Length) return null;
        byte[] directory = Gather(file, (int)blockSize, length, file.AsSpan((int)(map * blockSize)));
        return ReadDirectory(directory, blockSize, file.Length) is { } streams
            ? new MsfFile(file, (int)blockSize, directory, streams) : null;
    }

    static (uint Length, int Blocks)[]? ReadDirectory(byte[] directory, uint blockSize, int fileLength)
    {
        ByteCursor cursor = new(directory);
        uint count = cursor.U32();
        if (count > (uint)cursor.Left / 4) return null;
        (uint Length, int Blocks)[] streams = new (uint, int)[count];
        ulong all = 0;
        ulong at = 4 + count * 4UL;
        for (int i = 0; i < streams.Length; i++)
        {
            uint length = cursor.U32();
            // A stream that was deleted.
            if (length == uint.MaxValue) length = 0;
            all += length;
            // Streams share no blocks, so together they are not longer than the file.
            if (all > (ulong)fileLength || at > (ulong)directory.Length) return null;
            streams[i] = (length, (int)at);
            at += (length + blockSize - 1UL) / blockSize * 4;
        }
        return streams;
    }

    /// <summary>The bytes of a stream; none when there is no such stream or it is broken.</summary>
    public byte[] Read(uint stream)
    {
        if (stream >= (uint)_streams.Length) return [];
        (uint length, int blocks) = _streams[stream];
        return Gather(_file, _blockSize, length, _directory.AsSpan(blocks));
    }

    static byte[] Gather(byte[] file, int blockSize, uint length, ReadOnlySpan<byte> blocks)
    {
        byte[] all = new byte[length];
        ByteCursor cursor = new(blocks);
        for (int at = 0; at < all.Length; at += blockSize)
        {
            ulong from = cursor.U32() * (ulong)blockSize;
            int size = Math.Min(blockSize, all.Length - at);
            if (cursor.Failed || from + (ulong)size > (ulong)file.Length) return [];
            file.AsSpan((int)from, size).CopyTo(all.AsSpan(at));
        }
        return all;
    }
}
