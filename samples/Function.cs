using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A function driver: a mailbox for one letter. A write waits until the box is empty, a read until there is a
/// letter. While the device is stopped, or without power, requests wait; when it is gone, they fail.</summary>
public sealed partial class Function : PlugSample
{
    const int Holds = 64, CsqOffset = 0x48;

    public static readonly Guid Interface = new("6f0c3a52-8c55-4c39-9f3d-52494e474631");

    // What follows what all have in the extension.
    [Layout("MAILBOX", Size = 0xA0)]
    public readonly partial struct MailboxExtension
    {
        [Embedded(CsqOffset)] public partial IoCsq Csq { get; }
        [Embedded(0x88)] public partial KSpinLock Lock { get; }
        [Embedded(0x90)] public partial ListEntry Waiting { get; }
    }

    sealed class Mailbox(DeviceObject self, Extension x, MailboxExtension more) : Device(self, x)
    {
        public MailboxExtension More { get; } = more;

        // It was started once; somebody asks whether it may stop or go.
        public bool Known { get; set; }
        public bool Held { get; set; }
        public int Pumps { get; set; }
        public byte[] Letter { get; set; } = [];
    }

    (IrpMajor? Major, FileObject File) _wanted;

    protected override Device New(DeviceObject self, Extension x) =>
        new Mailbox(self, x, At<MailboxExtension>(x.Address));

    Mailbox BoxOf(DeviceObject device) => (Mailbox)DeviceOf(device);

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        PlugSet(driverObject, Routine(AddDevice));
        driverObject.SetMajorFunction(IRP_MJ_CREATE, Routine(Create));
        driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(Cleanup));
        driverObject.SetMajorFunction(IRP_MJ_READ, Routine(Transfer));
        driverObject.SetMajorFunction(IRP_MJ_WRITE, Routine(Transfer));
        driverObject.SetMajorFunction(IRP_MJ_PNP, Routine(Pnp));
        return STATUS_SUCCESS;
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        NtStatus status = PlugAdd(
            driverObject, physical, MailboxExtension.Size, FILE_DEVICE_UNKNOWN, Interface, out DeviceObject device);
        if (!status.IsSuccess) return status;
        MailboxExtension x = BoxOf(device).More;
        x.Waiting.Initialize();
        Nt.KeInitializeSpinLock(x.Lock);
        Nt.IoCsqInitializeEx(x.Csq, Routine(InsertIrp), Routine(RemoveIrp), Routine(PeekNextIrp),
            Routine(AcquireLock), Routine(ReleaseLock), Routine(CompleteCanceledIrp));
        device.Flags &= ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    MailboxExtension ExtensionOf(IoCsq csq) => At<MailboxExtension>(csq.Address - CsqOffset);

    Mailbox BoxOf(Irp irp) => BoxOf(irp.CurrentStackLocation.DeviceObject);

    // Whoever comes after the device has gone does not get in any more.
    NtStatus InsertIrp(IoCsq csq, Irp irp, Va context)
    {
        if (BoxOf(irp).Gone) return STATUS_DELETE_PENDING;
        ExtensionOf(csq).Waiting.InsertTail(irp.ListEntry);
        return STATUS_SUCCESS;
    }

    void RemoveIrp(IoCsq csq, Irp irp) => irp.ListEntry.Remove();

    Irp PeekNextIrp(IoCsq csq, Irp irp, Va context)
    {
        ListEntry head = ExtensionOf(csq).Waiting;
        ListEntry entry = irp.IsNull ? head.Flink : irp.ListEntry.Flink;
        for (; entry != head; entry = entry.Flink)
        {
            Irp next = Irp.FromListEntry(Memory, entry);
            IoStackLocation location = next.CurrentStackLocation;
            if (!_wanted.File.IsNull && location.FileObject != _wanted.File) continue;
            if (_wanted.Major is null || location.MajorFunction == _wanted.Major) return next;
        }
        return default;
    }

    void AcquireLock(IoCsq csq, Va irql) => Memory.Write(irql, Nt.KeAcquireSpinLockRaiseToDpc(ExtensionOf(csq).Lock));

    void ReleaseLock(IoCsq csq, Irql irql) => Nt.KeReleaseSpinLock(ExtensionOf(csq).Lock, irql);

    // Each request holds the remove lock from its dispatch to its end.
    void CompleteCanceledIrp(IoCsq csq, Irp irp) => PlugFinish(BoxOf(irp), irp, STATUS_CANCELLED);

    Irp Next(Mailbox box, IrpMajor? major, FileObject file)
    {
        _wanted = (major, file);
        return Nt.IoCsqRemoveNextIrp(box.More.Csq, Va.Null);
    }

    void Drain(Mailbox box, FileObject file, NtStatus status)
    {
        while (Next(box, null, file) is { IsNull: false } irp) PlugFinish(box, irp, status);
    }

    void Serve(Mailbox box, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        bool isWrite = location.MajorFunction == IRP_MJ_WRITE;
        int length = (int)Math.Min(location.Length, (uint)(isWrite ? Holds : box.Letter.Length));
        if (isWrite) box.Letter = Memory.ReadBytes(irp.SystemBuffer, length);
        else
        {
            Memory.Write(irp.SystemBuffer, box.Letter.AsSpan(0, length));
            box.Letter = [];
        }
        PlugFinish(box, irp, STATUS_SUCCESS, (ulong)length);
    }

    // One at a time serves what waits. Who comes while another one does has it go round once more. C# is interrupted
    // only where it calls the kernel, so the count needs no more than this.
    void Pump(Mailbox box)
    {
        if (++box.Pumps != 1) return;
        int seen;
        do
        {
            seen = box.Pumps;
            while (box.Started && box.HasPower && !box.Held)
            {
                Irp irp = Next(box, box.Letter.Length == 0 ? IRP_MJ_WRITE : IRP_MJ_READ, default);
                if (irp.IsNull) break;
                Serve(box, irp);
            }
        }
        while (box.Pumps != seen);
        box.Pumps = 0;
    }

    NtStatus Transfer(DeviceObject device, Irp irp)
    {
        Mailbox box = BoxOf(device);
        NtStatus status = IoAcquireRemoveLock(box.X.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        if (irp.CurrentStackLocation.Length == 0) return PlugFinish(box, irp, STATUS_SUCCESS);
        // The queue marks it pending.
        status = Nt.IoCsqInsertIrpEx(box.More.Csq, irp, default, Va.Null);
        if (!status.IsSuccess) return PlugFinish(box, irp, status);
        Pump(box);
        return STATUS_PENDING;
    }

    NtStatus Cleanup(DeviceObject device, Irp irp)
    {
        Drain(BoxOf(device), irp.CurrentStackLocation.FileObject, STATUS_CANCELLED);
        return Complete(irp, STATUS_SUCCESS);
    }

    NtStatus Create(DeviceObject device, Irp irp)
    {
        Mailbox box = BoxOf(device);
        return Complete(irp, box.Gone || !box.Known ? STATUS_NO_SUCH_DEVICE : STATUS_SUCCESS);
    }

    protected override NtStatus Control(Device x, Irp irp, IoStackLocation location, out ulong information)
    {
        information = 0;
        return STATUS_INVALID_DEVICE_REQUEST;
    }

    protected override NtStatus Start(Device x, IoStackLocation location)
    {
        var box = (Mailbox)x;
        (box.Known, box.Held) = (true, false);
        return STATUS_SUCCESS;
    }

    protected override void Stop(Device x)
    {
        if (x.Gone) Drain((Mailbox)x, default, STATUS_NO_SUCH_DEVICE);
    }

    // What comes without power waits until that is back.
    protected override void SetPower(Device x, bool on)
    {
        if (on) Pump((Mailbox)x);
    }

    // First the drivers below, then this one.
    NtStatus Resume(Mailbox box, Irp irp)
    {
        NtStatus status = IoAcquireRemoveLock(box.X.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        if (!Nt.IoForwardIrpSynchronously(box.X.Below, irp)) irp.IoStatus = new IoStatusBlock(STATUS_UNSUCCESSFUL, 0);
        box.Held = false;
        Pump(box);
        return PlugFinish(box, irp, irp.IoStatus.Status, irp.IoStatus.Information);
    }

    // While somebody asks, requests wait.
    NtStatus Pnp(DeviceObject device, Irp irp)
    {
        Mailbox box = BoxOf(device);
        switch (irp.CurrentStackLocation.MinorFunction)
        {
            case IRP_MN_QUERY_STOP_DEVICE or IRP_MN_QUERY_REMOVE_DEVICE:
                box.Held = true;
                break;
            case IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_CANCEL_REMOVE_DEVICE:
                return Resume(box, irp);
        }
        return PlugPnp(device, irp);
    }
}
