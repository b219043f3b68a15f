using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;

namespace Ringdown.Tests;

/// <summary>A machine with a UART, for the serial drivers of samples, and what a terminal program says to
/// them.</summary>
static class SerialPort
{
    public const uint SetBaud = 0x1B0004, SetQueueSize = 0x1B0008, SetLine = 0x1B000C, SetBreakOn = 0x1B0010,
        SetBreakOff = 0x1B0014, ImmediateChar = 0x1B0018, SetTimeouts = 0x1B001C, GetTimeouts = 0x1B0020,
        SetDtr = 0x1B0024, ClearDtr = 0x1B0028, SetRts = 0x1B0030, ClearRts = 0x1B0034, SetXoff = 0x1B0038,
        SetXon = 0x1B003C, GetMask = 0x1B0040, SetMask = 0x1B0044, WaitOnMask = 0x1B0048, Purge = 0x1B004C,
        GetBaud = 0x1B0050, GetLine = 0x1B0054, GetChars = 0x1B0058, SetChars = 0x1B005C, GetFlow = 0x1B0060,
        SetFlow = 0x1B0064, GetModemStatus = 0x1B0068, GetCommStatus = 0x1B006C, GetProperties = 0x1B0074,
        GetDtrRts = 0x1B0078, ConfigSize = 0x1B0080, GetStats = 0x1B008C, ClearStats = 0x1B0090,
        GetModemControl = 0x1B0094;

    /// <summary>Builds a UART in at 0x3F8 and line 4.</summary>
    public static Uart16550 BuildIn(Computer computer)
    {
        var uart = new Uart16550(computer.Clock, computer.Interrupts.Line(4));
        computer.Ports.Devices.Add(0x3F8, 8, uart.Registers);
        computer.Chips.Add(uart);
        return uart;
    }

    /// <summary>Plugs the port in, as a device that the loaded driver <c>serial</c> drives.</summary>
    public static DeviceNode Plug(TestMachine m) => m.Nt.User.Devices.AddRootDevice(
        @"Root\Serial", "serial", RequirementText.Parse("ports 3F8-3FF", "line 4-4"));

    /// <summary>Numbers as a control code's input has them.</summary>
    public static byte[] Words(params uint[] words) => [.. words.SelectMany(BitConverter.GetBytes)];
}
