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
}
