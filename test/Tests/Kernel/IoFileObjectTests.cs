using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using UnicodeString = Ringdown.Kernel.UnicodeString;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Share access, streams, names and buffers of file systems.</summary>
public sealed class IoFileObjectTests
{
    static FileObject File(TestMachine m) => FileObject.At(m.Nt.Memory, m.Block(FileObject.Size));

    [Fact]
    [Rule("5.9")]
    public void Share_access_is_granted_as_a_list_of_opens_would_grant_it()
    {
        using var m = new TestMachine();
        uint[] accesses = [0, 1, 2, 3, 0x1_0000, 0x1_0001];
        Gen<(int Access, int Share, bool Closes)> step = Gen.Choose(0, 5).SelectMany(a => Gen.Choose(0, 7)
            .SelectMany(s => Gen.Choose(0, 3).Select(c => (a, s, c == 0))));
        Prop.ForAll(step.ListOf().ToArbitrary(), steps =>
        {
            ShareAccess shares = ShareAccess.At(m.Nt.Memory, m.Block(ShareAccess.Size));
            var open = new List<(FileObject File, uint Access, uint Share)>();
            foreach ((int a, int s, bool closes) in steps)
            {
                if (closes && open.Count > 0)
                {
                    m.Nt.IoRemoveShareAccess(open[0].File, shares);
                    open.RemoveAt(0);
                    continue;
                }
                (uint access, uint share) = (accesses[a], (uint)s);
                bool may = access == 0 || open.TrueForAll(o => o.Access == 0
                    || (Needs(access) & ~o.Share) == 0 && (Needs(o.Access) & ~share) == 0);
                FileObject file = File(m);
                NtStatus status = m.Nt.IoCheckShareAccess(access, share, file, shares, true);
                Assert.Equal(may ? STATUS_SUCCESS : STATUS_SHARING_VIOLATION, status);
                if (may) open.Add((file, access, share));
            }
            Assert.Equal((uint)open.Count(o => o.Access != 0), shares.OpenCount);
        }).Check(GuestText.Properties(60));
        static uint Needs(uint access) =>
            (access & 1) | (access & 2) | ((access & 0x1_0000) != 0 ? 4u : 0);
    }

    [Fact]
    [Rule("5.10")]
    public void The_other_share_access_routines_count_the_same_way_and_links_count_deleters_apart()
    {
        using var m = new TestMachine();
        ShareAccess shares = ShareAccess.At(m.Nt.Memory, m.Block(ShareAccess.Size));
        LinkShareAccess links = LinkShareAccess.At(m.Nt.Memory, m.Block(LinkShareAccess.Size));
        FileObject first = File(m), second = File(m);
        m.Nt.IoSetShareAccess(1, 1, first, shares);
        m.Nt.IoSetShareAccessEx(1, 1, first, shares, Va.Null);
        m.Nt.IoUpdateShareAccess(first, shares);
        Assert.Equal((2U, 2U, 2U), (shares.OpenCount, shares.Readers, shares.SharedRead));
        Assert.Equal(STATUS_SHARING_VIOLATION, m.Nt.IoCheckShareAccessEx(2, 3, second, shares, true, Va.Null));
        m.Nt.IoRemoveShareAccess(first, shares);
        m.Nt.IoRemoveShareAccess(first, shares);
        Assert.Equal(0U, shares.OpenCount);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCheckLinkShareAccess(0x1_0000, 3, first, shares, links, 1));
        Assert.Equal(STATUS_SHARING_VIOLATION, m.Nt.IoCheckLinkShareAccess(1, 3, second, shares, links, 1));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCheckLinkShareAccess(1, 3, second, shares, links, 0x11));
        m.Nt.IoUpdateLinkShareAccess(first, shares, links);
        m.Nt.IoUpdateLinkShareAccessEx(first, shares, links, 0);
        m.Nt.IoRemoveLinkShareAccess(first, shares, links);
        m.Nt.IoRemoveLinkShareAccessEx(first, shares, links, 0);
        Assert.Equal((2U, 1U), (links.OpenCount, links.Deleters));
        List<IrpMajor> seen = [];
        m.Noting("Share", seen);
        FileObject real = m.FileOf(m.OpenFile(@"\Device\Share"));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoSetFileObjectIgnoreSharing(real));
        Assert.True(m.Nt.IoIsFileObjectIgnoringSharing(real));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCheckShareAccess(3, 0, real, shares, true));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoSetFileObjectIgnoreSharing(first));
    }

    [Fact]
    public void Stream_files_get_cleanup_with_their_handle_and_close_with_their_last_reference()
    {
        using var m = new TestMachine();
        List<IrpMajor> seen = [];
        DeviceObject device = m.Noting("Stream", seen);
        FileObject plain = m.Nt.IoCreateStreamFileObject(m.NoFile(), device);
        Assert.Equal([IRP_MJ_CLEANUP], seen);
        m.Nt.ObfDereferenceObject(plain.Address);
        Assert.Equal([IRP_MJ_CLEANUP, IRP_MJ_CLOSE], seen);
        FileObject lite = m.Nt.IoCreateStreamFileObjectLite(m.NoFile(), device);
        m.Nt.ObfDereferenceObject(lite.Address);
        Assert.Equal([IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CLOSE], seen);
        Va handle = m.Block(8), stream = m.Block(8);
        Assert.False(m.Nt.IoCreateStreamFileObjectEx(m.NoFile(), device, handle).IsNull);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCreateStreamFileObjectEx2(Va.Null, m.NoFile(), device, stream, handle));
        Assert.False(m.Read<Va>(stream).IsNull);
    }

    [Fact]
    [Rule("14.9")]
    public void IoCancelFileOpen_tells_the_lower_driver_once_and_the_file_gets_nothing_more()
    {
        using var m = new TestMachine();
        List<IrpMajor> seen = [];
        DeviceObject device = m.Noting("Refused", seen);
        m.Nt.Io.Open(@"\Device\Refused", ProcessorMode.KernelMode, new OpenOptions(1), out NtObject? file, out _);
        FileObject opened = FileObject.At(m.Nt.Memory, file!.Body);
        m.Nt.IoCancelFileOpen(device, opened);
        m.Nt.ObfDereferenceObject(opened.Address);
        Assert.Equal([IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE], seen);
    }

    [Fact]
    public void File_objects_change_their_names_and_their_origin_and_are_named_as_DOS_names_them()
    {
        using var m = new TestMachine();
        List<IrpMajor> seen = [];
        DeviceObject device = m.Noting("Vol", seen);
        m.Nt.IoCreateSymbolicLink(m.Text(@"\GLOBAL??\Q:"), m.Text(@"\Device\Vol"));
        m.Nt.IoCreateUnprotectedSymbolicLink(m.Text(@"\GLOBAL??\Other"), m.Text(@"\Device\Vol"));
        FileObject file = m.FileOf(m.OpenFile(@"\Device\Vol\abc"));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoReplaceFileObjectName(file, m.Wide(@"\longer\name"), 24));
        Assert.Equal(@"\longer\name", file.FileName.Text);
        Va name = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoQueryFileDosDeviceName(file, name));
        Assert.Equal(@"Q:\longer\name", UnicodeString.At(m.Nt.Memory, m.Read<Va>(name)).Text);
        UnicodeString dos = UnicodeString.At(m.Nt.Memory, m.Block(16));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoVolumeDeviceToDosName(device, dos));
        Assert.Equal("Q:", dos.Text);
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlVolumeDeviceToDosName(device, dos));
        Assert.False(m.Nt.IoIsFileOriginRemote(file));
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoSetFileOrigin(file, true));
        Assert.True(m.Nt.IoIsFileOriginRemote(file));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoSetFileOrigin(file, true));
        Assert.Equal(0x12_0089U, m.U32(m.Nt.IoGetFileObjectGenericMapping()));
    }

    [Fact]
    public void Lists_of_extended_attributes_and_quotas_are_held_against_their_buffer()
    {
        using var m = new TestMachine();
        Va error = m.Block(8);
        byte[] ea = [12, 0, 0, 0, 0, 1, 2, 0, (byte)'A', 0, 1, 2, 0, 0, 0, 0, 0, 1, 0, 0, (byte)'B', 0];
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCheckEaBufferValidity(m.Bytes(ea), 22, error));
        Assert.Equal(STATUS_EA_LIST_INCONSISTENT, m.Nt.IoCheckEaBufferValidity(m.Bytes(ea), 21, error));
        Assert.Equal(12U, m.U32(error));
        byte[] quota = new byte[0x28 + 12];
        (quota[4], quota[0x28], quota[0x29]) = (12, 1, 1);
        Assert.Equal(STATUS_SUCCESS, m.Nt.IoCheckQuotaBufferValidity(m.Bytes(quota), 0x34, error));
        quota[4] = 13;
        Assert.Equal(STATUS_QUOTA_LIST_INCONSISTENT, m.Nt.IoCheckQuotaBufferValidity(m.Bytes(quota), 0x34, error));
    }
}
