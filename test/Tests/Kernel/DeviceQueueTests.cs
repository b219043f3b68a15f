using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Device queues, and what of a request reaches a driver at all.</summary>
public sealed class DeviceQueueTests
{
    static Va Block(NtKernel nt, int bytes) => nt.Mm.Pool.Allocate(bytes, 0);

    [Fact]
    public void Entries_with_keys_come_out_in_the_order_of_their_keys()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va queue = Block(nt, 0x28), idle = Block(nt, 0x18), five = Block(nt, 0x18), three = Block(nt, 0x18),
            four = Block(nt, 0x18);
        nt.KeInitializeDeviceQueue(queue);
        Irql old = nt.KeRaiseIrqlToDpcLevel();
        Assert.False(nt.KeInsertByKeyDeviceQueue(queue, idle, 9));
        Assert.True(nt.KeInsertByKeyDeviceQueue(queue, five, 5));
        Assert.True(nt.KeInsertByKeyDeviceQueue(queue, three, 3));
        Assert.True(nt.KeInsertByKeyDeviceQueue(queue, four, 4));
        Assert.True(nt.KeRemoveEntryDeviceQueue(queue, four));
        Assert.False(nt.KeRemoveEntryDeviceQueue(queue, four));
        Assert.Equal(five, nt.KeRemoveByKeyDeviceQueue(queue, 4));
        Assert.Equal(three, nt.KeRemoveDeviceQueue(queue));
        Assert.Equal(Va.Null, nt.KeRemoveDeviceQueue(queue));
        Assert.False(nt.KeInsertDeviceQueue(queue, idle));
        nt.KeLowerIrql(old);
    }

    [Fact]
    public void A_packet_with_a_key_keeps_its_stack_location()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        var started = new List<Va>();
        DriverObject driver = nt.Io.CreateDriver("Packets", Va.Null, 0, Va.Null, Va.Null);
        driver.DriverStartIo = nt.Routines.Add("StartIo", (_, call) => started.Add(new Va(call.Argument(1))));
        Va made = Block(nt, 8), key = Block(nt, 4);
        Assert.Equal(STATUS_SUCCESS,
            nt.IoCreateDevice(driver, 0, UnicodeString.At(nt.Memory, Va.Null), 0x22, 0, false, made));
        DeviceObject device = DeviceObject.At(nt.Memory, nt.Memory.Read<Va>(made));
        nt.Memory.Write(key, 0x7777u);
        Irp first = nt.IoAllocateIrp(1, false), second = nt.IoAllocateIrp(1, false);
        Va location = second.CurrentStackLocation.Address;
        nt.IoStartPacket(device, first, Va.Null, Va.Null);
        nt.IoStartPacket(device, second, key, Va.Null);
        Assert.Equal(location, second.CurrentStackLocation.Address);
        Irql old = nt.KeRaiseIrqlToDpcLevel();
        nt.IoStartNextPacket(device, false);
        nt.KeLowerIrql(old);
        Assert.Equal([first.Address, second.Address], started);
    }

    [Fact]
    [Rule("10.2")]
    public void A_queued_spin_lock_is_held_until_its_handle_is_released()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va spinLock = Block(nt, 8), handle = Block(nt, 0x18);
        nt.KeAcquireInStackQueuedSpinLock(spinLock, handle);
        Assert.Equal((Irql.DISPATCH_LEVEL, false), (nt.KeGetCurrentIrql(), nt.KeTestSpinLock(spinLock)));
        nt.KeReleaseInStackQueuedSpinLock(handle);
        Assert.Equal((Irql.PASSIVE_LEVEL, true), (nt.KeGetCurrentIrql(), nt.KeTestSpinLock(spinLock)));
    }

    [Fact]
    public void A_read_at_a_negative_offset_does_not_reach_the_driver()
    {
        using var m = new TestMachine();
        m.Load(Path.Combine(Drivers.Folder, "bin", "echo.sys"));
        UserFile file = m.Open(@"\\.\Echo");
        int sent = m.Trace.Lines.Count;
        Assert.Equal(STATUS_INVALID_PARAMETER, file.Read(16, -1).Status);
        Assert.Equal(sent, m.Trace.Lines.Count);
    }
}
