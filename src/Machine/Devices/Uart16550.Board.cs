using System.Globalization;

namespace Ringdown.Machine;

// How a board describes it, and its wire out of the process.
public sealed partial class Uart16550 : IWireEnd
{
    const string TcpPlug = "tcp:";
    const ModemInputs Present = ModemInputs.ClearToSend | ModemInputs.DataSetReady | ModemInputs.CarrierDetect;

    internal static Uart16550 Make(Computer computer, ChipPlace place)
    {
        place.Only("plug");
        place.Identify("PNP0501", "16550A-compatible COM port", "PNP0500");
        var uart = new Uart16550(computer.Clock, place.FindLine(computer));
        place.Put(computer, 8, uart.Registers);
        if (place.Description.Text("plug") is not { } plug) return uart;
        if (plug == "loopback") uart.LoopBack();
        else if (plug != "pty" && !IsTcp(plug))
            throw place.Description.Wrong(
                "plug", $"\"{plug}\" is none of \"loopback\", \"pty\" and \"tcp:PORT\", with a port from 0 to 65535.");
        else if (computer.Host?.Connect(plug, uart) is { } why) throw place.Description.Wrong("plug", why);
        return uart;
    }

    static bool IsTcp(string plug) => plug.StartsWith(TcpPlug, StringComparison.Ordinal)
        && ushort.TryParse(plug.AsSpan(TcpPlug.Length), NumberStyles.None, CultureInfo.InvariantCulture, out _);

    /// <summary>Ties the plug's pins together: what is sent comes back, RTS is CTS, DTR is DSR and DCD.</summary>
    public void LoopBack()
    {
        Sent = Receive;
        ControlChanged = () => Inputs = (RequestToSend ? ModemInputs.ClearToSend : 0)
            | (DataTerminalReady ? ModemInputs.DataSetReady | ModemInputs.CarrierDetect : 0);
    }

    public void SetConnected(bool isConnected) => Inputs = isConnected ? Present : ModemInputs.None;
}
