using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Verifier;

namespace Ringdown.Tests;

/// <summary>A machine with a driver that may do anything: what programs and plug and play can ask of it is asked in an
/// order of chance, until it stops the machine or is unloaded.</summary>
/// <param name="board">Builds its devices.</param>
/// <param name="before">What is loaded before it.</param>
sealed class DriverTrial(DriverFile file, Action<Computer>? board, ulong seed, params IReadOnlyList<DriverFile> before)
{
    const int Steps = 24;
    const long Instructions = 1_000_000;

    readonly Chance _chance = new(seed);
    readonly FindingList _findings = new();
    readonly List<UserFile> _files = [];
    IReadOnlyList<uint> _codes = [];

    /// <summary>What stopped the machine; null: it was shut down.</summary>
    public MachineStop? Stop { get; private set; }

    /// <summary>Whether the driver came so far that requests were sent to it.</summary>
    public bool WasLoaded { get; private set; }

    /// <summary>Whether one of its devices could be opened.</summary>
    public bool WasOpened { get; private set; }

    /// <returns>What was found and when it ended: the same for the same seed.</returns>
    public string Run()
    {
        _codes = file.FindControlCodes();
        using var session = new DriverSession(file, new SessionOptions
        {
            Seed = seed,
            InstructionLimit = Instructions,
            Board = board,
            Before = before,
            Processors = _chance.OneIn(4) ? 2 : 1,
        }, _findings);
        WasLoaded = session.Load();
        if (WasLoaded)
        {
            session.Do("opening", () => OpenAll(session));
            WasOpened = _files.Count > 0;
            for (int i = 0; i < Steps && session.IsRunning; i++) session.Do($"step {i}", () => Step(session));
            session.Do("closing", () => _files.ForEach(f => f.Close()));
            if (session.IsRunning) session.Unload();
        }
        Stop = session.Stop;
        return string.Join("\n", _findings.All.Select(f => $"{f.Key} {f.Message} {f.During} {f.Count}"))
            + $"\n{Stop?.Message} {session.Nt.Nanoseconds}";
    }

    void OpenAll(DriverSession session)
    {
        const int most = 8;
        string[] paths = [.. session.Nt.DevicesOf(session.Driver!).Select(d => d.Name).Where(n => n.Length > 0),
            .. session.Devices.SelectMany(d => d.Interfaces)];
        foreach (string path in paths.Take(most))
            if (session.Nt.User.CreateFile(path, out UserFile? opened).IsSuccess) _files.Add(opened!);
    }

    void Step(DriverSession session)
    {
        if (_chance.OneIn(3) && session.Devices.Count > 0) Happen(session, Any(session.Devices));
        else if (_files.Count > 0) Request(Any(_files));
        if (_chance.OneIn(4)) session.Nt.User.RunUntilIdle();
    }

    T Any<T>(IReadOnlyList<T> all) => all[_chance.Next(all.Count)];

    void Request(UserFile file)
    {
        byte[] data = new byte[_chance.OneIn(3) ? 0 : _chance.Next(1025)];
        _chance.Fill(data);
        switch (_chance.Next(6))
        {
            case 0:
                file.Read((uint)_chance.Next(2) * 512, _chance.Next(16) * 512);
                break;
            case 1:
                file.Write(data.AsSpan(0, data.Length & ~511), _chance.Next(16) * 512);
                break;
            case 2:
                file.Cancel();
                break;
            case 3:
                file.Flush();
                break;
            default:
                uint code = _codes.Count > 0 && !_chance.OneIn(8) ? Any(_codes) : (uint)_chance.Next();
                file.DeviceIoControl(code, data, (uint)_chance.Next(2048));
                break;
        }
    }

    void Happen(DriverSession session, DeviceNode device)
    {
        const long sleepTicks = 10_000_000;
        DeviceTree devices = session.Nt.User.Devices;
        switch (_chance.Next(12))
        {
            case 0:
                devices.Rebalance(device);
                break;
            case 1:
                session.Nt.SetSystemState((SystemState)(2 + _chance.Next(3)), sleepTicks);
                break;
            case 2:
                devices.Disable(device);
                break;
            case 3:
                devices.Enable(device);
                break;
            case 4:
                devices.PullOut(device);
                break;
            case 5:
                devices.Eject(device);
                break;
            case 6:
                devices.Rescan();
                break;
            case 7:
                session.Nt.DirectPower(_chance.OneIn(2));
                break;
            case 8:
                foreach (WmiGuid known in session.Nt.User.Wmi.Guids)
                    session.Nt.User.Wmi.QueryAllData(known.Guid, out _);
                break;
            default:
                devices.Send(device, (byte)_chance.Next(0x1A), (uint)_chance.Next(8));
                break;
        }
    }
}
