using System.Buffers.Binary;
using System.Text;

namespace Ringdown.Kernel;

/// <summary>One who watches a directory: what for, who waits, and what happened while nobody did.</summary>
sealed class DirectoryWatch
{
    public required Machine.Va Context { get; init; }
    public required byte[] Directory { get; init; }
    public bool WatchTree { get; init; }
    public bool IgnoreBuffer { get; init; }
    public uint Filter { get; init; }
    public Machine.Va Traverse { get; init; }
    public Machine.Va Subject { get; init; }
    public Machine.Va FilterCallback { get; init; }

    public List<Irp> Waiting { get; } = [];

    /// <summary>Room in the requestor's buffer: how much may be kept for the next request.</summary>
    public uint Room { get; set; }

    /// <summary>FILE_NOTIFY_INFORMATIONs that nobody has fetched.</summary>
    public byte[] Kept { get; set; } = [];

    /// <summary>More happened than is kept: the directory must be listed anew.</summary>
    public bool Overflowed { get; set; }

    /// <summary>Names are UTF-16, but where the directory's says otherwise.</summary>
    public bool IsWide => Directory.Length >= 2 && Directory[1] == 0;

    /// <summary>What a path is called in the directory; null if it does not lie where this watches.</summary>
    public byte[]? NameIn(ReadOnlySpan<byte> path, int nameOffset, out bool isBelow)
    {
        isBelow = false;
        int unit = IsWide ? 2 : 1, length = Directory.Length;
        // The root's name is a backslash, which no other directory's ends with.
        if (length == unit) length = 0;
        if (path.Length <= length + unit || !path.StartsWith(Directory.AsSpan(0, length)) || path[length] != '\\')
            return null;
        int parent = nameOffset > unit ? nameOffset - unit : 0;
        isBelow = parent > length;
        return isBelow && !WatchTree ? null : path[(length + unit)..].ToArray();
    }

    /// <summary>Another record behind those that are there, or null if it does not fit.</summary>
    public static byte[]? Append(byte[] records, uint action, byte[] name, bool wide, uint room)
    {
        const int head = 12;
        byte[] text = wide ? name : Encoding.Unicode.GetBytes(Encoding.Latin1.GetString(name));
        int start = (records.Length + 3) & ~3;
        if (start + head + text.Length > room) return null;
        byte[] all = new byte[start + head + text.Length];
        records.CopyTo(all, 0);
        for (int last = 0; records.Length > 0;)
        {
            uint next = BinaryPrimitives.ReadUInt32LittleEndian(all.AsSpan(last));
            if (next == 0)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(all.AsSpan(last), (uint)(start - last));
                break;
            }
            last += (int)next;
        }
        BinaryPrimitives.WriteUInt32LittleEndian(all.AsSpan(start + 4), action);
        BinaryPrimitives.WriteUInt32LittleEndian(all.AsSpan(start + 8), (uint)text.Length);
        text.CopyTo(all, start + head);
        return all;
    }
}
