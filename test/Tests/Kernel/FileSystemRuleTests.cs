using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;
using CachedFile = Ringdown.Tests.CcTests.CachedFile;

namespace Ringdown.Tests;

/// <summary>What file systems owe the cache and the library, and get from them.</summary>
public sealed class FileSystemRuleTests
{
    [Fact, Rule("3.7")]
    public void A_read_across_the_end_of_the_file_is_short_and_one_behind_it_says_so()
    {
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x2000);
        Va buffer = m.Block(0x40), iosb = m.Block(16);
        foreach ((long offset, NtStatus status, ulong bytes) in new[]
        {
            (0x1FF0L, STATUS_SUCCESS, 0x10UL), (0x1FC0L, STATUS_SUCCESS, 0x40UL),
            (0x2000L, STATUS_END_OF_FILE, 0UL), (0x9000L, STATUS_END_OF_FILE, 0UL),
        })
        {
            Assert.True(m.Nt.FsRtlCopyRead(
                file.File, m.Variable((ulong)offset), 0x40, true, 0, buffer, iosb, file.Device));
            Assert.Equal(new IoStatusBlock(status, bytes), m.Read<IoStatusBlock>(iosb));
        }
    }

    [Fact, Rule("16.3")]
    public void Each_file_object_is_uninitialized_whether_or_not_it_was_cached()
    {
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x2000);
        var never = FileObject.At(m.Nt.Memory, m.Block(FileObject.Size));
        never.SectionObjectPointer = SectionObjectPointers.At(m.Nt.Memory, m.Block(SectionObjectPointers.Size));
        var nothing = CacheUninitializeEvent.At(m.Nt.Memory, Va.Null);
        // Who reads what was not initialized follows a null pointer.
        Assert.Throws<PageFault>(() => m.Nt.CcCopyRead(never, m.Variable(0), 8, true, m.Block(8), m.Block(16)));
        Assert.True(m.Nt.CcUninitializeCacheMap(never, Va.Null, nothing));
        Assert.False(file.File.PrivateCacheMap.IsNull);
        Assert.True(m.Nt.CcUninitializeCacheMap(file.File, Va.Null, nothing));
        Assert.True(file.File.PrivateCacheMap.IsNull);
        Assert.True(file.File.SectionObjectPointer.SharedCacheMap.IsNull);
        Assert.True(m.Nt.CcUninitializeCacheMap(file.File, Va.Null, nothing));
    }

    [Fact, Rule("16.6")]
    public void Fast_IO_and_the_cache_are_the_top_level_of_what_they_send()
    {
        const ulong cache = 2, fastIo = 4;
        using var m = new TestMachine();
        var file = new CachedFile(m, 0x2000);
        Assert.True(m.Nt.FsRtlCopyRead(file.File, m.Variable(0), 8, true, 0, m.Block(8), m.Block(16), file.Device));
        Assert.Equal((fastIo, Va.Null), (file.TopLevel, m.Nt.IoGetTopLevelIrp()));
        // The lazy writer's is set by the file system, when it is asked for its locks.
        file.Acquiring = () => m.Nt.IoSetTopLevelIrp(new Va(cache));
        file.Write(0, [1]);
        m.RunOthers();
        Assert.Equal((cache, (byte)1), (file.TopLevel, file.Disk[0]));
        Assert.Equal(Va.Null, m.Nt.IoGetTopLevelIrp());
    }

    [Fact, Rule("16.7")]
    public void In_the_bracket_of_a_dispatch_routine_a_thread_is_not_interrupted_by_normal_APCs()
    {
        using var m = new TestMachine();
        int ran = 0, inside = -1;
        Va normal = m.Routine(_ => (ulong)++ran), kernel = m.Routine(_ => 0);
        m.Dispatching("Fsd", (_, irp) =>
        {
            bool isRead = irp.CurrentStackLocation.MajorFunction == IrpMajor.IRP_MJ_READ;
            // FsRtlEnterFileSystem and FsRtlExitFileSystem are these.
            m.Nt.KeEnterCriticalRegion();
            if (isRead)
            {
                KApc apc = KApc.At(m.Nt.Memory, m.Block(KApc.Size));
                m.Nt.KeInitializeApc(apc, m.Nt.KeGetCurrentThread(), 0, kernel, Va.Null, normal, 0, Va.Null);
                Assert.True(m.Nt.KeInsertQueueApc(apc, Va.Null, Va.Null, 0));
                inside = ran;
            }
            NtStatus status = m.Complete(irp, STATUS_SUCCESS);
            m.Nt.KeLeaveCriticalRegion();
            return status;
        });
        Assert.Equal(STATUS_SUCCESS, m.Open(@"\Device\Fsd").Read(0).Status);
        Assert.Equal((0, 1), (inside, ran));
    }
}
