using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>What a <see cref="DiskWalk"/> has done.</summary>
record struct DiskWalkCounts(
    long Written, long Read, int Requests, int Failed, int Flushes, int Cancels, int Sleeps, int PowerDowns,
    int PowerLosses, int Removals);

/// <summary>A program that reads and writes a disk here and there, several requests at a time, while requests are
/// canceled, the machine sleeps, power goes and comes, and the disk is pulled out and put back. What was flushed must
/// be there, and each request must end once.</summary>
/// <param name="plug">Makes the device and starts it.</param>
/// <exception cref="InvalidOperationException">Thrown by all of its methods: a rule is broken.</exception>
sealed partial class DiskWalk(NtKernel nt, AtaChannel channel, IDisk medium, Func<DeviceNode> plug, ulong seed)
{
    const int Slots = 12, MostSectors = 512, MostBytes = MostSectors * DiskContents.SectorBytes;
    const int BetweenEvents = 16;

    /// <summary>A request that may be under way.</summary>
    sealed class Slot(Va buffer, Win32Overlapped overlapped)
    {
        public Va Buffer { get; } = buffer;
        public Win32Overlapped Overlapped { get; } = overlapped;
        public bool IsBusy { get; set; }
        public long Sector { get; set; }
        public int Count { get; set; }

        /// <summary>The number of the write; 0: it reads.</summary>
        public uint Write { get; set; }

        /// <summary>It was canceled, or its disk had no power or was not there.</summary>
        public bool MayFail { get; set; }

        /// <summary>The drive has lost its power meanwhile.</summary>
        public bool HasLost { get; set; }
    }

    readonly Chance _chance = new(seed);
    readonly DiskContents _contents = new(medium.Sectors);
    readonly Slot[] _slots = new Slot[Slots];
    readonly byte[] _bytes = new byte[MostBytes];
    DiskWalkCounts _done;
    DeviceNode _node = null!;
    Handle _file, _port;
    int _opens;

    Win32 Win32 => nt.User.Win32;

    public DiskWalkCounts Done => _done;

    static InvalidOperationException Wrong(string what) => new(what);

    static void Must(bool holds, string what)
    {
        if (!holds) throw Wrong(what);
    }

    /// <summary>Puts the disk in and opens it.</summary>
    public void Begin()
    {
        for (int i = 0; i < Slots; i++) _slots[i] = new Slot(Win32.VirtualAlloc(MostBytes), Win32.NewOverlapped());
        _port = Win32.CreateIoCompletionPort(default, default, Va.Null, 0).Handle;
        PutIn();
    }

    void PutIn()
    {
        channel.Connect(0, new AtaDrive(medium, "WALK"));
        _node = plug();
        Must(_node.IsStarted, $"The disk does not start: {_node.Problem}, {_node.ProblemStatus}.");
        Win32Result opened = Win32.CreateFile($@"\\.\AtaDisk{_opens++ % 10}", flags: Win32.FILE_FLAG_OVERLAPPED);
        Must(opened.Succeeded, $"It cannot be opened: {opened.Error}.");
        _file = opened.Handle;
        Must(Win32.CreateIoCompletionPort(_file, _port, new Va((ulong)_opens), 0).Succeeded, "The port takes no file.");
    }

    /// <summary>Writes so many bytes, reads about as many, and does all that may happen to a disk in between.</summary>
    public void Run(long bytes)
    {
        while (_done.Written < bytes)
        {
            // It may have happened so often already that nothing is free.
            if (!Send()) Reap(Win32.INFINITE);
            if (_chance.OneIn(BetweenEvents)) Happen();
        }
        Drain();
    }

    /// <summary>Flushes, loses power, and reads all of the disk; then closes it.</summary>
    public void Verify()
    {
        Flush();
        channel.PowerOff();
        _contents.Lose();
        channel.PowerOn();
        for (long sector = 0; sector < _contents.Sectors; sector += MostSectors)
        {
            Slot slot = Free() ?? throw Wrong("A request has not ended.");
            Start(slot, sector, (int)Math.Min(MostSectors, _contents.Sectors - sector), isWrite: false);
            Reap(Win32.INFINITE);
        }
        Drain();
        Must(Win32.CloseHandle(_file).Succeeded, "The file cannot be closed.");
    }

    Slot? Free() => Array.Find(_slots, s => !s.IsBusy);

    // False: there is no room for another one.
    bool Send()
    {
        if (Free() is not { } slot) return false;
        bool isWrite = _chance.OneIn(2);
        int count = 1 + _chance.Next(_chance.OneIn(3) ? 16 : MostSectors);
        long sector = _chance.Next((int)(_contents.Sectors - count + 1));
        if (Array.Exists(_slots, s => s.IsBusy && (isWrite || s.Write != 0) && s.Sector < sector + count
            && sector < s.Sector + s.Count)) return true;
        Start(slot, sector, count, isWrite);
        return true;
    }

    void Start(Slot slot, long sector, int count, bool isWrite)
    {
        Span<byte> bytes = _bytes.AsSpan(0, count * DiskContents.SectorBytes);
        (slot.Sector, slot.Count, slot.IsBusy) = (sector, count, true);
        slot.Write = isWrite ? _contents.Begin(sector, count) : 0;
        (slot.MayFail, slot.HasLost) = (_isOff, false);
        slot.Overlapped.Offset = sector * DiskContents.SectorBytes;
        if (isWrite) DiskContents.Fill(bytes, sector, slot.Write);
        else bytes.Fill(0xCC);
        Win32.WriteMemory(slot.Buffer, bytes);
        _done.Requests++;
        Win32Result sent = isWrite ? Win32.WriteFile(_file, slot.Buffer, (uint)bytes.Length, slot.Overlapped)
            : Win32.ReadFile(_file, slot.Buffer, (uint)bytes.Length, slot.Overlapped);
        // An error at once comes to no port.
        if (!sent.Succeeded && sent.Error != Win32.ERROR_IO_PENDING) End(slot, sent);
    }

    /// <summary>Takes what has ended from the port; waits for one of them.</summary>
    void Reap(uint milliseconds)
    {
        foreach (QueuedCompletion packet in Win32.GetQueuedCompletionStatusEx(
            _port, Slots, milliseconds, alertable: false).Packets)
        {
            Slot slot = Array.Find(_slots, s => s.Overlapped.Address == packet.Overlapped)
                ?? throw Wrong($"A packet of nobody: {packet}.");
            Must(slot.IsBusy, $"A request of sector {slot.Sector:x} has ended twice.");
            End(slot, packet.Result);
        }
    }

    void Drain()
    {
        // As often as each could end by itself, and once more.
        for (int i = 0; i <= Slots && Array.Exists(_slots, s => s.IsBusy); i++) Reap(Win32.INFINITE);
        Must(Array.TrueForAll(_slots, s => !s.IsBusy), "A request never ends.");
        Must(Win32.GetQueuedCompletionStatus(_port, 0).Result.Error == Win32.WAIT_TIMEOUT, "A packet too many.");
    }

    void End(Slot slot, Win32Result result)
    {
        slot.IsBusy = false;
        uint bytes = (uint)slot.Count * DiskContents.SectorBytes;
        bool isWrite = slot.Write != 0;
        string name = $"{(isWrite ? "write" : "read")} of {slot.Count} sectors from {slot.Sector:x} on";
        Must(result.Succeeded ? result.Bytes == bytes : slot.MayFail,
            $"A {name} has ended with error {result.Error}, {result.Bytes} bytes.");
        if (!result.Succeeded) _done.Failed++;
        if (isWrite)
        {
            _contents.End(slot.Sector, slot.Count, slot.Write, result.Succeeded && !slot.HasLost);
            if (result.Succeeded) _done.Written += bytes;
        }
        else if (result.Succeeded)
        {
            nt.Memory.Read(slot.Buffer, _bytes.AsSpan(0, (int)bytes));
            if (_contents.Look(_bytes.AsSpan(0, (int)bytes), slot.Sector, !slot.HasLost) is { } wrong)
                throw Wrong($"A {name}: {wrong}.");
            _done.Read += bytes;
        }
    }
}
