using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>GENERIC_MAPPING: what the four generic rights mean for a type.</summary>
public readonly record struct GenericMapping(uint Read, uint Write, uint Execute, uint All)
{
    public const uint GENERIC_READ = 0x8000_0000, GENERIC_WRITE = 0x4000_0000, GENERIC_EXECUTE = 0x2000_0000,
        GENERIC_ALL = 0x1000_0000;

    /// <summary>RtlMapGenericMask.</summary>
    public uint Map(uint access)
    {
        if ((access & GENERIC_READ) != 0) access |= Read;
        if ((access & GENERIC_WRITE) != 0) access |= Write;
        if ((access & GENERIC_EXECUTE) != 0) access |= Execute;
        if ((access & GENERIC_ALL) != 0) access |= All;
        return access & 0x0FFF_FFFF;
    }

    /// <summary>Of files and devices.</summary>
    public static GenericMapping OfFile => new(0x12_0089, 0x12_0116, 0x12_00A0, 0x1F_01FF);
}

/// <summary>OBJECT_TYPE (offsets of Windows 10 2004): the fields that say something about the type.</summary>
[Layout("_OBJECT_TYPE", Size = 0xD8)]
public readonly partial struct ObjectTypeBody
{
    [Embedded(0x00)] public partial ListEntry TypeList { get; }
    [Embedded(0x10)] public partial UnicodeString Name { get; }
    [Field(0x28)] public partial byte Index { get; set; }
    [Field(0x2C)] public partial uint TotalNumberOfObjects { get; set; }
    [Field(0x30)] public partial uint TotalNumberOfHandles { get; set; }
    [Field(0x34)] public partial uint HighWaterNumberOfObjects { get; set; }
    [Field(0x38)] public partial uint HighWaterNumberOfHandles { get; set; }
    [Field(0x40, Name = "TypeInfo.Length")] public partial ushort InitializerLength { get; set; }
    [Field(0x4C, Name = "TypeInfo.GenericMapping")] public partial GenericMapping Mapping { get; set; }
    [Field(0x5C, Name = "TypeInfo.ValidAccessMask")] public partial uint ValidAccessMask { get; set; }
    [Embedded(0xC8)] public partial ListEntry CallbackList { get; }
}

/// <summary>A kind of object: its name and rights, and what happens when the last handle or the last reference
/// goes.</summary>
sealed class ObjectType(string name, int index, ObjectTypeBody body, GenericMapping mapping)
{
    public string Name { get; } = name;

    /// <summary>TypeIndex in the header of its objects.</summary>
    public int Index { get; } = index;
    public ObjectTypeBody Body { get; } = body;

    /// <summary>The POBJECT_TYPE that drivers pass.</summary>
    public Va Address => Body.Address;
    public GenericMapping Mapping { get; } = mapping;
    public Action<NtObject>? OnLastHandle { get; init; }

    /// <summary>A process has closed its last handle, and others have some.</summary>
    public Action<NtObject>? OnProcessClosed { get; set; }
    public Action<NtObject>? OnDelete { get; init; }

    /// <summary>Objects get a security descriptor even without a name.</summary>
    public bool IsSecured { get; init; }

    /// <summary>The bodies are dispatcher objects, or hold one at this offset; null: nobody can wait.</summary>
    public int? WaitOffset { get; init; }

    /// <summary>ObRegisterCallbacks takes it.</summary>
    public bool TakesCallbacks { get; init; }

    /// <summary>All objects of the type by address.</summary>
    public SortedDictionary<Va, NtObject> Objects { get; } = [];

    public void Count(int handles)
    {
        ObjectTypeBody body = Body;
        body.TotalNumberOfObjects = (uint)Objects.Count;
        body.HighWaterNumberOfObjects = Math.Max(body.HighWaterNumberOfObjects, (uint)Objects.Count);
        body.TotalNumberOfHandles += (uint)handles;
        body.HighWaterNumberOfHandles = Math.Max(body.HighWaterNumberOfHandles, body.TotalNumberOfHandles);
    }
}
