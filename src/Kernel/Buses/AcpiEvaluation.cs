using System.Buffers.Binary;
using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Control methods of a device: what a caller asks, and the answer as IOCTL_ACPI_EVAL_METHOD has it.</summary>
static class AcpiEvaluation
{
    public const uint IOCTL_ACPI_EVAL_METHOD = 0x32_C004, IOCTL_ACPI_EVAL_METHOD_EX = 0x32_C018;

    /// <summary>sizeof(ACPI_EVAL_OUTPUT_BUFFER): its head, and one argument.</summary>
    public const int OutputBytes = 0x14;

    const int MaximumInput = 0x1_0000, OutputHead = 0x0C, ArgumentHead = 4, NameBytes = 4, LongNameBytes = 256;
    const uint OutputSignature = 0x426F_6541;      // 'BoeA'

    /// <summary>The four forms of input, plain and with a long name.</summary>
    const uint Plain = 0x4269_6541, Integer = 0x4969_6541, Text = 0x5369_6541, Complex = 0x4369_6541;
    const uint PlainEx = 0x4169_6541, IntegerEx = 0x4469_6541, TextEx = 0x4569_6541, ComplexEx = 0x4669_6541;

    enum Kind : ushort { Integer, String, Buffer, Package }

    /// <summary>Reads ACPI_EVAL_INPUT_BUFFER and its kin.</summary>
    /// <returns>False if it is none of them, or shorter than it says.</returns>
    public static bool TryParse(ReadOnlySpan<byte> input, bool isLong, out string name, out List<AcpiValue> arguments)
    {
        (name, arguments) = ("", []);
        int nameBytes = isLong ? LongNameBytes : NameBytes;
        if (input.Length < 4 + nameBytes) return false;
        name = Encoding.Latin1.GetString(input.Slice(4, nameBytes)).Split('\0')[0];
        uint signature = BinaryPrimitives.ReadUInt32LittleEndian(input);
        ReadOnlySpan<byte> rest = input[(4 + nameBytes)..];
        switch (signature)
        {
            case Plain when !isLong:
            case PlainEx when isLong:
                return true;
            case Integer when !isLong:
                if (rest.Length < 4) return false;
                arguments.Add(new AcpiInteger(BinaryPrimitives.ReadUInt32LittleEndian(rest)));
                return true;
            case IntegerEx when isLong:
                // Of 64 bits, on a boundary.
                if (rest.Length < 12) return false;
                arguments.Add(new AcpiInteger(BinaryPrimitives.ReadUInt64LittleEndian(rest[4..])));
                return true;
            case Text when !isLong:
            case TextEx when isLong:
                if (rest.Length < 4) return false;
                uint length = BinaryPrimitives.ReadUInt32LittleEndian(rest);
                if (length > rest.Length - 4) return false;
                arguments.Add(TextOf(rest.Slice(4, (int)length)));
                return true;
            case Complex when !isLong:
            case ComplexEx when isLong:
                // Size, then how many arguments there are.
                return rest.Length >= 8 && TryParseArguments(
                    rest[8..], BinaryPrimitives.ReadUInt32LittleEndian(rest[4..]), arguments);
            default:
                return false;
        }
    }

    static AcpiText TextOf(ReadOnlySpan<byte> bytes) => new(Encoding.Latin1.GetString(bytes).Split('\0')[0]);

    static bool TryParseArguments(ReadOnlySpan<byte> bytes, uint count, List<AcpiValue> arguments)
    {
        const uint maximumArguments = 7;
        if (count > maximumArguments) return false;
        for (uint i = 0; i < count; i++)
        {
            if (bytes.Length < ArgumentHead) return false;
            var kind = (Kind)BinaryPrimitives.ReadUInt16LittleEndian(bytes);
            int length = BinaryPrimitives.ReadUInt16LittleEndian(bytes[2..]), all = ArgumentHead + Math.Max(length, 4);
            if (bytes.Length < all) return false;
            ReadOnlySpan<byte> data = bytes.Slice(ArgumentHead, length);
            AcpiValue? value = kind switch
            {
                Kind.Integer when length == 8 => new AcpiInteger(BinaryPrimitives.ReadUInt64LittleEndian(data)),
                Kind.Integer => new AcpiInteger(BinaryPrimitives.ReadUInt32LittleEndian(bytes[ArgumentHead..])),
                Kind.String => TextOf(data),
                Kind.Buffer => new AcpiBuffer(data.ToArray()),
                // Packages within arguments are not taken apart.
                _ => null,
            };
            if (value is null) return false;
            arguments.Add(value);
            bytes = bytes[all..];
        }
        return true;
    }

    /// <summary>Evaluates a method that the board tells of, or one that every device has.</summary>
    /// <returns>STATUS_OBJECT_NAME_NOT_FOUND if there is none of the name.</returns>
    public static NtStatus Evaluate(
        FirmwareDevice device, string name, IReadOnlyList<AcpiValue> arguments, out AcpiValue? result)
    {
        result = null;
        if (device.Methods.TryGetValue(name, out AcpiMethod? method)) result = method(arguments);
        else
        {
            result = name switch
            {
                "_STA" => new AcpiInteger(device.IsPresent ? 0xFu : 0),
                "_HID" => new AcpiText(device.Id),
                "_UID" => new AcpiInteger((ulong)device.Number),
                "_CRS" => new AcpiBuffer(ResourceTemplate(device)),
                _ => null,
            };
            if (result is null) return STATUS_OBJECT_NAME_NOT_FOUND;
        }
        return STATUS_SUCCESS;
    }

    /// <summary>ACPI_EVAL_OUTPUT_BUFFER: a package's elements are its arguments.</summary>
    public static byte[] Output(AcpiValue? result)
    {
        IReadOnlyList<AcpiValue> values =
            result is null ? [] : result is AcpiPackage package ? package.Values : [result];
        byte[] arguments = [.. values.SelectMany(Argument)];
        byte[] all = new byte[Math.Max(OutputHead + arguments.Length, OutputBytes)];
        Head(all, all.Length, values.Count);
        arguments.CopyTo(all, OutputHead);
        return all;
    }

    /// <summary>The head alone: how long the buffer would have to be.</summary>
    public static byte[] Needed(int length)
    {
        byte[] head = new byte[OutputBytes];
        Head(head, length, 0);
        return head;
    }

    static void Head(byte[] buffer, int length, int count)
    {
        BitConverter.TryWriteBytes(buffer.AsSpan(0), OutputSignature);
        BitConverter.TryWriteBytes(buffer.AsSpan(4), length);
        BitConverter.TryWriteBytes(buffer.AsSpan(8), count);
    }

    static byte[] Argument(AcpiValue value)
    {
        (Kind kind, byte[] data) = value switch
        {
            AcpiInteger { Value: <= uint.MaxValue } i => (Kind.Integer, BitConverter.GetBytes((uint)i.Value)),
            AcpiInteger i => (Kind.Integer, BitConverter.GetBytes(i.Value)),
            AcpiText t => (Kind.String, Encoding.Latin1.GetBytes(t.Value + "\0")),
            AcpiBuffer b => (Kind.Buffer, [.. b.Value]),
            AcpiPackage p => (Kind.Package, [.. p.Values.SelectMany(Argument)]),
            _ => (Kind.Integer, new byte[4]),
        };
        ushort length = (ushort)Math.Min(data.Length, ushort.MaxValue);
        byte[] argument = new byte[ArgumentHead + Math.Max(length, (ushort)4)];
        BitConverter.TryWriteBytes(argument.AsSpan(0), (ushort)kind);
        BitConverter.TryWriteBytes(argument.AsSpan(2), length);
        data.AsSpan(0, length).CopyTo(argument.AsSpan(ArgumentHead));
        return argument;
    }

    /// <summary>The device's resources as firmware encodes them: descriptors, and an end tag without a
    /// checksum.</summary>
    static byte[] ResourceTemplate(FirmwareDevice device)
    {
        const byte port = 0x47, extendedInterrupt = 0x89, quadWord = 0x8A, fixedMemory = 0x86, dma = 0x2A, end = 0x79;
        const byte decodes16 = 1, consumes = 1, edge = 2, shared = 8, fixedRange = 0x0C, writable = 1;
        var bytes = new List<byte>();
        foreach (AddressRange r in device.Ports)
            bytes.AddRange([port, decodes16, .. BitConverter.GetBytes((ushort)r.First),
                .. BitConverter.GetBytes((ushort)r.First), 1, (byte)Math.Min(r.Bytes, byte.MaxValue)]);
        foreach (AddressRange r in device.Memory)
        {
            if (r.First + r.Bytes <= uint.MaxValue)
                bytes.AddRange([fixedMemory, 9, 0, writable, .. BitConverter.GetBytes((uint)r.First),
                    .. BitConverter.GetBytes((uint)r.Bytes)]);
            else
                bytes.AddRange([quadWord, 0x2B, 0, 0, fixedRange, writable, .. new byte[8],
                    .. BitConverter.GetBytes(r.First), .. BitConverter.GetBytes(r.First + r.Bytes - 1), .. new byte[8],
                    .. BitConverter.GetBytes(r.Bytes)]);
        }
        foreach (FirmwareLine l in device.Lines)
            bytes.AddRange([extendedInterrupt, 6, 0, (byte)(consumes
                | (l.Trigger == InterruptTrigger.Edge ? edge : 0) | (l.IsShared ? shared : 0)), 1,
                .. BitConverter.GetBytes(l.Number)]);
        foreach (int channel in device.DmaChannels) bytes.AddRange([dma, (byte)(1 << (channel & 7)), 0]);
        return [.. bytes, end, 0];
    }

    /// <summary>How much of an input buffer is looked at.</summary>
    public static int InputBytes(uint length) => (int)Math.Min(length, MaximumInput);
}
