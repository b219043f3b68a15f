using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>OBJECT_HEADER, in front of every object's body.</summary>
[Layout("_OBJECT_HEADER", Size = 0x38)]
public readonly partial struct ObjectHeader
{
    /// <summary>Bytes from the header to the body.</summary>
    public const int BodyOffset = 0x30;

    [Field(0x00)] public partial long PointerCount { get; set; }
    [Field(0x08)] public partial long HandleCount { get; set; }
    [Field(0x18)] public partial byte TypeIndex { get; set; }
    [Field(0x28)] public partial Va SecurityDescriptor { get; set; }
}

/// <summary>A kind of object: its name, and what happens when the last handle or the last reference goes.</summary>
sealed class ObjectType(string name, Va address)
{
    public string Name { get; } = name;

    /// <summary>The POBJECT_TYPE that drivers pass.</summary>
    public Va Address { get; } = address;
    public Action<NtObject>? OnLastHandle { get; init; }
    public Action<NtObject>? OnDelete { get; init; }
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

    /// <summary>What a component keeps of it: a key's node, a thread.</summary>
    public object? State { get; init; }

    public string Path =>
        Parent is null ? Name.Length == 0 ? @"\" : Name : $@"{(Parent.Path == @"\" ? "" : Parent.Path)}\{Name}";
}

/// <summary>The open objects of one process.</summary>
sealed class HandleTable(ulong firstHandle)
{
    readonly SortedDictionary<ulong, (NtObject Object, uint Access, Va Owner)> _entries = [];
    ulong _next = firstHandle;

    /// <summary>What is open, and the return address of the driver that opened it.</summary>
    public IEnumerable<(Handle Handle, NtObject Object, Va Owner)> Entries =>
        _entries.Select(e => (new Handle(e.Key), e.Value.Object, e.Value.Owner));

    public Handle Add(NtObject target, uint access, Va owner)
    {
        ulong handle = _next;
        _next += 4;
        _entries.Add(handle, (target, access, owner));
        return new Handle(handle);
    }

    // The two low bits are the owner's to use.
    public NtObject? Find(Handle handle) =>
        _entries.TryGetValue(handle.Value & ~3UL, out var entry) ? entry.Object : null;

    public NtObject? Remove(Handle handle) => _entries.Remove(handle.Value & ~3UL, out var entry) ? entry.Object : null;
}
