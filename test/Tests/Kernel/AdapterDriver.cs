using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A driver with a DMA adapter, whose table a test calls.</summary>
sealed class AdapterDriver : WdmDriver
{
    Va _adapter;

    public Va Device { get; private set; }
    public Va Adapter => _adapter;
    public int Registers { get; private set; }

    /// <summary>What its execution routines were given: map registers or lists.</summary>
    public List<Va> Given { get; } = [];

    /// <summary>What the execution routine returns.</summary>
    public uint Action { get; set; } = 1;

    public Va Executes => Routine(Execute);

    uint Execute(DeviceObject device, Irp irp, Va given, Va context)
    {
        Given.Add(given);
        return Action;
    }

    /// <summary>Gets an adapter.</summary>
    /// <param name="fields">Of DEVICE_DESCRIPTION: offset and 32 bits there; flags are the bytes from 4 on.</param>
    public bool Open(params (int Offset, uint Value)[] fields)
    {
        if (Device.IsNull)
        {
            IoCreateDevice(Object, 0, "", FILE_DEVICE_UNKNOWN, 0, false, out DeviceObject made);
            Device = made.Address;
        }
        return OpenFor(At<DeviceObject>(Device), fields);
    }

    /// <summary>Gets one for a physical device.</summary>
    public bool OpenFor(DeviceObject physical, params (int Offset, uint Value)[] fields)
    {
        using LocalFrame frame = Frame();
        Va description = Local(0x40), count = Local(4);
        Memory.Fill(description, 0x40, 0);
        foreach ((int offset, uint value) in fields) Memory.Write(description + offset, value);
        _adapter = Nt.IoGetDmaAdapter(physical, description, count);
        if (!_adapter.IsNull) Registers = Memory.Read<int>(count);
        return !_adapter.IsNull;
    }

    /// <summary>Calls each routine at the IRQL that the test is at; else what belongs there at
    /// DISPATCH_LEVEL.</summary>
    public bool IsCareless { get; set; }

    public ulong Operate(int offset, params ReadOnlySpan<ulong> arguments)
    {
        // Channels, map registers, and lists of the old kind.
        bool raises = !IsCareless && offset is 0x20 or 0x30 or 0x38 or 0x58 or 0x60 or 0x70;
        Irql old = Nt.CurrentIrql;
        if (raises && old < Irql.DISPATCH_LEVEL) Nt.KeRaiseIrqlToDpcLevel();
        ulong result = Call(
            Memory.Read<Va>(At<DmaAdapterObject>(_adapter).DmaOperations + offset), [_adapter.Value, .. arguments]);
        if (raises && old < Irql.DISPATCH_LEVEL) Nt.KeLowerIrql(old);
        return result;
    }

    public NtStatus Status(int offset, params ReadOnlySpan<ulong> arguments) =>
        new((uint)Operate(offset, arguments));

    public (ulong Address, uint Length) MapTransfer(Mdl mdl, Va registers, Va current, uint length, bool toDevice)
    {
        using LocalFrame frame = Frame();
        Va size = Local(4);
        Memory.Write(size, length);
        ulong address = Operate(
            0x40, mdl.Address.Value, registers.Value, current.Value, size.Value, toDevice ? 1u : 0);
        return (address, Memory.Read<uint>(size));
    }
}
