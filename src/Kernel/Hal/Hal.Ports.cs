using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Ports and registers of devices, for drivers that do not reach them by their own instructions.</summary>
/// <remarks>A port takes a microsecond, as on an ISA bus, and a register 100 ns: so who polls in C# sees time
/// pass.</remarks>
sealed partial class Hal
{
    const int PortTicks = 10, RegisterTicks = 1;

    uint ReadPort(Va port, int size)
    {
        nt.Ke.Stall(PortTicks);
        return nt.Computer.Ports.Read((ushort)port.Value, size);
    }

    void WritePort(Va port, int size, uint value)
    {
        nt.Ke.Stall(PortTicks);
        nt.Computer.Ports.Write((ushort)port.Value, size, value);
    }

    T ReadRegister<T>(Va register) where T : unmanaged
    {
        nt.Ke.Stall(RegisterTicks);
        return nt.Memory.Read<T>(register);
    }

    void WriteRegister<T>(Va register, T value) where T : unmanaged
    {
        nt.Ke.Stall(RegisterTicks);
        nt.Memory.Write(register, value);
    }

    // The port stays: one byte after the other comes from it.
    void ReadPorts<T>(Va port, Va buffer, uint count, Func<uint, T> cast) where T : unmanaged
    {
        int size = System.Runtime.CompilerServices.Unsafe.SizeOf<T>();
        for (ulong i = 0; i < count; i++) nt.Memory.Write(buffer + i * (ulong)size, cast(ReadPort(port, size)));
    }

    void WritePorts<T>(Va port, Va buffer, uint count, Func<T, uint> cast) where T : unmanaged
    {
        int size = System.Runtime.CompilerServices.Unsafe.SizeOf<T>();
        for (ulong i = 0; i < count; i++) WritePort(port, size, cast(nt.Memory.Read<T>(buffer + i * (ulong)size)));
    }

    // On x64 these are string moves: the register's address advances with the buffer's.
    void Move<T>(Va to, Va from, uint count) where T : unmanaged
    {
        ulong size = (ulong)System.Runtime.CompilerServices.Unsafe.SizeOf<T>();
        for (ulong i = 0; i < count; i++) WriteRegister(to + i * size, nt.Memory.Read<T>(from + i * size));
    }

    [Export]
    public byte READ_PORT_UCHAR(Va port) => (byte)ReadPort(port, 1);

    [Export]
    public void WRITE_PORT_UCHAR(Va port, byte value) => WritePort(port, 1, value);

    [Export]
    public void READ_PORT_BUFFER_UCHAR(Va port, Va buffer, uint count) =>
        ReadPorts(port, buffer, count, v => (byte)v);

    [Export]
    public void WRITE_PORT_BUFFER_UCHAR(Va port, Va buffer, uint count) =>
        WritePorts<byte>(port, buffer, count, v => v);

    [Export]
    public ushort READ_PORT_USHORT(Va port) => (ushort)ReadPort(port, 2);

    [Export]
    public void WRITE_PORT_USHORT(Va port, ushort value) => WritePort(port, 2, value);

    [Export]
    public void READ_PORT_BUFFER_USHORT(Va port, Va buffer, uint count) =>
        ReadPorts(port, buffer, count, v => (ushort)v);

    [Export]
    public void WRITE_PORT_BUFFER_USHORT(Va port, Va buffer, uint count) =>
        WritePorts<ushort>(port, buffer, count, v => v);

    [Export]
    public uint READ_PORT_ULONG(Va port) => ReadPort(port, 4);

    [Export]
    public void WRITE_PORT_ULONG(Va port, uint value) => WritePort(port, 4, value);

    [Export]
    public void READ_PORT_BUFFER_ULONG(Va port, Va buffer, uint count) =>
        ReadPorts(port, buffer, count, v => v);

    [Export]
    public void WRITE_PORT_BUFFER_ULONG(Va port, Va buffer, uint count) =>
        WritePorts<uint>(port, buffer, count, v => v);

    [Export]
    public byte READ_REGISTER_UCHAR(Va register) => ReadRegister<byte>(register);

    [Export]
    public void WRITE_REGISTER_UCHAR(Va register, byte value) => WriteRegister(register, value);

    [Export]
    public void READ_REGISTER_BUFFER_UCHAR(Va register, Va buffer, uint count) =>
        Move<byte>(buffer, register, count);

    [Export]
    public void WRITE_REGISTER_BUFFER_UCHAR(Va register, Va buffer, uint count) =>
        Move<byte>(register, buffer, count);

    [Export]
    public ushort READ_REGISTER_USHORT(Va register) => ReadRegister<ushort>(register);

    [Export]
    public void WRITE_REGISTER_USHORT(Va register, ushort value) => WriteRegister(register, value);

    [Export]
    public void READ_REGISTER_BUFFER_USHORT(Va register, Va buffer, uint count) =>
        Move<ushort>(buffer, register, count);

    [Export]
    public void WRITE_REGISTER_BUFFER_USHORT(Va register, Va buffer, uint count) =>
        Move<ushort>(register, buffer, count);

    [Export]
    public uint READ_REGISTER_ULONG(Va register) => ReadRegister<uint>(register);

    [Export]
    public void WRITE_REGISTER_ULONG(Va register, uint value) => WriteRegister(register, value);

    [Export]
    public void READ_REGISTER_BUFFER_ULONG(Va register, Va buffer, uint count) =>
        Move<uint>(buffer, register, count);

    [Export]
    public void WRITE_REGISTER_BUFFER_ULONG(Va register, Va buffer, uint count) =>
        Move<uint>(register, buffer, count);

    [Export]
    public ulong READ_REGISTER_ULONG64(Va register) => ReadRegister<ulong>(register);

    [Export]
    public void WRITE_REGISTER_ULONG64(Va register, ulong value) => WriteRegister(register, value);

    [Export]
    public void READ_REGISTER_BUFFER_ULONG64(Va register, Va buffer, uint count) =>
        Move<ulong>(buffer, register, count);

    [Export]
    public void WRITE_REGISTER_BUFFER_ULONG64(Va register, Va buffer, uint count) =>
        Move<ulong>(register, buffer, count);
}
