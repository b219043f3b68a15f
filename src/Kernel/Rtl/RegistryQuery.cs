using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.RegistryValue;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>RTL_QUERY_REGISTRY_TABLE: one thing that is asked for.</summary>
[Layout("_RTL_QUERY_REGISTRY_TABLE", Size = 0x38)]
public readonly partial struct QueryRegistryTable
{
    [Field(0x00)] public partial Va QueryRoutine { get; set; }
    [Field(0x08)] public partial uint Flags { get; set; }
    [Field(0x10)] public partial Va Name { get; set; }
    [Field(0x18)] public partial Va EntryContext { get; set; }
    [Field(0x20)] public partial uint DefaultType { get; set; }
    [Field(0x28)] public partial Va DefaultData { get; set; }
    [Field(0x30)] public partial uint DefaultLength { get; set; }
}

/// <summary>RtlQueryRegistryValues at work on one table.</summary>
/// <param name="environment">Variables for REG_EXPAND_SZ, or null for the system's.</param>
sealed class RegistryQuery(NtKernel nt, RegistryKey top, Va context, Va environment)
{
    const uint Subkey = 1, TopKey = 2, Required = 4, NoValue = 8, NoExpand = 0x10, Direct = 0x20, Delete = 0x40;
    const uint TypeCheck = 0x100, QueryTag = 0x5152_5452;    // 'RTRQ'
    const int TypeCheckShift = 24, MostDefaultBytes = 0x10000, LongestName = 0x4000;

    public NtStatus Run(Va table)
    {
        RegistryKey? key = top;
        for (; ; table += QueryRegistryTable.Size)
        {
            nt.Ke.Clock.Spend();
            var entry = QueryRegistryTable.At(nt.Memory, table);
            uint flags = entry.Flags;
            if (entry.QueryRoutine.IsNull && (flags & (Subkey | Direct)) == 0) return STATUS_SUCCESS;
            if ((flags & Direct) != 0 && (entry.Name.IsNull || (flags & Subkey) != 0 || !entry.QueryRoutine.IsNull))
                return STATUS_INVALID_PARAMETER;
            if ((flags & (TopKey | Subkey)) != 0) key = top;
            if ((flags & Subkey) != 0)
            {
                if (entry.Name.IsNull) return STATUS_INVALID_PARAMETER;
                NtStatus found = nt.Cm.Walk(top, nt.Crt.ReadWide(entry.Name, LongestName), false, out key, out _);
                if (!found.IsSuccess) return found;
                if (entry.QueryRoutine.IsNull) continue;
            }
            NtStatus status = Answer(key!, entry);
            if (!status.IsSuccess) return status;
        }
    }

    NtStatus Answer(RegistryKey key, QueryRegistryTable entry)
    {
        if ((entry.Flags & NoValue) != 0) return Call(entry, null, REG_NONE, null);
        if (entry.Name.IsNull || (entry.Flags & Subkey) != 0)
        {
            foreach ((string each, RegistryValue value) in key.Node.Values)
                if (Give(entry, each, value) is { IsSuccess: false } failed) return failed;
            return STATUS_SUCCESS;
        }
        string name = nt.Crt.ReadWide(entry.Name, LongestName);
        if (key.Node.FindValue(name) is { } found)
        {
            NtStatus given = Give(entry, name, found);
            if (given.IsSuccess && (entry.Flags & Delete) != 0) key.RemoveValue(name);
            return given;
        }
        if ((entry.Flags & Required) != 0) return STATUS_OBJECT_NAME_NOT_FOUND;
        return DefaultOf(entry) is { } fallback ? Give(entry, name, fallback) : STATUS_SUCCESS;
    }

    // Null for a default of no type.
    RegistryValue? DefaultOf(QueryRegistryTable entry)
    {
        uint type = entry.DefaultType & 0xFF_FFFF, length = entry.DefaultLength;
        Va data = entry.DefaultData;
        if (type == REG_NONE || data.IsNull) return null;
        if (length > 0) return new RegistryValue(type, nt.Memory.ReadBytes(data,
            (int)Math.Min(length, MostDefaultBytes)));
        return type switch
        {
            REG_SZ or REG_EXPAND_SZ => new RegistryValue(type, String(nt.Crt.ReadWide(data, MostDefaultBytes)).Data),
            REG_MULTI_SZ => new RegistryValue(type, nt.Memory.ReadBytes(data, MultiLength(data))),
            REG_DWORD => new RegistryValue(type, nt.Memory.ReadBytes(data, 4)),
            _ => new RegistryValue(type, []),
        };
    }

    // Up to and with the second zero in a row.
    int MultiLength(Va data)
    {
        int at = 0;
        while (at < MostDefaultBytes && nt.Memory.Read<uint>(data + at) != 0) at += 2;
        return at + 4;
    }

    NtStatus Give(QueryRegistryTable entry, string name, RegistryValue value)
    {
        bool isDirect = (entry.Flags & Direct) != 0;
        if (isDirect && (entry.Flags & TypeCheck) != 0 && entry.DefaultType >> TypeCheckShift is var wanted
            && wanted != value.Type && wanted != REG_NONE)
            return STATUS_OBJECT_TYPE_MISMATCH;
        if ((entry.Flags & NoExpand) == 0)
        {
            if (value.Type == REG_MULTI_SZ) return GiveEach(entry, name, value);
            if (value.Type == REG_EXPAND_SZ) value = String(Expand(value.Text));
        }
        return isDirect ? Store(entry.EntryContext, value) : Call(entry, name, value.Type, value.Data);
    }

    // String by string: to the routine, or into one UNICODE_STRING after another.
    NtStatus GiveEach(QueryRegistryTable entry, string name, RegistryValue value)
    {
        Va target = entry.EntryContext;
        foreach (string text in value.RawText.Split('\0'))
        {
            if (text.Length == 0) break;
            NtStatus status = (entry.Flags & Direct) != 0 ? Store(target, String(text))
                : Call(entry, name, REG_SZ, String(text).Data);
            if (!status.IsSuccess) return status;
            target += UnicodeString.Size;
        }
        return STATUS_SUCCESS;
    }

    NtStatus Store(Va target, RegistryValue value)
    {
        byte[] data = value.Data;
        if (value.Type is REG_SZ or REG_EXPAND_SZ or REG_MULTI_SZ)
            return StoreString(UnicodeString.At(nt.Memory, target), value.Type, data);
        // A number goes straight where the entry points. Before anything longer stands the room that there is:
        // negative for the data alone, positive for its length and type in front of it.
        if (data.Length <= 4)
        {
            nt.Memory.Write(target, data);
            return STATUS_SUCCESS;
        }
        long room = nt.Memory.Read<int>(target);
        if (Math.Abs(room) < data.Length + (room > 0 ? 8 : 0)) return STATUS_BUFFER_TOO_SMALL;
        if (room > 0)
        {
            nt.Memory.Write(target, (uint)data.Length);
            nt.Memory.Write(target + 4, value.Type);
            target += 8;
        }
        nt.Memory.Write(target, data);
        return STATUS_SUCCESS;
    }

    NtStatus StoreString(UnicodeString target, uint type, byte[] data)
    {
        bool hasZero = data.Length >= 2 && data[^1] == 0 && data[^2] == 0;
        int length = type == REG_MULTI_SZ || !hasZero ? data.Length : data.Length - 2;
        if (length + 2 > ushort.MaxValue) return STATUS_BUFFER_TOO_SMALL;
        if (target.Buffer.IsNull)
        {
            Va buffer = nt.Mm.Pool.Allocate((ulong)length + 2, PoolKind.Paged, QueryTag, nt.Caller, zero: true);
            if (buffer.IsNull) return STATUS_NO_MEMORY;
            target.Set(buffer, length, length + 2);
        }
        else if (target.MaximumLength < length + 2) return STATUS_BUFFER_TOO_SMALL;
        nt.Memory.Write(target.Buffer, data.AsSpan(0, length));
        nt.Memory.Write<ushort>(target.Buffer + length, 0);
        target.Length = (ushort)length;
        return STATUS_SUCCESS;
    }

    // The routine gets copies: name and data lie in pool while it runs.
    NtStatus Call(QueryRegistryTable entry, string? name, uint type, byte[]? data)
    {
        Va copy = Copy(data), text = Copy(name is null ? null : Encoding.Unicode.GetBytes(name + '\0'));
        var status = new NtStatus((uint)nt.Routines.Call(entry.QueryRoutine, text.Value, type, copy.Value,
            (ulong)(data?.Length ?? 0), context.Value, entry.EntryContext.Value));
        if (!copy.IsNull) nt.Mm.Pool.Free(copy);
        if (!text.IsNull) nt.Mm.Pool.Free(text);
        return status == STATUS_BUFFER_TOO_SMALL ? STATUS_SUCCESS : status;
    }

    Va Copy(byte[]? bytes)
    {
        if (bytes is null) return Va.Null;
        Va copy = nt.Mm.Pool.Allocate(Math.Max(2, bytes.Length), QueryTag);
        nt.Memory.Write(copy, bytes);
        return copy;
    }

    // %Name% by its value; one that nobody knows stays as it is.
    string Expand(string text)
    {
        string[] parts = text.Split('%');
        var result = new StringBuilder(parts[0]);
        for (int i = 1; i < parts.Length; i++)
        {
            if (i + 1 < parts.Length && Variable(parts[i]) is { } value) result.Append(value).Append(parts[++i]);
            else result.Append('%').Append(parts[i]);
        }
        return result.ToString();
    }

    string? Variable(string name)
    {
        if (name.Length == 0) return null;
        if (environment.IsNull)
            return name.Equals("SystemRoot", StringComparison.OrdinalIgnoreCase) ? @"C:\Windows"
                : name.Equals("SystemDrive", StringComparison.OrdinalIgnoreCase) ? "C:" : null;
        for (Va at = environment; ;)
        {
            nt.Ke.Clock.Spend();
            string line = nt.Crt.ReadWide(at, MostDefaultBytes);
            if (line.Length == 0) return null;
            if (line.StartsWith(name + '=', StringComparison.OrdinalIgnoreCase)) return line[(name.Length + 1)..];
            at += line.Length * 2 + 2;
        }
    }
}
