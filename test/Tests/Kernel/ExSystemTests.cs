using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Times, identifiers, firmware, and what the system says of itself.</summary>
public sealed class ExSystemTests
{
    [Fact]
    public void Local_time_is_system_time_less_the_bias_of_the_shared_page()
    {
        using var m = new TestMachine();
        Va system = m.Variable(1_000_000), local = m.Block(8), back = m.Block(8);
        m.Nt.Memory.Write(new Va(0xFFFF_F780_0000_0020), 300_000L);
        m.Nt.ExSystemTimeToLocalTime(system, local);
        m.Nt.ExLocalTimeToSystemTime(local, back);
        Assert.Equal((700_000UL, 1_000_000UL), (m.Nt.Memory.Read<ulong>(local), m.Nt.Memory.Read<ulong>(back)));
    }

    [Fact]
    public void An_identifier_is_random_of_version_4_and_the_same_with_the_same_seed()
    {
        string Make(ulong seed)
        {
            using var m = new TestMachine(seed);
            Va uuid = m.Block(16);
            Assert.Equal(STATUS_SUCCESS, m.Nt.ExUuidCreate(uuid));
            return new Guid(m.Nt.Memory.ReadBytes(uuid, 16)).ToString();
        }
        Assert.Equal(Make(1), Make(1));
        Assert.NotEqual(Make(1), Make(2));
        Assert.Matches("^........-....-4...-[89ab]...-............$", Make(3));
    }

    [Fact]
    public void Features_and_suites_are_those_of_the_shared_page()
    {
        using var m = new TestMachine();
        Assert.True(m.Nt.ExIsProcessorFeaturePresent(10));      // SSE2
        Assert.False(m.Nt.ExIsProcessorFeaturePresent(0));
        Assert.False(m.Nt.ExIsProcessorFeaturePresent(64));
        m.Nt.Memory.Write(new Va(0xFFFF_F780_0000_02D0), 0x10u);
        Assert.True(m.Nt.ExVerifySuite(4));
        Assert.False(m.Nt.ExVerifySuite(5));
    }

    [Fact]
    public void The_resolution_is_the_finest_that_anybody_asked_for()
    {
        using var m = new TestMachine();
        Va coarsest = m.Block(4), finest = m.Block(4), now = m.Block(4);
        Assert.Equal(10_000u, m.Nt.ExSetTimerResolution(10_000, true));
        Assert.Equal(5_000u, m.Nt.ExSetTimerResolution(1, true));
        m.Nt.ExSetTimerResolution(0, false);
        m.Nt.ExQueryTimerResolution(coarsest, finest, now);
        Assert.Equal((156_250u, 5_000u, 5_000u), (m.Nt.Memory.Read<uint>(coarsest), m.Nt.Memory.Read<uint>(finest),
            m.Nt.Memory.Read<uint>(now)));
        Assert.Equal(156_250u, m.Nt.ExSetTimerResolution(0, false));
    }

    [Fact]
    public void A_firmware_variable_is_kept_appended_to_and_deleted()
    {
        using var m = new TestMachine();
        Va vendor = m.Block(16), value = m.Variable(0x1122_3344), length = m.Variable(8), attributes = m.Block(4);
        UnicodeString name = m.Text("Boot0001");
        NtStatus Get() => m.Nt.ExGetFirmwareEnvironmentVariable(name, vendor, value, length, attributes);
        Assert.Equal(STATUS_VARIABLE_NOT_FOUND, Get());
        Assert.Equal(STATUS_SUCCESS, m.Nt.ExSetFirmwareEnvironmentVariable(name, vendor, value, 4, 7));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ExSetFirmwareEnvironmentVariable(name, vendor, value, 2, 7 | 0x40));
        m.Nt.Memory.Write(length, 5u);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, Get());
        Assert.Equal(STATUS_SUCCESS, Get());
        Assert.Equal((0x3344_1122_3344UL, 6u, 7u), (m.Nt.Memory.Read<ulong>(value), m.Nt.Memory.Read<uint>(length),
            m.Nt.Memory.Read<uint>(attributes)));
        Assert.Equal(STATUS_INSUFFICIENT_RESOURCES,
            m.Nt.ExSetFirmwareEnvironmentVariable(name, vendor, value, 1 << 20, 7));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ExSetFirmwareEnvironmentVariable(name, vendor, value, 0, 7));
        Assert.Equal(STATUS_VARIABLE_NOT_FOUND, Get());
        Assert.False(m.Nt.ExIsSoftBoot());
        Va kind = m.Block(4);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ExGetFirmwareType(kind));
        Assert.Equal(2u, m.Nt.Memory.Read<uint>(kind));
    }

    static byte[] Query(TestMachine m, uint kind, Va buffer, uint room = 0x4000)
    {
        Va returned = m.Block(4);
        NtStatus status = m.Nt.ZwQuerySystemInformation(kind, buffer, room, returned);
        Assert.Equal(STATUS_SUCCESS, status);
        return m.Nt.Memory.ReadBytes(buffer, (int)m.Nt.Memory.Read<uint>(returned));
    }

    [Theory, InlineData(0u, 0x40), InlineData(1u, 12), InlineData(2u, 0x158), InlineData(3u, 0x30),
        InlineData(8u, 0x30),
        InlineData(35u, 2), InlineData(50u, 8), InlineData(103u, 8), InlineData(145u, 2), InlineData(149u, 3)]
    public void A_class_of_fixed_length_has_it_and_less_room_is_refused(uint kind, int bytes)
    {
        using var m = new TestMachine();
        Va buffer = m.Block(0x4000), returned = m.Block(4);
        Assert.Equal(bytes, Query(m, kind, buffer).Length);
        if (kind == 3) return;
        Assert.Equal(STATUS_INFO_LENGTH_MISMATCH,
            m.Nt.NtQuerySystemInformation(kind, buffer, (uint)bytes - 1, returned));
        Assert.Equal((uint)bytes, m.Nt.Memory.Read<uint>(returned));
    }

    [Fact]
    public void Processes_are_chained_with_their_threads_and_names()
    {
        using var m = new TestMachine();
        Va buffer = m.Block(0x4000);
        byte[] all = Query(m, 5, buffer);
        List<(ulong Id, string Name, uint Threads)> found = [];
        for (int at = 0; ;)
        {
            int length = BitConverter.ToUInt16(all, at + 0x38);
            ulong text = BitConverter.ToUInt64(all, at + 0x40);
            string name = length == 0 ? "" : Encoding.Unicode.GetString(all, (int)(text - buffer.Value), length);
            found.Add((BitConverter.ToUInt64(all, at + 0x50), name, BitConverter.ToUInt32(all, at + 4)));
            int next = BitConverter.ToInt32(all, at);
            if (next == 0) break;
            at += next;
        }
        Assert.Equal((0UL, "", 1u), found[0]);
        Assert.Contains((4UL, "System", 0u), found);
        Assert.Contains(found, p => p.Threads == 1 && p.Name.EndsWith(".exe", StringComparison.Ordinal));
    }

    [Fact]
    public void The_kernel_is_the_first_module()
    {
        using var m = new TestMachine();
        byte[] all = Query(m, 11, m.Block(0x4000));
        Assert.Equal(m.Nt.Loader.Images.Count, BitConverter.ToInt32(all, 0));
        Assert.EndsWith("ntoskrnl.exe", Encoding.ASCII.GetString(all, 8 + 0x28, 256).TrimEnd('\0'));
        Assert.Equal(0xFFFF_F800_0000_0000, BitConverter.ToUInt64(all, 8 + 0x10) & 0xFFFF_FFFF_0000_0000);
    }

    [Theory, InlineData(0x5253_4D42u, 1u, 0u), InlineData(0x4143_5049u, 0u, 0u),
        InlineData(0x4143_5049u, 1u, 0xC000_0225u),
        InlineData(0x1234u, 0u, 0xC000_0002u)]
    public void Firmware_tables_are_an_SMBIOS_and_no_ACPI(uint provider, uint action, uint status)
    {
        using var m = new TestMachine();
        Va buffer = m.Block(0x400), returned = m.Block(4);
        m.Nt.Memory.Write(buffer, provider);
        m.Nt.Memory.Write(buffer + 4, action);
        m.Nt.Memory.Write(buffer + 12, 0x3F0u);
        Assert.Equal(status, m.Nt.ZwQuerySystemInformation(76, buffer, 0x400, returned).Value);
        if (provider != 0x5253_4D42) return;
        byte[] table = m.Nt.Memory.ReadBytes(buffer + 16, (int)m.Nt.Memory.Read<uint>(buffer + 12));
        Assert.Equal(table.Length - 8, BitConverter.ToInt32(table, 4));
        Assert.Contains("Ringdown machine", Encoding.ASCII.GetString(table));
    }

    [Fact]
    public void What_is_no_class_is_refused()
    {
        using var m = new TestMachine();
        Assert.Equal(STATUS_INVALID_INFO_CLASS, m.Nt.ZwQuerySystemInformation(999, m.Block(8), 8, Va.Null));
    }
}
