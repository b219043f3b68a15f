using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>What is there of plug and play, the HAL and the power manager, and how the rest says no.</summary>
public sealed class IoPnpTests
{
    [Fact]
    public void Devices_that_are_not_enumerated_have_no_properties_and_no_interfaces()
    {
        using var m = new TestMachine();
        DeviceObject d = m.Device(m.Driver(), @"\Device\Plain");
        UnicodeString name = m.Text(@"\??\x");
        Va g = m.Block(16), p = m.Block(64);
        NtStatus[] refused =
        [
            m.Nt.IoRegisterDeviceInterface(d, g, name, name), m.Nt.IoGetDeviceProperty(d, 0, 8, p, p),
            m.Nt.IoOpenDeviceRegistryKey(d, 1, 1, p), m.Nt.IoGetDevicePropertyData(d, g, 0, 0, 8, p, p, p),
            m.Nt.IoSetDevicePropertyData(d, g, 0, 0, 0, 8, p), m.Nt.IoGetDeviceNumaNode(d, p),
            m.Nt.IoRequestDeviceEjectEx(d, Va.Null, Va.Null, d.DriverObject),
            m.Nt.IoReportTargetDeviceChange(d, p), m.Nt.IoReportTargetDeviceChangeAsynchronous(d, p, Va.Null, Va.Null),
        ];
        Assert.All(refused, s => Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, s));
        NtStatus[] nameless =
        [
            m.Nt.IoSetDeviceInterfaceState(name, true), m.Nt.IoGetDeviceInterfaceAlias(name, g, name),
            m.Nt.IoOpenDeviceInterfaceRegistryKey(name, 1, p),
            m.Nt.IoGetDeviceInterfacePropertyData(name, g, 0, 0, 8, p, p, p),
            m.Nt.IoSetDeviceInterfacePropertyData(name, g, 0, 0, 0, 8, p),
            m.Nt.IoQueryDeviceDescription(p, p, p, p, p, p, Va.Null, Va.Null),
        ];
        Assert.All(nameless, s => Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, s));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoGetDeviceInterfaces(g, d, 0, p));
        Assert.Equal("", m.WideAt(m.Read<Va>(p)));
        m.Nt.IoInvalidateDeviceRelations(d, 0);
        m.Nt.IoInvalidateDeviceState(d);
        m.Nt.IoRequestDeviceEject(d);
        Assert.True(m.Nt.IoGetDmaAdapter(d, p, p).IsNull);
        // Its driver has no service.
        Assert.Equal(STATUS_INVALID_PARAMETER,
            m.Nt.IoReportDetectedDevice(d.DriverObject, 0, 0, 0, p, p, false, p));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoReportRootDevice(d.DriverObject));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoAssignResources(name, name, d.DriverObject, d, p, p));
    }

    [Fact]
    public void Notifications_are_registered_and_given_back()
    {
        using var m = new TestMachine();
        DeviceObject d = m.Device(m.Driver(), @"\Device\Note");
        Va entry = m.Block(8);
        foreach (bool ex in (bool[])[false, true])
        {
            Assert.Equal(STATUS_SUCCESS, m.Nt.IoRegisterPlugPlayNotification(
                2, 0, m.Block(16), d.DriverObject, m.Routine(_ => 0), Va.Null, entry));
            Assert.Equal(STATUS_SUCCESS, ex ? m.Nt.IoUnregisterPlugPlayNotificationEx(m.Read<Va>(entry))
                : m.Nt.IoUnregisterPlugPlayNotification(m.Read<Va>(entry)));
        }
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoRegisterContainerNotification(0, m.Routine(_ => 0), Va.Null, 0, entry));
        m.Nt.IoUnregisterContainerNotification(m.Read<Va>(entry));
        m.Nt.IoUnregisterBootDriverCallback(m.Nt.IoRegisterBootDriverCallback(m.Routine(_ => 0), Va.Null));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMIRegistrationControl(d, 1));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMIRegistrationControl(d, 2));
        ConfigurationInformation counts = m.Nt.IoGetConfigurationInformation();
        counts.DiskCount++;
        Assert.Equal(1U, m.Nt.IoGetConfigurationInformation().DiskCount);
    }

    [Fact]
    public void The_HAL_has_an_empty_bus_a_table_and_a_screen()
    {
        using var m = new TestMachine();
        DeviceObject d = m.Device(m.Driver(), @"\Device\Hal");
        Va p = m.Block(64), q = m.Block(8);
        Assert.Equal(2U, m.Nt.HalGetBusData(4, 0, 0, p, 64));
        Assert.Equal(2U, m.Nt.HalGetBusDataByOffset(4, 0, 0, p, 0, 64));
        Assert.Equal(0xFFFFU, m.U32(p));
        Assert.Equal(0U, m.Nt.HalSetBusDataByOffset(4, 0, 0, p, 0, 4));
        Assert.True(m.Nt.HalTranslateBusAddress(5, 0, 0x1000, p, q));
        Assert.Equal(0x1000UL, m.U64(q));
        Assert.NotEqual(0U, m.Nt.HalGetInterruptVector(5, 0, 1, 1, p, q));
        Va table = m.Nt.Loader.FindExport("HalDispatchTable");
        Assert.Equal(4U, m.U32(table));
        Assert.Equal(m.Nt.Loader.FindExport("HalExamineMBR"), m.Read<Va>(table + 0x28));
        Assert.Equal(STATUS_INVALID_LEVEL.Value, (uint)m.Nt.Routines.Call(m.Read<Va>(table + 8), 1, 0, 0, p.Value));
        Assert.Equal(STATUS_NOT_SUPPORTED.Value, (uint)m.Nt.Routines.Call(m.Read<Va>(table + 0x10)));
        m.Nt.HalDisplayString(m.Narrow("hello\r\n"));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwDisplayString(m.Text("world")));
        Assert.Equal(["hello", "world"], m.Nt.DebugPrint);
        Assert.False(m.Nt.HalMakeBeep(440));
        Assert.True(m.Nt.HalGetAdapter(p, q).IsNull);
        Assert.Equal(STATUS_NO_SUCH_DEVICE,
            m.Nt.HalAssignSlotResources(m.Text(""), m.Text(""), d.DriverObject, d, 5, 0, 0, q));
        Assert.Equal(STATUS_SUCCESS, m.Nt.HalAllocateHardwareCounters(Va.Null, 0, Va.Null, q));
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES, m.Nt.HalAllocateHardwareCounters(Va.Null, 0, Va.Null, q));
        Assert.Equal(STATUS_SUCCESS, m.Nt.HalFreeHardwareCounters(m.Read<Handle>(q)));
    }

    [Fact]
    public void Power_IRPs_go_down_the_stack_and_their_completion_is_told()
    {
        using var m = new TestMachine();
        DeviceObject d = m.Dispatching("Power", (_, irp) =>
        {
            m.Nt.PoStartNextPowerIrp(irp);
            return m.Complete(irp, STATUS_SUCCESS);
        });
        var told = new List<ulong>();
        Va routine = m.Routine(call =>
        {
            told.Add(call.Argument(2));
            return 0;
        });
        Assert.Equal(STATUS_PENDING, m.Nt.PoRequestPowerIrp(d, 2, 4, routine, Va.Null, Va.Null));
        Assert.Equal([4UL], told);
        Assert.Equal(0U, m.Nt.PoSetPowerState(d, 1, 4));
        Assert.Equal(4U, m.Nt.PoSetPowerState(d, 1, 1));
        Irp own = m.Nt.IoAllocateIrp(1, false);
        IoStackLocation next = own.CurrentStackLocation.Below;
        next.MajorFunction = IrpMajor.IRP_MJ_POWER;
        m.Nt.PoSetSystemWake(own);
        Assert.True(m.Nt.PoGetSystemWake(own));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PoCallDriver(d, own));
    }

    [Fact, Rule("8.2"), Rule("8.3")]
    public void A_power_IRP_is_pending_and_its_callback_comes_after_all_completion_routines()
    {
        using var m = new TestMachine();
        var order = new List<string>();
        DeviceObject lower = m.Dispatching("Lower", (_, irp) =>
        {
            order.Add(irp.CurrentStackLocation.MajorFunction.ToString());
            return m.Complete(irp, STATUS_SUCCESS);
        });
        Va done = m.Routine(call =>
        {
            order.Add("completion routine");
            return 0;
        });
        // PoCallDriver is IoCallDriver, and PoStartNextPowerIrp changes nothing, wherever it is called.
        DeviceObject upper = m.Over(lower, "Upper", (_, irp) =>
        {
            irp.CopyToNext();
            irp.OnCompletion(done);
            return m.Nt.PoCallDriver(lower, irp);
        });
        Va callback = m.Routine(call =>
        {
            order.Add($"callback {call.Argument(1)} {call.Argument(2)} {call.Argument(3)}");
            return 0;
        });
        Va place = m.Block(8);
        Assert.Equal(STATUS_PENDING, m.Nt.PoRequestPowerIrp(upper, 2, 4, callback, new(7), place));
        Assert.Equal(["IRP_MJ_POWER", "completion routine", "callback 2 4 7"], order);
        Assert.False(m.Read<Va>(place).IsNull);
        Assert.Equal(STATUS_INVALID_PARAMETER_2, m.Nt.PoRequestPowerIrp(upper, 1, 4, callback, Va.Null, Va.Null));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void Power_settings_requests_and_information_of_a_machine_on_mains_power()
    {
        using var m = new TestMachine();
        DeviceObject d = m.Device(m.Driver(), @"\Device\Po");
        Va guid = m.Bytes(new Guid("5d3e9a59-e9d5-4b00-a6bd-ff34ff516548").ToByteArray()), handle = m.Block(8);
        var told = new List<ulong>();
        Va routine = m.Routine(call =>
        {
            told.Add(call.Argument(2));
            return 0;
        });
        Assert.Equal(STATUS_SUCCESS, m.Nt.PoRegisterPowerSettingCallback(d, guid, routine, Va.Null, handle));
        Assert.Equal([4UL], told);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PoUnregisterPowerSettingCallback(m.Read<Va>(handle)));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.PoUnregisterPowerSettingCallback(m.Read<Va>(handle)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PoCreatePowerRequest(handle, d, Va.Null));
        Va request = m.Read<Va>(handle);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PoSetPowerRequest(request, 1));
        Assert.Equal(STATUS_SUCCESS, m.Nt.PoClearPowerRequest(request, 1));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.PoClearPowerRequest(request, 1));
        m.Nt.PoDeletePowerRequest(request);
        Va state = m.Nt.PoRegisterSystemState(Va.Null, 0x8000_0001);
        Assert.False(state.IsNull);
        m.Nt.PoSetSystemState(1);
        m.Nt.PoUnregisterSystemState(state);
        Assert.False(m.Nt.PoQueryWatchdogTime(d, handle));
        Va answer = m.Block(0x100);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwPowerInformation(5, Va.Null, 0, answer, 0x20));
        Assert.Equal(1U, m.U32(answer));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, m.Nt.NtPowerInformation(11, Va.Null, 0, answer, 4));
        Assert.Equal(STATUS_NOT_SUPPORTED, m.Nt.ZwPowerInformation(99, Va.Null, 0, answer, 0x20));
        int ran = 0;
        Va item = m.Block(0x20);
        WorkQueueItem work = WorkQueueItem.At(m.Nt.Memory, item);
        work.WorkerRoutine = m.Routine(_ => (ulong)++ran);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PoQueueShutdownWorkItem(item));
        m.Nt.Shutdown();
        Assert.Equal(1, ran);
    }
}
