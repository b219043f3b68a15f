using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Reads PO_FX_DEVICE, whose versions have different fields in different places.</summary>
static class FxLayout
{
    const uint Version1 = 1, Version2 = 2, Version3 = 3, MostComponents = 256, MostStates = 64, UsualSeconds = 120;
    const int IdleStateBytes = 0x18, Component1Bytes = 0x20, Component2Bytes = 0x38;

    /// <summary>Null if the structure is not one.</summary>
    /// <exception cref="PageFault">It is not there.</exception>
    public static FxDevice? Read(NtKernel nt, Va handle, DeviceObject pdo, Va at)
    {
        Memory memory = nt.Memory;
        uint version = memory.Read<uint>(at);
        if (version is < Version1 or > Version3) return null;
        // Where the routines begin, the context, the number of components, and the first of them.
        (int routines, int context, int count, int first) = version switch
        {
            Version1 => (0x08, 0x38, 0x04, 0x40),
            Version2 => (0x10, 0x40, 0x48, 0x50),
            _ => (0x10, 0x58, 0x60, 0x68),
        };
        uint components = memory.Read<uint>(at + count);
        if (components is 0 or > MostComponents) return null;
        var callbacks = new Dictionary<FxCallback, Va>();
        FxCallback last = version == Version3 ? FxCallback.DirectedPowerDown : FxCallback.PowerControl;
        for (FxCallback i = 0; i <= last; i++) callbacks.Add(i, memory.Read<Va>(at + routines + (int)i * 8));
        List<FxComponent> all = [];
        for (uint i = 0; i < components; i++)
        {
            int bytes = version == Version1 ? Component1Bytes : Component2Bytes;
            if (Component(memory, i, at + first + (int)i * bytes, version) is not { } component) return null;
            all.Add(component);
        }
        uint seconds = version == Version3 ? memory.Read<uint>(at + 0x50) : 0;
        return new FxDevice(nt, new FxRegistration(handle, pdo, callbacks, memory.Read<Va>(at + context), all,
            seconds == 0 ? UsualSeconds : seconds));
    }

    static FxComponent? Component(Memory memory, uint index, Va at, uint version)
    {
        (int count, int deepest, int states) = version == Version1 ? (0x10, 0x14, 0x18) : (0x1C, 0x18, 0x20);
        uint number = memory.Read<uint>(at + count);
        Va list = memory.Read<Va>(at + states);
        if (number is 0 or > MostStates) return null;
        List<FxIdleState> all = [];
        for (uint i = 0; i < number; i++)
        {
            Va state = list + (int)i * IdleStateBytes;
            all.Add(new FxIdleState(memory.Read<ulong>(state), memory.Read<ulong>(state + 8),
                memory.Read<uint>(state + 0x10)));
        }
        return new FxComponent(index, all, memory.Read<uint>(at + deepest));
    }
}
