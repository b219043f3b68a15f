using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;

namespace Ringdown.Tests;

/// <summary>Small things in guest memory that tests pass to exports.</summary>
static class GuestBlocks
{
    /// <summary>A zeroed block that belongs to nobody's driver.</summary>
    public static Va Block(this TestMachine m, int bytes) =>
        m.Nt.Mm.Pool.Allocate((ulong)bytes, PoolKind.NonPaged, 0x74736574, Va.Null, zero: true);

    /// <summary>A variable of 8 bytes with a value.</summary>
    public static Va Variable(this TestMachine m, ulong value)
    {
        Va variable = m.Block(8);
        m.Nt.Memory.Write(variable, value);
        return variable;
    }

    public static UnicodeString Text(this TestMachine m, string text) =>
        UnicodeString.At(m.Nt.Memory, m.Nt.Rtl.AllocateString(text));

    /// <summary>OBJECT_ATTRIBUTES with a name.</summary>
    public static ObjectAttributes Named(this TestMachine m, string name, uint attributes = 0)
    {
        ObjectAttributes made = ObjectAttributes.At(m.Nt.Memory, m.Block(ObjectAttributes.Size));
        made.Length = (uint)ObjectAttributes.Size;
        made.ObjectName = m.Text(name);
        made.Attributes = attributes;
        return made;
    }

    public static ObjectAttributes NoAttributes(this TestMachine m) => ObjectAttributes.At(m.Nt.Memory, Va.Null);

    /// <summary>A system thread that runs C#; it does so when the caller waits.</summary>
    public static void Thread(this TestMachine m, Action body) =>
        m.Nt.Ps.StartThread("test", m.Nt.Routines.Add("test", (_, _) => body()), Va.Null);

    /// <summary>In a thread: lets the others run for a millisecond.</summary>
    public static void Pause(this TestMachine m) =>
        m.Nt.Ke.WaitFor([m.Nt.Ke.CurrentThread.Header], all: false, m.Nt.Ke.Clock.Now + 10_000);

    /// <summary>Lets other threads run until all of them wait or are over.</summary>
    public static void RunOthers(this TestMachine m) => m.Nt.Ke.RunUntilIdle();

    public const uint Tag = 0x74736554;

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
