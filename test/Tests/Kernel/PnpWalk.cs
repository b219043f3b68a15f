using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A device with its stack, a program that uses it, and others who ask for its power.</summary>
sealed partial class PnpWalk : IDisposable
{
    /// <summary>Commands: each minor of plug and play, what a user does, and what is asked of its power.</summary>
    public const int Minors = IRP_MN_DEVICE_ENUMERATED + 2, FirstOfPower = Minors + 12, Commands = FirstOfPower + 6,
        WaitsForWake = FirstOfPower + 2;

    const string Mailbox = """
        { "devices": [ { "chip": "registers", "map": [ { "name": "A", "offset": 0 } ],
          "pci": { "slot": 3, "id": "1234:5678", "wakes": true, "bars": ["memory"] } } ] }
        """;

    readonly TestMachine _m = new(new KernelOptions { Board = computer => Board.Parse(Mailbox).Attach(computer) });
    readonly List<UserFile> _files = [];
    readonly List<UserRequest> _requests = [];
    readonly Driver[] _drivers;
    readonly Va _powered;

    public PnpWalk(bool isC)
    {
        _drivers = isC
            ? [Load("lower", "passfilter"), Load("function", "function"), Load("upper", "passfilter")]
            : [_m.Nt.Loader.Load("lower", new PassFilter()), _m.Nt.Loader.Load("function", new Function()),
                _m.Nt.Loader.Load("upper", new PassFilter())];
        _m.Load(_judge);
        DeviceTree devices = _m.Nt.User.Devices;
        devices.Start();
        Node = devices.Find(@"PCI\VEN_1234&DEV_5678")!;
        foreach ((string value, string[] filters) in (ReadOnlySpan<(string, string[])>)
            [("LowerFilters", ["lower"]), ("UpperFilters", ["upper", nameof(PowerJudge)])])
            _m.Nt.Cm.Create(@"\Registry\Machine\System\CurrentControlSet\Enum\" + Node.InstancePath)
                .Set(value, RegistryValue.MultiString(filters));
        _powered = _m.Routine(_ => 0);
        _answered = _m.Routine(Answered);
        _ended = _m.Routine(WaitEnded);
        _place = _m.Block(8);
        Assert.Equal(STATUS_SUCCESS, devices.SetDriver(Node, "function"));
        Assert.True(Node.IsStarted);
    }

    Driver Load(string name, string file)
    {
        PeImage image = PeImage.Parse(File.ReadAllBytes(Repository.Sample(file)));
        return _m.Nt.Loader.Load(name, image, new Symbols(image, null));
    }

    public DeviceNode Node { get; }
    public List<string> Seen { get; } = [];

    public void Do(int what, uint detail)
    {
        DeviceNodeState before = _before = Node.State;
        NtStatus status = what < Minors ? _m.Nt.User.Devices.Send(Node, (byte)what, detail)
            : Other(what - Minors, detail);
        Seen.Add($"{before} {what:X2} {status}");
        Assert.NotEqual(STATUS_PENDING, status);
        // Of the device that is gone nobody waits for anything.
        if (Node.State is not (SurpriseRemoved or Removed)) return;
        Assert.All(_requests, r => Assert.NotEqual(STATUS_PENDING, r.Status));
        Assert.True(_waiting.IsNull);
    }

    NtStatus Other(int what, uint detail)
    {
        DeviceTree devices = _m.Nt.User.Devices;
        switch (what)
        {
            case 0 or 1:
                return Open();
            case 2:
                return Each(f => _requests.Add(f.Read(8)));
            case 3:
                return Each(f => _requests.Add(f.Write([1, 2, 3])));
            case 4:
                return Each(f => f.Cancel());
            case 5:
                return Close();
            case 6:
                return Node.IsStarted ? Sleep(isWoken: detail % 2 == 0) : STATUS_INVALID_DEVICE_STATE;
            case 7 or 8:
                return Power(what == 7 ? 4u : 1u);
            case 9:
                return devices.Rebalance(Node);
            case 10:
                return Node.State is Started or Removed ? devices.Disable(Node) : STATUS_INVALID_DEVICE_STATE;
            case 11:
                return Node.State == Removed ? devices.Enable(Node) : STATUS_INVALID_DEVICE_STATE;
            default:
                return AskOfPower(Minors + what - FirstOfPower, detail);
        }
    }

    NtStatus Each(Action<UserFile> action)
    {
        foreach (UserFile file in _files) action(file);
        return STATUS_SUCCESS;
    }

    NtStatus Open()
    {
        if (_files.Count > 3 || Node.Interfaces.FirstOrDefault() is not { } link) return STATUS_NO_SUCH_DEVICE;
        NtStatus status = _m.Nt.User.CreateFile(link, out UserFile? file);
        if (file is not null) _files.Add(file);
        return status;
    }

    NtStatus Close()
    {
        if (_files.Count == 0) return STATUS_SUCCESS;
        UserFile last = _files[^1];
        _files.RemoveAt(_files.Count - 1);
        NtStatus status = last.Close();
        _m.Nt.User.RunUntilIdle();
        return status;
    }

    // Somebody else's driver asks for the device's power.
    NtStatus Power(uint state)
    {
        if (Node.State is not (Started or QueryStopped or QueryRemoved)) return STATUS_INVALID_DEVICE_STATE;
        NtStatus status = _m.Nt.PoRequestPowerIrp(
            Node.PhysicalDevice, IRP_MN_SET_POWER, state, _powered, Va.Null, Va.Null);
        _m.Nt.User.RunUntilIdle();
        return status == STATUS_PENDING ? STATUS_SUCCESS : status;
    }

    /// <summary>Everything ends as it does on a computer that is turned off by its user.</summary>
    public void End()
    {
        while (_files.Count > 0) Close();
        if (Node.State is not (Removed or Deleted))
        {
            if (Node.State == QueryStopped) Do(IRP_MN_CANCEL_STOP_DEVICE, 0);
            if (Node.State == QueryRemoved) Do(IRP_MN_CANCEL_REMOVE_DEVICE, 0);
            if (Node.State == Stopped) Do(IRP_MN_START_DEVICE, 0);
            Assert.Equal(STATUS_SUCCESS, _m.Nt.User.Devices.Uninstall(Node));
        }
        Assert.All(_requests, r => Assert.NotEqual(STATUS_PENDING, r.Status));
        Assert.True(_waiting.IsNull);
        Assert.True(_m.Unload(_m.Nt.Loader.Drivers.First(d => d.Name == nameof(PowerJudge))));
        for (int i = _drivers.Length - 1; i >= 0; i--) Assert.True(_m.Unload(_drivers[i]));
        Assert.Empty(_m.Findings);
    }

    public void Dispose() => _m.Dispose();
}
