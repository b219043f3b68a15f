using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>What a bus reports: new devices are asked who they are, and devices that it no longer reports are
/// gone.</summary>
sealed partial class Pnp
{
    const int MostCharacters = 0x4000, MostRelations = 1024;

    /// <summary>Asks a bus for its devices; begins with new ones, and ends with those that are gone.</summary>
    public void Enumerate(DeviceNode bus)
    {
        if (!bus.IsStarted) return;
        if (Relations(bus, DeviceRelationType.BusRelations) is not { } reported) return;
        foreach (DeviceNode child in bus.ChildList) child.IsPresent = false;
        List<DeviceNode> found = [];
        foreach (DeviceObject device in reported) Report(bus, device, found);
        foreach (DeviceNode gone in bus.ChildList.Where(c => !c.IsPresent).ToArray()) SurpriseRemove(gone);
        foreach (DeviceNode node in found) Initialize(node);
        // What is set up by firmware stays its own: nobody else gets it meanwhile.
        foreach (DeviceNode node in found)
            if (node.BootResources.Count > 0) Arbiter.Take(node, node.BootResources);
        foreach (DeviceNode node in bus.ChildList.ToArray())
            if (node.State is Initialized or Removed && node.Problem == DeviceProblem.None) Configure(node);
    }

    void Report(DeviceNode bus, DeviceObject device, List<DeviceNode> found)
    {
        if (Find(device) is not { } node)
        {
            found.Add(NewNode(device, bus));
            return;
        }
        // It has a reference from before; the answer brought another one.
        nt.Ob.Dereference(nt.Ob.At(device.Address));
        if (node.Parent != bus)
            throw new BugCheck(BugCheckCode.PNP_DETECTED_FATAL_ERROR, DuplicatePdo, device.Address.Value);
        node.IsPresent = true;
    }

    const ulong DuplicatePdo = 1, InvalidPdo = 2, InvalidId = 3, DeletedPdo = 4, NullPdo = 8;

    /// <summary>The devices that stand in a relation to one, each referenced; null if there is no answer.</summary>
    IReadOnlyList<DeviceObject>? Relations(DeviceNode node, DeviceRelationType type) => Ask(node,
        IRP_MN_QUERY_DEVICE_RELATIONS, location => location.RelationType = type, block =>
        {
            var relations = DeviceRelations.At(nt.Memory, block);
            if (relations.Count > MostRelations)
                throw new BugCheck(BugCheckCode.PNP_DETECTED_FATAL_ERROR, InvalidPdo, block.Value);
            List<DeviceObject> all = [];
            for (int i = 0; i < (int)relations.Count; i++) all.Add(Checked(relations.Object(i), node));
            return all;
        });

    DeviceObject Checked(DeviceObject device, DeviceNode reportedBy)
    {
        ulong bus = reportedBy.PhysicalDevice.Address.Value;
        if (device.IsNull) throw new BugCheck(BugCheckCode.PNP_DETECTED_FATAL_ERROR, NullPdo, bus);
        if (nt.Ob.Find(device.Address) is not { } found || found.Type != nt.Ob.DeviceType)
            throw new BugCheck(BugCheckCode.PNP_DETECTED_FATAL_ERROR, InvalidPdo, device.Address.Value, bus);
        if (Io.IsDeletePending(device))
            throw new BugCheck(BugCheckCode.PNP_DETECTED_FATAL_ERROR, DeletedPdo, device.Address.Value, bus);
        return device;
    }

    /// <summary>Asks a new device who it is, and gives it a key.</summary>
    void Initialize(DeviceNode node)
    {
        string deviceId = Text(node, BusQueryIdType.BusQueryDeviceID) is [{ } id, ..] ? id : "";
        QueryCapabilities(node);
        string instance = Text(node, BusQueryIdType.BusQueryInstanceID) is [{ } own, ..] ? own : "";
        if ((node.Capabilities & CapabilityFlags.UniqueId) == 0) instance = Prefix(node) + instance;
        node.InstancePath = deviceId.Length == 0 ? $@"UNKNOWN\{node.PhysicalDevice.Address}\0"
            : $@"{deviceId}\{instance}";
        if (_nodes.Values.FirstOrDefault(n => n != node && n.State != Deleted && n.IsPresent
            && n.InstancePath.Equals(node.InstancePath, StringComparison.OrdinalIgnoreCase)) is { } twin)
            throw new BugCheck(BugCheckCode.PNP_DETECTED_FATAL_ERROR, DuplicatePdo, node.PhysicalDevice.Address.Value,
                twin.PhysicalDevice.Address.Value);
        node.HardwareIds = Text(node, BusQueryIdType.BusQueryHardwareIDs);
        node.CompatibleIds = Text(node, BusQueryIdType.BusQueryCompatibleIDs);
        node.Description = DeviceText(node, DeviceTextType.DeviceTextDescription);
        node.Location = DeviceText(node, DeviceTextType.DeviceTextLocationInformation);
        QueryBus(node);
        node.BootResources = Ask(node, IRP_MN_QUERY_RESOURCES, null,
            block => ResourceLists.Read(CmResourceList.At(nt.Memory, block))) ?? [];
        QueryRequirements(node);
        WriteKey(node);
        node.State = Initialized;
    }

    // Two devices of one kind on two buses have the same id: the way to the bus makes it unique.
    static string Prefix(DeviceNode node)
    {
        uint hash = 0x811C_9DC5;
        foreach (char c in node.Parent!.InstancePath.ToUpperInvariant()) hash = (hash ^ c) * 0x0100_0193;
        return $"{node.Level:x}&{hash:x}&";
    }

    void WriteKey(DeviceNode node)
    {
        RegistryKey key = KeyOf(node);
        if (node.Description.Length > 0 && key.Node.FindValue("DeviceDesc") is null)
            key.Set("DeviceDesc", RegistryValue.String(node.Description));
        if (node.Location.Length > 0) key.Set("LocationInformation", RegistryValue.String(node.Location));
        if (node.HardwareIds.Count > 0) key.Set("HardwareID", RegistryValue.MultiString([.. node.HardwareIds]));
        if (node.CompatibleIds.Count > 0) key.Set("CompatibleIDs", RegistryValue.MultiString([.. node.CompatibleIds]));
        key.Set("Capabilities", RegistryValue.Dword((uint)node.Capabilities >> 2));
        nt.Cm.Create($@"{EnumPath}\{node.InstancePath}\Device Parameters");
    }

    /// <summary>An id, or several.</summary>
    IReadOnlyList<string> Text(DeviceNode node, BusQueryIdType type)
    {
        bool isMany = type is BusQueryIdType.BusQueryHardwareIDs or BusQueryIdType.BusQueryCompatibleIDs;
        IReadOnlyList<string> all = Ask(node, IRP_MN_QUERY_ID, location => location.IdType = type,
            block => ReadStrings(block, isMany)) ?? [];
        foreach (char c in all.SelectMany(s => s))
            if (c is < ' ' or > '\x7F' or ',')
                throw new BugCheck(BugCheckCode.PNP_DETECTED_FATAL_ERROR, InvalidId, node.PhysicalDevice.Address.Value,
                    0, (ulong)type switch { 0 => 1, 3 => 2, 1 => 3, _ => 4 });
        return all;
    }

    string DeviceText(DeviceNode node, DeviceTextType type) => Ask(node, IRP_MN_QUERY_DEVICE_TEXT, location =>
    {
        const uint english = 0x409;
        (location.DeviceTextType, location.LocaleId) = (type, english);
    }, block => ReadStrings(block, isMany: false)) is [{ } text, ..] ? text : "";

    IReadOnlyList<string> ReadStrings(Va at, bool isMany)
    {
        List<string> all = [];
        var text = new StringBuilder();
        for (int i = 0; i < MostCharacters; i++)
        {
            char c = nt.Memory.Read<char>(at + i * 2);
            if (c != 0)
            {
                text.Append(c);
                continue;
            }
            if (text.Length == 0) break;
            all.Add(text.ToString());
            text.Clear();
            if (!isMany) break;
        }
        return all;
    }

    void QueryCapabilities(DeviceNode node)
    {
        Va block = nt.Mm.Pool.Allocate(DeviceCapabilities.Size, PnpTag);
        var answer = DeviceCapabilities.At(nt.Memory, block);
        (answer.ObjectSize, answer.Version) = ((ushort)DeviceCapabilities.Size, 1);
        (answer.BusAddress, answer.UINumber) = (uint.MaxValue, uint.MaxValue);
        NtStatus status = Send(node, IRP_MN_QUERY_CAPABILITIES, location => location.Capabilities = answer);
        if (status.IsSuccess)
        {
            (node.Capabilities, node.Address, node.UINumber) = (answer.Flags, answer.BusAddress, answer.UINumber);
            (node.SystemWake, node.DeviceWake) = (answer.SystemWake, answer.DeviceWake);
            for (int i = 1; i < node.DeviceStates.Length; i++)
                if (answer.DeviceState(i) is >= 1 and <= 4 and var state) node.DeviceStates[i] = state;
        }
        nt.Mm.Pool.Free(block);
    }

    void QueryBus(DeviceNode node)
    {
        NtStatus status = Send(node, IRP_MN_QUERY_BUS_INFORMATION, out ulong information);
        if (!status.IsSuccess || information == 0) return;
        var bus = PnpBusInformation.At(nt.Memory, new Va(information));
        node.Bus = (bus.BusTypeGuid, bus.LegacyBusType, bus.BusNumber);
        nt.Mm.Pool.Free(bus.Address);
    }

    void QueryRequirements(DeviceNode node) => node.Requirements =
        Ask(node, IRP_MN_QUERY_RESOURCE_REQUIREMENTS, null, ReadRequirements) ?? [];

    /// <summary>IO_RESOURCE_REQUIREMENTS_LIST, as long as it says; of 64 KiB at most.</summary>
    public byte[] ReadRequirements(Va block)
    {
        const uint most = 0x1_0000;
        uint size = IoResourceRequirementsList.At(nt.Memory, block).ListSize;
        return nt.Memory.ReadBytes(block, (int)Math.Min(size, most));
    }
}
