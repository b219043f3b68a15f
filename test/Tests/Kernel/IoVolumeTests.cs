using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Disks, their volumes, the file systems that mount them, and partition tables.</summary>
public sealed class IoVolumeTests
{
    const uint Disk = 7, DiskFileSystem = 8;

    /// <summary>A file system that mounts what it is offered, and notes the names that are opened.</summary>
    static DeviceObject FileSystem(TestMachine m, List<string> opened, Func<NtStatus> recognizes)
    {
        DriverObject? driver = null;
        DeviceObject fs = m.Dispatching("Fs", (device, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction == IRP_MJ_FILE_SYSTEM_CONTROL && at.MinorFunction == 1)
            {
                NtStatus status = recognizes();
                if (!status.IsSuccess) return m.Complete(irp, status);
                Vpb vpb = Vpb.At(m.Nt.Memory, new Va(at.Parameter1));
                vpb.DeviceObject = m.Device(driver!.Value, "", DiskFileSystem);
            }
            if (at.MajorFunction == IRP_MJ_CREATE)
                opened.Add(at.FileObject.FileName.Buffer.IsNull ? "" : at.FileObject.FileName.Text);
            return m.Complete(irp, STATUS_SUCCESS);
        }, DiskFileSystem);
        driver = fs.DriverObject;
        return fs;
    }

    [Fact]
    public void The_first_open_of_a_disk_offers_its_volume_to_the_file_systems()
    {
        using var m = new TestMachine();
        List<string> opened = [];
        var told = new List<(Va, ulong)>();
        int asked = 0;
        DeviceObject disk = m.Dispatching("Disk", (_, irp) => m.Complete(irp, STATUS_SUCCESS), Disk);
        DeviceObject fs = FileSystem(m, opened, () =>
        {
            asked++;
            return STATUS_SUCCESS;
        });
        DriverObject listener = m.Driver("Listener");
        m.Nt.IoRegisterFileSystem(fs);
        Va routine = m.Routine(call =>
        {
            told.Add((new Va(call.Argument(0)), call.Argument(1)));
            return 0;
        });
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoRegisterFsRegistrationChange(listener, routine));
        Assert.Equal(STATUS_DEVICE_ALREADY_ATTACHED, m.Nt.IoRegisterFsRegistrationChange(listener, routine));
        Assert.Equal(STATUS_DEVICE_ALREADY_ATTACHED,
            m.Nt.IoRegisterFsRegistrationChangeMountAware(listener, routine, false));
        Handle file = m.OpenFile(@"\Device\Disk\x");
        m.OpenFile(@"\Device\Disk\y");
        Assert.Equal(1, asked);
        Assert.Equal([@"\x", @"\y"], opened);
        DeviceObject volume = disk.Vpb.DeviceObject;
        Assert.Equal(volume, m.Nt.IoGetRelatedDeviceObject(m.FileOf(file)));
        Va found = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoGetDiskDeviceObject(volume, found));
        Assert.Equal(disk.Address, m.Read<Va>(found));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoGetDiskDeviceObject(disk, found));
        Va list = m.Block(64);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoEnumerateRegisteredFiltersList(list, 64, found));
        Assert.Equal((1U, listener.Address), (m.U32(found), m.Read<Va>(list)));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL,
            m.Nt.IoEnumerateDeviceObjectList(fs.DriverObject, list, 8, found));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoEnumerateDeviceObjectList(fs.DriverObject, list, 16, found));
        Assert.Equal(2U, m.U32(found));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoVerifyVolume(disk, false));
        m.Nt.IoUnregisterFileSystem(fs);
        Assert.Equal([(fs.Address, 1UL), (fs.Address, 0UL)], told);
        m.Nt.IoUnregisterFsRegistrationChange(listener, routine);
    }

    [Fact]
    public void A_volume_that_nobody_recognizes_is_raw_and_has_no_files()
    {
        using var m = new TestMachine();
        DeviceObject disk = m.Dispatching("Disk", (_, irp) => m.Complete(irp, STATUS_SUCCESS), Disk);
        m.Nt.IoRegisterFileSystem(FileSystem(m, [], () => STATUS_UNRECOGNIZED_VOLUME));
        Assert.Equal(STATUS_UNRECOGNIZED_VOLUME,
            m.Nt.ZwOpenFile(m.Block(8), 1, m.Named(@"\Device\Disk\x"), m.Block(16), 7, 0));
        m.OpenFile(@"\Device\Disk");
        Assert.True(disk.Vpb.Has(Vpb.RawMount));
        Va old = m.Block(8);
        m.Nt.IoAcquireVpbSpinLock(old);
        Assert.Equal(Irql.DISPATCH_LEVEL, m.Nt.CurrentIrql);
        m.Nt.IoReleaseVpbSpinLock(m.Read<Irql>(old));
    }

    [Fact]
    public void Hard_errors_name_the_device_and_give_the_IRP_back()
    {
        using var m = new TestMachine();
        DeviceObject device = m.Dispatching("Hard", (_, irp) => m.Complete(irp, STATUS_SUCCESS));
        KThread thread = m.Nt.Ke.CurrentThread;
        Irp irp = m.Nt.IoAllocateIrp(1, false);
        irp.Thread = thread;
        m.Nt.IoSetHardErrorOrVerifyDevice(irp, device);
        Assert.Equal(device, m.Nt.IoGetDeviceToVerify(thread));
        m.Nt.IoSetDeviceToVerify(thread, m.NoDevice());
        Assert.True(m.Nt.IoGetDeviceToVerify(thread).IsNull);
        irp.IoStatus = new(STATUS_NO_MEDIA_IN_DEVICE, 5);
        m.Nt.IoRaiseHardError(irp, Vpb.At(m.Nt.Memory, Va.Null), device);
        Assert.Empty(m.Nt.Io.LiveIrps);
        Assert.True(m.Nt.IoSetThreadHardErrorMode(false));
        Assert.False(m.Nt.IoRaiseInformationalHardError(STATUS_DEVICE_BUSY, m.Text("x"), thread));
        Assert.False(m.Nt.IoSetThreadHardErrorMode(true));
        Assert.True(m.Nt.IoRaiseInformationalHardError(STATUS_DEVICE_BUSY, m.Text("x"), thread));
        Assert.Equal(2, m.Nt.DebugPrint.Count);
    }

    /// <summary>A disk of some sectors.</summary>
    static DeviceObject MemoryDisk(TestMachine m, byte[] content) => m.Dispatching("Disk", (_, irp) =>
    {
        IoStackLocation at = irp.CurrentStackLocation;
        if (at.MajorFunction is not (IRP_MJ_READ or IRP_MJ_WRITE)) return m.Complete(irp, STATUS_SUCCESS);
        if (at.Parameter3 + at.Parameter1 > (ulong)content.Length)
            return m.Complete(irp, STATUS_INVALID_PARAMETER);
        Span<byte> part = content.AsSpan((int)at.Parameter3, (int)at.Parameter1);
        if (at.MajorFunction == IRP_MJ_READ) m.Nt.Memory.Write(irp.SystemBuffer, part);
        else m.Nt.Memory.Read(irp.SystemBuffer, part);
        return m.Complete(irp, STATUS_SUCCESS, at.Parameter1);
    }, Disk, Io.DO_BUFFERED_IO);

    static void Entry(byte[] disk, int sector, int slot, byte type, uint start, uint length)
    {
        int at = sector * 512 + 0x1BE + slot * 16;
        disk[at + 4] = type;
        BitConverter.TryWriteBytes(disk.AsSpan(at + 8), start);
        BitConverter.TryWriteBytes(disk.AsSpan(at + 12), length);
        (disk[sector * 512 + 0x1FE], disk[sector * 512 + 0x1FF]) = (0x55, 0xAA);
    }

    [Fact]
    public void Partition_tables_are_read_through_extended_ones_and_written()
    {
        using var m = new TestMachine();
        byte[] content = new byte[64 * 512];
        Entry(content, 0, 0, 0x07, 1, 8);
        Entry(content, 0, 1, 0x05, 16, 40);
        Entry(content, 16, 0, 0x83, 1, 4);
        BitConverter.TryWriteBytes(content.AsSpan(0x1B8), 0xCAFE_BABE);
        DeviceObject disk = MemoryDisk(m, content);
        Va place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoReadPartitionTable(disk, 512, false, place));
        Va layout = m.Read<Va>(place);
        Assert.Equal((8U, 0xCAFE_BABEU), (m.U32(layout), m.U32(layout + 4)));
        Assert.Equal((512UL, 8 * 512UL, 1U), (m.U64(layout + 8), m.U64(layout + 16), m.U32(layout + 0x1C)));
        Assert.Equal((17 * 512UL, 2U), (m.U64(layout + 8 + 4 * 0x20), m.U32(layout + 8 + 4 * 0x20 + 0x14)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoReadPartitionTable(disk, 512, true, place));
        Assert.Equal(1U, m.U32(m.Read<Va>(place)));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoReadPartitionTableEx(disk, place));
        Assert.Equal(8U, m.U32(m.Read<Va>(place) + 4));
        Va signature = m.Block(0x14);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoReadDiskSignature(disk, 512, signature));
        Assert.Equal(0xCAFE_BABEU, m.U32(signature + 4));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoSetPartitionInformation(disk, 512, 2, 0x0B));
        Assert.Equal(0x0B, content[16 * 512 + 0x1BE + 4]);
        Va ex = m.Block(16);
        m.Nt.Memory.Write(ex + 8, (byte)0x0C);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoSetPartitionInformationEx(disk, 1, ex));
        Assert.Equal(0x0C, content[0x1BE + 4]);
        m.Nt.Memory.Write(layout + 8 + 0x18, (byte)0x06);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWritePartitionTable(disk, 512, 63, 255, layout));
        Assert.Equal(0x06, content[0x1BE + 4]);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoWritePartitionTableEx(disk, m.Read<Va>(place)));
        Assert.Equal(0x07, content[0x1BE + 4]);
        m.Nt.HalExamineMBR(disk, 512, 0x07, place);
        Assert.False(m.Read<Va>(place).IsNull);
        m.Nt.HalExamineMBR(disk, 512, 0x55, place);
        Assert.True(m.Read<Va>(place).IsNull);
        Assert.Equal(STATUS_TOO_LATE, m.Nt.IoGetBootDiskInformation(place, 0x28));
    }

    [Fact]
    public void A_partition_chain_that_leads_back_ends()
    {
        using var m = new TestMachine();
        byte[] content = new byte[64 * 512];
        Entry(content, 0, 0, 0x05, 4, 10);
        Entry(content, 4, 0, 0x05, 0, 10);
        Va place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoReadPartitionTable(MemoryDisk(m, content), 512, false, place));
        Assert.Equal(8U, m.U32(m.Read<Va>(place)));
    }
}
