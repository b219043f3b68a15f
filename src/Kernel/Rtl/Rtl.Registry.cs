using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The registry by tables and relative paths.</summary>
sealed partial class Rtl
{
    const uint RTL_QUERY_REGISTRY_SUBKEY = 1, RTL_QUERY_REGISTRY_TOPKEY = 2, RTL_QUERY_REGISTRY_REQUIRED = 4;
    const uint RTL_QUERY_REGISTRY_NOVALUE = 8, RTL_QUERY_REGISTRY_DIRECT = 0x20, RTL_QUERY_REGISTRY_DELETE = 0x40;
    const uint RTL_REGISTRY_HANDLE = 0x4000_0000, REG_NONE = 0, REG_SZ = 1, REG_EXPAND_SZ = 2, REG_MULTI_SZ = 7;

    NtStatus KeyAt(uint relativeTo, Va path, bool create, out RegistryKey? key)
    {
        key = null;
        if ((relativeTo & RTL_REGISTRY_HANDLE) != 0)
        {
            key = nt.Ob.Lookup(new Handle(path.Value))?.State as RegistryKey;
            return key is null ? STATUS_INVALID_HANDLE : STATUS_SUCCESS;
        }
        string? root = (relativeTo & 0xFF) switch
        {
            0 => "",
            1 => @"\Registry\Machine\System\CurrentControlSet\Services\",
            2 => @"\Registry\Machine\System\CurrentControlSet\Control\",
            3 => @"\Registry\Machine\Software\Microsoft\Windows NT\CurrentVersion\",
            4 => @"\Registry\Machine\Hardware\DeviceMap\",
            5 => @"\Registry\User\.Default\",
            _ => null,
        };
        if (root is null) return STATUS_INVALID_PARAMETER;
        string full = root + (path.IsNull ? "" : nt.Crt.ReadWide(path, 0x4000));
        key = create ? nt.Cm.Create(full) : nt.Cm.Find(full.TrimEnd('\\'));
        return key is null ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlCheckRegistryKey(uint relativeTo, Va path) => KeyAt(relativeTo, path, create: false, out _);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlCreateRegistryKey(uint relativeTo, Va path) => KeyAt(relativeTo, path, create: true, out _);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlWriteRegistryValue(
        uint relativeTo, Va path, Va valueName, uint valueType, Va valueData, uint valueLength)
    {
        NtStatus status = KeyAt(relativeTo, path, create: true, out RegistryKey? key);
        if (!status.IsSuccess) return status;
        if (valueLength > 1 << 20) return STATUS_INSUFFICIENT_RESOURCES;
        key!.Set(nt.Crt.ReadWide(valueName, 0x4000),
            new RegistryValue(valueType, nt.Memory.ReadBytes(valueData, (int)valueLength)));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlDeleteRegistryValue(uint relativeTo, Va path, Va valueName)
    {
        NtStatus status = KeyAt(relativeTo, path, create: false, out RegistryKey? key);
        if (!status.IsSuccess) return status;
        return key!.Values.Remove(nt.Crt.ReadWide(valueName, 0x4000)) ? STATUS_SUCCESS : STATUS_OBJECT_NAME_NOT_FOUND;
    }

    /// <summary>One entry of a query table.</summary>
    readonly record struct Query(
        Va Routine, uint Flags, Va Name, Va EntryContext, uint DefaultType, Va DefaultData, uint DefaultLength);

    [Export(Support.Partial, "REG_EXPAND_SZ values are given unexpanded."), IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus RtlQueryRegistryValues(uint relativeTo, Va path, Va queryTable, Va context, Va environment)
    {
        NtStatus status = KeyAt(relativeTo, path, create: false, out RegistryKey? top);
        if (!status.IsSuccess) return status;
        RegistryKey key = top!;
        for (Va at = queryTable; ; at += 0x38)
        {
            Query query = ReadQuery(at);
            if (query.Routine.IsNull && (query.Flags & (RTL_QUERY_REGISTRY_SUBKEY | RTL_QUERY_REGISTRY_DIRECT)) == 0)
                return STATUS_SUCCESS;
            if ((query.Flags & (RTL_QUERY_REGISTRY_TOPKEY | RTL_QUERY_REGISTRY_SUBKEY)) != 0) key = top!;
            if ((query.Flags & RTL_QUERY_REGISTRY_SUBKEY) != 0)
            {
                if (!key.Subkeys.TryGetValue(nt.Crt.ReadWide(query.Name), out RegistryKey? sub))
                    return STATUS_OBJECT_NAME_NOT_FOUND;
                key = sub;
                if (query.Routine.IsNull) continue;
            }
            status = Answer(key, query, context);
            if (!status.IsSuccess) return status;
        }
    }

    Query ReadQuery(Va at) => new(
        nt.Memory.Read<Va>(at), nt.Memory.Read<uint>(at + 8), nt.Memory.Read<Va>(at + 0x10),
            nt.Memory.Read<Va>(at + 0x18),
        nt.Memory.Read<uint>(at + 0x20), nt.Memory.Read<Va>(at + 0x28), nt.Memory.Read<uint>(at + 0x30));

    NtStatus Answer(RegistryKey key, Query query, Va context)
    {
        if ((query.Flags & RTL_QUERY_REGISTRY_NOVALUE) != 0) return Call(query, "", REG_NONE, [], context);
        if (query.Name.IsNull || (query.Flags & RTL_QUERY_REGISTRY_SUBKEY) != 0)
        {
            foreach ((string each, RegistryValue data) in key.Values.ToArray())
                if (Call(query, each, data.Type, data.Data, context) is { IsSuccess: false } failed) return failed;
            return STATUS_SUCCESS;
        }
        string name = nt.Crt.ReadWide(query.Name);
        if (key.Values.TryGetValue(name, out RegistryValue? value))
        {
            NtStatus given = Give(query, name, value.Type, value.Data, context);
            if (given.IsSuccess && (query.Flags & RTL_QUERY_REGISTRY_DELETE) != 0) key.Values.Remove(name);
            return given;
        }
        if ((query.Flags & RTL_QUERY_REGISTRY_REQUIRED) != 0) return STATUS_OBJECT_NAME_NOT_FOUND;
        uint type = query.DefaultType & 0xFF;
        if (type == REG_NONE || query.DefaultData.IsNull) return STATUS_SUCCESS;
        byte[] fallback = query.DefaultLength > 0
            ? nt.Memory.ReadBytes(query.DefaultData, (int)Math.Min(query.DefaultLength, 0x10000))
            : type is REG_SZ or REG_EXPAND_SZ ? Encoding.Unicode.GetBytes(nt.Crt.ReadWide(query.DefaultData) + '\0')
            : nt.Memory.ReadBytes(query.DefaultData, 4);
        return Give(query, name, type, fallback, context);
    }

    NtStatus Give(Query query, string name, uint type, byte[] data, Va context)
    {
        if ((query.Flags & RTL_QUERY_REGISTRY_DIRECT) == 0) return Call(query, name, type, data, context);
        if (type is REG_SZ or REG_EXPAND_SZ or REG_MULTI_SZ)
            return GiveString(UnicodeString.At(nt.Memory, query.EntryContext), type, data);
        // A number goes straight where the entry points; anything longer says its size and type first.
        if (data.Length <= 4) nt.Memory.Write(query.EntryContext, data);
        else
        {
            int room = nt.Memory.Read<int>(query.EntryContext);
            if (room >= 0 || -(long)room < data.Length) return STATUS_BUFFER_TOO_SMALL;
            nt.Memory.Write(query.EntryContext, data);
        }
        return STATUS_SUCCESS;
    }

    NtStatus GiveString(UnicodeString target, uint type, byte[] data)
    {
        int length = type == REG_MULTI_SZ ? data.Length : Math.Max(0, data.Length - 2);
        if (!target.Buffer.IsNull)
        {
            if (target.MaximumLength < length + 2) return STATUS_BUFFER_TOO_SMALL;
            nt.Memory.Write(target.Buffer, data);
            target.Length = (ushort)length;
            return STATUS_SUCCESS;
        }
        return Store(target, data[..length], 2, allocate: true);
    }

    // The routine gets copies: name and data lie in pool while it runs.
    NtStatus Call(Query query, string name, uint type, byte[] data, Va context)
    {
        Va copy = nt.Mm.Pool.Allocate(Math.Max(2, data.Length), StringTag),
            text = nt.Mm.Pool.Allocate(name.Length * 2 + 2, StringTag);
        nt.Memory.Write(copy, data);
        nt.Memory.Write(text, Encoding.Unicode.GetBytes(name));
        var status = new NtStatus((uint)nt.Routines.Call(query.Routine,
            text.Value, type, copy.Value, (ulong)data.Length, context.Value, query.EntryContext.Value));
        nt.Mm.Pool.Free(copy);
        nt.Mm.Pool.Free(text);
        return status == STATUS_BUFFER_TOO_SMALL ? STATUS_SUCCESS : status;
    }
}
