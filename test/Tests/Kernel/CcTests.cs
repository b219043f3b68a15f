using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The cache over a file system, written in C#, that keeps a file in memory.</summary>
public sealed class CcTests
{
    internal sealed class CachedFile
    {
        public readonly byte[] Disk = new byte[0x6_0000];
        public readonly List<(IrpMajor Major, long Offset, int Length)> Transfers = [];
        public readonly FileObject File;
        public readonly AdvancedFcbHeader Header;
        public readonly DeviceObject Device;
        public NtStatus Fails = STATUS_SUCCESS;
        public int Acquired, Released;

        /// <summary>IoGetTopLevelIrp at the last transfer.</summary>
        public ulong TopLevel;
        public Action? Acquiring;
        readonly TestMachine _m;

        public CachedFile(TestMachine m, long size)
        {
            _m = m;
            for (int i = 0; i < size; i++) Disk[i] = (byte)(i * 7 + i / 256);
            DriverObject driver = m.Driver("cached");
            Va routine = m.Routine(call => Dispatch(Irp.At(m.Nt.Memory, new Va(call.Argument(1)))).Value);
            for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++) driver.SetMajorFunction(major, routine);
            Device = m.Device(driver, @"\Device\Cached");
            UserFile opened = m.Open(@"\Device\Cached");
            File = FileObject.At(m.Nt.Memory, opened.Object.Address);
            File.SectionObjectPointer = SectionObjectPointers.At(m.Nt.Memory, m.Block(SectionObjectPointers.Size));
            Header = AdvancedFcbHeader.At(m.Nt.Memory, m.Block(AdvancedFcbHeader.Size));
            File.FsContext = Header.Address;
            Header.Resource = EResource.At(m.Nt.Memory, m.Block(EResource.Size));
            m.Nt.ExInitializeResourceLite(Header.Resource);
            Header.IsFastIoPossible = 1;
            (Header.AllocationSize, Header.FileSize, Header.ValidDataLength) = (Disk.Length, size, size);
            var callbacks = CacheManagerCallbacks.At(m.Nt.Memory, m.Block(CacheManagerCallbacks.Size));
            callbacks.AcquireForLazyWrite = m.Routine(_ =>
            {
                Acquiring?.Invoke();
                return (ulong)(++Acquired > 0 ? 1 : 0);
            });
            callbacks.ReleaseFromLazyWrite = m.Routine(_ => (ulong)++Released);
            m.Nt.CcInitializeCacheMap(File, Sizes(size), true, callbacks, default);
        }

        public CcFileSizes Sizes(long size)
        {
            var sizes = CcFileSizes.At(_m.Nt.Memory, _m.Block(CcFileSizes.Size));
            (sizes.AllocationSize, sizes.FileSize, sizes.ValidDataLength) = (Disk.Length, size, size);
            return sizes;
        }

        NtStatus Dispatch(Irp irp)
        {
            IoStackLocation at = irp.CurrentStackLocation;
            NtStatus status = STATUS_SUCCESS;
            ulong information = 0;
            if (at.MajorFunction is IRP_MJ_READ or IRP_MJ_WRITE)
            {
                TopLevel = _m.Nt.IoGetTopLevelIrp().Value;
                (long offset, int length) = ((long)at.Parameter3, (int)at.Parameter1);
                Transfers.Add((at.MajorFunction, offset, length));
                Assert.Equal(3u, irp.Flags & 3);
                length = Math.Min(length, Disk.Length - (int)offset);
                Va data = irp.MdlAddress.MappedSystemVa;
                if (at.MajorFunction == IRP_MJ_READ)
                    _m.Nt.Memory.Write(data, Disk.AsSpan((int)offset, length));
                else _m.Nt.Memory.ReadBytes(data, length).CopyTo(Disk, offset);
                (status, information) = (Fails, (ulong)length);
            }
            else if (at.MajorFunction == IRP_MJ_QUERY_INFORMATION)
                _m.Nt.Memory.Write(irp.SystemBuffer + 8, Header.FileSize);
            irp.IoStatus = new IoStatusBlock(status, information);
            _m.Nt.IofCompleteRequest(irp, 0);
            return status;
        }

        public byte[] Read(long offset, int length)
        {
            Va buffer = _m.Block(Math.Max(1, length)), iosb = _m.Block(16);
            Assert.True(_m.Nt.CcCopyRead(File, _m.Variable((ulong)offset), (uint)length, true, buffer, iosb));
            return _m.Nt.Memory.ReadBytes(buffer, (int)_m.Read<IoStatusBlock>(iosb).Information);
        }

        public void Write(long offset, byte[] bytes) =>
            Assert.True(_m.Nt.CcCopyWrite(File, _m.Variable((ulong)offset), (uint)bytes.Length, true, _m.Bytes(bytes)));

        public NtStatus Flush()
        {
            Va iosb = _m.Block(16);
            _m.Nt.CcFlushCache(File.SectionObjectPointer, default, 0, iosb);
            return _m.Read<IoStatusBlock>(iosb).Status;
        }
    }

    [Fact]
    public void What_is_read_and_written_is_as_in_an_array_of_bytes()
    {
        var one = from what in Gen.Choose(0, 9)
                  from offset in Gen.Choose(0, 0x5_7000)
                  from length in Gen.Elements(1, 100, 0x1000, 0x3001, 0x8000)
                  select (what, offset, length);
        Prop.ForAll(Gen.ArrayOf(one, 12).ToArbitrary(), steps =>
        {
            using var m = new TestMachine();
            var file = new CachedFile(m, 0x6_0000);
            byte[] model = [.. file.Disk];
            foreach ((int what, int offset, int length) in steps)
            {
                if (what < 5)
                {
                    if (!file.Read(offset, length).SequenceEqual(model.AsSpan(offset, length))) return false;
                }
                else if (what < 8)
                {
                    byte[] bytes = [.. Enumerable.Range(0, length).Select(i => (byte)(i * 3 + offset + what))];
                    file.Write(offset, bytes);
                    bytes.CopyTo(model, offset);
                }
                else if (what == 8)
                {
                    m.Nt.CcZeroData(file.File, m.Variable((ulong)offset), m.Variable((ulong)(offset + length)), true);
                    Array.Clear(model, offset, length);
                }
                else
                {
                    file.Flush();
                    m.Nt.CcPurgeCacheSection(file.File.SectionObjectPointer, default, 0, 0);
                    if (!file.Disk.SequenceEqual(model)) return false;
                }
            }
            return file.Flush() == STATUS_SUCCESS && file.Disk.SequenceEqual(model);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(15).WithReplay(1, 3));
    }

    [Fact]
    [Rule("16.5", Hypothesis = true)]
    public void The_lazy_writer_writes_after_a_second_under_the_drivers_lock()
    {
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x2000);
        file.Write(0x10, [1, 2, 3]);
        Assert.True(m.Nt.CcIsThereDirtyData(default));
        Assert.DoesNotContain(file.Transfers, t => t.Major == IRP_MJ_WRITE);
        m.RunOthers();
        Assert.Equal([1, 2, 3], file.Disk[0x10..0x13]);
        Assert.Equal((1, 1), (file.Acquired, file.Released));
        Assert.False(m.Nt.CcIsThereDirtyData(default));
        file.Write(0x20, [9]);
        Assert.Equal(STATUS_SUCCESS, m.Nt.CcWaitForCurrentLazyWriterActivity());
        Assert.Equal(9, file.Disk[0x20]);
    }

    [Fact]
    [Rule("16.4", Hypothesis = true)]
    public void A_read_that_fails_raises_its_status()
    {
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x2000) { Fails = STATUS_DEVICE_DATA_ERROR };
        var raised = Assert.Throws<GuestException>(() => file.Read(0, 10));
        Assert.Equal(STATUS_DEVICE_DATA_ERROR.Value, raised.Record.Code);
        file.Fails = STATUS_SUCCESS;
        Assert.Equal(file.Disk[..10], file.Read(0, 10));
    }

    [Fact]
    public void Data_is_mapped_pinned_and_written_when_it_is_dirty()
    {
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x6_0000);
        Va bcb = m.Block(8), buffer = m.Block(8), iosb = m.Block(16);
        Va across = m.Variable(0x3_FFF0);
        Assert.False(m.Nt.CcMapData(file.File, across, 0x20, 0, bcb, buffer));
        Assert.True(m.Nt.CcMapData(file.File, across, 0x20, 1, bcb, buffer));
        Assert.Equal(file.Disk[0x3_FFF0..0x4_0010], m.Nt.Memory.ReadBytes(m.Read<Va>(buffer), 0x20));
        Assert.False(m.Nt.CcPurgeCacheSection(file.File.SectionObjectPointer, default, 0, 0));
        Assert.True(m.Nt.CcPinMappedData(file.File, across, 0x20, 1, bcb));
        PublicBcb mapped = PublicBcb.At(m.Nt.Memory, m.Read<Va>(bcb));
        Assert.Equal((0x3_F000L, 0x2000u), (mapped.MappedFileOffset, mapped.MappedLength));
        Assert.Equal(file.File, m.Nt.CcGetFileObjectFromBcb(mapped));
        m.Nt.CcUnpinData(mapped);
        Assert.True(m.Nt.CcPinRead(file.File, m.Variable(0x1000), 0x100, 1, bcb, buffer));
        PublicBcb pinned = PublicBcb.At(m.Nt.Memory, m.Read<Va>(bcb));
        m.Nt.CcSetBcbOwnerPointer(pinned, new Va(3));
        m.Nt.CcRepinBcb(pinned);
        m.Nt.Memory.Write(m.Read<Va>(buffer), 0x1122_3344u);
        m.Nt.CcSetDirtyPinnedData(pinned, default);
        m.Nt.CcUnpinDataForThread(pinned, default);
        m.Nt.CcUnpinRepinnedBcb(pinned, true, iosb);
        Assert.Equal(STATUS_SUCCESS, m.Read<IoStatusBlock>(iosb).Status);
        Assert.Equal(0x44, file.Disk[0x1000]);
        Assert.True(m.Nt.CcPreparePinWrite(file.File, m.Variable(0x3000), 0x1000, true, 1, bcb, buffer));
        m.Nt.CcUnpinData(PublicBcb.At(m.Nt.Memory, m.Read<Va>(bcb)));
        Assert.Equal(STATUS_SUCCESS, file.Flush());
        Assert.Equal(new byte[0x1000], file.Disk[0x3000..0x4000]);
        Assert.Equal(file.File, m.Nt.CcGetFileObjectFromSectionPtrs(file.File.SectionObjectPointer));
    }

    [Fact]
    public void MDLs_show_the_caches_own_pages()
    {
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x2000);
        Va chain = m.Block(8), iosb = m.Block(16);
        m.Nt.CcMdlRead(file.File, m.Variable(0x100), 0x10, chain, iosb);
        Mdl mdl = Mdl.At(m.Nt.Memory, m.Read<Va>(chain));
        Assert.Equal(file.Disk[0x100..0x110], m.Nt.Memory.ReadBytes(mdl.VirtualAddress, 0x10));
        m.Nt.CcMdlReadComplete(file.File, mdl);
        m.Nt.CcPrepareMdlWrite(file.File, m.Variable(0x200), 4, chain, iosb);
        mdl = Mdl.At(m.Nt.Memory, m.Read<Va>(chain));
        m.Nt.Memory.Write(mdl.VirtualAddress, 0xAABBCCDDu);
        m.Nt.CcMdlWriteComplete(file.File, m.Variable(0x200), mdl);
        file.Flush();
        Assert.Equal(0xDD, file.Disk[0x200]);
        m.Nt.CcPrepareMdlWrite(file.File, m.Variable(0x200), 4, chain, iosb);
        m.Nt.CcMdlWriteAbort(file.File, Mdl.At(m.Nt.Memory, m.Read<Va>(chain)));
        Assert.True(m.Nt.FsRtlMdlReadDev(file.File, m.Variable(0), 8, 0, chain, iosb, file.Device));
        Assert.True(m.Nt.FsRtlMdlReadCompleteDev(file.File, Mdl.At(m.Nt.Memory, m.Read<Va>(chain)), file.Device));
        Assert.True(m.Nt.FsRtlPrepareMdlWriteDev(file.File, m.Variable(0), 8, 0, chain, iosb, file.Device));
        Assert.True(m.Nt.FsRtlMdlWriteCompleteDev(
            file.File, m.Variable(0), Mdl.At(m.Nt.Memory, m.Read<Va>(chain)), file.Device));
    }

    [Fact]
    [Rule("16.2", Hypothesis = true)]
    public void Fast_IO_reads_and_extends_a_file()
    {
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x1000);
        Va buffer = m.Block(16), iosb = m.Block(16);
        Assert.True(m.Nt.FsRtlCopyRead(file.File, m.Variable(0xFF8), 16, true, 0, buffer, iosb, file.Device));
        Assert.Equal(8UL, m.Read<IoStatusBlock>(iosb).Information);
        Assert.True(m.Nt.FsRtlCopyWrite(file.File, m.Variable(0x2000), 16, true, 0, buffer, iosb, file.Device));
        Assert.Equal((0x2010L, 0x2010L), (file.Header.FileSize, file.Header.ValidDataLength));
        Assert.Equal(new byte[0x1000], file.Read(0x1000, 0x1000));
        Assert.False(m.Nt.FsRtlCopyWrite(file.File, m.Variable(0x6_0000), 16, true, 0, buffer, iosb, file.Device));
        Va size = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.FsRtlGetFileSize(file.File, size));
        Assert.Equal(0x2010L, m.Read<long>(size));
    }

    [Fact]
    public void Closing_a_cached_file_writes_it_and_lets_it_go()
    {
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x2000);
        file.Write(0, [5]);
        var closed = CacheUninitializeEvent.At(m.Nt.Memory, m.Block(CacheUninitializeEvent.Size));
        closed.Event.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
        Assert.False(m.Nt.CcUninitializeCacheMap(file.File, default, closed));
        m.RunOthers();
        Assert.Equal((5, 1), (file.Disk[0], closed.Event.SignalState));
        Assert.True(file.File.SectionObjectPointer.SharedCacheMap.IsNull);
    }

    [Fact]
    public void A_file_that_becomes_shorter_forgets_what_was_behind_its_end()
    {
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x2000);
        file.Write(0x800, [1, 2]);
        m.Nt.CcSetFileSizes(file.File, file.Sizes(0x801));
        m.Nt.CcSetFileSizes(file.File, file.Sizes(0x2000));
        Assert.Equal([1, 0, 0], file.Read(0x800, 3));
    }

    [Fact]
    public void Writers_are_held_back_while_too_much_is_dirty()
    {
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x4000);
        m.Nt.Cc.DirtyPageThreshold = 1;
        m.Nt.CcSetReadAheadGranularity(file.File, 0x1_0000);
        m.Nt.CcSetAdditionalCacheAttributes(file.File, true, false);
        file.Write(0, [1]);
        Assert.False(m.Nt.CcCanIWrite(file.File, 0x1000, false, false));
        int posted = 0;
        m.Nt.CcDeferWrite(file.File, m.Routine(_ => (ulong)++posted), default, default, 0x1000, false);
        Assert.Equal(0, posted);
        m.RunOthers();
        Assert.Equal(1, posted);
        Assert.True(m.Nt.CcCanIWrite(file.File, 0x1000, true, false));
    }
}
