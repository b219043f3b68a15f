namespace Ringdown.Machine;

public sealed unsafe partial class Memory
{
    /// <summary>Whether there is memory at all physical addresses of a range, as a bus master sees it.</summary>
    public bool IsPhysical(ulong address, int bytes)
    {
        if (bytes == 0) return true;
        ulong last = address + (ulong)(bytes - 1);
        if (last < address) return false;
        for (ulong page = address >> 12; page <= last >> 12; page++)
            if (page > int.MaxValue || !Physical.Contains((int)page)) return false;
        return true;
    }

    /// <summary>A device reads memory, past all mappings.</summary>
    /// <returns>False if some of it is not there: then nothing was read.</returns>
    public bool TryReadPhysical(ulong address, Span<byte> bytes)
    {
        if (!IsPhysical(address, bytes.Length)) return false;
        for (int done = 0; done < bytes.Length;)
        {
            ReadOnlySpan<byte> piece = FramePiece(address + (ulong)done, bytes.Length - done);
            piece.CopyTo(bytes[done..]);
            done += piece.Length;
        }
        return true;
    }

    /// <summary>A device writes memory, past all mappings and protections.</summary>
    /// <returns>False if some of it is not there: then nothing was written.</returns>
    public bool TryWritePhysical(ulong address, ReadOnlySpan<byte> bytes)
    {
        if (!IsPhysical(address, bytes.Length)) return false;
        for (int done = 0; done < bytes.Length;)
        {
            int pfn = (int)((address + (ulong)done) >> 12);
            DropCode(pfn);
            SavePage(pfn);
            Span<byte> piece = FramePiece(address + (ulong)done, bytes.Length - done);
            bytes.Slice(done, piece.Length).CopyTo(piece);
            done += piece.Length;
        }
        return true;
    }

    // As much as lies in one frame.
    Span<byte> FramePiece(ulong address, int bytes)
    {
        int offset = (int)(address & 0xFFF);
        return new Span<byte>(Physical.Host((int)(address >> 12)) + offset, Math.Min(bytes, Va.PageSize - offset));
    }
}
