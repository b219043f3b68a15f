using Ringdown.Machine;
using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>From a known device to one that runs: its drivers, its resources, its start.</summary>
sealed partial class Pnp
{
    const uint CONFIGFLAG_DISABLED = 1;

    /// <summary>Gives a device its drivers, and starts it.</summary>
    public void Configure(DeviceNode node)
    {
        (node.Problem, node.ProblemStatus) = (DeviceProblem.None, STATUS_SUCCESS);
        if (IsDisabled(node))
        {
            node.Problem = DeviceProblem.Disabled;
            return;
        }
        if (!FindDriver(node)) return;
        if (!AddDrivers(node)) return;
        StartDevice(node);
    }

    bool IsDisabled(DeviceNode node) =>
        KeyOf(node).Node.FindValue("ConfigFlags") is { } flags && (NumberOf(flags) & CONFIGFLAG_DISABLED) != 0;

    /// <summary>Makes a service the function driver of a device, instead of what it has.</summary>
    public NtStatus SetDriver(DeviceNode node, string service)
    {
        NtStatus status = TakeOut(node, DeviceProblem.None);
        if (!status.IsSuccess) return status;
        KeyOf(node).Set("Service", RegistryValue.String(service));
        Configure(node);
        return node.IsStarted ? STATUS_SUCCESS : Failure(node);
    }

    static uint NumberOf(RegistryValue value) => value.Data.Length >= 4 ? BitConverter.ToUInt32(value.Data, 0) : 0;

    /// <summary>The service is the one that the registry names, the system's own for the device's ids, or the one that
    /// the driver store finds. A raw device needs none.</summary>
    bool FindDriver(DeviceNode node)
    {
        string? service = ServiceOf(node);
        if (service is null && node.Parent == Root && ServiceOfNew is { } given)
        {
            service = given;
            KeyOf(node).Set("Service", RegistryValue.String(given));
        }
        if (service is null && Buses.DriverFor(node) is { } own)
        {
            service = own;
            KeyOf(node).Set("Service", RegistryValue.String(own));
        }
        if (service is null && Drivers?.Install(node.InstancePath, node.HardwareIds, node.CompatibleIds) == true)
            service = ServiceOf(node);
        (node.Service, node.IsRaw) = (service, service is null);
        if (service is not null || (node.Capabilities & CapabilityFlags.RawDeviceOK) != 0) return true;
        node.Problem = DeviceProblem.FailedInstall;
        return false;
    }

    string? ServiceOf(DeviceNode node) =>
        KeyOf(node).Node.FindValue("Service") is { } value && value.Text.Length > 0 ? value.Text : null;

    /// <summary>Builds the stack: filters below, the function driver, filters above; a device's own before those of its
    /// class.</summary>
    bool AddDrivers(DeviceNode node)
    {
        string? classGuid = KeyOf(node).Node.FindValue("ClassGUID")?.Text;
        RegistryKey? classKey = classGuid is null ? null : nt.Cm.Find($@"{ClassPath}\{classGuid}");
        foreach (string filter in Names(KeyOf(node), "LowerFilters").Concat(Names(classKey, "LowerFilters")))
            if (!AddToStack(node, filter)) return false;
        if (node.Service is { } service && !AddToStack(node, service)) return false;
        foreach (string filter in Names(KeyOf(node), "UpperFilters").Concat(Names(classKey, "UpperFilters")))
            if (!AddToStack(node, filter)) return false;
        DescribeStack(node, classKey);
        (node.State, node.WasStarted) = (DriversAdded, false);
        return true;
    }

    static IReadOnlyList<string> Names(RegistryKey? key, string value) => key?.Node.FindValue(value) is { } names
        ? names.RawText.Split('\0', StringSplitOptions.RemoveEmptyEntries) : [];

    // A filter that is not there fails the device as its function driver does.
    bool AddToStack(DeviceNode node, string service)
    {
        NtStatus status = FindLoaded(service, out Driver? driver);
        if (driver is null)
            return Fail(node, status == STATUS_OBJECT_NAME_NOT_FOUND ? DeviceProblem.DriverFailedLoad
                : DeviceProblem.FailedDriverEntry, status);
        status = AddDevice(node, driver);
        return status.IsSuccess || Fail(node, DeviceProblem.FailedAdd, status);
    }

    /// <summary>The drivers that are on the stack already are told to go.</summary>
    bool Fail(DeviceNode node, DeviceProblem problem, NtStatus status)
    {
        if (!node.PhysicalDevice.AttachedDevice.IsNull) SendRemove(node);
        (node.State, node.Problem, node.ProblemStatus) = (Removed, problem, status);
        return false;
    }

    NtStatus FindLoaded(string service, out Driver? driver)
    {
        driver = nt.Loader.FindLoaded(service);
        if (driver is not null) return STATUS_SUCCESS;
        if (Buses.Make(service) is { } own)
        {
            driver = nt.Loader.Load(service, own);
            return driver.EntryStatus;
        }
        NtStatus status = nt.Loader.LoadService($@"{ServicesPath}\{service}");
        driver = nt.Loader.FindLoaded(service);
        return status;
    }

    NtStatus AddDevice(DeviceNode node, Driver driver)
    {
        Va routine = driver.Object.DriverExtension.AddDevice;
        if (routine.IsNull) return STATUS_INVALID_DEVICE_REQUEST;
        DeviceObject before = nt.Io.TopOf(node.PhysicalDevice);
        var status = new NtStatus((uint)nt.Routines.Call(
            routine, driver.Object.Address.Value, node.PhysicalDevice.Address.Value));
        nt.OnDeviceAdded(node, driver, status, before);
        return status;
    }

    /// <summary>Gives a device its resources, and starts it.</summary>
    void StartDevice(DeviceNode node)
    {
        FilterRequirements(node);
        bool isAssigned = AssignResources(node);
        // Who moved to make room may have taken it along.
        if (node.State != DriversAdded) return;
        if (!isAssigned)
        {
            Fail(node, DeviceProblem.NormalConflict, STATUS_CONFLICTING_ADDRESSES);
            return;
        }
        if (SendStart(node)) Started(node);
    }

    /// <summary>Drivers may change what the bus says that the device needs.</summary>
    void FilterRequirements(DeviceNode node)
    {
        QueryRequirements(node);
        Va block = Va.Null;
        if (node.Requirements.Length > 0)
        {
            block = nt.Mm.Pool.Allocate(node.Requirements.Length, PnpTag);
            nt.Memory.Write(block, node.Requirements);
        }
        IoStatusBlock result = nt.Io.SendToStack(node.PhysicalDevice, STATUS_NOT_SUPPORTED, location =>
        {
            (location.MajorFunction, location.MinorFunction) =
                (IrpMajor.IRP_MJ_PNP, IRP_MN_FILTER_RESOURCE_REQUIREMENTS);
            location.ResourceRequirements = IoResourceRequirementsList.At(nt.Memory, block);
        }, block.Value);
        Va given = result.Status.IsSuccess ? new Va(result.Information) : block;
        if (!given.IsNull) node.Requirements = ReadRequirements(given);
        // Who puts another list there frees the first one.
        if (!given.IsNull) nt.Mm.Pool.Free(given);
    }

    bool SendStart(DeviceNode node)
    {
        (uint type, uint bus) = node.Bus is { } known ? (known.Legacy, known.Number) : (Internal, 0u);
        CmResourceList raw = ResourceLists.Make(nt, node.Resources, type, bus, translated: false),
            translated = ResourceLists.Make(nt, node.Resources, type, bus, translated: true);
        NtStatus status = Send(node, IRP_MN_START_DEVICE, location =>
            (location.AllocatedResources, location.AllocatedResourcesTranslated) = (raw, translated));
        if (!raw.IsNull) nt.Mm.Pool.Free(raw.Address);
        if (!translated.IsNull) nt.Mm.Pool.Free(translated.Address);
        if (status.IsSuccess && status != STATUS_PENDING) return true;
        Lose(node, DeviceProblem.FailedStart, status);
        return false;
    }

    /// <summary>A device does not come to run. One that ran before is gone for those who have it open, and all below it
    /// with it; its drivers go when nobody has it open.</summary>
    void Lose(DeviceNode node, DeviceProblem problem, NtStatus status)
    {
        (node.Problem, node.ProblemStatus) = (problem, status);
        if (node.State != Stopped)
        {
            RemoveStack(node);
            return;
        }
        foreach (DeviceNode child in node.ChildList.ToArray()) SurpriseRemove(child);
        SendSurprise(node);
        EndIfClosed(node);
    }

    void Started(DeviceNode node)
    {
        bool isFirst = !node.WasStarted;
        (node.State, node.WasStarted) = (DeviceNodeState.Started, true);
        QueryCapabilities(node);
        if (isFirst && !CheckState(node)) return;
        Enumerate(node);
    }

    /// <summary>Asks drivers in which state their device is.</summary>
    /// <returns>False if the device does not run any more.</returns>
    bool CheckState(DeviceNode node)
    {
        NtStatus status = Send(node, IRP_MN_QUERY_PNP_DEVICE_STATE, out ulong information);
        if (!status.IsSuccess) return true;
        node.DeviceState = (uint)information;
        if ((information & (PNP_DEVICE_FAILED | PNP_DEVICE_REMOVED)) != 0)
        {
            (node.Problem, node.ProblemStatus) = (DeviceProblem.FailedPostStart, STATUS_DEVICE_NOT_READY);
            SurpriseStack(node);
            return false;
        }
        if ((information & PNP_DEVICE_DISABLED) != 0)
        {
            return !TakeOut(node, DeviceProblem.Disabled).IsSuccess;
        }
        if ((information & PNP_DEVICE_RESOURCE_REQUIREMENTS_CHANGED) != 0) Rebalance(node);
        return node.IsStarted;
    }
}
