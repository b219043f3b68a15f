using System.Buffers.Binary;
using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>An answer of a query: its bytes, how many of them must fit at the least, and who asked.</summary>
readonly record struct KeyAnswer(byte[] Bytes, int Fixed)
{
    /// <summary>As much as fits: too little for the fixed part is one error, for the rest another.</summary>
    public NtStatus Give(Memory memory, Va buffer, uint length, Va resultLength)
    {
        memory.Write(resultLength, (uint)Bytes.Length);
        if (length < Fixed) return STATUS_BUFFER_TOO_SMALL;
        memory.Write(buffer, Bytes.AsSpan(0, (int)Math.Min(length, (uint)Bytes.Length)));
        return length < Bytes.Length ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
    }
}

/// <summary>The structures of ZwQueryKey, ZwQueryValueKey and their kin.</summary>
static class KeyInformation
{
    const uint NoOffset = uint.MaxValue;
    const uint REG_FLAG_VOLATILE = 1, REG_FLAG_LINK = 2;

    /// <summary>KEY_VALUE_INFORMATION_CLASS: basic, full, partial, and the two that align data to 8 bytes; null for
    /// what there is not.</summary>
    public static KeyAnswer? OfValue(uint informationClass, string name, RegistryValue value)
    {
        byte[] text = Encoding.Unicode.GetBytes(name);
        uint type = value.Type, length = (uint)value.Data.Length;
        return informationClass switch
        {
            0 => new KeyAnswer([.. Words(0, type, (uint)text.Length), .. text], 12),
            1 => Full(text, value, 4),
            2 => new KeyAnswer([.. Words(0, type, length), .. value.Data], 12),
            3 => Full(text, value, 8),
            4 => new KeyAnswer([.. Words(type, length), .. value.Data], 8),
            _ => null,
        };
    }

    static KeyAnswer Full(byte[] name, RegistryValue value, int alignment)
    {
        int header = 20, end = header + name.Length, offset = (end + alignment - 1) & -alignment;
        if (value.Data.Length == 0)
            return new KeyAnswer([.. Words(0, value.Type, NoOffset, 0, (uint)name.Length), .. name], header);
        return new KeyAnswer(
            [.. Words(0, value.Type, (uint)offset, (uint)value.Data.Length, (uint)name.Length), .. name,
                .. new byte[offset - end], .. value.Data], header);
    }

    /// <summary>KEY_INFORMATION_CLASS; null for what there is not.</summary>
    /// <param name="key">The key as it is open; null for one that is enumerated, of which only some classes
    /// tell.</param>
    public static KeyAnswer? OfKey(uint informationClass, RegistryNode node, RegistryKey? key)
    {
        byte[] name = Encoding.Unicode.GetBytes(node.Name), time = BitConverter.GetBytes(node.LastWriteTime);
        byte[] @class = Encoding.Unicode.GetBytes(node.Class);
        return informationClass switch
        {
            0 => new KeyAnswer([.. time, .. Words(0, (uint)name.Length), .. name], 16),
            1 => Node(time, name, @class),
            2 => new KeyAnswer(
                [.. time, .. Words(0, @class.Length == 0 ? NoOffset : 44, (uint)@class.Length,
                    (uint)node.Subkeys.Count, LongestKey(node), LongestClass(node), (uint)node.Values.Count,
                    LongestValueName(node), LongestData(node)), .. @class], 44),
            3 when key is not null => Path(Encoding.Unicode.GetBytes(key.Path)),
            4 => new KeyAnswer(
                [.. time, .. Words(0, (uint)node.Subkeys.Count, LongestKey(node), (uint)node.Values.Count,
                    LongestValueName(node), LongestData(node), (uint)name.Length, 0)], 40),
            5 when key is not null => new KeyAnswer(Words(key.WowFlags, Flags(node), key.ControlFlags), 12),
            6 when key is not null => new KeyAnswer(Words(key.VirtualizationFlags), 4),
            7 or 8 when key is not null => new KeyAnswer(Words(0), 4),
            _ => null,
        };

        static KeyAnswer Path(byte[] path) => new([.. Words((uint)path.Length), .. path], 4);
    }

    static KeyAnswer Node(byte[] time, byte[] name, byte[] @class)
    {
        int end = 24 + name.Length, offset = (end + 3) & ~3;
        if (@class.Length == 0)
            return new KeyAnswer([.. time, .. Words(0, NoOffset, 0, (uint)name.Length), .. name], 24);
        return new KeyAnswer([.. time, .. Words(0, (uint)offset, (uint)@class.Length, (uint)name.Length), .. name,
            .. new byte[offset - end], .. @class], 24);
    }

    static uint Flags(RegistryNode node) =>
        (node.IsVolatile ? REG_FLAG_VOLATILE : 0) | (node.IsLink ? REG_FLAG_LINK : 0);

    static uint LongestKey(RegistryNode node) =>
        (uint)node.Subkeys.Select(k => k.Name.Length).DefaultIfEmpty().Max() * 2;

    static uint LongestClass(RegistryNode node) =>
        (uint)node.Subkeys.Select(k => k.Class.Length).DefaultIfEmpty().Max() * 2;

    static uint LongestValueName(RegistryNode node) =>
        (uint)node.Values.Select(v => v.Name.Length).DefaultIfEmpty().Max() * 2;

    static uint LongestData(RegistryNode node) =>
        (uint)node.Values.Select(v => v.Value.Data.Length).DefaultIfEmpty().Max();

    static byte[] Words(params ReadOnlySpan<uint> words)
    {
        byte[] bytes = new byte[words.Length * 4];
        for (int i = 0; i < words.Length; i++)
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(i * 4), words[i]);
        return bytes;
    }
}
