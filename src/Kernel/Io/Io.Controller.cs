using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>Controllers: hardware that several devices share. A device that wants it waits in the controller's
/// queue.</summary>
sealed partial class Io
{
    const uint ControllerTag = 0x746E_6F43, DeallocateObject = 2, MostExtension = 1 << 20;

    /// <returns>Null if there is no memory.</returns>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public ControllerObject IoCreateController(uint size)
    {
        Va place = size > MostExtension ? Va.Null : nt.Mm.Pool.Allocate(
            (ulong)ControllerObject.Size + size, PoolKind.NonPaged, ControllerTag, nt.Caller, zero: true);
        var made = ControllerObject.At(nt.Memory, place);
        if (made.IsNull) return made;
        (made.Type, made.ObjectSize) = (ControllerObject.ControllerType, (short)(ControllerObject.Size + size));
        made.ControllerExtension = place + ControllerObject.Size;
        new DeviceQueue(nt, made.DeviceWaitQueue).Initialize();
        return made;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public void IoDeleteController([FreesMem] ControllerObject controllerObject) =>
        nt.Mm.Pool.Free(controllerObject.Address);

    /// <summary>Calls the routine now, or when the controller is free. The routine says whether it keeps the
    /// controller until <c>IoFreeController</c>.</summary>
    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoAllocateController(
        ControllerObject controllerObject, DeviceObject deviceObject, Va executionRoutine, Va context)
    {
        var block = WaitContextBlock.At(nt.Memory, deviceObject.Address + WaitContextBlock.OffsetInDevice);
        (block.DeviceRoutine, block.DeviceContext) = (executionRoutine, context);
        (block.DeviceObject, block.CurrentIrp) = (deviceObject, deviceObject.CurrentIrp);
        if (new DeviceQueue(nt, controllerObject.DeviceWaitQueue).TryInsert(block.Address, null)) return;
        if (!Keeps(block)) IoFreeController(controllerObject);
    }

    bool Keeps(WaitContextBlock block) => (uint)nt.Routines.Call(block.DeviceRoutine, block.DeviceObject.Address.Value,
        block.CurrentIrp.Address.Value, 0, block.DeviceContext.Value) != DeallocateObject;

    /// <summary>Lets the next one have it.</summary>
    [Export, IrqlRequiresMin(DISPATCH_LEVEL), IrqlRequiresMax(DISPATCH_LEVEL)]
    public void IoFreeController(ControllerObject controllerObject)
    {
        var queue = new DeviceQueue(nt, controllerObject.DeviceWaitQueue);
        while (true)
        {
            nt.Ke.Clock.Spend();
            Va next = queue.RemoveNext(null);
            if (next.IsNull || Keeps(WaitContextBlock.At(nt.Memory, next))) return;
        }
    }
}
