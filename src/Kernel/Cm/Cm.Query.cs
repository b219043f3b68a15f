using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Keys and values as system services: opened, created, read, written, enumerated.</summary>
sealed partial class Cm
{
    const uint REG_OPENED_EXISTING_KEY = 2, REG_CREATED_NEW_KEY = 1;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenKey(Va keyHandle, uint desiredAccess, ObjectAttributes objectAttributes)
    {
        NtStatus status = PathOf(objectAttributes, out string path);
        if (!status.IsSuccess) return status;
        if (Find(path) is not { } key) return STATUS_OBJECT_NAME_NOT_FOUND;
        _nt.Memory.Write(keyHandle, OpenKey(key, desiredAccess, objectAttributes.Attributes));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCreateKey(
        Va keyHandle, uint desiredAccess, ObjectAttributes objectAttributes, uint titleIndex, UnicodeString @class,
        uint createOptions, Va disposition)
    {
        NtStatus status = PathOf(objectAttributes, out string path);
        if (!status.IsSuccess) return status;
        RegistryKey? existing = Find(path);
        int slash = path.LastIndexOf('\\');
        if (existing is null && (slash <= 0 || Find(path[..slash]) is null)) return STATUS_OBJECT_NAME_NOT_FOUND;
        _nt.Memory.Write(keyHandle, OpenKey(existing ?? Create(path), desiredAccess, objectAttributes.Attributes));
        if (!disposition.IsNull)
            _nt.Memory.Write(disposition, existing is null ? REG_CREATED_NEW_KEY : REG_OPENED_EXISTING_KEY);
        return STATUS_SUCCESS;
    }

    /// <summary>A handle to a key.</summary>
    public Handle OpenKey(RegistryKey key, uint access, uint attributes)
    {
        NtObject opened = _nt.Ob.Create(_nt.Ob.KeyType, 0x40, key);
        Handle handle = _nt.Ob.Open(opened, access, (attributes & Ob.OBJ_KERNEL_HANDLE) != 0);
        _nt.Ob.Dereference(opened);
        return handle;
    }

    NtStatus PathOf(ObjectAttributes attributes, out string path)
    {
        path = attributes.ObjectName.Text;
        if (attributes.RootDirectory.IsNull)
            return path.StartsWith(@"\Registry", StringComparison.OrdinalIgnoreCase) ? STATUS_SUCCESS
                : STATUS_OBJECT_PATH_SYNTAX_BAD;
        NtStatus status = KeyOf(attributes.RootDirectory, out RegistryKey? root);
        if (!status.IsSuccess) return status;
        path = path.Length == 0 ? root!.Path : $@"{root!.Path}\{path}";
        return STATUS_SUCCESS;
    }

    NtStatus KeyOf(Handle handle, out RegistryKey? key)
    {
        NtObject? target = _nt.Ob.Lookup(handle);
        key = target?.State as RegistryKey;
        return target is null ? STATUS_INVALID_HANDLE
            : key is null ? STATUS_OBJECT_TYPE_MISMATCH
            : key.IsDeleted ? STATUS_KEY_DELETED : STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryValueKey(
        Handle keyHandle, UnicodeString valueName, uint keyValueInformationClass, Va keyValueInformation, uint length,
            Va resultLength)
    {
        NtStatus status = KeyOf(keyHandle, out RegistryKey? key);
        if (!status.IsSuccess) return status;
        string name = valueName.Text;
        return key!.Values.TryGetValue(name, out RegistryValue? value)
            ? Give(ValueInformation(keyValueInformationClass, name, value), keyValueInformation, length, resultLength)
            : STATUS_OBJECT_NAME_NOT_FOUND;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwEnumerateValueKey(
        Handle keyHandle, uint index, uint keyValueInformationClass, Va keyValueInformation, uint length,
            Va resultLength)
    {
        NtStatus status = KeyOf(keyHandle, out RegistryKey? key);
        if (!status.IsSuccess) return status;
        if (index >= key!.Values.Count) return STATUS_NO_MORE_ENTRIES;
        (string name, RegistryValue value) = key.Values.ElementAt((int)index);
        return Give(ValueInformation(keyValueInformationClass, name, value), keyValueInformation, length, resultLength);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwEnumerateKey(
        Handle keyHandle, uint index, uint keyInformationClass, Va keyInformation, uint length, Va resultLength)
    {
        NtStatus status = KeyOf(keyHandle, out RegistryKey? key);
        if (!status.IsSuccess) return status;
        return index >= key!.Subkeys.Count ? STATUS_NO_MORE_ENTRIES
            : Give(KeyInformation(keyInformationClass, key.Subkeys.ElementAt((int)index).Value), keyInformation, length,
                resultLength);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryKey(
        Handle keyHandle, uint keyInformationClass, Va keyInformation, uint length, Va resultLength)
    {
        NtStatus status = KeyOf(keyHandle, out RegistryKey? key);
        return status.IsSuccess ? Give(KeyInformation(keyInformationClass, key!), keyInformation, length, resultLength)
            : status;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetValueKey(
        Handle keyHandle, UnicodeString valueName, uint titleIndex, uint type, Va data, uint dataSize)
    {
        NtStatus status = KeyOf(keyHandle, out RegistryKey? key);
        if (!status.IsSuccess) return status;
        if (dataSize > 1 << 20) return STATUS_INSUFFICIENT_RESOURCES;
        key!.Set(valueName.Text,
            new RegistryValue(type, dataSize == 0 ? [] : _nt.Memory.ReadBytes(data, (int)dataSize)));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwDeleteValueKey(Handle keyHandle, UnicodeString valueName)
    {
        NtStatus status = KeyOf(keyHandle, out RegistryKey? key);
        if (!status.IsSuccess) return status;
        return key!.Values.Remove(valueName.Text) ? STATUS_SUCCESS : STATUS_OBJECT_NAME_NOT_FOUND;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwDeleteKey(Handle keyHandle)
    {
        NtStatus status = KeyOf(keyHandle, out RegistryKey? key);
        if (!status.IsSuccess) return status;
        if (key!.Subkeys.Count > 0 || key.Parent is null) return STATUS_CANNOT_DELETE;
        key.Parent.Subkeys.Remove(key.Name);
        key.IsDeleted = true;
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwFlushKey(Handle keyHandle) => KeyOf(keyHandle, out _);

    // KEY_VALUE_BASIC_INFORMATION (0), _FULL_ (1), _PARTIAL_ (2); null for a class that there is not.
    static (byte[] Bytes, int Fixed)? ValueInformation(uint informationClass, string name, RegistryValue value)
    {
        byte[] text = Encoding.Unicode.GetBytes(name);
        switch (informationClass)
        {
            case 0:
                return (Join(12, [0, value.Type, (uint)text.Length], text), 12);
            case 1:
                int dataOffset = (20 + text.Length + 7) & ~7;
                byte[] padded = new byte[dataOffset - 20];
                text.CopyTo(padded, 0);
                return (Join(20, [0, value.Type, (uint)dataOffset, (uint)value.Data.Length, (uint)text.Length],
                    [.. padded, .. value.Data]), 20);
            case 2:
                return (Join(12, [0, value.Type, (uint)value.Data.Length], value.Data), 12);
            default:
                return null;
        }
    }

    // KEY_BASIC_INFORMATION (0), _FULL_ (2) without a class name, _NAME_ (3).
    static (byte[] Bytes, int Fixed)? KeyInformation(uint informationClass, RegistryKey key)
    {
        byte[] name = Encoding.Unicode.GetBytes(key.Name);
        uint longestKey = key.Subkeys.Count == 0 ? 0 : (uint)key.Subkeys.Keys.Max(k => k.Length) * 2;
        uint longestName = key.Values.Count == 0 ? 0 : (uint)key.Values.Keys.Max(k => k.Length) * 2;
        uint longestData = key.Values.Count == 0 ? 0 : (uint)key.Values.Values.Max(v => v.Data.Length);
        return informationClass switch
        {
            0 => (Join(16, [0, 0, 0, (uint)name.Length], name), 16),
            2 =>
                (Join(44, [0, 0, 0, uint.MaxValue, 0, (uint)key.Subkeys.Count, longestKey, 0, (uint)key.Values.Count,
                    longestName, longestData], []), 44),
            3 => Named(Encoding.Unicode.GetBytes(key.Path)),
            _ => null,
        };

        static (byte[], int) Named(byte[] path) => (Join(4, [(uint)path.Length], path), 4);
    }

    static byte[] Join(int fixedBytes, ReadOnlySpan<uint> fields, byte[] tail)
    {
        byte[] bytes = new byte[fixedBytes + tail.Length];
        for (int i = 0; i < fields.Length; i++) BitConverter.TryWriteBytes(bytes.AsSpan(i * 4), fields[i]);
        tail.CopyTo(bytes, fixedBytes);
        return bytes;
    }

    // As much as fits: too little for the fixed part is one error, for the rest another.
    NtStatus Give((byte[] Bytes, int Fixed)? information, Va buffer, uint length, Va resultLength)
    {
        if (information is not { } given) return STATUS_INVALID_PARAMETER;
        _nt.Memory.Write(resultLength, (uint)given.Bytes.Length);
        if (length < given.Fixed) return STATUS_BUFFER_TOO_SMALL;
        _nt.Memory.Write(buffer, given.Bytes.AsSpan(0, (int)Math.Min(length, (uint)given.Bytes.Length)));
        return length < given.Bytes.Length ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
    }
}
