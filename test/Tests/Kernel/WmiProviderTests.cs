using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>Providers of WMI other than the usual one: a .sys whose method takes its time, a routine without a device,
/// and instances whose names only the provider knows.</summary>
public sealed class WmiProviderTests
{
    static readonly Guid s_counter = new("6f0c3a52-8c55-4c39-9f3d-52494e47574d");

    static string Hex(byte[] bytes) => Convert.ToHexString(bytes);

    [Fact]
    public void A_driver_in_C_answers_by_wmilib_also_when_its_method_takes_its_time()
    {
        using var m = new TestMachine();
        Driver driver = m.Load(Repository.Driver("wmi"));
        WmiClient wmi = m.Nt.User.Wmi;
        Assert.Equal(STATUS_SUCCESS, wmi.QueryAllData(s_counter, out IReadOnlyList<WmiInstance> all));
        Assert.Equal(["Counter0 010000000A000000", "Counter1 0200000014000000"],
            all.Select(i => $"{i.Name} {Hex(i.Data)}"));
        Assert.Equal(STATUS_SUCCESS, wmi.SetSingleInstance(s_counter, "Counter0", [7, 0, 0, 0, 9, 0, 0, 0]));
        Assert.Equal(STATUS_SUCCESS, wmi.SetSingleItem(s_counter, "Counter0", 2, [8, 0, 0, 0]));
        Assert.Equal(STATUS_WMI_READ_ONLY, wmi.SetSingleItem(s_counter, "Counter0", 1, [8, 0, 0, 0]));
        Assert.Equal(STATUS_WMI_SET_FAILURE, wmi.SetSingleInstance(s_counter, "Counter0", [7]));
        Assert.Equal(STATUS_SUCCESS, wmi.QuerySingleInstance(s_counter, "Counter0", out byte[] data));
        Assert.Equal("0700000008000000", Hex(data));
        // It is complete from a DPC, a millisecond later.
        Assert.Equal(STATUS_SUCCESS, wmi.ExecuteMethod(s_counter, "Counter1", 1, [5, 0, 0, 0], out byte[] output));
        Assert.Equal("07000000", Hex(output));
        Assert.Equal(STATUS_SUCCESS, wmi.EnableEvents(s_counter));
        Assert.Equal(STATUS_SUCCESS, wmi.ExecuteMethod(s_counter, "Counter1", 2, [], out _));
        WmiEvent fired = Assert.Single(wmi.Events);
        Assert.Equal(("Counter1", "0700000014000000"), (fired.Instance, Hex(fired.Data)));
        Assert.True(m.Unload(driver));
        Assert.Empty(m.Findings);
    }

    /// <summary>A provider without a device, whose block names its instances itself.</summary>
    sealed class Dynamic(uint registerFlags, WmiRegFlags block) : NtDriver
    {
        public NtStatus Registered { get; private set; }
        public List<string> Calls { get; } = [];
        Va _registered;

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            Va entry = Routine(Entry);
            _registered = entry;
            if ((registerFlags & WMIREG_FLAG_CALLBACK) == 0)
            {
                _registered = Nt.ExAllocatePoolWithTag(NonPagedPool, 16, Tag("Trac"));
                Memory.Write(_registered, entry);
            }
            driverObject.DriverUnload = Routine(Unload);
            Registered = Register(WMIREG_ACTION_REGISTER);
            return STATUS_SUCCESS;
        }

        NtStatus Register(uint action) => Nt.IoWMIRegistrationControl(
            DeviceObject.At(Memory, _registered), action | registerFlags);

        void Unload(DriverObject driverObject)
        {
            Register(WMIREG_ACTION_DEREGISTER);
            if ((registerFlags & WMIREG_FLAG_CALLBACK) == 0) Nt.ExFreePool(_registered);
        }

        NtStatus Entry(byte minor, Va dataPath, uint size, Va buffer, Va context, Va returned)
        {
            if (context != _registered) return STATUS_INVALID_PARAMETER;
            switch (minor)
            {
                case IRP_MN_REGINFO:
                    return Describe(size, buffer, returned);
                case IRP_MN_QUERY_ALL_DATA:
                    Calls.Add("all");
                    return Answer(buffer, returned, Node(0x48, 0x48, 2, ["left", "right"]));
                case IRP_MN_QUERY_SINGLE_INSTANCE:
                    uint at = Memory.Read<uint>(buffer + 0x30);
                    string name = Encoding.Unicode.GetString(
                        Memory.ReadBytes(buffer + at + 2, Memory.Read<ushort>(buffer + at)));
                    Calls.Add(name);
                    if (name is not ("left" or "right")) return STATUS_WMI_INSTANCE_NOT_FOUND;
                    Memory.Write(buffer + Memory.Read<uint>(buffer + 0x38), name == "left" ? (byte)1 : (byte)2);
                    Memory.Write(buffer + 0x3C, 1);
                    Memory.Write(returned, Memory.Read<uint>(buffer + 0x38) + 1);
                    return STATUS_SUCCESS;
                default:
                    return STATUS_INVALID_DEVICE_REQUEST;
            }
        }

        NtStatus Describe(uint size, Va buffer, Va returned)
        {
            uint needed = WmiRegInfo.SizeOf(1);
            if (size < needed) return STATUS_BUFFER_TOO_SMALL;
            var info = At<WmiRegInfo>(buffer);
            (info.BufferSize, info.GuidCount) = (needed, 1);
            WmiRegGuid entry = info.Entry(0);
            (entry.Guid, entry.Flags, entry.InstanceCount) = (s_counter, block, 2);
            Memory.Write(returned, needed);
            return STATUS_SUCCESS;
        }

        // Each instance has one byte; the names stand behind.
        static byte[] Node(int pairsEnd, int data, int count, string[] names)
        {
            byte[] node = new byte[0x100];
            void Put(int at, int value) => BitConverter.TryWriteBytes(node.AsSpan(at), value);
            (int offsets, int text) = (data + 8, data + 16);
            Put(0x2C, 1);
            Put(0x30, data);
            Put(0x34, count);
            Put(0x38, offsets);
            for (int i = 0; i < count; i++)
            {
                Put(0x3C + i * 8, pairsEnd + 4 + i);
                Put(0x40 + i * 8, 1);
                node[pairsEnd + 4 + i] = (byte)(i + 1);
                Put(offsets + i * 4, text);
                node[text] = (byte)(names[i].Length * 2);
                Encoding.Unicode.GetBytes(names[i]).CopyTo(node, text + 2);
                text += 2 + names[i].Length * 2;
            }
            Put(0, text);
            return node[..text];
        }

        NtStatus Answer(Va buffer, Va returned, byte[] node)
        {
            Memory.Write(buffer + 0x2C, node[0x2C..]);
            Memory.Write(returned, node.Length);
            return STATUS_SUCCESS;
        }
    }

    [Fact]
    public void A_routine_is_a_provider_and_knows_the_names_of_its_instances()
    {
        using var m = new TestMachine();
        var provider = new Dynamic(WMIREG_FLAG_CALLBACK, WmiRegFlags.None);
        Driver driver = m.Load(provider);
        Assert.Equal(STATUS_SUCCESS, provider.Registered);
        WmiClient wmi = m.Nt.User.Wmi;
        Assert.Empty(Assert.Single(wmi.Guids).Instances);
        Assert.Equal(STATUS_SUCCESS, wmi.QueryAllData(s_counter, out IReadOnlyList<WmiInstance> all));
        Assert.Equal(["left 01", "right 02"], all.Select(i => $"{i.Name} {Hex(i.Data)}"));
        Assert.Equal(STATUS_SUCCESS, wmi.QuerySingleInstance(s_counter, "right", out byte[] data));
        Assert.Equal("02", Hex(data));
        Assert.Equal(STATUS_WMI_INSTANCE_NOT_FOUND, wmi.QuerySingleInstance(s_counter, "middle", out _));
        Assert.Equal(["all", "right", "middle"], provider.Calls);
        Assert.True(m.Unload(driver));
        Assert.Empty(wmi.Guids);
        Assert.Empty(m.Findings);
    }

    // What a driver with Microsoft's preprocessor for traces does when it starts. The shape of the block that it passes
    // is from memory.
    [Fact]
    public void A_provider_of_traces_is_asked_for_its_GUIDs_and_has_no_data()
    {
        using var m = new TestMachine();
        var provider = new Dynamic(WMIREG_FLAG_TRACE_PROVIDER, WmiRegFlags.TraceControlGuid | WmiRegFlags.TracedGuid);
        Driver driver = m.Load(provider);
        Assert.Equal(STATUS_SUCCESS, provider.Registered);
        WmiClient wmi = m.Nt.User.Wmi;
        Assert.Equal(s_counter, Assert.Single(wmi.Guids).Guid);
        Assert.Equal(STATUS_WMI_GUID_NOT_FOUND, wmi.QueryAllData(s_counter, out _));
        Assert.Empty(provider.Calls);
        Assert.True(m.Unload(driver));
        Assert.Empty(wmi.Guids);
        Assert.Empty(m.Findings);
    }

    [Fact]
    public void What_is_neither_a_device_nor_code_is_refused()
    {
        using var m = new TestMachine();
        Va block = m.Block(0x40);
        foreach (uint flags in (uint[])[0, WMIREG_FLAG_CALLBACK, WMIREG_FLAG_TRACE_PROVIDER])
            Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.IoWMIRegistrationControl(
                DeviceObject.At(m.Nt.Memory, block), WMIREG_ACTION_REGISTER | flags));
    }
}
