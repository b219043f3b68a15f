using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>Every minor of plug and play and of power, in every order that NT allows, with requests on their way: to a
/// function driver between two filters, in C and in C#.</summary>
public sealed class PnpStateTests
{
    const int Minors = IRP_MN_DEVICE_ENUMERATED + 2, Others = 12;

    /// <summary>A device with its stack, and a program that uses it.</summary>
    sealed class Walk : IDisposable
    {
        readonly TestMachine _m = new();
        readonly List<UserFile> _files = [];
        readonly List<UserRequest> _requests = [];
        readonly Driver[] _drivers;
        readonly Va _powered;

        public Walk(bool isC)
        {
            _drivers = isC
                ? [Load("lower", "passfilter"), Load("function", "function"), Load("upper", "passfilter")]
                : [_m.Nt.Loader.Load("lower", new PassFilter()), _m.Nt.Loader.Load("function", new Function()),
                    _m.Nt.Loader.Load("upper", new PassFilter())];
            foreach ((string value, string filter) in (ReadOnlySpan<(string, string)>)
                [("LowerFilters", "lower"), ("UpperFilters", "upper")])
                _m.Nt.Cm.Create(@"\Registry\Machine\System\CurrentControlSet\Enum\ROOT\Mailbox\0000")
                    .Set(value, RegistryValue.MultiString(filter));
            _powered = _m.Routine(_ => 0);
            Node = _m.Nt.User.Devices.AddRootDevice(@"Root\Mailbox", "function");
            Assert.True(Node.IsStarted);
        }

        Driver Load(string name, string file)
        {
            PeImage image = PeImage.Parse(File.ReadAllBytes(Repository.Sample(file)));
            return _m.Nt.Loader.Load(name, image, new Symbols(image, null));
        }

        public DeviceNode Node { get; private set; }
        public List<string> Seen { get; } = [];

        public void Do(int what, uint detail)
        {
            DeviceNodeState before = Node.State;
            NtStatus status = what < Minors ? _m.Nt.User.Devices.Send(Node, (byte)what, detail) : Other(what - Minors);
            Seen.Add($"{before} {what:X2} {status}");
            Assert.NotEqual(STATUS_PENDING, status);
            // Of the device that is gone nobody waits for anything.
            if (Node.State is SurpriseRemoved or Removed)
                Assert.All(_requests, r => Assert.NotEqual(STATUS_PENDING, r.Status));
        }

        NtStatus Other(int what)
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
                    return Node.IsStarted ? _m.Nt.SetSystemState(SystemState.Sleeping3, 10_000_000)
                        : STATUS_INVALID_DEVICE_STATE;
                case 7 or 8:
                    return Power(what == 7 ? 4u : 1u);
                case 9:
                    return devices.Rebalance(Node);
                case 10:
                    return Node.State is Started or Removed ? devices.Disable(Node) : STATUS_INVALID_DEVICE_STATE;
                default:
                    return Node.State == Removed ? devices.Enable(Node) : STATUS_INVALID_DEVICE_STATE;
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
            for (int i = _drivers.Length - 1; i >= 0; i--) Assert.True(_m.Unload(_drivers[i]));
            Assert.Empty(_m.Findings);
        }

        public void Dispose() => _m.Dispose();
    }

    static void Check(bool isC, int count)
    {
        var seen = new HashSet<string>();
        // Orders come four times as often as questions, and what a user does twice as often.
        int[] choices = [.. Enumerable.Range(0, Minors + Others).SelectMany(what => Enumerable.Repeat(what,
            what is <= IRP_MN_CANCEL_STOP_DEVICE or IRP_MN_SURPRISE_REMOVAL ? 4 : what < Minors ? 1 : 2))];
        Gen<(int, int)[]> walks = Gen.Elements(choices)
            .SelectMany(what => Gen.Choose(0, 7).Select(detail => (what, detail))).ArrayOf(40);
        Prop.ForAll(Arb.From(walks), walk =>
        {
            using var device = new Walk(isC);
            foreach ((int what, int detail) in walk) device.Do(what, (uint)detail);
            device.End();
            foreach (string step in device.Seen) seen.Add(step[..step.LastIndexOf(' ')]);
        }).Check(GuestText.Properties(count));
        // Each order that NT gives was given in each state in which it may.
        string[] steps = [$"{Started} 05", $"{QueryStopped} 06", $"{QueryStopped} 04", $"{Stopped} 00", $"{Started} 01",
            $"{QueryRemoved} 03", $"{QueryRemoved} 02", $"{Started} 17", $"{QueryStopped} 17", $"{Stopped} 17",
            $"{QueryRemoved} 17", $"{SurpriseRemoved} 02"];
        Assert.Empty(steps.Except(seen));
    }

    [Fact]
    public void A_stack_in_C_survives_every_order() => Check(isC: true, 60);

    [Fact]
    public void A_stack_in_CSharp_survives_every_order() => Check(isC: false, 60);
}
