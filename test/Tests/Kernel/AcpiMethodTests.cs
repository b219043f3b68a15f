using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Control methods, evaluated by the physical device objects of ACPI's bus driver.</summary>
public sealed class AcpiMethodTests
{
    const uint Eval = 0x32_C004, EvalEx = 0x32_C018;

    static (TestMachine Machine, DeviceObject Device) Boot()
    {
        var board = Board.Parse("""
            { "devices": [ { "chip": "uart16550", "ports": "0x3F8", "line": 4,
                "methods": { "NUM_": 42, "TXT_": "hello", "BIG_": 4294967296, "ALL_": [1, "x", [2]] } } ] }
            """);
        var m = new TestMachine(new KernelOptions { Board = computer => board.Attach(computer) });
        var rig = new BusRig(m, new AcpiDriver());
        rig.Start(rig.Bus, []);
        m.Nt.Computer.Firmware.Devices[0].Methods["SUM_"] = arguments => new AcpiInteger(arguments.Aggregate(0ul,
            (sum, a) => sum + (a is AcpiInteger i ? i.Value : a is AcpiText t ? (ulong)t.Value.Length : 0)));
        return (m, rig.Children()[0]);
    }

    static IoStatusBlock Ask(TestMachine m, DeviceObject device, byte[] input, uint room, out byte[] output,
        uint code = Eval)
    {
        Va buffer = m.Block(0x400);
        m.Nt.Memory.Write(buffer, input);
        Irp irp = m.Nt.IoAllocateIrp((sbyte)(device.StackSize + 1), false);
        irp.SystemBuffer = buffer;
        IoStackLocation next = irp.Next(IrpMajor.IRP_MJ_DEVICE_CONTROL);
        (next.IoControlCode, next.InputBufferLength, next.OutputBufferLength) = (code, (uint)input.Length, room);
        irp.OnCompletion(m.Keeping());
        m.Nt.IofCallDriver(device, irp);
        IoStatusBlock result = irp.IoStatus;
        m.Nt.IoFreeIrp(irp);
        output = m.Nt.Memory.ReadBytes(buffer, (int)result.Information);
        return result;
    }

    static byte[] Input(string signature, string name, params byte[] rest) =>
        [.. Encoding.ASCII.GetBytes(signature), .. Encoding.ASCII.GetBytes(name), .. rest];

    [Theory]
    [InlineData("NUM_", "41656F42140000000100000000000400" + "2A000000")]
    [InlineData("TXT_", "41656F42160000000100000001000600" + "68656C6C6F00")]
    [InlineData("BIG_", "41656F42180000000100000000000800" + "0000000001000000")]
    [InlineData("ALL_", "41656F42280000000300000000000400"
        + "01000000" + "0100020078000000" + "030008000000040002000000")]
    [InlineData("_STA", "41656F42140000000100000000000400" + "0F000000")]
    [InlineData("_UID", "41656F42140000000100000000000400" + "00000000")]
    [InlineData("_HID", "41656F42180000000100000001000800" + "504E503035303100")]
    [InlineData("_CRS", "41656F42230000000100000002001300" + "4701F803F8030108" + "890600030104000000" + "7900")]
    public void A_method_answers_with_arguments(string name, string expected)
    {
        (TestMachine m, DeviceObject device) = Boot();
        using TestMachine machine = m;
        IoStatusBlock result = Ask(m, device, Input("AeiB", name), 0x100, out byte[] output);
        Assert.Equal(STATUS_SUCCESS, result.Status);
        Assert.Equal(expected, Convert.ToHexString(output));
    }

    [Fact]
    public void A_buffer_that_is_too_short_gets_the_length_that_is_needed()
    {
        (TestMachine m, DeviceObject device) = Boot();
        using TestMachine machine = m;
        Assert.Equal(new IoStatusBlock(STATUS_BUFFER_OVERFLOW, 0x14),
            Ask(m, device, Input("AeiB", "TXT_"), 0x14, out byte[] output));
        Assert.Equal((0x16, 0), (BitConverter.ToInt32(output, 4), BitConverter.ToInt32(output, 8)));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, Ask(m, device, Input("AeiB", "TXT_"), 0x13, out _).Status);
        Assert.Equal(new IoStatusBlock(STATUS_SUCCESS, 0), Ask(m, device, Input("AeiB", "TXT_"), 0, out _));
    }

    [Fact]
    public void Arguments_come_in_four_forms()
    {
        (TestMachine m, DeviceObject device) = Boot();
        using TestMachine machine = m;
        int Sum(byte[] input, uint code = Eval)
        {
            Assert.Equal(STATUS_SUCCESS, Ask(m, device, input, 0x40, out byte[] output, code).Status);
            return BitConverter.ToInt32(output, 0x10);
        }
        Assert.Equal(0, Sum(Input("AeiB", "SUM_")));
        Assert.Equal(7, Sum(Input("AeiI", "SUM_", 7, 0, 0, 0)));
        Assert.Equal(3, Sum(Input("AeiS", "SUM_", 4, 0, 0, 0, 97, 98, 99, 0)));
        Assert.Equal(11, Sum(Input("AeiC", "SUM_", 0x20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4, 0, 9, 0, 0, 0,
            1, 0, 3, 0, 97, 98, 0, 0)));
        string longName = "SUM_".PadRight(256, '\0');
        Assert.Equal(0, Sum(Input("AeiA", longName), EvalEx));
        Assert.Equal(8, Sum(Input("AeiD", longName, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0), EvalEx));
    }

    [Fact]
    public void What_is_no_question_is_refused()
    {
        (TestMachine m, DeviceObject device) = Boot();
        using TestMachine machine = m;
        NtStatus Status(byte[] input, uint code = Eval) => Ask(m, device, input, 0x40, out _, code).Status;
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, Status(Input("AeiB", "NONE")));
        Assert.Equal(STATUS_INVALID_PARAMETER, Status(Input("XeiB", "NUM_")));
        Assert.Equal(STATUS_INVALID_PARAMETER, Status([1, 2, 3]));
        Assert.Equal(STATUS_INVALID_PARAMETER, Status([]));
        Assert.Equal(STATUS_INVALID_PARAMETER, Status(Input("AeiS", "NUM_", 255, 255, 255, 255)));
        Assert.Equal(STATUS_INVALID_PARAMETER, Status(Input("AeiC", "NUM_", 0, 0, 0, 0, 255, 255, 255, 255)));
        Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, Status(Input("AeiB", "NUM_"), 0x32_C040));
    }

    [Theory]
    [InlineData("""{ "TOOLONG": 1 }"""), InlineData("""{ "ABC_": true }"""), InlineData("[1]")]
    public void A_board_says_where_a_method_is_wrong(string methods) =>
        Assert.StartsWith("devices[0].methods", Assert.Throws<BoardException>(() => Board.Parse(
            $$"""{ "devices": [ { "chip": "uart16550", "ports": "0x3F8", "methods": {{methods}} } ] }""")).Message);
}
