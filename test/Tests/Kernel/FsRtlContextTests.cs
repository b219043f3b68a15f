using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>What hangs on streams and creates, and services about pool, stacks and devices.</summary>
public sealed class FsRtlContextTests
{
    [Fact]
    public void Contexts_of_a_stream_are_found_removed_and_torn_down()
    {
        using var m = new TestMachine();
        AdvancedFcbHeader header = AdvancedFcbHeader.At(m.Nt.Memory, m.Block(AdvancedFcbHeader.Size));
        header.FilterContexts.Initialize();
        int freed = 0;
        PerStreamContext New(ulong instance)
        {
            PerStreamContext made = PerStreamContext.At(m.Nt.Memory, m.Block(PerStreamContext.Size));
            (made.OwnerId, made.InstanceId) = (new Va(1), new Va(instance));
            made.FreeCallback = m.Routine(_ => (ulong)++freed);
            return made;
        }
        (PerStreamContext a, PerStreamContext b) = (New(10), New(11));
        Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, m.Nt.FsRtlInsertPerStreamContext(header, a));
        header.Flags2 = 2;
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlInsertPerStreamContext(header, a));
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlInsertPerStreamContext(header, b));
        Assert.Equal(a, m.Nt.FsRtlLookupPerStreamContextInternal(header, new Va(1), new Va(10)));
        Assert.Equal(b, m.Nt.FsRtlLookupPerStreamContextInternal(header, new Va(1), default));
        Assert.True(m.Nt.FsRtlLookupPerStreamContextInternal(header, new Va(2), default).IsNull);
        Assert.Equal(b, m.Nt.FsRtlRemovePerStreamContext(header, new Va(1), new Va(11)));
        m.Nt.FsRtlTeardownPerStreamContexts(header);
        Assert.Equal(1, freed);
        Assert.True(header.FilterContexts.IsEmpty);
    }

    [Fact]
    public void Extra_create_parameters_are_found_by_their_GUID()
    {
        using var m = new TestMachine();
        Va place = m.Block(8), size = m.Block(4), type = m.Bytes(Guid.Parse("48850596-3050-4be7-9863-fec350ce8d7f")
            .ToByteArray());
        int cleaned = 0;
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlAllocateExtraCreateParameterList(0, place));
        EcpList list = EcpList.At(m.Nt.Memory, m.Read<Va>(place));
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlAllocateExtraCreateParameter(
            type, 0x18, 0, m.Routine(_ => (ulong)++cleaned), GuestBlocks.Tag, place));
        Va context = m.Read<Va>(place);
        Assert.Equal(STATUS_NOT_FOUND, m.Nt.FsRtlFindExtraCreateParameter(list, type, place, size));
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlInsertExtraCreateParameter(list, context));
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlFindExtraCreateParameter(list, type, place, size));
        Assert.Equal((context, 0x18u), (m.Read<Va>(place), m.Read<uint>(size)));
        Assert.False(m.Nt.FsRtlIsEcpFromUserMode(context));
        Irp irp = m.Nt.IoAllocateIrp(1, false);
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlSetEcpListIntoIrp(irp, list));
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlGetEcpListFromIrp(irp, place));
        Assert.Equal(list.Address, m.Read<Va>(place));
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlRemoveExtraCreateParameter(list, type, place, size));
        m.Nt.FsRtlFreeExtraCreateParameter(context);
        m.Nt.FsRtlFreeExtraCreateParameterList(list);
        Assert.Equal(1, cleaned);
    }

    [Fact]
    [Rule("16.10")]
    public void A_posted_routine_runs_on_another_thread()
    {
        using var m = new TestMachine();
        KEvent done = KEvent.At(m.Nt.Memory, m.Block(KEvent.Size));
        done.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        KThread own = m.Nt.Ke.CurrentThread;
        KThread? other = null;
        Va routine = m.Routine(call =>
        {
            other = m.Nt.Ke.CurrentThread;
            return (ulong)m.Nt.KeSetEvent(KEvent.At(m.Nt.Memory, new Va(call.Argument(1))), 0, false);
        });
        m.Nt.FsRtlPostStackOverflow(new Va(7), done, routine);
        Irp none = Irp.At(m.Nt.Memory, Va.Null);
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlCancellableWaitForSingleObject(done.Header, default, none));
        Assert.NotEqual(own, other);
        m.Nt.FsRtlPostPagingFileStackOverflow(new Va(7), done, routine);
        Va objects = m.Variable(done.Address.Value);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.FsRtlCancellableWaitForMultipleObjects(1, objects, 1, default, default, none));
        m.RunOthers();
    }

    [Fact]
    public void Pool_is_there_or_raises()
    {
        using var m = new TestMachine();
        m.Nt.ExFreePool(m.Nt.FsRtlAllocatePool(1, 8));
        m.Nt.ExFreePool(m.Nt.FsRtlAllocatePoolWithTag(1, 8, GuestBlocks.Tag));
        m.Nt.ExFreePool(m.Nt.FsRtlAllocatePoolWithQuota(1, 8));
        m.Nt.ExFreePool(m.Nt.FsRtlAllocatePoolWithQuotaTag(1, 8, GuestBlocks.Tag));
        Assert.Throws<GuestException>(() => m.Nt.FsRtlAllocatePoolWithTag(1, 1UL << 40, GuestBlocks.Tag));
    }

    [Fact]
    public void What_is_not_there_is_refused()
    {
        using var m = new TestMachine();
        Va handle = m.Block(8);
        Assert.False(m.Nt.FsRtlRegisterUncProvider(handle, m.Text(@"\Device\Redirector"), false).IsSuccess);
        m.Nt.FsRtlDeregisterUncProvider(default);
        DriverObject driver = m.Driver();
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.FsRtlRegisterFileSystemFilterCallbacks(driver, default));
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlRegisterFileSystemFilterCallbacks(driver, m.Variable(8)));
        DeviceObject device = m.Device(driver, @"\Device\Sectors");
        driver.SetMajorFunction(IrpMajor.IRP_MJ_DEVICE_CONTROL, m.Routine(call =>
        {
            Irp irp = Irp.At(m.Nt.Memory, new Va(call.Argument(1)));
            irp.IoStatus = new IoStatusBlock(STATUS_INVALID_DEVICE_REQUEST, 0);
            m.Nt.IofCompleteRequest(irp, 0);
            return STATUS_INVALID_DEVICE_REQUEST.Value;
        }));
        Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, m.Nt.FsRtlBalanceReads(device));
        Va sizes = m.Block(28);
        device.SectorSize = 0;
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.FsRtlGetSectorSizeInformation(device, sizes));
        device.SectorSize = 512;
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlGetSectorSizeInformation(device, sizes));
        Assert.Equal(512u, m.Read<uint>(sizes));
        Assert.Equal(STATUS_INVALID_PARAMETER,
            m.Nt.FsRtlDismountComplete(DeviceObject.At(m.Nt.Memory, Va.Null), STATUS_SUCCESS));
    }
}
