using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>OBJECT_HEADER, in front of every object's body (offsets of Windows 10 2004).</summary>
[Layout("_OBJECT_HEADER", Size = 0x38)]
public readonly partial struct ObjectHeader
{
    /// <summary>Bytes from the header to the body.</summary>
    public const int BodyOffset = 0x30;

    public const byte OB_FLAG_KERNEL_OBJECT = 0x02, OB_FLAG_EXCLUSIVE_OBJECT = 0x08, OB_FLAG_PERMANENT_OBJECT = 0x10;

    [Field(0x00)] public partial long PointerCount { get; set; }
    [Field(0x08)] public partial long HandleCount { get; set; }
    [Field(0x10)] public partial ulong Lock { get; set; }
    [Field(0x18)] public partial byte TypeIndex { get; set; }
    [Field(0x1B)] public partial byte Flags { get; set; }
    [Field(0x28)] public partial Va SecurityDescriptor { get; set; }
}

/// <summary>An object that the object manager knows: its body in guest memory, and its place in the
/// namespace.</summary>
sealed class NtObject(ObjectType type, Va body, ObjectHeader header)
{
    public ObjectType Type { get; } = type;

    /// <summary>What pointers to the object point at.</summary>
    public Va Body { get; } = body;
    public ObjectHeader Header { get; } = header;
    public string Name { get; set; } = "";
    public NtObject? Parent { get; set; }

    /// <summary>A directory's entries; null for other types.</summary>
    public SortedDictionary<string, NtObject>? Entries { get; init; }

    /// <summary>A symbolic link's target; null for other types.</summary>
    public string? Target { get; init; }

    /// <summary>What a component keeps of it: a key's node, a process, a token.</summary>
    public object? State { get; set; }

    /// <summary>Its name stays when the last handle is closed.</summary>
    public bool IsPermanent { get; set; }

    /// <summary>OBJ_PERMANENT took a reference, which <c>ObMakeTemporaryObject</c> drops.</summary>
    public bool HasPermanentReference { get; set; }

    /// <summary>OBJ_EXCLUSIVE: the process that alone may have handles to it; null for others.</summary>
    public Va ExclusiveTo { get; set; }

    /// <summary>The last reference is gone; the body goes as soon as the type's own work is done.</summary>
    public bool IsDeleting { get; set; }

    /// <summary>Made by <c>ObCreateObject</c>, and not inserted yet: what was asked for then.</summary>
    public ObjectRequest? Pending { get; set; }

    /// <summary>The full path of a named object; empty for one without a name. The root is a backslash.</summary>
    public string Path => Parent is null ? Name : $@"{(Parent.Path == @"\" ? "" : Parent.Path)}\{Name}";
}
