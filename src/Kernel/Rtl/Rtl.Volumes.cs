using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>The names of volumes.</summary>
sealed partial class Rtl
{
    /// <summary>IoVolumeDeviceToDosName under its older name.</summary>
    [Export(Support.Partial, Io.NoMountManager), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlVolumeDeviceToDosName(DeviceObject volumeDeviceObject, UnicodeString dosName) =>
        nt.Io.IoVolumeDeviceToDosName(volumeDeviceObject, dosName);
}
