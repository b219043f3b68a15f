using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>What a device's key, or else its class's, says of its device objects: DeviceType, DeviceCharacteristics,
/// Exclusive, Security.</summary>
sealed partial class Pnp
{
    const uint FILE_FLOPPY_DISKETTE = 4, FILE_WRITE_ONCE_MEDIA = 8;

    /// <summary>The characteristics that all objects of a stack have in common.</summary>
    const uint Propagated = FILE_REMOVABLE_MEDIA | FILE_READ_ONLY_DEVICE | FILE_FLOPPY_DISKETTE
        | FILE_WRITE_ONCE_MEDIA | FILE_DEVICE_SECURE_OPEN;

    /// <summary>Sets the device objects of a stack that is complete and not yet started. A descriptor and
    /// characteristics are for all of them, type and exclusiveness for the physical one.</summary>
    /// <remarks>Hypothesis: which of the values is for which of the objects.</remarks>
    void DescribeStack(DeviceNode node, RegistryKey? classKey)
    {
        RegistryKey? properties = classKey?.Child("Properties");
        RegistryValue? Find(string name) =>
            KeyOf(node).Node.FindValue(name) ?? properties?.Node.FindValue(name);
        DeviceObject physical = node.PhysicalDevice;
        if (Find("DeviceType") is { } type && NumberOf(type) is > 0 and var number) physical.DeviceType = number;
        if (Find("Exclusive") is { } exclusive)
            physical.Flags = NumberOf(exclusive) != 0 ? physical.Flags | Io.DO_EXCLUSIVE
                : physical.Flags & ~Io.DO_EXCLUSIVE;
        // What nobody says is what any driver of the stack has said.
        uint characteristics = Find("DeviceCharacteristics") is { } told ? NumberOf(told)
            : StackOf(node).Aggregate(0u, (all, d) => all | d.Characteristics);
        SecurityInfo? security = Find("Security") is { Type: RegistryValue.REG_BINARY } binary
            ? SecurityInfo.Parse(binary.Data) : null;
        foreach (DeviceObject next in StackOf(node).ToArray())
        {
            DeviceObject device = next;
            device.Characteristics = device.Characteristics & ~Propagated | characteristics & Propagated;
            if (security is not null && nt.Ob.Find(device.Address) is { } guarded)
                nt.Ob.SetSecurity(guarded, (nt.Ob.SecurityOf(guarded) ?? SecurityInfo.Empty).With(
                    security.Parts, security));
        }
    }
}
