using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Ringdown.Machine;

public sealed unsafe partial class Memory
{
    /// <summary>Reads one value as kernel code would.</summary>
    /// <exception cref="PageFault">The address is not mapped or not readable.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Read<T>(Va address) where T : unmanaged
    {
        byte* host = Tlb.Read(_host.Entries, address.Value, sizeof(T));
        return host != null ? Unsafe.ReadUnaligned<T>(host) : ReadSlow<T>(address);
    }

    /// <summary>Writes one value as kernel code would.</summary>
    /// <exception cref="PageFault">The address is not mapped or not writable.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Write<T>(Va address, T value) where T : unmanaged
    {
        byte* host = Tlb.Write(_host.Entries, address.Value, sizeof(T));
        if (host != null) Unsafe.WriteUnaligned(host, value);
        else Write(address, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));
    }

    T ReadSlow<T>(Va address) where T : unmanaged
    {
        T value = default;
        Read(address, MemoryMarshal.AsBytes(new Span<T>(ref value)));
        return value;
    }

    public void Read(Va address, Span<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int count = Math.Min(bytes.Length, Va.PageSize - (int)address.PageOffset);
            IMmioDevice? device = null;
            ulong offset = 0;
            byte* host = Tlb.Read(_host.Entries, address.Value, count);
            if (host == null) host = HostAddress(address, Access.Read, out device, out offset);
            if (device is null) new ReadOnlySpan<byte>(host, count).CopyTo(bytes);
            else count = ReadDevice(device, offset, bytes[..count]);
            address += count;
            bytes = bytes[count..];
        }
    }

    public void Write(Va address, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int count = Math.Min(bytes.Length, Va.PageSize - (int)address.PageOffset);
            IMmioDevice? device = null;
            ulong offset = 0;
            byte* host = Tlb.Write(_host.Entries, address.Value, count);
            if (host == null) host = HostAddress(address, Access.Write, out device, out offset);
            if (device is null) bytes[..count].CopyTo(new Span<byte>(host, count));
            else count = WriteDevice(device, offset, bytes[..count]);
            address += count;
            bytes = bytes[count..];
        }
    }

    public byte[] ReadBytes(Va address, int count)
    {
        byte[] bytes = new byte[count];
        Read(address, bytes);
        return bytes;
    }

    /// <summary>Fills with one byte.</summary>
    public void Fill(Va address, ulong count, byte value)
    {
        while (count > 0)
        {
            int part = (int)Math.Min(count, Va.PageSize - (ulong)address.PageOffset);
            IMmioDevice? device = null;
            ulong offset = 0;
            byte* host = Tlb.Write(_host.Entries, address.Value, part);
            if (host == null) host = HostAddress(address, Access.Write, out device, out offset);
            if (device is null) new Span<byte>(host, part).Fill(value);
            else device.Write(offset, part = 1, value);
            (address, count) = (address + part, count - (ulong)part);
        }
    }

    /// <summary>Reads without a fault, whatever the page permits: for a debugger, a stack walk, a report.</summary>
    /// <returns>False if some of it is not mapped, or is a device's: then nothing of that page was read.</returns>
    public bool TryPeek(Va address, Span<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            if (!address.IsCanonical || !TryEntry(address.Page, out PageEntry entry)) return false;
            if (entry.Device is not null || (entry.Protection & Protection.Guard) != 0) return false;
            int count = Math.Min(bytes.Length, Va.PageSize - (int)address.PageOffset);
            // A page that nobody has touched is zero; looking at it must not change the machine.
            if (entry.Pfn == 0) bytes[..count].Clear();
            else new ReadOnlySpan<byte>(Physical.Host(entry.Pfn) + address.PageOffset, count).CopyTo(bytes);
            address += count;
            bytes = bytes[count..];
        }
        return true;
    }

    public bool TryPeek<T>(Va address, out T value) where T : unmanaged
    {
        byte* host = Tlb.Read(_host.Entries, address.Value, sizeof(T));
        if (host != null)
        {
            value = Unsafe.ReadUnaligned<T>(host);
            return true;
        }
        value = default;
        return TryPeek(address, MemoryMarshal.AsBytes(new Span<T>(ref value)));
    }

    /// <summary>Writes whatever the page permits, as the loader and the debugger do.</summary>
    /// <exception cref="PageFault">Some of it is not mapped.</exception>
    public void Poke(Va address, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int count = Math.Min(bytes.Length, Va.PageSize - (int)address.PageOffset);
            int pfn = FrameOf(address);
            if (pfn == 0) throw new PageFault(address, Access.Write, FaultCause.NotPresent);
            if (Physical[pfn].HasCode) WriteToCode(address);
            SavePage(pfn);
            bytes[..count].CopyTo(new Span<byte>(Physical.Host(pfn) + address.PageOffset, count));
            address += count;
            bytes = bytes[count..];
        }
    }

    public void Poke<T>(Va address, T value) where T : unmanaged =>
        Poke(address, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));

    /// <summary>Whether every byte of a range can be accessed so.</summary>
    public bool CanAccess(Va address, ulong bytes, Access access)
    {
        if (bytes == 0) return true;
        if (address.Value + (bytes - 1) < address.Value) return false;
        for (ulong page = address.Page, end = EndPage(address, bytes); page < end; page++)
            if (CauseOf(new Va(page << 12), access, out _) != FaultCause.None) return false;
        return true;
    }

    /// <summary>Asked before kernel code faults on a page that is not there: whether it is now.</summary>
    public Func<Va, bool>? Repair { get; set; }

    byte* HostAddress(Va address, Access access, out IMmioDevice? device, out ulong offset)
    {
        (device, offset) = (null, 0);
        byte* host = Translate(_host, address, access, out Miss miss, out FaultCause cause);
        if (miss == Miss.Code)
        {
            WriteToCode(address);
            host = Translate(_host, address, access, out miss, out cause);
        }
        if (miss == Miss.Fault)
        {
            if (cause != FaultCause.NotPresent || Repair?.Invoke(address) != true)
                throw new PageFault(address, access, cause);
            host = Translate(_host, address, access, out miss, out cause);
            if (miss != Miss.None) throw new PageFault(address, access, cause);
        }
        if (miss == Miss.Device) device = DeviceAt(address, out offset);
        return host;
    }

    // A register is read whole: in the largest natural piece that the address and the rest allow.
    static int ReadDevice(IMmioDevice device, ulong offset, Span<byte> bytes)
    {
        int size = Piece(offset, bytes.Length);
        Span<byte> value = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(value, device.Read(offset, size));
        value[..size].CopyTo(bytes);
        return size;
    }

    static int WriteDevice(IMmioDevice device, ulong offset, ReadOnlySpan<byte> bytes)
    {
        int size = Piece(offset, bytes.Length);
        Span<byte> value = stackalloc byte[8];
        value.Clear();
        bytes[..size].CopyTo(value);
        device.Write(offset, size, BinaryPrimitives.ReadUInt64LittleEndian(value));
        return size;
    }

    static int Piece(ulong offset, int length)
    {
        int size = 8;
        while (size > length || (offset & (ulong)(size - 1)) != 0) size >>= 1;
        return size;
    }
}
