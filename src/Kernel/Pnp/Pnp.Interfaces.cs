using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>An interface of a device: a name by which whoever knows the class finds it.</summary>
sealed class DeviceInterface(DeviceNode node, Guid interfaceClass, string link)
{
    public DeviceNode Node { get; } = node;
    public Guid Class { get; } = interfaceClass;

    /// <summary>Its name in the namespace: <c>\??\ACPI#PNP0501#1#{...}</c>.</summary>
    public string Link { get; } = link;
    public bool IsEnabled { get; set; }
    public Dictionary<(Guid, uint), (uint Type, byte[] Data)> Properties { get; } = [];
}

/// <summary>Interfaces of devices: registered, enabled, listed.</summary>
sealed partial class Pnp
{
    const string DeviceClassesPath = @"\Registry\Machine\System\CurrentControlSet\Control\DeviceClasses";
    const uint DEVICE_INTERFACE_INCLUDE_NONACTIVE = 1;

    readonly SortedDictionary<string, DeviceInterface> _interfaces = new(StringComparer.OrdinalIgnoreCase);

    public IEnumerable<DeviceInterface> EnabledInterfaces(Guid interfaceClass) =>
        _interfaces.Values.Where(i => i.IsEnabled && i.Class == interfaceClass);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoRegisterDeviceInterface(
        DeviceObject physicalDeviceObject, Va interfaceClassGuid, UnicodeString referenceString,
        UnicodeString symbolicLinkName)
    {
        if (Find(physicalDeviceObject) is not { InstancePath.Length: > 0 } node) return STATUS_INVALID_DEVICE_REQUEST;
        Guid interfaceClass = nt.Memory.Read<Guid>(interfaceClassGuid);
        string reference = referenceString.IsNull ? "" : referenceString.Text;
        if (reference.AsSpan().IndexOfAny('\\', '/') >= 0) return STATUS_INVALID_DEVICE_REQUEST;
        string key = $"{node.InstancePath.Replace('\\', '#')}#{interfaceClass:B}",
            link = $@"\??\{key}{(reference.Length > 0 ? @"\" + reference : "")}";
        // A device that was gone and is there again has another physical device object.
        if (!_interfaces.TryGetValue(link, out DeviceInterface? known) || known.Node != node)
            AddInterface(new DeviceInterface(node, interfaceClass, link), known);
        nt.Rtl.AllocateFor(symbolicLinkName, link, nt.Caller);
        return STATUS_SUCCESS;
    }

    void AddInterface(DeviceInterface made, DeviceInterface? before)
    {
        if (before is { IsEnabled: true }) DisableInterface(before);
        foreach (var property in before?.Properties ?? []) made.Properties.Add(property.Key, property.Value);
        _interfaces[made.Link] = made;
        made.Node.InterfaceList.Add(made);
        InterfaceKey(made).Set("DeviceInstance", RegistryValue.String(made.Node.InstancePath));
    }

    RegistryKey InterfaceKey(DeviceInterface of)
    {
        string name = of.Link[@"\??\".Length..], reference = "";
        int slash = name.IndexOf('\\');
        if (slash >= 0) (name, reference) = (name[..slash], name[(slash + 1)..]);
        nt.Cm.Create($@"{DeviceClassesPath}\{of.Class:B}\##?#{name}");
        return nt.Cm.Create($@"{DeviceClassesPath}\{of.Class:B}\##?#{name}\#{reference}");
    }

    DeviceInterface? FindInterface(UnicodeString link) => _interfaces.GetValueOrDefault(
        link.Text is { } text && text.StartsWith(@"\\?\", StringComparison.Ordinal) ? @"\??\" + text[4..] : link.Text);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoSetDeviceInterfaceState(UnicodeString symbolicLinkName, bool enable)
    {
        if (FindInterface(symbolicLinkName) is not { } target) return STATUS_OBJECT_NAME_NOT_FOUND;
        if (target.IsEnabled == enable) return enable ? STATUS_OBJECT_NAME_EXISTS : STATUS_OBJECT_NAME_NOT_FOUND;
        return enable ? EnableInterface(target) : DisableInterface(target);
    }

    NtStatus EnableInterface(DeviceInterface target)
    {
        string device = nt.NameOf(target.Node.PhysicalDevice);
        if (device.Length == 0) return STATUS_INVALID_DEVICE_REQUEST;
        // Whatever comes behind the interface's name goes to the driver.
        string link = target.Link, reference = "";
        int slash = link.IndexOf('\\', @"\??\".Length);
        if (slash >= 0) (link, reference) = (link[..slash], link[slash..]);
        if (nt.Ob.Lookup(link, out _, out _, followLast: false) is { IsSuccess: false })
        {
            NtObject made = nt.Ob.CreateLink(device, Va.Null);
            NtStatus status = nt.Ob.Insert(link, made);
            if (!status.IsSuccess)
            {
                nt.Ob.Dereference(made);
                return status;
            }
        }
        target.IsEnabled = true;
        InterfaceKey(target).Set("Linked", RegistryValue.Dword(1));
        Queue(() => NotifyInterface(target, s_arrival));
        return STATUS_SUCCESS;
    }

    NtStatus DisableInterface(DeviceInterface target)
    {
        target.IsEnabled = false;
        string link = target.Link;
        int slash = link.IndexOf('\\', @"\??\".Length);
        if (slash >= 0) link = link[..slash];
        bool isNeeded = target.Node.InterfaceList.Exists(i => i.IsEnabled
            && i.Link.StartsWith(link, StringComparison.OrdinalIgnoreCase));
        if (!isNeeded && nt.Ob.Lookup(link, out NtObject? found, out _, followLast: false).IsSuccess)
            nt.Ob.Dereference(found!);
        InterfaceKey(target).Set("Linked", RegistryValue.Dword(0));
        Queue(() => NotifyInterface(target, s_departure));
        return STATUS_SUCCESS;
    }

    void DisableInterfaces(DeviceNode node)
    {
        foreach (DeviceInterface target in node.InterfaceList)
            if (target.IsEnabled) DisableInterface(target);
    }

    /// <summary>The links of the interfaces of a class, as one list of strings, which the caller frees.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoGetDeviceInterfaces(
        Va interfaceClassGuid, DeviceObject physicalDeviceObject, uint flags, Va symbolicLinkList)
    {
        Guid interfaceClass = nt.Memory.Read<Guid>(interfaceClassGuid);
        bool all = (flags & DEVICE_INTERFACE_INCLUDE_NONACTIVE) != 0;
        DeviceNode? of = physicalDeviceObject.IsNull ? null : Find(physicalDeviceObject);
        string links = string.Concat(_interfaces.Values.Where(i => i.Class == interfaceClass && (all || i.IsEnabled)
            && (physicalDeviceObject.IsNull || i.Node == of)).Select(i => i.Link + '\0')) + '\0';
        // An empty list has two zeros as well.
        byte[] bytes = System.Text.Encoding.Unicode.GetBytes(links.Length == 1 ? "\0\0" : links);
        Va list = nt.Mm.Pool.Allocate((ulong)bytes.Length, PoolKind.Paged, PnpTag, nt.Caller, zero: true);
        if (list.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
        nt.Memory.Write(list, bytes);
        nt.Memory.Write(symbolicLinkList, list);
        return STATUS_SUCCESS;
    }

    /// <summary>The link that an interface of another class has for the same device and reference.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoGetDeviceInterfaceAlias(
        UnicodeString symbolicLinkName, Va aliasInterfaceClassGuid, UnicodeString aliasSymbolicLinkName)
    {
        if (FindInterface(symbolicLinkName) is not { } known) return STATUS_OBJECT_NAME_NOT_FOUND;
        Guid wanted = nt.Memory.Read<Guid>(aliasInterfaceClassGuid);
        string link = known.Link.Replace($"{known.Class:B}", $"{wanted:B}", StringComparison.OrdinalIgnoreCase);
        if (!_interfaces.TryGetValue(link, out DeviceInterface? alias)) return STATUS_OBJECT_NAME_NOT_FOUND;
        nt.Rtl.AllocateFor(aliasSymbolicLinkName, alias.Link, nt.Caller);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoOpenDeviceInterfaceRegistryKey(
        UnicodeString symbolicLinkName, uint desiredAccess, Va deviceInterfaceRegKey)
    {
        if (FindInterface(symbolicLinkName) is not { } known) return STATUS_OBJECT_NAME_NOT_FOUND;
        RegistryKey key = nt.Cm.Create($@"{InterfaceKey(known).Path}\Device Parameters");
        nt.Memory.Write(deviceInterfaceRegKey, nt.Cm.OpenKey(key, desiredAccess, ObjectRequest.OBJ_KERNEL_HANDLE));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoGetDeviceInterfacePropertyData(
        UnicodeString symbolicLinkName, Va propertyKey, uint lcid, uint flags, uint size, Va data, Va requiredSize,
        Va type) => FindInterface(symbolicLinkName) is { } known
            ? ReadProperty(known.Properties, propertyKey, size, data, requiredSize, type)
            : STATUS_OBJECT_NAME_NOT_FOUND;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoSetDeviceInterfacePropertyData(
        UnicodeString symbolicLinkName, Va propertyKey, uint lcid, uint flags, uint type, uint size, Va data) =>
        FindInterface(symbolicLinkName) is { } known
            ? WriteProperty(known.Properties, propertyKey, type, size, data) : STATUS_OBJECT_NAME_NOT_FOUND;
}
