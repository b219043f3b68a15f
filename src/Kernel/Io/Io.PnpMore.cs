using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Questions of old for buses and resources, counts, and notifications of the system's.</summary>
sealed partial class Io
{
    [Export(Support.Partial, "The hardware description holds no buses, so nothing is found.")]
    [IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus IoQueryDeviceDescription(
        Va busType, Va busNumber, Va controllerType, Va controllerNumber, Va peripheralType, Va peripheralNumber,
        Va calloutRoutine, Va context) => STATUS_OBJECT_NAME_NOT_FOUND;

    /// <summary>The counts of devices that drivers keep for each other. One structure for the whole system.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public ConfigurationInformation IoGetConfigurationInformation()
    {
        if (_configuration.IsNull)
        {
            _configuration = nt.Mm.Pool.Allocate(ConfigurationInformation.Size, NotifyTag);
            var made = ConfigurationInformation.At(nt.Memory, _configuration);
            made.Version = (uint)ConfigurationInformation.Size;
        }
        return ConfigurationInformation.At(nt.Memory, _configuration);
    }

    Va _configuration;

    [Export(Support.Partial, "Boot drivers are not reported: there is no boot."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public Va IoRegisterBootDriverCallback(Va callbackFunction, Va callbackContext) =>
        nt.Mm.Pool.Allocate(0x20, PoolKind.NonPaged, NotifyTag, nt.Caller, zero: true);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void IoUnregisterBootDriverCallback([FreesMem] Va callbackHandle) => nt.Mm.Pool.Free(callbackHandle);

    [Export(Support.Partial, "Sessions do not change, so nothing is told."), IrqlRequiresMax(APC_LEVEL)]
    public NtStatus IoRegisterContainerNotification(
        uint notificationClass, Va callbackFunction, Va notificationInformation, uint notificationInformationLength,
        Va callbackRegistration)
    {
        if (notificationClass != 0) return STATUS_INVALID_PARAMETER;
        nt.Memory.Write(callbackRegistration,
            nt.Mm.Pool.Allocate(0x20, PoolKind.NonPaged, NotifyTag, nt.Caller, zero: true));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void IoUnregisterContainerNotification([FreesMem] Va callbackRegistration) =>
        nt.Mm.Pool.Free(callbackRegistration);
}
