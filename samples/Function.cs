using Ringdown.Kernel;
using Ringdown.Machine;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Samples;

/// <summary>A function driver: a mailbox for one letter. A write waits until the box is empty, a read until there is a
/// letter. While the device is stopped, or without power, requests wait; when it is gone, they fail.</summary>
public sealed partial class Function : Sample
{
    const int Holds = 64;
    const byte SystemWorking = 1;
    const uint PowerDeviceD0 = 1, PowerDeviceD3 = 4;

    public static readonly Guid Interface = new("6f0c3a52-8c55-4c39-9f3d-52494e474631");

    [Layout("MAILBOX", Size = 0x88)]
    public readonly partial struct Extension
    {
        [Embedded(0x00)] public partial IoCsq Csq { get; }
        [Embedded(0x40)] public partial RemoveLock RemoveLock { get; }
        [Embedded(0x60)] public partial KSpinLock Lock { get; }
        [Embedded(0x68)] public partial ListEntry Waiting { get; }
        [Embedded(0x78)] public partial UnicodeString Link { get; }
    }

    enum State { NotStarted, Started, Held, Gone }

    sealed class Mailbox(DeviceObject self, DeviceObject physical, Extension x)
    {
        public DeviceObject Self { get; } = self;
        public DeviceObject Physical { get; } = physical;
        public Extension X { get; } = x;
        public DeviceObject Below { get; set; }
        public State State { get; set; }
        public State Before { get; set; }
        public bool HasPower { get; set; }
        public int Pumps { get; set; }
        public byte[] Letter { get; set; } = [];
    }

    readonly Dictionary<Va, Mailbox> _boxes = [];
    (IrpMajor? Major, FileObject File) _wanted;

    public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
    {
        SetOpenClose(driverObject);
        driverObject.SetMajorFunction(IRP_MJ_CREATE, Routine(Create));
        driverObject.SetMajorFunction(IRP_MJ_CLEANUP, Routine(Cleanup));
        driverObject.SetMajorFunction(IRP_MJ_READ, Routine(Transfer));
        driverObject.SetMajorFunction(IRP_MJ_WRITE, Routine(Transfer));
        driverObject.SetMajorFunction(IRP_MJ_PNP, Routine(Plug));
        driverObject.SetMajorFunction(IRP_MJ_POWER, Routine(Power));
        driverObject.SetMajorFunction(IRP_MJ_SYSTEM_CONTROL, Routine(SystemControl));
        DriverExtension extension = driverObject.DriverExtension;
        extension.AddDevice = Routine(AddDevice);
        driverObject.DriverUnload = Routine(Unload);
        return STATUS_SUCCESS;
    }

    void Unload(DriverObject driverObject)
    {
    }

    NtStatus AddDevice(DriverObject driverObject, DeviceObject physical)
    {
        NtStatus status = IoCreateDevice(driverObject, Extension.Size, "", FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN,
            false, out DeviceObject device);
        if (!status.IsSuccess) return status;
        var box = new Mailbox(device, physical, At<Extension>(device.DeviceExtension));
        _boxes.Add(device.Address, box);
        box.X.Waiting.Initialize();
        Nt.KeInitializeSpinLock(box.X.Lock);
        IoInitializeRemoveLock(box.X.RemoveLock, Tag("Samp"), 0, 0);
        Nt.IoCsqInitializeEx(box.X.Csq, Routine(InsertIrp), Routine(RemoveIrp), Routine(PeekNextIrp),
            Routine(AcquireLock), Routine(ReleaseLock), Routine(CompleteCanceledIrp));
        Va guid = Local(16);
        Memory.Write(guid, Interface);
        status = Nt.IoRegisterDeviceInterface(physical, guid, default, box.X.Link);
        if (status.IsSuccess)
        {
            box.Below = Nt.IoAttachDeviceToDeviceStack(device, physical);
            if (box.Below.IsNull) status = STATUS_NO_SUCH_DEVICE;
        }
        if (!status.IsSuccess)
        {
            Delete(box);
            return status;
        }
        device.Flags = (device.Flags | DO_BUFFERED_IO | box.Below.Flags & DO_POWER_PAGABLE) & ~DO_DEVICE_INITIALIZING;
        return STATUS_SUCCESS;
    }

    void Delete(Mailbox box)
    {
        if (!box.X.Link.Buffer.IsNull) Nt.RtlFreeUnicodeString(box.X.Link);
        _boxes.Remove(box.Self.Address);
        Nt.IoDeleteDevice(box.Self);
    }

    // The queue stands first in the extension.
    Extension ExtensionOf(IoCsq csq) => At<Extension>(csq.Address);

    Mailbox BoxOf(IoCsq csq) => _boxes.Values.First(b => b.X.Address == csq.Address);

    // Whoever comes after the device has gone does not get in any more.
    NtStatus InsertIrp(IoCsq csq, Irp irp, Va context)
    {
        if (BoxOf(csq).State == State.Gone) return STATUS_DELETE_PENDING;
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

    void CompleteCanceledIrp(IoCsq csq, Irp irp) => End(BoxOf(csq), irp, STATUS_CANCELLED);

    // Each request holds the remove lock from its dispatch to its end.
    NtStatus End(Mailbox box, Irp irp, NtStatus status, ulong information = 0)
    {
        Complete(irp, status, information);
        IoReleaseRemoveLock(box.X.RemoveLock, irp.Address);
        return status;
    }

    Irp Next(Mailbox box, IrpMajor? major, FileObject file)
    {
        _wanted = (major, file);
        return Nt.IoCsqRemoveNextIrp(box.X.Csq, Va.Null);
    }

    void Drain(Mailbox box, FileObject file, NtStatus status)
    {
        while (Next(box, null, file) is { IsNull: false } irp) End(box, irp, status);
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
        End(box, irp, STATUS_SUCCESS, (ulong)length);
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
            while (box.State == State.Started && box.HasPower)
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
        Mailbox box = _boxes[device.Address];
        NtStatus status = IoAcquireRemoveLock(box.X.RemoveLock, irp.Address);
        if (!status.IsSuccess) return Complete(irp, status);
        if (irp.CurrentStackLocation.Length == 0) return End(box, irp, STATUS_SUCCESS);
        // The queue marks it pending.
        status = Nt.IoCsqInsertIrpEx(box.X.Csq, irp, default, Va.Null);
        if (!status.IsSuccess) return End(box, irp, status);
        Pump(box);
        return STATUS_PENDING;
    }

    NtStatus Cleanup(DeviceObject device, Irp irp)
    {
        Drain(_boxes[device.Address], irp.CurrentStackLocation.FileObject, STATUS_CANCELLED);
        return Complete(irp, STATUS_SUCCESS);
    }

    NtStatus Create(DeviceObject device, Irp irp) => Complete(
        irp, _boxes[device.Address].State is State.Gone or State.NotStarted ? STATUS_NO_SUCH_DEVICE : STATUS_SUCCESS);

    NtStatus SystemControl(DeviceObject device, Irp irp)
    {
        Mailbox box = _boxes[device.Address];
        NtStatus status = IoAcquireRemoveLock(box.X.RemoveLock, irp.Address);
        return status.IsSuccess ? PassDown(box, irp) : Complete(irp, status);
    }

    NtStatus PassDown(Mailbox box, Irp irp)
    {
        irp.SkipCurrentStackLocation();
        NtStatus status = Nt.IofCallDriver(box.Below, irp);
        IoReleaseRemoveLock(box.X.RemoveLock, irp.Address);
        return status;
    }
}
