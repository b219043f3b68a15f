using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The drivers of samples that show a device's ports and memory to a program, in both languages.</summary>
public sealed class PortAndMemoryTests
{
    public const string Ports = """
        { "devices": [ { "chip": "registers", "name": "box", "ports": "0x300", "map": [
          { "name": "A", "offset": 0, "size": 1, "value": "0x11" },
          { "name": "B", "offset": 1, "size": 1, "value": "0x22" },
          { "name": "C", "offset": 2, "size": 2, "value": "0x4433" },
          { "name": "D", "offset": 4, "size": 4, "value": "0x88776655" } ] } ] }
        """;

    public const string Window = """
        { "devices": [ { "chip": "registers", "name": "box",
          "pci": { "slot": 5, "id": "1234:5A4D", "class": "0x118000", "bars": ["memory"] }, "map": [
          { "name": "A", "offset": 0, "value": "0x11111111" },
          { "name": "B", "offset": "0x1008", "value": "0x22222222" },
          { "name": "C", "offset": "0x3FFC", "value": "0x33333333" } ] } ] }
        """;

    static void Compare(string board, string id, string name, Func<NtDriver> make,
        Action<SampleScript, DeviceNode> script) =>
        SampleScript.Compare([], [new(name, make)], s =>
        {
            DeviceTree devices = s.Machine.Nt.User.Devices;
            devices.Start();
            DeviceNode node = devices.Find(id)!;
            Assert.Equal(STATUS_SUCCESS, devices.SetDriver(node, name));
            Assert.True(node.IsStarted);
            script(s, node);
            s.CloseAll();
            devices.Disable(node);
            s.Machine.Nt.User.RunUntilIdle();
        }, computer => Board.Parse(board).Attach(computer));

    static UserFile Open(SampleScript s, Guid guid) =>
        s.OpenPath(Assert.Single(s.Machine.Nt.User.Devices.Interfaces(guid)));

    static byte[] Offset(uint offset, params byte[] value) => [.. BitConverter.GetBytes(offset), .. value];

    [Fact]
    public void Genport_reads_and_writes_its_own_ports_and_no_others() =>
        Compare(Ports, @"ACPI\RNG0002", "genport", () => new GenPort(), (s, node) =>
        {
            UserFile file = Open(s, GenPort.Interface);
            Assert.Equal([0x22], s.Control(file, GenPort.ReadCode(1), Offset(1), 1).Output);
            Assert.Equal([0x33, 0x44], s.Control(file, GenPort.ReadCode(2), Offset(2), 2).Output);
            Assert.Equal([0x55, 0x66, 0x77, 0x88], s.Control(file, GenPort.ReadCode(4), Offset(4), 9).Output);
            Assert.Equal(STATUS_SUCCESS, s.Control(file, GenPort.WriteCode(1), Offset(0, 0xAB), 0).Status);
            Assert.Equal(STATUS_SUCCESS, s.Control(file, GenPort.WriteCode(2), Offset(2, 0xCD, 0xEF), 0).Status);
            Assert.Equal(STATUS_SUCCESS, s.Control(file, GenPort.WriteCode(4), Offset(4, 1, 2, 3, 4), 0).Status);
            Assert.Equal([0xAB], s.Control(file, GenPort.ReadCode(1), Offset(0), 1).Output);
            Assert.Equal([0xCD, 0xEF], s.Control(file, GenPort.ReadCode(2), Offset(2), 2).Output);
            Assert.Equal([1, 2, 3, 4], s.Control(file, GenPort.ReadCode(4), Offset(4), 4).Output);
            // Behind the range, over its end, and where a sum would wrap.
            foreach ((uint size, uint offset) in ((uint, uint)[])[(1, 8), (2, 7), (2, 1), (4, 6), (4, 8),
                (1, uint.MaxValue), (4, uint.MaxValue - 3), (2, 0x8000_0000)])
            {
                Assert.Equal(STATUS_INVALID_PARAMETER,
                    s.Control(file, GenPort.ReadCode(size), Offset(offset), 4).Status);
                Assert.Equal(STATUS_INVALID_PARAMETER,
                    s.Control(file, GenPort.WriteCode(size), Offset(offset, new byte[size]), 0).Status);
            }
            Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, s.Control(file, GenPort.ReadCode(4), [0, 0, 0], 4).Status);
            Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, s.Control(file, GenPort.WriteCode(2), Offset(0, 1), 4).Status);
            Assert.Equal(STATUS_BUFFER_TOO_SMALL, s.Control(file, GenPort.ReadCode(4), Offset(0), 3).Status);
            foreach (uint size in (uint[])[0, 3, 8])
                Assert.Equal(STATUS_INVALID_DEVICE_REQUEST,
                    s.Control(file, GenPort.ReadCode(size), Offset(0), 8).Status);
            s.Note($"{s.Machine.Nt.SetSystemState(SystemState.Sleeping1)}");
            s.Control(file, GenPort.ReadCode(1), Offset(1), 1);
        });

    static byte[] Range(ulong offset, ulong length) =>
        [.. BitConverter.GetBytes(offset), .. BitConverter.GetBytes(length)];

    // An address differs with what else the process has: the results have only its place in the page.
    static (NtStatus Status, Va Address) Map(SampleScript s, UserFile file, ulong offset, ulong length)
    {
        UserRequest done = file.DeviceIoControl(MapMem.MapCode, Range(offset, length), 8);
        Va address = done.Status.IsSuccess ? new Va(BitConverter.ToUInt64(done.Output)) : Va.Null;
        s.Note($"map {offset:X} {length:X}: {done.Status} {done.Information} {address.Value & 0xFFFF:X}");
        return (done.Status, address);
    }

    static uint Peek(SampleScript s, Va address, uint? poke = null)
    {
        uint value = 0;
        s.Machine.Nt.User.Call(() =>
        {
            if (poke is { } written) s.Machine.Nt.Memory.Write(address, written);
            value = s.Machine.Nt.Memory.Read<uint>(address);
            return STATUS_SUCCESS;
        });
        return value;
    }

    [Fact]
    public void Mapmem_maps_its_own_memory_and_takes_it_back() =>
        Compare(Window, @"PCI\VEN_1234&DEV_5A4D", "mapmem", () => new MapMem(), (s, node) =>
        {
            UserFile file = Open(s, MapMem.Interface), other = Open(s, MapMem.Interface);
            (NtStatus status, Va all) = Map(s, file, 0, 0x4000);
            Assert.Equal((STATUS_SUCCESS, 0x11111111u, 0x22222222u, 0x33333333u),
                (status, Peek(s, all), Peek(s, all + 0x1008), Peek(s, all + 0x3FFC)));
            (_, Va part) = Map(s, other, 0x1008, 4);
            Assert.Equal(0x44444444u, Peek(s, part, 0x44444444));
            Assert.Equal(0x44444444u, Peek(s, all + 0x1008));
            foreach ((ulong offset, ulong length) in ((ulong, ulong)[])[(0, 0), (0, 0x4001), (0x4000, 1), (0x3FFF, 2),
                (ulong.MaxValue, 2), (1, ulong.MaxValue), (0x1000, ulong.MaxValue - 0xFFF)])
                Assert.Equal(STATUS_INVALID_PARAMETER, Map(s, file, offset, length).Status);
            Assert.Equal(STATUS_INFO_LENGTH_MISMATCH, s.Control(file, MapMem.MapCode, new byte[15], 8).Status);
            Assert.Equal(STATUS_BUFFER_TOO_SMALL, s.Control(file, MapMem.MapCode, Range(0, 4), 7).Status);
            // Registers in use do not move; what somebody else has mapped, or nobody, is not unmapped.
            s.Note($"{s.Machine.Nt.User.Devices.Rebalance(node)} {node.IsStarted}");
            Assert.Equal(0x11111111u, Peek(s, all));
            byte[] address = BitConverter.GetBytes(all.Value);
            Assert.Equal(STATUS_NOT_MAPPED_VIEW, other.DeviceIoControl(MapMem.UnmapCode, address, 0).Status);
            Assert.Equal(STATUS_NOT_MAPPED_VIEW,
                file.DeviceIoControl(MapMem.UnmapCode, BitConverter.GetBytes(all.Value + 8), 0).Status);
            Assert.Equal(STATUS_SUCCESS, file.DeviceIoControl(MapMem.UnmapCode, address, 0).Status);
            Assert.Equal(STATUS_NOT_MAPPED_VIEW, file.DeviceIoControl(MapMem.UnmapCode, address, 0).Status);
            Assert.False(IsThere(s, all));
            Assert.True(IsThere(s, part));
            s.Close(other);
            Assert.False(IsThere(s, part));
            for (int i = 0; i < 17; i++) Map(s, file, 0, 8);
            s.Note($"{s.Machine.Nt.SetSystemState(SystemState.Sleeping1)}");
            s.Close(file);
        });

    static bool IsThere(SampleScript s, Va address)
    {
        bool isThere = false;
        s.Machine.Nt.User.Call(() =>
        {
            isThere = s.Machine.Nt.MmIsAddressValid(address);
            return STATUS_SUCCESS;
        });
        return isThere;
    }

    /// <summary>What lies beside the device's memory in the same 64 KiB, or page, would be in the view.</summary>
    [Theory, InlineData("c"), InlineData("c#")]
    public void Mapmem_does_not_show_its_neighbours(string language)
    {
        using var m = new TestMachine();
        if (language == "c") m.Load(Repository.Sample("mapmem"));
        else m.Nt.Loader.Load("mapmem", new MapMem());
        DeviceTree devices = m.Nt.User.Devices;
        DeviceNode node = devices.AddRootDevice(
            @"Root\Window", "mapmem", RequirementText.Parse("memory C0208000-C02200FF"));
        Assert.True(node.IsStarted);
        UserFile file = m.Open(devices.Interfaces(MapMem.Interface)[0]);
        foreach ((ulong offset, ulong length, bool fits) in ((ulong, ulong, bool)[])[(0, 8, false), (0x7FFF, 2, false),
            (0x8000, 8, true), (0x8000, 0x1_0000, true), (0x1_7FFF, 1, true), (0x1_7FFF, 2, false),
            (0x1_8000, 4, false)])
            Assert.Equal(fits ? STATUS_SUCCESS : new NtStatus(0xC0000220),
                file.DeviceIoControl(MapMem.MapCode, Range(offset, length), 8).Status);
        Assert.Equal(STATUS_SUCCESS, devices.PullOut(node));
        Assert.Equal(STATUS_DEVICE_NOT_READY, file.DeviceIoControl(MapMem.MapCode, Range(0x8000, 8), 8).Status);
        file.Close();
        Assert.Empty(m.Findings);
    }
}
