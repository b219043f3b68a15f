using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>REG_DELETE_KEY_INFORMATION, which is also that of a flush and of a closed handle.</summary>
[Layout("_REG_DELETE_KEY_INFORMATION", Size = 0x20)]
public readonly partial struct RegDeleteKeyInformation
{
    [Field(0x00)] public partial Va Object { get; set; }
    [Field(0x08)] public partial Va CallContext { get; set; }
    [Field(0x10)] public partial Va ObjectContext { get; set; }
}

[Layout("_REG_SET_VALUE_KEY_INFORMATION", Size = 0x40)]
public readonly partial struct RegSetValueKeyInformation
{
    [Field(0x00)] public partial Va Object { get; set; }
    [Field(0x08)] public partial UnicodeString ValueName { get; set; }
    [Field(0x10)] public partial uint TitleIndex { get; set; }
    [Field(0x14)] public partial uint Type { get; set; }
    [Field(0x18)] public partial Va Data { get; set; }
    [Field(0x20)] public partial uint DataSize { get; set; }
    [Field(0x28)] public partial Va CallContext { get; set; }
    [Field(0x30)] public partial Va ObjectContext { get; set; }
}

/// <summary>REG_DELETE_VALUE_KEY_INFORMATION; that of a renamed key is laid out the same.</summary>
[Layout("_REG_DELETE_VALUE_KEY_INFORMATION", Size = 0x28)]
public readonly partial struct RegDeleteValueKeyInformation
{
    [Field(0x00)] public partial Va Object { get; set; }
    [Field(0x08)] public partial UnicodeString ValueName { get; set; }
    [Field(0x10)] public partial Va CallContext { get; set; }
    [Field(0x18)] public partial Va ObjectContext { get; set; }
}

[Layout("_REG_SET_INFORMATION_KEY_INFORMATION", Size = 0x38)]
public readonly partial struct RegSetInformationKeyInformation
{
    [Field(0x00)] public partial Va Object { get; set; }
    [Field(0x08)] public partial uint KeySetInformationClass { get; set; }
    [Field(0x10)] public partial Va KeySetInformation { get; set; }
    [Field(0x18)] public partial uint KeySetInformationLength { get; set; }
    [Field(0x20)] public partial Va CallContext { get; set; }
    [Field(0x28)] public partial Va ObjectContext { get; set; }
}

/// <summary>REG_ENUMERATE_KEY_INFORMATION; that of an enumerated value is laid out the same.</summary>
[Layout("_REG_ENUMERATE_KEY_INFORMATION", Size = 0x40)]
public readonly partial struct RegEnumerateKeyInformation
{
    [Field(0x00)] public partial Va Object { get; set; }
    [Field(0x08)] public partial uint Index { get; set; }
    [Field(0x0C)] public partial uint KeyInformationClass { get; set; }
    [Field(0x10)] public partial Va KeyInformation { get; set; }
    [Field(0x18)] public partial uint Length { get; set; }
    [Field(0x20)] public partial Va ResultLength { get; set; }
    [Field(0x28)] public partial Va CallContext { get; set; }
    [Field(0x30)] public partial Va ObjectContext { get; set; }
}

[Layout("_REG_QUERY_KEY_INFORMATION", Size = 0x40)]
public readonly partial struct RegQueryKeyInformation
{
    [Field(0x00)] public partial Va Object { get; set; }
    [Field(0x08)] public partial uint KeyInformationClass { get; set; }
    [Field(0x10)] public partial Va KeyInformation { get; set; }
    [Field(0x18)] public partial uint Length { get; set; }
    [Field(0x20)] public partial Va ResultLength { get; set; }
    [Field(0x28)] public partial Va CallContext { get; set; }
    [Field(0x30)] public partial Va ObjectContext { get; set; }
}

[Layout("_REG_QUERY_VALUE_KEY_INFORMATION", Size = 0x48)]
public readonly partial struct RegQueryValueKeyInformation
{
    [Field(0x00)] public partial Va Object { get; set; }
    [Field(0x08)] public partial UnicodeString ValueName { get; set; }
    [Field(0x10)] public partial uint KeyValueInformationClass { get; set; }
    [Field(0x18)] public partial Va KeyValueInformation { get; set; }
    [Field(0x20)] public partial uint Length { get; set; }
    [Field(0x28)] public partial Va ResultLength { get; set; }
    [Field(0x30)] public partial Va CallContext { get; set; }
    [Field(0x38)] public partial Va ObjectContext { get; set; }
}

[Layout("_REG_QUERY_MULTIPLE_VALUE_KEY_INFORMATION", Size = 0x48)]
public readonly partial struct RegQueryMultipleValueKeyInformation
{
    [Field(0x00)] public partial Va Object { get; set; }
    [Field(0x08)] public partial Va ValueEntries { get; set; }
    [Field(0x10)] public partial uint EntryCount { get; set; }
    [Field(0x18)] public partial Va ValueBuffer { get; set; }
    [Field(0x20)] public partial Va BufferLength { get; set; }
    [Field(0x28)] public partial Va RequiredBufferLength { get; set; }
    [Field(0x30)] public partial Va CallContext { get; set; }
    [Field(0x38)] public partial Va ObjectContext { get; set; }
}

/// <summary>REG_CREATE_KEY_INFORMATION_V1, which is also that of an opened key; the older form is its
/// beginning.</summary>
[Layout("_REG_CREATE_KEY_INFORMATION_V1", Size = 0x88)]
public readonly partial struct RegCreateKeyInformation
{
    [Field(0x00)] public partial UnicodeString CompleteName { get; set; }
    [Field(0x08)] public partial Va RootObject { get; set; }
    [Field(0x10)] public partial Va ObjectType { get; set; }
    [Field(0x18)] public partial uint Options { get; set; }
    [Field(0x20)] public partial UnicodeString Class { get; set; }
    [Field(0x28)] public partial Va SecurityDescriptor { get; set; }
    [Field(0x38)] public partial uint DesiredAccess { get; set; }
    [Field(0x3C)] public partial uint GrantedAccess { get; set; }
    [Field(0x40)] public partial Va Disposition { get; set; }
    [Field(0x48)] public partial Va ResultObject { get; set; }
    [Field(0x50)] public partial Va CallContext { get; set; }
    [Field(0x58)] public partial Va RootObjectContext { get; set; }
    [Field(0x60)] public partial Va Transaction { get; set; }
    [Field(0x68)] public partial ulong Version { get; set; }
    [Field(0x70)] public partial UnicodeString RemainingName { get; set; }
    [Field(0x7C)] public partial uint Attributes { get; set; }
}

[Layout("_REG_POST_OPERATION_INFORMATION", Size = 0x38)]
public readonly partial struct RegPostOperationInformation
{
    [Field(0x00)] public partial Va Object { get; set; }
    [Field(0x08)] public partial NtStatus Status { get; set; }
    [Field(0x10)] public partial Va PreInformation { get; set; }
    [Field(0x18)] public partial NtStatus ReturnStatus { get; set; }
    [Field(0x20)] public partial Va CallContext { get; set; }
    [Field(0x28)] public partial Va ObjectContext { get; set; }
}

[Layout("_REG_CALLBACK_CONTEXT_CLEANUP_INFORMATION", Size = 0x18)]
public readonly partial struct RegCallbackContextCleanupInformation
{
    [Field(0x00)] public partial Va Object { get; set; }
    [Field(0x08)] public partial Va ObjectContext { get; set; }
}
