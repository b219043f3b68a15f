using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>How a caller's buffers reach the driver, and come back.</summary>
public sealed class BufferMethodTests
{
    /// <summary>What the driver got of a request.</summary>
    sealed record Given(Va System, bool HasMdl, Va User, ulong P1, ulong P2, ulong P4, byte FirstInput, uint Flags);

    static Func<Given> Recording(TestMachine m, uint flags, ulong information = 0)
    {
        Given? given = null;
        m.Dispatching("Method", (_, irp) =>
        {
            IoStackLocation at = irp.CurrentStackLocation;
            if (at.MajorFunction is IRP_MJ_CREATE or IRP_MJ_CLEANUP or IRP_MJ_CLOSE)
                return m.Complete(irp, STATUS_SUCCESS);
            given = new Given(irp.SystemBuffer, !irp.MdlAddress.IsNull, irp.UserBuffer, at.Parameter1, at.Parameter2,
                at.Parameter4, irp.SystemBuffer.IsNull ? (byte)0 : m.Read<byte>(irp.SystemBuffer), irp.Flags);
            if (!irp.SystemBuffer.IsNull && information > 0) m.Nt.Memory.Fill(irp.SystemBuffer, information, 0xEE);
            return m.Complete(irp, STATUS_SUCCESS, information);
        }, flags: flags);
        return () => given!;
    }

    [Theory, Rule("4.T2")]
    [InlineData(0u, true, false, false), InlineData(1u, true, true, false), InlineData(2u, true, true, false)]
    [InlineData(3u, false, false, true)]
    public void A_control_code_says_how_its_buffers_travel(uint method, bool system, bool mdl, bool raw)
    {
        using var m = new TestMachine();
        Func<Given> given = Recording(m, 0, information: 2);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(@"\Device\Method").Handle;
        Va input = win.VirtualAlloc(16), output = win.VirtualAlloc(32);
        win.WriteMemory(input, [0x12]);
        win.WriteMemory(output, [0x34, 0x34, 0x34, 0x34]);
        Assert.Equal((0, 2u), win.DeviceIoControl(file, 0x22_2000 | method, input, 16, output, 32) is var r
            ? (r.Error, r.Bytes) : default);
        Given got = given();
        Assert.Equal((system, mdl), (!got.System.IsNull, got.HasMdl));
        Assert.Equal((32UL, 16UL), (got.P1, got.P2));
        Assert.Equal(system ? 0x12 : 0, got.FirstInput);
        Assert.Equal(output, got.User);
        Assert.Equal(raw ? input.Value : 0, got.P4);
        // Only buffered output is copied back, as much as the driver says; the rest stays as it was.
        Assert.Equal(method == 0 ? [0xEE, 0xEE, 0x34, 0x34] : new byte[] { 0x34, 0x34, 0x34, 0x34 },
            win.ReadMemory(output, 4));
    }

    [Theory, Rule("4.T1")]
    [InlineData(Io.DO_BUFFERED_IO, true, false), InlineData(Io.DO_DIRECT_IO, false, true), InlineData(0u, false, false)]
    [InlineData(Io.DO_BUFFERED_IO | Io.DO_DIRECT_IO, true, false)]
    public void Reads_writes_attributes_quotas_and_directories_go_as_the_device_wants(
        uint flags, bool system, bool mdl)
    {
        using var m = new TestMachine();
        Func<Given> given = Recording(m, flags);
        Handle file = m.OpenFile(@"\Device\Method");
        Va iosb = m.Block(16), buffer = m.Bytes(
            0, 0, 0, 0, 0, 1, 2, 0, (byte)'A', 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        Va directory = m.Block(0x100), quota = m.Block(0x34);
        m.Nt.Memory.Write(quota + 4, 12u);
        m.Nt.Memory.Write(quota + 0x28, (ushort)0x0101);
        Action[] requests =
        [
            () => m.Nt.ZwReadFile(file, default, Va.Null, Va.Null, iosb, buffer, 16, m.Variable(0), Va.Null),
            () => m.Nt.ZwWriteFile(file, default, Va.Null, Va.Null, iosb, buffer, 16, m.Variable(0), Va.Null),
            () => m.Nt.ZwQueryEaFile(file, iosb, buffer, 16, false, Va.Null, 0, Va.Null, false),
            () => m.Nt.ZwSetEaFile(file, iosb, buffer, 12),
            () => m.Nt.ZwQueryDirectoryFile(file, default, Va.Null, Va.Null, iosb, directory, 0x100, 1, false,
                UnicodeString.At(m.Nt.Memory, Va.Null), false),
            () => m.Nt.ZwQueryQuotaInformationFile(file, iosb, buffer, 16, false, Va.Null, 0, Va.Null, false),
            () => Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetQuotaInformationFile(file, iosb, quota, 0x34)),
        ];
        for (int i = 0; i < requests.Length; i++)
        {
            requests[i]();
            Given got = given();
            Assert.Equal((i, system, mdl), (i, !got.System.IsNull, got.HasMdl));
            Assert.False(got.User.IsNull);
        }
    }

    [Fact, Rule("4.T1")]
    public void Information_is_always_buffered_and_security_never()
    {
        using var m = new TestMachine();
        Func<Given> given = Recording(m, Io.DO_DIRECT_IO);
        Handle file = m.OpenFile(@"\Device\Method\name");
        Va iosb = m.Block(16), buffer = m.Block(0x100);
        m.Nt.ZwQueryInformationFile(file, iosb, buffer, 0x28, 4);
        Assert.Equal((false, false), (given().System.IsNull, given().HasMdl));
        m.Nt.ZwQueryVolumeInformationFile(file, iosb, buffer, 0x18, 3);
        Assert.Equal((false, false), (given().System.IsNull, given().HasMdl));
        m.Nt.ZwQuerySecurityObject(file, 4, buffer, 0x100, m.Block(4));
        Assert.Equal((true, false, buffer, 4UL, 0x100UL),
            (given().System.IsNull, given().HasMdl, given().User, given().P1, given().P2));
        m.Nt.ZwSetInformationFile(file, iosb, buffer, 0x28, 4);
        Assert.Equal((false, false), (given().System.IsNull, given().HasMdl));
        m.Nt.ZwSetVolumeInformationFile(file, iosb, buffer, 8, 2);
        Assert.Equal((false, false), (given().System.IsNull, given().HasMdl));
        m.Nt.ZwLockFile(file, default, Va.Null, Va.Null, iosb, m.Variable(0), m.Variable(1), 0, true, true);
        Assert.Equal((true, false), (given().System.IsNull, given().HasMdl));
        Va ea = m.Bytes(0, 0, 0, 0, 0, 1, 2, 0, (byte)'A', 0, 1, 2);
        var buffers = new List<(bool, bool)>();
        m.Dispatching("Ea", (_, irp) =>
        {
            buffers.Add((irp.SystemBuffer.IsNull, !irp.MdlAddress.IsNull));
            return m.Complete(irp, STATUS_SUCCESS);
        }, flags: Io.DO_DIRECT_IO);
        m.Nt.ZwCreateFile(m.Block(8), 0x10_0001, m.Named(@"\Device\Ea", 0x240), iosb, Va.Null, 0, 7, 1, 0x20, ea, 12);
        Assert.Equal([(false, false)], buffers);
    }

    [Theory, Rule("4.T2"), InlineData(0u, 998), InlineData(1u, 0), InlineData(2u, 998), InlineData(3u, 0)]
    public void Of_a_second_buffer_that_is_read_only_only_METHOD_IN_DIRECT_makes_use(uint method, int error)
    {
        using var m = new TestMachine();
        Func<Given> given = Recording(m, 0);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(@"\Device\Method").Handle;
        Va input = win.VirtualAlloc(8), output = win.VirtualAlloc(0x1000);
        m.Nt.Memory.Protect(output, 0x1000, Protection.Read | Protection.User);
        Assert.Equal(error, win.DeviceIoControl(file, 0x22_2000 | method, input, 8, output, 8).Error);
        if (method == 1) Assert.True(given().HasMdl);
    }

    [Fact, Rule("4.6", Hypothesis = true)]
    public void A_process_pays_for_its_system_buffers_while_they_are_there()
    {
        using var m = new TestMachine();
        var keeper = new Keeper(m);
        UserFile file = m.Open(keeper.Path);
        Va process = m.Nt.Ps.CurrentProcess.Address;
        ulong before = m.Nt.Mm.Quota.Used(process, PoolKind.NonPaged);
        UserRequest read = file.Read(0x1000);
        Assert.True(m.Nt.Mm.Quota.Used(process, PoolKind.NonPaged) >= before + 0x1000);
        keeper.Complete();
        m.RunOthers();
        Assert.Equal((STATUS_SUCCESS, before), (read.Status, m.Nt.Mm.Quota.Used(process, PoolKind.NonPaged)));
        m.Nt.Mm.Quota.Limit = before + 0x800;
        Assert.Equal(STATUS_QUOTA_EXCEEDED, file.Read(0x1000).Status);
        Assert.Equal(STATUS_QUOTA_EXCEEDED, file.DeviceIoControl(0x22_2000, new byte[0x1000], 0).Status);
        Assert.Empty(keeper.Kept);
        Assert.Equal(before, m.Nt.Mm.Quota.Used(process, PoolKind.NonPaged));
    }

    [Theory, Rule("4.1")]
    [InlineData(0x22_2000u, 0), InlineData(0x22_6000u, 0), InlineData(0x22_A000u, 5), InlineData(0x22_E000u, 5)]
    public void A_codes_access_is_checked_against_the_handle(uint code, int error)
    {
        using var m = new TestMachine();
        Recording(m, 0);
        Win32 win = m.Nt.User.Win32;
        Handle readOnly = win.CreateFile(@"\Device\Method", access: 0x8000_0000).Handle;
        Assert.Equal(error, win.DeviceIoControl(readOnly, code, Va.Null, 0, Va.Null, 0).Error);
    }

    [Theory, Rule("4.2", Hypothesis = true), InlineData(0u), InlineData(1u), InlineData(2u)]
    public void Bad_pointers_fail_before_an_IRP_is_sent(uint method)
    {
        using var m = new TestMachine();
        Func<Given> given = Recording(m, 0);
        Win32 win = m.Nt.User.Win32;
        Handle file = win.CreateFile(@"\Device\Method").Handle;
        Va good = win.VirtualAlloc(8), bad = good + 0x2_0000, kernel = m.Block(8);
        foreach (Va wrong in (Va[])[bad, kernel])
        {
            Assert.Equal(998, win.DeviceIoControl(file, 0x22_2000 | method, wrong, 8, good, 8).Error);
            Assert.Equal(998, win.DeviceIoControl(file, 0x22_2000 | method, good, 8, wrong, 8).Error);
        }
        Assert.Null(given());
        // What METHOD_NEITHER passes nobody looks at.
        Assert.Equal(0, win.DeviceIoControl(file, 0x22_2003, bad, 8, kernel, 8).Error);
        Assert.Equal((bad.Value, kernel), (given().P4, given().User));
    }

    [Fact, Rule("4.3", Hypothesis = true)]
    public void Nothing_has_no_buffer()
    {
        using var m = new TestMachine();
        Func<Given> given = Recording(m, Io.DO_BUFFERED_IO);
        UserFile file = m.Open(@"\Device\Method");
        foreach (uint method in (uint[])[0, 1, 2])
        {
            file.DeviceIoControl(0x22_2000 | method, [], 0);
            Assert.Equal((true, false), (given().System.IsNull, given().HasMdl));
        }
        file.Read(0);
        Assert.True(given().System.IsNull);
    }

    [Fact, Rule("4.5")]
    public void A_kernel_caller_is_not_probed()
    {
        using var m = new TestMachine();
        Func<Given> given = Recording(m, 0);
        Handle file = m.OpenFile(@"\Device\Method");
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwDeviceIoControlFile(
            file, default, Va.Null, Va.Null, m.Block(16), 0x22_2000, m.Block(8), 8, m.Block(8), 8));
        Assert.False(given().System.IsNull);
    }

    [Fact, Rule("4.7")]
    public void Bytes_that_the_driver_has_not_written_are_no_old_content_of_pool()
    {
        using var m = new TestMachine();
        m.Dispatching("Lazy", (_, irp) => m.Complete(irp, STATUS_SUCCESS,
            irp.CurrentStackLocation.MajorFunction == IRP_MJ_READ ? 64UL : 0), flags: Io.DO_BUFFERED_IO);
        for (int i = 0; i < 8; i++) m.Nt.ExFreePoolWithTag(m.Bytes([.. Enumerable.Repeat((byte)0xCC, 64)]), 0);
        Assert.All(m.Open(@"\Device\Lazy").Read(64).Output, b => Assert.Equal(0, b));
    }
}
