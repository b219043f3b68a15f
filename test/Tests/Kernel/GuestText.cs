using System.Runtime.InteropServices;
using System.Text;
using FsCheck;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using UnicodeString = Ringdown.Kernel.UnicodeString;

namespace Ringdown.Tests;

/// <summary>Puts things into a machine's memory and reads them back.</summary>
static class GuestText
{
    /// <summary>The seed of all property tests: the same values in every run.</summary>
    public static Config Properties(int count) =>
        Config.QuickThrowOnFailure.WithMaxTest(count).WithReplay(new Replay(new Rnd(12345, 67891), null));

    public static Va Bytes(this TestMachine m, params ReadOnlySpan<byte> bytes)
    {
        Va at = m.Block(Math.Max(1, bytes.Length));
        m.Nt.Memory.Write(at, bytes);
        return at;
    }

    public static Va Wide(this TestMachine m, string text) =>
        m.Bytes(MemoryMarshal.AsBytes((text + '\0').AsSpan()).ToArray());

    public static Va Narrow(this TestMachine m, string text) => m.Bytes(Encoding.Latin1.GetBytes(text + '\0'));

    public static UnicodeString Unicode(this TestMachine m, string text)
    {
        var made = UnicodeString.At(m.Nt.Memory, m.Block(16));
        made.Set(m.Wide(text), text.Length * 2, text.Length * 2 + 2);
        return made;
    }

    /// <summary>An empty string with room.</summary>
    public static UnicodeString Room(this TestMachine m, int bytes)
    {
        var made = UnicodeString.At(m.Nt.Memory, m.Block(16));
        made.Set(m.Block(Math.Max(1, bytes)), 0, bytes);
        return made;
    }

    public static AnsiString Ansi(this TestMachine m, params byte[] bytes)
    {
        var made = AnsiString.At(m.Nt.Memory, m.Block(16));
        made.Set(m.Bytes(bytes), bytes.Length, bytes.Length);
        return made;
    }

    public static AnsiString Ansi(this TestMachine m, string text) => m.Ansi(Encoding.Latin1.GetBytes(text));

    /// <summary>The same structure seen as a string of bytes.</summary>
    public static byte[] BytesOf(this TestMachine m, UnicodeString text) =>
        m.Nt.Memory.ReadBytes(text.Buffer, text.Length);

    public static string WideAt(this TestMachine m, Va at) => m.Nt.Crt.ReadWide(at);

    public static string NarrowAt(this TestMachine m, Va at) => m.Nt.Crt.ReadAnsi(at);

    public static uint U32(this TestMachine m, Va at) => m.Nt.Memory.Read<uint>(at);

    public static ulong U64(this TestMachine m, Va at) => m.Nt.Memory.Read<ulong>(at);

    /// <summary>A va_list of 8-byte arguments.</summary>
    public static VarArgs List(this TestMachine m, params ulong[] arguments) =>
        new(m.Nt.Memory, m.Bytes(MemoryMarshal.AsBytes(arguments.AsSpan()).ToArray()));

    public static Va ListAt(this TestMachine m, params ulong[] arguments) =>
        m.Bytes(MemoryMarshal.AsBytes(arguments.AsSpan()).ToArray());
}
