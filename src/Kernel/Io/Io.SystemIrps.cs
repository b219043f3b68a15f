using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>IRPs that plug and play and the power manager send to a whole stack.</summary>
sealed partial class Io
{
    /// <summary>Sends an IRP to the top of a device's stack and waits, however long it takes.</summary>
    /// <param name="initial">The status that it has before anybody has touched it.</param>
    /// <param name="information">What IoStatus.Information is before.</param>
    public IoStatusBlock SendToStack(
        DeviceObject device, NtStatus initial, Action<IoStackLocation> fill, ulong information = 0)
    {
        DeviceObject top = TopOf(device);
        NtObject held = nt.Ob.At(top.Address);
        nt.Ob.Reference(held);
        Irp irp = AllocateIrp(top.StackSize, Va.Null);
        irp.IoStatus = new IoStatusBlock(initial, information);
        fill(irp.CurrentStackLocation.Below);
        Va block = nt.Mm.Pool.Allocate(KEvent.Size + 16, IrpTag);
        KEvent done = KEvent.At(nt.Memory, block + 16);
        done.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        (irp.Thread, irp.UserEvent, irp.UserIosb) = (nt.Ke.CurrentThread, done, block);
        irp.Flags |= IRP_SYNCHRONOUS_API;
        IofCallDriver(top, irp);
        nt.Ke.WaitFor([done.Header], all: false, deadline: null);
        IoStatusBlock result = nt.Memory.Read<IoStatusBlock>(block);
        nt.Mm.Pool.Free(block);
        nt.Ob.Dereference(held);
        return result;
    }
}
