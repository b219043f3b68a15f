using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>Drivers that want to hear of interfaces that come and go, and of a device that they have open.</summary>
sealed partial class Pnp
{
    const ulong NotifyChangedState = 0xA;

    static readonly Guid s_arrival = new("cb3a4004-46f0-11d0-b08f-00609713053f"),
        s_departure = new("cb3a4005-46f0-11d0-b08f-00609713053f");

    sealed record Notification(Va Handle, uint Category, Va Routine, Va Context)
    {
        /// <summary>The class of interfaces, of the one category.</summary>
        public Guid Class { get; init; }

        /// <summary>The device and the file by which it is known, of the other.</summary>
        public DeviceNode? Node { get; init; }
        public Va File { get; init; }
    }

    readonly List<Notification> _notifications = [];

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoRegisterPlugPlayNotification(
        uint eventCategory, uint eventCategoryFlags, Va eventCategoryData, DriverObject driverObject,
        Va callbackRoutine, Va context, Va notificationEntry)
    {
        nt.Memory.Write(notificationEntry, Va.Null);
        if (eventCategory is not (EventCategoryHardwareProfileChange or EventCategoryDeviceInterfaceChange
            or EventCategoryTargetDeviceChange)) return STATUS_INVALID_PARAMETER;
        Notification? made = Describe(eventCategory, eventCategoryData, callbackRoutine, context);
        if (made is null) return STATUS_INVALID_DEVICE_REQUEST;
        made = made with { Handle = nt.Mm.Pool.Allocate(0x40, PoolKind.NonPaged, PnpTag, nt.Caller, zero: true) };
        _notifications.Add(made);
        nt.Memory.Write(notificationEntry, made.Handle);
        bool wantsExisting = (eventCategoryFlags & PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES) != 0;
        if (eventCategory == EventCategoryDeviceInterfaceChange && wantsExisting)
            foreach (DeviceInterface there in EnabledInterfaces(made.Class).ToArray())
                TellInterface(made, there, s_arrival);
        return STATUS_SUCCESS;
    }

    Notification? Describe(uint category, Va data, Va routine, Va context)
    {
        var made = new Notification(Va.Null, category, routine, context);
        if (category == EventCategoryDeviceInterfaceChange) return made with { Class = nt.Memory.Read<Guid>(data) };
        if (category != EventCategoryTargetDeviceChange) return made;
        if (nt.Ob.Find(data)?.Type != nt.Ob.FileType) return null;
        DeviceObject device = FileObject.At(nt.Memory, data).DeviceObject;
        return NodeOfStack(device) is { } node ? made with { Node = node, File = data } : null;
    }

    /// <summary>The node in whose stack a device is; null if it is in none.</summary>
    public DeviceNode? NodeOfStack(DeviceObject device)
    {
        for (int i = 0; i < 256 && !device.IsNull; i++, device = device.DeviceObjectExtension.AttachedTo)
            if (Find(device) is { } node) return node;
        return null;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoUnregisterPlugPlayNotification([FreesMem] Va notificationEntry)
    {
        if (_notifications.RemoveAll(n => n.Handle == notificationEntry) == 0) return STATUS_INVALID_PARAMETER;
        nt.Mm.Pool.Free(notificationEntry);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoUnregisterPlugPlayNotificationEx([FreesMem] Va notificationEntry) =>
        IoUnregisterPlugPlayNotification(notificationEntry);

    /// <summary>Tells those who have a device open. A question is answered with no by the first who fails.</summary>
    NtStatus NotifyTarget(DeviceNode node, Guid what, Va custom = default)
    {
        const int targetRemovalSize = 0x20;
        foreach (Notification next in _notifications.Where(n => n.Node == node).ToArray())
        {
            Va block = custom.IsNull ? nt.Mm.Pool.Allocate(targetRemovalSize, PnpTag) : custom;
            if (custom.IsNull) WriteHeader(block, targetRemovalSize, what);
            nt.Memory.Write(block + 0x18, next.File);
            NtStatus status = Tell(next, block);
            if (custom.IsNull) nt.Mm.Pool.Free(block);
            if (what == s_queryRemove && !status.IsSuccess) return status;
        }
        return STATUS_SUCCESS;
    }

    void WriteHeader(Va block, int size, Guid what)
    {
        nt.Memory.Write(block, (ushort)1);
        nt.Memory.Write(block + 2, (ushort)size);
        nt.Memory.Write(block + 4, what);
    }

    void NotifyInterface(DeviceInterface changed, Guid what)
    {
        foreach (Notification next in _notifications.ToArray())
            if (next.Category == EventCategoryDeviceInterfaceChange && next.Class == changed.Class
                && _notifications.Contains(next)) TellInterface(next, changed, what);
    }

    /// <summary>DEVICE_INTERFACE_CHANGE_NOTIFICATION: the event, the class and the link's name.</summary>
    void TellInterface(Notification to, DeviceInterface changed, Guid what)
    {
        const int size = 0x30;
        Va block = nt.Mm.Pool.Allocate(size, PnpTag), name = nt.Rtl.AllocateString(changed.Link);
        WriteHeader(block, size, what);
        nt.Memory.Write(block + 0x14, changed.Class);
        nt.Memory.Write(block + 0x28, name);
        Tell(to, block);
        nt.Mm.Pool.Free(block);
        nt.Mm.Pool.Free(UnicodeString.At(nt.Memory, name).Buffer);
        nt.Mm.Pool.Free(name);
    }

    NtStatus Tell(Notification to, Va block)
    {
        short apcs = nt.Ke.CurrentThread.KernelApcDisable;
        var status = new NtStatus((uint)nt.Routines.Call(to.Routine, block.Value, to.Context.Value));
        if (nt.Ke.Irql != PASSIVE_LEVEL || nt.Ke.CurrentThread.KernelApcDisable != apcs)
            throw new BugCheck(BugCheckCode.PNP_DETECTED_FATAL_ERROR, NotifyChangedState, to.Routine.Value, 0,
                (ulong)nt.Ke.Irql);
        return status;
    }
}
