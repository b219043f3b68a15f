using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>Windows Management Instrumentation: devices that provide data, and events that they send.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Wmi(NtKernel nt)
{
    const uint FirstInfoBytes = 0x1000, MaximumInfoBytes = 0x10_0000, MaximumBlocks = 0x1000;
    const uint WMIREGISTER = 0, WMIUPDATE = 1;
    const uint WmiTag = 0x2069_6D57;      // 'Wmi '

    readonly SortedDictionary<Va, WmiProvider> _providers = [];
    readonly SortedDictionary<Guid, uint> _instanceIds = [];
    uint _nextProvider;

    /// <summary>Those that are registered, the first one first.</summary>
    public IEnumerable<WmiProvider> Providers => _providers.Values.OrderBy(p => p.Number);

    IEnumerable<(WmiProvider Provider, WmiBlock Block)> Find(Guid guid) =>
        [.. Providers.Select(p => (p, p.Find(guid)!)).Where(f => f.Item2 is { IsTraced: false })];

    public void Boot() => GuidType = nt.Ob.NewType("WmiGuid", new(0x2_0001, 0x2_0002, 0x12_0010, 0x12_0FFF),
        onDelete: OnDeleteBlock);

    /// <summary>A system worker asks the device for its blocks. A flag above the action says that a routine and not a
    /// device is meant.</summary>
    [Export(Support.Partial, "Providers of traces are asked for their GUIDs, and never turned on."),
        IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMIRegistrationControl(DeviceObject deviceObject, uint action)
    {
        uint flags = action & (WMIREG_FLAG_CALLBACK | WMIREG_FLAG_TRACE_PROVIDER);
        action &= 0xFFFF;
        if (action is < WMIREG_ACTION_REGISTER or > WMIREG_ACTION_BLOCK_IRPS) return STATUS_INVALID_PARAMETER;
        if (action == WMIREG_ACTION_REGISTER) return Register(deviceObject, flags);
        if (!_providers.TryGetValue(deviceObject.Address, out WmiProvider? provider)) return STATUS_INVALID_PARAMETER;
        if (action == WMIREG_ACTION_DEREGISTER) Deregister(provider);
        else if (action == WMIREG_ACTION_BLOCK_IRPS) provider.IsBlocked = true;
        else Ask(provider, action == WMIREG_ACTION_UPDATE_GUIDS ? WMIUPDATE : WMIREGISTER);
        return STATUS_SUCCESS;
    }

    NtStatus Register(DeviceObject device, uint flags)
    {
        bool isDevice = nt.Ob.Find(device.Address)?.Type == nt.Ob.DeviceType;
        Va routine = isDevice || flags == 0 ? Va.Null
            : (flags & WMIREG_FLAG_CALLBACK) != 0 ? device.Address : nt.Memory.Read<Va>(device.Address);
        // What is called must be code of a driver's.
        if (!isDevice && nt.Loader.ImageAt(routine) is null) return STATUS_INVALID_PARAMETER;
        var provider = new WmiProvider(device, ++_nextProvider) { Routine = routine };
        if (!_providers.TryAdd(device.Address, provider)) return STATUS_OBJECT_NAME_EXISTS;
        Ask(provider, WMIREGISTER);
        return STATUS_SUCCESS;
    }

    /// <summary>What is on its way to the device is waited for.</summary>
    void Deregister(WmiProvider provider)
    {
        provider.IsGone = true;
        _providers.Remove(provider.Device.Address);
        if (provider.InUse == 0) return;
        Va block = nt.Mm.Pool.Allocate(KEvent.Size, WmiTag);
        KEvent idle = KEvent.At(nt.Memory, block);
        idle.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        provider.Idle = idle;
        nt.Ke.WaitFor([idle.Header], all: false, deadline: null);
        nt.Mm.Pool.Free(block);
    }

    void Ask(WmiProvider provider, uint reason) =>
        nt.Ex.PoolOf(DelayedWorkQueue).Queue(() => QueryBlocks(provider, reason));

    void QueryBlocks(WmiProvider provider, uint reason)
    {
        uint size = FirstInfoBytes;
        for (int tries = 0; tries < 3 && size <= MaximumInfoBytes && CanSend(provider); tries++)
        {
            Va buffer = nt.Mm.Pool.Allocate((ulong)size, PoolKind.NonPaged, WmiTag, Va.Null, zero: true);
            if (buffer.IsNull) return;
            byte minor = provider.Routine.IsNull ? IRP_MN_REGINFO_EX : IRP_MN_REGINFO;
            IoStatusBlock result = Send(provider, minor, new Va(reason), buffer, size);
            bool isShort = result.Information == sizeof(uint);
            uint needed = isShort ? nt.Memory.Read<uint>(buffer) : 0;
            if (!isShort && result.Status.IsSuccess && result.Information >= (ulong)WmiRegInfo.Size)
                Take(provider, WmiRegInfo.At(nt.Memory, buffer), (uint)Math.Min(size, result.Information), reason);
            nt.Mm.Pool.Free(buffer);
            if (!isShort || needed <= size) break;
            size = needed;
        }
        foreach (WmiBlock block in provider.Blocks.ToArray())
            if (_enabled.ContainsKey(block.Guid) && !block.IsTraced && !provider.IsGone)
                Control(provider, block, IRP_MN_ENABLE_EVENTS);
    }

    /// <summary>Reads a WMIREGINFO. An update changes only the blocks that it names.</summary>
    void Take(WmiProvider provider, WmiRegInfo info, uint size, uint reason)
    {
        if (reason == WMIREGISTER) provider.Blocks.Clear();
        uint count = Math.Min(info.GuidCount, Math.Min(MaximumBlocks, (size - (uint)WmiRegInfo.Size) / 0x20));
        for (int i = 0; i < (int)count; i++)
        {
            WmiRegGuid entry = info.Entry(i);
            provider.Blocks.RemoveAll(b => b.Guid == entry.Guid);
            WmiBlock? block = Read(info, entry, size);
            if (block is not null && (entry.Flags & WmiRegFlags.RemoveGuid) == 0) provider.Blocks.Add(block);
        }
    }

    WmiBlock? Read(WmiRegInfo info, WmiRegGuid entry, uint size)
    {
        WmiRegFlags flags = entry.Flags;
        ulong names = entry.InstanceInfo;
        WmiBlock Make(bool isList, params IReadOnlyList<string> list) =>
            new(entry.Guid, flags, entry.InstanceCount, isList, list);
        if ((flags & WmiRegFlags.InstancePdo) != 0)
        {
            // The provider has referenced it for us.
            if (nt.Ob.Find(new Va(names)) is not { } found || found.Type != nt.Ob.DeviceType) return null;
            DeviceNode? node = nt.Pnp.NodeOfStack(DeviceObject.At(nt.Memory, found.Body));
            nt.Ob.Dereference(found);
            return Make(false, (node?.InstancePath ?? "") + "_");
        }
        uint at = (uint)Math.Min(names, uint.MaxValue);
        if ((flags & WmiRegFlags.InstanceBasename) != 0) return Make(false, Counted(info.Address, ref at, size) ?? "");
        if ((flags & WmiRegFlags.InstanceList) == 0) return Make(true);
        var list = new List<string>();
        while (list.Count < entry.InstanceCount && Counted(info.Address, ref at, size) is { } name) list.Add(name);
        return Make(true, list);
    }

    /// <summary>A text behind its length in bytes; null if it is not within the buffer.</summary>
    string? Counted(Va buffer, ref uint at, uint size)
    {
        if ((ulong)at + 2 > size) return null;
        ushort bytes = nt.Memory.Read<ushort>(buffer + at);
        if ((ulong)at + 2 + bytes > size) return null;
        string text = System.Text.Encoding.Unicode.GetString(nt.Memory.ReadBytes(buffer + at + 2ul, bytes & ~1));
        at += 2u + bytes;
        return text;
    }

    /// <summary>The number by which the system knows a device that is registered; zero for others.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public uint IoWMIDeviceObjectToProviderId(DeviceObject deviceObject) =>
        _providers.GetValueOrDefault(deviceObject.Address)?.Number ?? 0;

    /// <summary>Numbers for instances of a GUID, counted for each GUID.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoWMIAllocateInstanceIds(Va guid, uint instanceCount, Va firstInstanceId)
    {
        Guid id = nt.Memory.Read<Guid>(guid);
        uint first = _instanceIds.GetValueOrDefault(id);
        if (first + (ulong)instanceCount > uint.MaxValue) return STATUS_UNSUCCESSFUL;
        nt.Memory.Write(firstInstanceId, first);
        _instanceIds[id] = first + instanceCount;
        return STATUS_SUCCESS;
    }
}
