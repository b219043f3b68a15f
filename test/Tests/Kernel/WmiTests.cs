using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>WMI from a program, or a driver, to a driver of wmilib.sys and back.</summary>
public sealed class WmiTests
{
    static readonly Guid s_block = WmiDriver.Block;

    [Fact]
    public void A_registered_device_tells_its_blocks_to_a_worker()
    {
        using var m = new TestMachine();
        var driver = new WmiDriver();
        Driver loaded = m.Load(driver);
        WmiGuid known = Assert.Single(m.Nt.User.Wmi.Guids);
        Assert.Equal((s_block, @"\Device\WmiTest"), (known.Guid, known.Device));
        Assert.Equal(["Thing0", "Thing1"], known.Instances);
        Assert.Equal(IrpNotCompleted, driver.LastDisposition);
        Assert.True(m.Unload(loaded));
        Assert.Empty(m.Nt.User.Wmi.Guids);
        Assert.Equal(STATUS_WMI_GUID_NOT_FOUND, m.Nt.User.Wmi.QueryAllData(s_block, out _));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_device_without_names_has_no_blocks()
    {
        using var m = new TestMachine();
        var driver = new WmiDriver { HasName = false };
        m.Load(driver);
        Assert.Empty(m.Nt.User.Wmi.Guids);
        driver.HasName = true;
        m.Nt.IoWMIRegistrationControl(driver.Device, WMIREG_ACTION_REREGISTER);
        Assert.Single(m.Nt.User.Wmi.Guids);
        m.Nt.IoWMIRegistrationControl(driver.Device, WMIREG_ACTION_BLOCK_IRPS);
        Assert.Equal(STATUS_WMI_GUID_DISCONNECTED, m.Nt.User.Wmi.QueryAllData(s_block, out _));
    }

    [Fact]
    public void A_program_queries_sets_and_executes()
    {
        using var m = new TestMachine();
        var driver = new WmiDriver();
        m.Load(driver);
        WmiClient wmi = m.Nt.User.Wmi;
        Assert.Equal(STATUS_SUCCESS, wmi.QueryAllData(s_block, out IReadOnlyList<WmiInstance> all));
        Assert.Equal(["Thing0 0102030405", "Thing1 060708090A"],
            all.Select(i => $"{i.Name} {Convert.ToHexString(i.Data)}"));
        Assert.Equal(["collection on", "collection off"], driver.Seen);
        Assert.Equal(STATUS_SUCCESS, wmi.SetSingleInstance(s_block, "thing1", [11, 12]));
        Assert.Equal(STATUS_SUCCESS, wmi.SetSingleItem(s_block, "Thing1", 2, [13]));
        Assert.Equal(STATUS_SUCCESS, wmi.QuerySingleInstance(s_block, "Thing1", out byte[] data));
        Assert.Equal([11, 13], data);
        Assert.Equal(STATUS_SUCCESS, wmi.ExecuteMethod(s_block, "Thing0", 7, [1, 2, 3], out byte[] output));
        Assert.Equal([7, 3, 2, 1], output);
        Assert.Equal(STATUS_WMI_INSTANCE_NOT_FOUND, wmi.QuerySingleInstance(s_block, "Thing2", out _));
        WmiLibContext context = driver.Context;
        context.SetWmiDataBlock = Va.Null;
        Assert.Equal(STATUS_WMI_READ_ONLY, wmi.SetSingleInstance(s_block, "Thing1", [0]));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_buffer_that_is_too_small_is_told_with_success_and_asked_for_again()
    {
        using var m = new TestMachine();
        var driver = new WmiDriver();
        driver.Values[1] = new byte[0x3000];
        m.Load(driver);
        Assert.Equal(STATUS_SUCCESS, m.Nt.User.Wmi.QueryAllData(s_block, out IReadOnlyList<WmiInstance> all));
        Assert.Equal([5, 0x3000], all.Select(i => i.Data.Length));

        Va node = m.Block(0x48);
        Irp irp = m.Nt.IoAllocateIrp(2, false);
        irp.IoStatus = new IoStatusBlock(STATUS_NOT_SUPPORTED, 0);
        IoStackLocation next = irp.Next(IrpMajor.IRP_MJ_SYSTEM_CONTROL);
        next.MinorFunction = IRP_MN_QUERY_ALL_DATA;
        (next.ProviderId, next.DataPath) = (driver.Device.Address, driver.GuidAddress);
        (next.WmiBufferSize, next.WmiBuffer) = (0x48, node);
        irp.OnCompletion(m.Keeping());
        Assert.Equal(STATUS_SUCCESS, m.Nt.IofCallDriver(driver.Device, irp));
        Assert.Equal(new IoStatusBlock(STATUS_SUCCESS, 0x38), irp.IoStatus);
        Assert.NotEqual(WnodeFlags.None, m.Read<WnodeFlags>(node + 0x2C) & WnodeFlags.TooSmall);
        Assert.True(m.U32(node + 0x30) > 0x3000);
    }

    [Fact]
    public void What_is_for_another_provider_is_to_be_passed_down()
    {
        using var m = new TestMachine();
        var driver = new WmiDriver();
        m.Load(driver);
        Irp irp = m.Nt.IoAllocateIrp(2, false);
        irp.IoStatus = new IoStatusBlock(STATUS_NOT_SUPPORTED, 0);
        IoStackLocation next = irp.Next(IrpMajor.IRP_MJ_SYSTEM_CONTROL);
        next.ProviderId = new Va(0x1234);
        irp.OnCompletion(m.Keeping());
        m.Nt.IofCallDriver(driver.Device, irp);
        Assert.Equal((IrpForward, STATUS_NOT_SUPPORTED), (driver.LastDisposition, irp.IoStatus.Status));
    }

    [Fact]
    public void Events_come_to_who_has_enabled_them()
    {
        using var m = new TestMachine();
        var driver = new WmiDriver();
        m.Load(driver);
        WmiClient wmi = m.Nt.User.Wmi;
        Assert.Equal(STATUS_SUCCESS, driver.Fire(0, [1]));
        Assert.Empty(wmi.Events);
        Assert.Equal(STATUS_SUCCESS, wmi.EnableEvents(s_block));
        Assert.Equal(STATUS_WMI_ALREADY_ENABLED, wmi.EnableEvents(s_block));
        Assert.Equal(STATUS_SUCCESS, driver.Fire(1, [2, 3]));
        WmiEvent seen = Assert.Single(wmi.Events);
        Assert.Equal((s_block, "Thing1", "0203"), (seen.Guid, seen.Instance, Convert.ToHexString(seen.Data)));
        Assert.Equal(STATUS_SUCCESS, wmi.DisableEvents(s_block));
        Assert.Equal(["events on", "events off"], driver.Seen);
        Assert.Equal(STATUS_UNSUCCESSFUL, driver.Fire(1, new byte[0x1_0000]));
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void A_driver_opens_a_block_and_uses_it()
    {
        using var m = new TestMachine();
        var driver = new WmiDriver();
        m.Load(driver);
        m.Nt.User.RunUntilIdle();
        Va opened = m.Block(8), size = m.Block(8), buffer = m.Block(0x200);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMIOpenBlock(driver.GuidAddress, 1, opened));
        Va block = m.Read<Va>(opened);
        UnicodeString name = m.Text("Thing1");
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, m.Nt.IoWMIQueryAllData(block, size, buffer));
        Assert.InRange(m.U32(size), 0x48u, 0x200u);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMIQueryAllData(block, size, buffer));
        Assert.Equal(2u, m.U32(buffer + 0x34));
        m.Nt.Memory.Write(buffer, (ushort)0x0201);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMISetSingleInstance(block, name, 1, 2, buffer));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMISetSingleItem(block, name, 2, 1, 1, buffer));
        Assert.Equal([1, 1], driver.Values[1]);
        m.Nt.Memory.Write(size, 0x200u);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMIQuerySingleInstance(block, name, size, buffer));
        Assert.Equal(2u, m.U32(buffer + 0x3C));
        m.Nt.Memory.Write(buffer, (ushort)0x0201);
        m.Nt.Memory.Write(size, 0x200u);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMIExecuteMethod(block, name, 9, 2, size, buffer));
        Assert.Equal([9, 2, 1], m.Nt.Memory.ReadBytes(buffer, (int)m.U32(size)));
        var events = new List<uint>();
        Va callback = m.Routine(call =>
        {
            events.Add(m.U32(new Va(call.Argument(0)) + 0x34) + (uint)call.Argument(1));
            return 0;
        });
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWMISetNotificationCallback(block, callback, new Va(0x100)));
        driver.Fire(1, [5]);
        m.Nt.User.RunUntilIdle();
        Assert.Equal([0x101u], events);
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH, m.Nt.IoWMIQueryAllData(driver.Device.Address, size, buffer));
        m.Nt.ObfDereferenceObject(block);
        m.Nt.User.RunUntilIdle();
        Assert.Equal(["collection on", "events on", "collection off", "events off"], driver.Seen);
    }
}
