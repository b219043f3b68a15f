using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class EtwTests
{
    static readonly Guid s_provider = new("11111111-2222-3333-4444-555555555555");

    static ulong Register(TestMachine m, Va callback = default)
    {
        Va id = m.Bytes(s_provider.ToByteArray()), handle = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.EtwRegister(id, callback, new Va(7), handle));
        return m.Read<ulong>(handle);
    }

    [Fact]
    public void A_provider_is_enabled_and_its_events_are_kept_and_traced()
    {
        using var m = new TestMachine();
        string enabled = "";
        ulong handle = Register(m, m.Routine(call =>
        {
            enabled = $"{call.Argument(1)} {(byte)call.Argument(2)} {call.Argument(6)}";
            return 0;
        }));
        Assert.Equal("1 255 7", enabled);
        Va descriptor = m.Bytes([42, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]), data = m.Block(16);
        m.Nt.Memory.Write(data, m.Bytes([1, 2, 3]));
        m.Nt.Memory.Write(data + 8, 3u);
        Assert.True(m.Nt.EtwEventEnabled(handle, descriptor));
        Assert.True(m.Nt.EtwProviderEnabled(handle, 4, 1));
        byte[] traits = [0, 0, .. "My.Provider"u8, 0];
        traits[0] = (byte)traits.Length;
        Assert.Equal(STATUS_SUCCESS, m.Nt.EtwSetInformation(handle, 2, m.Bytes(traits), (uint)traits.Length));
        Assert.Equal(STATUS_NOT_SUPPORTED, m.Nt.EtwSetInformation(handle, 9, data, 1));
        Assert.Equal(STATUS_SUCCESS, m.Nt.EtwWrite(handle, descriptor, Va.Null, 1, data));
        Assert.Equal(STATUS_SUCCESS, m.Nt.EtwWriteTransfer(handle, descriptor, Va.Null, Va.Null, 1, data));
        Assert.Equal(STATUS_SUCCESS, m.Nt.EtwWriteEx(handle, descriptor, 0, 0, Va.Null, Va.Null, 1, data));
        Assert.Equal(STATUS_SUCCESS, m.Nt.EtwWriteString(handle, 2, 0, Va.Null, m.Text("hello").Buffer));
        Assert.Equal(4, m.Nt.Etw.Events.Count);
        Assert.Contains(m.Trace.Lines, l => l.Contains("event My.Provider id 42 level 4: 010203"));
        Assert.Contains(m.Trace.Lines, l => l.Contains("hello"));
        Assert.Equal(STATUS_SUCCESS, m.Nt.EtwUnregister(handle));
        Assert.Equal(STATUS_INVALID_HANDLE, m.Nt.EtwUnregister(handle));
        Assert.Equal(STATUS_INVALID_HANDLE, m.Nt.EtwWrite(handle, descriptor, Va.Null, 0, Va.Null));
        Assert.False(m.Nt.EtwEventEnabled(handle, descriptor));
    }

    [Fact]
    public void Events_that_are_too_long_are_refused()
    {
        using var m = new TestMachine();
        ulong handle = Register(m);
        Va descriptor = m.Block(16), data = m.Block(16);
        m.Nt.Memory.Write(data + 8, 0x1_0000u);
        Assert.Equal(STATUS_INTEGER_OVERFLOW, m.Nt.EtwWrite(handle, descriptor, Va.Null, 1, data));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.EtwWrite(handle, descriptor, Va.Null, 129, data));
    }

    [Fact]
    public void A_thread_has_an_activity()
    {
        using var m = new TestMachine();
        Va id = m.Bytes(s_provider.ToByteArray());
        Assert.Equal(STATUS_SUCCESS, m.Nt.EtwActivityIdControl(2, id));
        Assert.Equal(STATUS_SUCCESS, m.Nt.EtwActivityIdControl(3, id));
        Assert.NotEqual(s_provider, m.Read<Guid>(id));
        Assert.Equal(STATUS_SUCCESS, m.Nt.EtwActivityIdControl(1, id));
        Assert.Equal(s_provider, m.Read<Guid>(id));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.EtwActivityIdControl(6, id));
    }

    [Fact]
    public void A_counter_set_adds_its_instances_when_it_is_asked()
    {
        using var m = new TestMachine();
        Va info = m.Block(0x28), place = m.Block(8), data = m.Block(16);
        m.Nt.Memory.Write(data, m.Bytes([9, 8, 7, 6]));
        m.Nt.Memory.Write(data + 8, 4u);
        m.Nt.Memory.Write(info, 0x100u);
        m.Nt.Memory.Write(info + 0x10, m.Routine(call => m.Nt.PcwAddInstance(
            m.Read<Va>(new Va(call.Argument(1)) + 0x18), m.Text("one"), 1, 1, data).Value));
        m.Nt.Memory.Write(info + 0x20, m.Text("Set").Address);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PcwRegister(place, info));
        CounterInstance found = Assert.Single(m.Nt.Pcw.Collect("Set"));
        Assert.Equal(("one", 1u), (found.Name, found.Id));
        Assert.Equal([9, 8, 7, 6], found.Data);
        m.Nt.PcwUnregister(m.Read<Va>(place));
        Assert.Empty(m.Nt.Pcw.Collect("Set"));
        m.Nt.Memory.Write(info + 0x10, 0UL);
        m.Nt.PcwRegister(place, info);
        Va instance = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.PcwCreateInstance(instance, m.Read<Va>(place), m.Text("two"), 1, data));
        Assert.Single(m.Nt.Pcw.Collect("Set"));
        m.Nt.PcwCloseInstance(m.Read<Va>(instance));
        Assert.Empty(m.Nt.Pcw.Collect("Set"));
    }

    [Fact]
    public void WMI_knows_devices_that_are_registered_and_takes_their_events()
    {
        using var m = new TestMachine();
        DeviceObject device = m.Device(m.Driver(), @"\Device\Wmi");
        Assert.Equal(0u, m.Nt.IoWMIDeviceObjectToProviderId(device));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMIRegistrationControl(device, 1));
        Assert.Equal(STATUS_OBJECT_NAME_EXISTS, m.Nt.IoWMIRegistrationControl(device, 1));
        Assert.NotEqual(0u, m.Nt.IoWMIDeviceObjectToProviderId(device));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMIRegistrationControl(device, 2));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoWMIRegistrationControl(device, 2));
        Va node = m.Nt.Mm.Pool.Allocate(0x40, PoolKind.NonPaged, 0x74736554, new Va(1), zero: true);
        m.Nt.Memory.Write(node, 0x40u);
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoWMIWriteEvent(node));
        m.Nt.Memory.Write(node + 0x2C, 8u);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMIWriteEvent(node));
        Assert.False(m.Nt.Mm.Pool.TryFind(node, out _));
        Assert.Equal(16, m.Nt.Etw.Events.Single().Data.Length);
        Va guid = m.Bytes(s_provider.ToByteArray()), first = m.Block(8);
        m.Nt.IoWMIAllocateInstanceIds(guid, 3, first);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMIAllocateInstanceIds(guid, 1, first));
        Assert.Equal(3u, m.Read<uint>(first));
        Assert.Equal(STATUS_WMI_GUID_NOT_FOUND, m.Nt.IoWMIOpenBlock(guid, 1, first));
        Assert.Throws<BugCheck>(() => m.Nt.IoWMIQueryAllData(Va.Null, first, Va.Null));
    }
}
