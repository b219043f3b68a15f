using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;

namespace Ringdown.Tests;

/// <summary>What tests of objects put into guest memory.</summary>
static class Placed
{
    public const uint Tag = 0x74736554;

    public static Va Block(this TestMachine m, int bytes) => m.Nt.Mm.Pool.Allocate(bytes, Tag);

    public static Va Bytes(this TestMachine m, ReadOnlySpan<byte> bytes)
    {
        Va at = m.Block(Math.Max(8, bytes.Length));
        m.Nt.Memory.Write(at, bytes);
        return at;
    }

    public static UnicodeString Text(this TestMachine m, string text) =>
        UnicodeString.At(m.Nt.Memory, m.Nt.Rtl.AllocateString(text));

    public static ObjectAttributes Attributes(
        this TestMachine m, string? name, uint attributes = ObjectRequest.OBJ_CASE_INSENSITIVE, Handle root = default,
        Va security = default)
    {
        var made = ObjectAttributes.At(m.Nt.Memory, m.Block(ObjectAttributes.Size));
        made.Length = (uint)ObjectAttributes.Size;
        made.RootDirectory = root;
        if (name is not null) made.ObjectName = m.Text(name);
        made.Attributes = attributes;
        made.SecurityDescriptor = security;
        return made;
    }

    public static Va Descriptor(this TestMachine m, string sddl, GenericMapping mapping) =>
        m.Bytes(Sddl.Parse(sddl, mapping).ToBytes());

    public static T Read<T>(this TestMachine m, Va at) where T : unmanaged => m.Nt.Memory.Read<T>(at);

    /// <summary>A routine in C#, called with its arguments.</summary>
    public static Va Routine(this TestMachine m, Func<GuestCall, ulong> body) =>
        m.Nt.Routines.Add("test routine", (_, call) => call.Return(body(call)));

    /// <summary>Does something as the user's process does: services believe that user mode calls.</summary>
    public static NtStatus AsUser(this TestMachine m, Func<NtStatus> service) => m.Nt.User.AsUser(service);

    public static DriverObject Driver(this TestMachine m, string name = "objects") => m.Nt.Io.CreateDriver(
        name, new Va(0xFFFF_F801_7000_0000), 0x1000, m.Routine(_ => 0), Va.Null);

    public static DeviceObject Device(this TestMachine m, DriverObject driver, string name, uint type = 0x22)
    {
        Va place = m.Block(8);
        m.Nt.IoCreateDevice(driver, 0, m.Text(name), type, 0, false, place);
        DeviceObject device = DeviceObject.At(m.Nt.Memory, m.Read<Va>(place));
        device.Flags &= ~Io.DO_DEVICE_INITIALIZING;
        return device;
    }

    public static Handle Event(this TestMachine m, string? name = null, uint access = 0x1F_0003,
        uint attributes = ObjectRequest.OBJ_KERNEL_HANDLE)
    {
        Va place = m.Block(8);
        m.Nt.ZwCreateEvent(place, access, m.Attributes(name, attributes), 0, false);
        return m.Read<Handle>(place);
    }
}
