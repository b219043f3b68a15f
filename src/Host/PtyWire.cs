using System.Runtime.InteropServices;
using System.Text;

namespace Ringdown.Host;

/// <summary>A wire to a terminal program, which opens a pseudo terminal as it would a serial port.</summary>
/// <remarks>It is over when the program closes it.</remarks>
sealed partial class PtyWire : HostWire
{
    const int ReadWrite = 2, NoControllingTerminal = 0x100, TermiosRoom = 256, NameRoom = 128;
    const short CanRead = 1, CanWrite = 4;
    const int InputOutputError = 5;
    const string Library = "libc";

    readonly int _master;

    /// <exception cref="IOException">The host has none to give.</exception>
    public PtyWire()
    {
        _master = OpenPty(ReadWrite | NoControllingTerminal);
        var name = new byte[NameRoom];
        if (_master < 0 || Grant(_master) != 0 || Unlock(_master) != 0 || NameOf(_master, name, NameRoom) != 0)
            throw new IOException("The host gives no pseudo terminal.");
        Address = Encoding.UTF8.GetString(name, 0, Array.IndexOf(name, (byte)0));
        // Bytes as they are, without echo: like a wire. Its size is the host's own; this much is enough everywhere.
        var settings = new byte[TermiosRoom];
        if (GetSettings(_master, settings) != 0) throw new IOException("The pseudo terminal has no settings.");
        MakeRaw(settings);
        SetSettings(_master, 0, settings);
    }

    public static bool IsPossible => OperatingSystem.IsLinux();

    public override string Address { get; }

    // That somebody has opened it cannot be seen: the wire is there from the start.
    protected override bool WaitForOther() => true;

    protected override int Read(byte[] piece)
    {
        if (!Wait(CanRead)) return 0;
        nint count = Read(_master, piece, piece.Length);
        if (count > 0) return (int)count;
        return count == 0 || Marshal.GetLastPInvokeError() == InputOutputError ? -1 : 0;
    }

    protected override void Write(byte[] bytes)
    {
        const int mostAtOnce = 512;
        long patience = PatienceMilliseconds / LookMilliseconds;
        for (int sent = 0; sent < bytes.Length && patience > 0;)
        {
            if (!Wait(CanWrite))
            {
                patience--;
                continue;
            }
            byte[] piece = bytes[sent..Math.Min(bytes.Length, sent + mostAtOnce)];
            nint count = Write(_master, piece, piece.Length);
            if (count <= 0) return;
            sent += (int)count;
        }
    }

    bool Wait(short events)
    {
        var poll = new PollEntry { File = _master, Events = events };
        return Poll(ref poll, 1, LookMilliseconds) > 0;
    }

    protected override void Close() => CloseFile(_master);

    [StructLayout(LayoutKind.Sequential)]
    struct PollEntry
    {
        public int File;
        public short Events, Happened;
    }

    [LibraryImport(Library, EntryPoint = "posix_openpt", SetLastError = true)]
    private static partial int OpenPty(int flags);

    [LibraryImport(Library, EntryPoint = "grantpt")] private static partial int Grant(int file);
    [LibraryImport(Library, EntryPoint = "unlockpt")] private static partial int Unlock(int file);

    [LibraryImport(Library, EntryPoint = "ptsname_r")]
    private static partial int NameOf(int file, [Out] byte[] name, nint room);

    [LibraryImport(Library, EntryPoint = "tcgetattr")]
    private static partial int GetSettings(int file, [Out] byte[] settings);

    [LibraryImport(Library, EntryPoint = "tcsetattr")]
    private static partial int SetSettings(int file, int when, byte[] settings);

    [LibraryImport(Library, EntryPoint = "cfmakeraw")]
    private static partial void MakeRaw([In, Out] byte[] settings);

    [LibraryImport(Library, EntryPoint = "poll")]
    private static partial int Poll(ref PollEntry entries, nuint count, int milliseconds);

    [LibraryImport(Library, EntryPoint = "read", SetLastError = true)]
    private static partial nint Read(int file, [Out] byte[] bytes, nint count);

    [LibraryImport(Library, EntryPoint = "write")]
    private static partial nint Write(int file, byte[] bytes, nint count);

    [LibraryImport(Library, EntryPoint = "close")] private static partial int CloseFile(int file);
}
