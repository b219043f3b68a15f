using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Values as system services.</summary>
sealed partial class Cm
{
    const int ValueEntryBytes = 0x18;
    const uint MostEntries = 0x1_0000, FullAlign64 = 3, PartialAlign64 = 4;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryValueKey(
        Handle keyHandle, UnicodeString valueName, uint keyValueInformationClass, Va keyValueInformation, uint length,
            Va resultLength)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out KeyObject? opened);
        return !status.IsSuccess ? status : Callbacks.Around(RegOperation.QueryValueKey, target, info =>
        {
            var fields = RegQueryValueKeyInformation.At(_nt.Memory, info);
            (fields.Object, fields.ValueName) = (target!.Body, valueName);
            (fields.KeyValueInformationClass, fields.KeyValueInformation) =
                (keyValueInformationClass, keyValueInformation);
            (fields.Length, fields.ResultLength) = (length, resultLength);
        }, () =>
        {
            string name = valueName.Text;
            return Find(opened!.Key, name) is not { } value ? STATUS_OBJECT_NAME_NOT_FOUND
                : GiveValue(keyValueInformationClass, name, value, keyValueInformation, length, resultLength);
        });
    }

    // Long rows of values take their time.
    RegistryValue? Find(RegistryKey key, string name)
    {
        RegistryNode node = key.Node;
        for (int i = 0; i < node.Values.Count; i += 64) _nt.Ke.Clock.Spend();
        return node.FindValue(name);
    }

    NtStatus GiveValue(
        uint informationClass, string name, RegistryValue value, Va buffer, uint length, Va resultLength)
    {
        if (informationClass is FullAlign64 or PartialAlign64 && (buffer.Value & 7) != 0)
            return STATUS_DATATYPE_MISALIGNMENT;
        return Give(KeyInformation.OfValue(informationClass, name, value), buffer, length, resultLength);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwEnumerateValueKey(
        Handle keyHandle, uint index, uint keyValueInformationClass, Va keyValueInformation, uint length,
            Va resultLength)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out KeyObject? opened);
        return !status.IsSuccess ? status : Callbacks.Around(RegOperation.EnumerateValueKey, target, info =>
        {
            var fields = RegEnumerateKeyInformation.At(_nt.Memory, info);
            (fields.Object, fields.Index, fields.KeyInformationClass) = (target!.Body, index, keyValueInformationClass);
            (fields.KeyInformation, fields.Length, fields.ResultLength) = (keyValueInformation, length, resultLength);
        }, () =>
        {
            RegistryNode node = opened!.Key.Node;
            if (index >= node.Values.Count) return STATUS_NO_MORE_ENTRIES;
            (string name, RegistryValue value) = node.Values[(int)index];
            return GiveValue(keyValueInformationClass, name, value, keyValueInformation, length, resultLength);
        });
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetValueKey(
        Handle keyHandle, UnicodeString valueName, uint titleIndex, uint type, Va data, uint dataSize)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out KeyObject? opened);
        return !status.IsSuccess ? status : Callbacks.Around(RegOperation.SetValueKey, target, info =>
        {
            var fields = RegSetValueKeyInformation.At(_nt.Memory, info);
            (fields.Object, fields.ValueName) = (target!.Body, valueName);
            (fields.TitleIndex, fields.Type) = (titleIndex, type);
            (fields.Data, fields.DataSize) = (data, dataSize);
        }, () => SetValue(opened!.Key, valueName.Text, type, data, dataSize));
    }

    /// <summary>Sets a value as a driver gives it.</summary>
    public NtStatus SetValue(RegistryKey key, string name, uint type, Va data, uint size)
    {
        if (size > MostData) return STATUS_INSUFFICIENT_RESOURCES;
        if (name.Length > LongestValueName) return STATUS_INVALID_PARAMETER;
        if (key.IsDeleted) return STATUS_KEY_DELETED;
        bool isLinkValue = type == RegistryValue.REG_LINK
            && Rtl.Compare(name, RegistryNode.LinkValue, ignoreCase: true) == 0;
        // A link has one value, and only a link has it.
        if (key.Node.IsLink && !isLinkValue) return STATUS_ACCESS_DENIED;
        byte[] bytes = size == 0 ? [] : _nt.Memory.ReadBytes(data, (int)size);
        Find(key, name);
        key.Set(name, new RegistryValue(type, bytes));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwDeleteValueKey(Handle keyHandle, UnicodeString valueName)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out KeyObject? opened);
        return !status.IsSuccess ? status : Callbacks.Around(RegOperation.DeleteValueKey, target, info =>
        {
            var fields = RegDeleteValueKeyInformation.At(_nt.Memory, info);
            (fields.Object, fields.ValueName) = (target!.Body, valueName);
        }, () => opened!.Key.RemoveValue(valueName.Text) ? STATUS_SUCCESS : STATUS_OBJECT_NAME_NOT_FOUND);
    }

    /// <summary>Several values into one buffer; each entry says where its data lies there.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryMultipleValueKey(
        Handle keyHandle, Va valueEntries, uint entryCount, Va valueBuffer, Va bufferLength, Va requiredBufferLength)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out KeyObject? opened);
        if (!status.IsSuccess) return status;
        if (entryCount > MostEntries) return STATUS_INSUFFICIENT_RESOURCES;
        return Callbacks.Around(RegOperation.QueryMultipleValueKey, target, info =>
        {
            var fields = RegQueryMultipleValueKeyInformation.At(_nt.Memory, info);
            (fields.Object, fields.ValueEntries, fields.EntryCount) = (target!.Body, valueEntries, entryCount);
            (fields.ValueBuffer, fields.BufferLength) = (valueBuffer, bufferLength);
            fields.RequiredBufferLength = requiredBufferLength;
        }, () => QueryMultiple(
            opened!.Key, valueEntries, entryCount, valueBuffer, bufferLength, requiredBufferLength));
    }

    NtStatus QueryMultiple(RegistryKey key, Va entries, uint count, Va buffer, Va bufferLength, Va required)
    {
        uint room = _nt.Memory.Read<uint>(bufferLength), used = 0, needed = 0;
        for (uint i = 0; i < count; i++)
        {
            Va entry = entries + i * (ulong)ValueEntryBytes;
            string name = UnicodeString.At(_nt.Memory, _nt.Memory.Read<Va>(entry)).Text;
            if (Find(key, name) is not { } value) return STATUS_OBJECT_NAME_NOT_FOUND;
            needed = (needed + 3 & ~3u) + (uint)value.Data.Length;
            if (needed > room) continue;
            uint at = needed - (uint)value.Data.Length;
            _nt.Memory.Write(buffer + at, value.Data);
            _nt.Memory.Write(entry + 8, (uint)value.Data.Length);
            _nt.Memory.Write(entry + 12, at);
            _nt.Memory.Write(entry + 16, value.Type);
            used = needed;
        }
        _nt.Memory.Write(bufferLength, used);
        if (!required.IsNull) _nt.Memory.Write(required, needed);
        return needed > room ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
    }
}
