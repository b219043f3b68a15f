using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;
using static Ringdown.Tests.SerialPort;

namespace Ringdown.Tests;

/// <summary>The serial drivers of samples, in C and in C#, with a UART.</summary>
public sealed class SerialTests
{
    sealed record Rig(TestMachine Machine, Uart16550 Uart, Driver Driver, DeviceNode Node) : IDisposable
    {
        public List<byte> Sent { get; } = [];

        public void Dispose() => Machine.Dispose();

        // Everything goes in the end, and nothing is left.
        public void End()
        {
            if (Node.State != DeviceNodeState.Deleted) Machine.Nt.User.Devices.PullOut(Node);
            Machine.Nt.User.RunUntilIdle();
            Assert.True(Machine.Unload(Driver));
            Assert.Empty(Machine.Findings);
        }
    }

    static Rig Make(string language)
    {
        Uart16550? uart = null;
        var m = new TestMachine(new KernelOptions { Board = computer => uart = BuildIn(computer) });
        Driver driver = language == "c" ? m.Load(Repository.Sample("serial"))
            : m.Nt.Loader.Load("serial", NewSerial());
        var rig = new Rig(m, uart!, driver, Plug(m));
        Assert.Equal((DeviceProblem.None, STATUS_SUCCESS), (rig.Node.Problem, rig.Node.ProblemStatus));
        uart!.Sent = rig.Sent.Add;
        return rig;
    }

    static NtDriver NewSerial() => new Ringdown.Samples.Serial();

    static byte[] Bytes(int count) => [.. Enumerable.Range(0, count).Select(i => (byte)(i * 7 + (i >> 8)))];

    static void Settings(UserFile file, params uint[] timeouts)
    {
        Assert.Equal(STATUS_SUCCESS, file.DeviceIoControl(SetBaud, Words(115200), 0).Status);
        Assert.Equal(STATUS_SUCCESS, file.DeviceIoControl(SetTimeouts, Words(timeouts), 0).Status);
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void A_port_starts_has_a_name_and_goes(string language)
    {
        using Rig rig = Make(language);
        TestMachine m = rig.Machine;
        Assert.Contains((@"\??\COM1", @"\Device\Serial0"), m.Nt.Links());
        Assert.Equal("COM1", m.Nt.Cm.Find(@"\Registry\Machine\Hardware\DeviceMap\SERIALCOMM")!
            .Node.FindValue(@"\Device\Serial0")!.Text);
        UserFile file = m.Open(@"\\.\COM1");
        Assert.Equal(STATUS_ACCESS_DENIED, m.Nt.User.CreateFile(@"\\.\COM1", out _));
        file.Close();
        rig.End();
        Assert.DoesNotContain(m.Nt.Links(), l => l.Link.Contains("COM1"));
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void Bytes_go_out_and_come_in_by_interrupts(string language)
    {
        using Rig rig = Make(language);
        UserFile file = rig.Machine.Open(@"\\.\COM1");
        Settings(file, 0, 0, 0, 0, 0);
        byte[] bytes = Bytes(3000);
        UserRequest written = file.Write(bytes);
        Assert.Equal((STATUS_SUCCESS, 3000UL), (written.Status, written.Information));
        rig.Machine.Nt.User.RunUntilIdle();
        Assert.Equal(bytes, rig.Sent);
        rig.Uart.Receive(bytes);
        UserRequest read = file.Read(3000);
        Assert.Equal((STATUS_SUCCESS, 3000UL), (read.Status, read.Information));
        Assert.Equal(bytes, read.Output);
        Assert.Equal(Words(3000, 3000, 0, 0, 0, 0), file.DeviceIoControl(GetStats, [], 24).Output);
        file.Close();
        rig.End();
    }

    [Fact]
    public void A_terminal_programs_requests_have_the_same_results_in_both_languages() =>
        SampleScript.Compare([], [new("serial", NewSerial)], s =>
        {
            DeviceNode node = Plug(s.Machine);
            UserFile file = s.Open("COM1");
            foreach (uint code in (uint[])[GetBaud, GetLine, GetTimeouts, GetChars, GetFlow, GetDtrRts, GetMask,
                GetCommStatus, GetProperties, ConfigSize, GetStats, GetModemControl, GetModemStatus, 0x1B0FFC])
            {
                s.Control(file, code, [], 64);
                s.Control(file, code, [], 2);
            }
            s.Control(file, SetBaud, Words(0), 0);
            s.Control(file, SetBaud, Words(230400), 0);
            s.Control(file, SetBaud, Words(57600), 0);
            s.Control(file, SetLine, [2, 2, 7], 0);
            s.Control(file, SetLine, [1, 0, 8], 0);
            s.Control(file, GetLine, [], 3);
            s.Control(file, SetLine, [0, 0, 8], 0);
            s.Control(file, SetChars, [1, 2, 3, 4, 5, 6], 0);
            s.Control(file, GetChars, [], 6);
            s.Control(file, SetQueueSize, Words(8192, 0), 0);
            s.Control(file, SetFlow, Words(3, 0, 0, 0), 0);
            s.Control(file, SetFlow, Words(1, 0x40, 10, 9000), 0);
            s.Control(file, ClearDtr, [], 0);
            s.Control(file, GetDtrRts, [], 4);
            s.Control(file, GetModemStatus, [], 4);
            s.Control(file, SetFlow, Words(2, 0x80, 100, 100), 0);
            s.Control(file, SetDtr, [], 0);
            s.Control(file, ClearRts, [], 0);
            s.Control(file, SetFlow, Words(1, 0x40, 100, 100), 0);
            // Back over the loop, with each kind of time-out.
            s.Control(file, SetTimeouts, Words(uint.MaxValue, 0, 0, 0, 0), 0);
            s.Read(file, 10);
            s.Write(file, "abcdef"u8);
            s.Machine.Nt.User.RunUntilIdle();
            s.Read(file, 10);
            s.Control(file, SetTimeouts, Words(uint.MaxValue, uint.MaxValue, 50, 0, 0), 0);
            s.Read(file, 10);
            s.Write(file, "g"u8);
            s.Read(file, 10);
            s.Control(file, SetTimeouts, Words(0, 2, 30, 0, 0), 0);
            s.Write(file, "hij"u8);
            s.Read(file, 10);
            s.Control(file, SetTimeouts, Words(5, 0, 0, 0, 0), 0);
            s.Write(file, "klm"u8);
            s.Read(file, 10);
            s.Control(file, SetTimeouts, Words(0, 0, 0, 0, 1), 0);
            s.Write(file, new byte[2000]);
            s.Machine.Nt.User.RunUntilIdle();
            s.Control(file, Purge, Words(15), 0);
            s.Control(file, Purge, Words(16), 0);
            s.Control(file, SetTimeouts, Words(uint.MaxValue, uint.MaxValue, uint.MaxValue, 0, 0), 0);
            s.Control(file, SetTimeouts, Words(0, 0, 0, 0, 0), 0);
            s.Read(file, 0);
            Waits(s, file);
            s.Close(file);
            s.Note($"pulled out {s.Machine.Nt.User.Devices.PullOut(node)}");
        }, computer => BuildIn(computer).LoopBack());

    // Requests that pend: canceled, purged, aborted at the end.
    static void Waits(SampleScript s, UserFile file)
    {
        IoRequest first = s.Start(file, 4), second = s.Start(file, 8), third = s.Start(file, 2);
        s.Cancel(second);
        s.Write(file, "12345"u8);
        s.Machine.Nt.User.RunUntilIdle();
        s.Cancel(third);
        s.Finish();
        s.Start(file, 4);
        s.Control(file, Purge, Words(2), 0);
        s.Finish();
        s.Control(file, WaitOnMask, [], 4);
        s.Control(file, SetMask, Words(1), 0);
        s.Start(file, 4, WaitOnMask);
        s.Control(file, WaitOnMask, [], 4);
        s.Control(file, SetMask, Words(5), 0);
        s.Finish();
        s.Start(file, 4, WaitOnMask);
        s.Write(file, "x"u8);
        s.Machine.Nt.User.RunUntilIdle();
        s.Finish();
        s.Control(file, ImmediateChar, [0x21], 0);
        s.Machine.Nt.User.RunUntilIdle();
        s.Control(file, GetCommStatus, [], 20);
        s.Control(file, SetXoff, [], 0);
        s.Start(file, 4, WaitOnMask);
        s.Control(file, SetXon, [], 0);
        s.Control(file, ClearStats, [], 0);
        s.Control(file, GetStats, [], 24);
        s.Start(file, 100);
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void Nothing_is_sent_while_the_other_end_is_not_ready(string language)
    {
        using Rig rig = Make(language);
        UserFile file = rig.Machine.Open(@"\\.\COM1");
        Settings(file, 0, 0, 0, 0, 100);
        Assert.Equal(STATUS_SUCCESS, file.DeviceIoControl(SetFlow, Words(9, 0x80, 1000, 1000), 0).Status);
        UserRequest held = file.Write(Bytes(100));
        Assert.Equal((STATUS_TIMEOUT, 0UL), (held.Status, held.Information));
        Assert.Equal(1u, BitConverter.ToUInt32(file.DeviceIoControl(GetCommStatus, [], 20).Output, 4));
        rig.Uart.Inputs = ModemInputs.ClearToSend;
        Assert.Equal(100UL, file.Write(Bytes(100)).Information);
        rig.Machine.Nt.User.RunUntilIdle();
        Assert.Equal(Bytes(100), rig.Sent);
        // The driver holds up the other end itself when its ring is nearly full.
        Assert.True(rig.Uart.RequestToSend);
        rig.Uart.Receive(Bytes(3100));
        rig.Machine.Nt.User.RunUntilIdle();
        Assert.False(rig.Uart.RequestToSend);
        Assert.Equal(2100UL, file.Read(2100).Information);
        Assert.True(rig.Uart.RequestToSend);
        file.Close();
        Assert.False(rig.Uart.RequestToSend || rig.Uart.DataTerminalReady);
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void A_port_that_is_pulled_out_ends_what_waits(string language)
    {
        using Rig rig = Make(language);
        UserFile file = rig.Machine.Open(@"\\.\COM1");
        Settings(file, 0, 0, 0, 0, 0);
        UserRequest read = file.Read(16);
        Assert.Equal(STATUS_PENDING, read.Status);
        rig.Machine.Nt.Computer.Ports.Devices.Remove(rig.Uart.Registers);
        Assert.Equal(STATUS_SUCCESS, rig.Machine.Nt.User.Devices.PullOut(rig.Node));
        Assert.Equal(STATUS_DEVICE_REMOVED, read.Status);
        Assert.Equal(STATUS_DEVICE_REMOVED, file.Write([1]).Status);
        Assert.Equal(STATUS_DEVICE_REMOVED, file.DeviceIoControl(GetBaud, [], 4).Status);
        file.Close();
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void Power_down_holds_requests_and_power_up_goes_on(string language)
    {
        using Rig rig = Make(language);
        UserFile file = rig.Machine.Open(@"\\.\COM1");
        Settings(file, 0, 0, 0, 0, 0);
        SetPower(4);
        UserRequest written = file.Write(Bytes(100));
        Assert.Equal(STATUS_PENDING, written.Status);
        // What the chip was set to is gone.
        rig.Uart.Registers.Write(3, 1, 0);
        SetPower(1);
        rig.Machine.Nt.User.RunUntilIdle();
        Assert.Equal((STATUS_SUCCESS, 100UL), (written.Status, written.Information));
        Assert.Equal(Bytes(100), rig.Sent);
        file.Close();
        rig.End();

        void SetPower(uint state)
        {
            rig.Machine.Nt.PoRequestPowerIrp(rig.Node.PhysicalDevice, 2, state, Va.Null, Va.Null, Va.Null);
            rig.Machine.Nt.User.RunUntilIdle();
        }
    }
}
