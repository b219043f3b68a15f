namespace Ringdown.Machine;

/// <summary>Bytes with registers in them, of which some bits can be written, and others are cleared by writing
/// ones.</summary>
sealed class ConfigurationSpace(int bytes)
{
    readonly byte[] _values = new byte[bytes], _writable = new byte[bytes], _clearable = new byte[bytes];

    /// <summary>What is there, little endian. Beyond the end are ones.</summary>
    public ulong this[int offset, int size]
    {
        get
        {
            ulong value = 0;
            for (int i = 0; i < size; i++)
                value |= (ulong)(offset + i < _values.Length ? _values[offset + i] : 0xFF) << (8 * i);
            return value;
        }
        set => Put(_values, offset, size, value);
    }

    /// <summary>Which bits a write changes.</summary>
    public void Allow(int offset, int size, ulong bits) => Put(_writable, offset, size, bits);

    /// <summary>Which bits are cleared by ones that are written.</summary>
    public void AllowClearing(int offset, int size, ulong bits) => Put(_clearable, offset, size, bits);

    static void Put(byte[] bytes, int offset, int size, ulong value)
    {
        for (int i = 0; i < size; i++) bytes[offset + i] = (byte)(value >> (8 * i));
    }

    /// <summary>Sets bits, or clears them.</summary>
    public void Set(int offset, int size, ulong bits, bool on) =>
        this[offset, size] = on ? this[offset, size] | bits : this[offset, size] & ~bits;

    public void Exchange(ChipState state) => state.Bytes(_values);

    /// <summary>A write from outside, of any width at any offset.</summary>
    public void Write(int offset, int size, ulong value)
    {
        for (int i = 0; i < size && offset + i < _values.Length; i++)
        {
            ref byte at = ref _values[offset + i];
            byte written = (byte)(value >> (8 * i)), writable = _writable[offset + i];
            at = (byte)((at & ~writable | written & writable) & ~(written & _clearable[offset + i]));
        }
    }
}
