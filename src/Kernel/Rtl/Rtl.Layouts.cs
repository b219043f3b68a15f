using System.Runtime.InteropServices;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>UNICODE_STRING: a counted string of UTF-16 units. Lengths are in bytes.</summary>
[Layout("_UNICODE_STRING", Size = 0x10)]
public readonly partial struct UnicodeString
{
    [Field(0x00)] public partial ushort Length { get; set; }
    [Field(0x02)] public partial ushort MaximumLength { get; set; }
    [Field(0x08)] public partial Va Buffer { get; set; }

    /// <summary>The characters as a .NET string; empty for a null pointer.</summary>
    /// <exception cref="PageFault">The buffer is not there.</exception>
    public string Text
    {
        get
        {
            if (IsNull) return "";
            char[] text = new char[Length / 2];
            _memory.Read(Buffer, MemoryMarshal.AsBytes(text.AsSpan()));
            return new string(text);
        }
    }

    /// <summary>Points it at characters that lie in guest memory.</summary>
    public void Set(Va buffer, int lengthBytes, int maximumLengthBytes) =>
        (Length, MaximumLength, Buffer) = ((ushort)lengthBytes, (ushort)maximumLengthBytes, buffer);
}

/// <summary>STRING, also called ANSI_STRING: bytes.</summary>
[Layout("_STRING", Size = 0x10)]
public readonly partial struct AnsiString
{
    [Field(0x00)] public partial ushort Length { get; set; }
    [Field(0x02)] public partial ushort MaximumLength { get; set; }
    [Field(0x08)] public partial Va Buffer { get; set; }

    /// <summary>The characters, as code page 1252 has them.</summary>
    public string Text => IsNull ? "" : NlsCodePage.Ansi.Decode(_memory.ReadBytes(Buffer, Length));

    /// <summary>Points it at bytes that lie in guest memory.</summary>
    public void Set(Va buffer, int lengthBytes, int maximumLengthBytes) =>
        (Length, MaximumLength, Buffer) = ((ushort)lengthBytes, (ushort)maximumLengthBytes, buffer);
}

[Layout("_OBJECT_ATTRIBUTES", Size = 0x30)]
public readonly partial struct ObjectAttributes
{
    [Field(0x00)] public partial uint Length { get; set; }
    [Field(0x08)] public partial Handle RootDirectory { get; set; }
    [Field(0x10)] public partial UnicodeString ObjectName { get; set; }
    [Field(0x18)] public partial uint Attributes { get; set; }
    [Field(0x20)] public partial Va SecurityDescriptor { get; set; }
}
