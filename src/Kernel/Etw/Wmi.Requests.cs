using System.Text;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Kernel;

/// <summary>Requests for data: IRPs to the top of a provider's stack.</summary>
sealed partial class Wmi
{
    const int RoomAtFirst = 0x1000, MaximumRoom = 0x10_0000;

    readonly SortedDictionary<Guid, int> _collected = [];

    bool CanSend(WmiProvider provider) => !provider.IsBlocked && !provider.IsGone
        && (provider.Routine.IsNull ? nt.Ob.Find(provider.Device.Address)?.Type == nt.Ob.DeviceType
            : nt.Loader.ImageAt(provider.Routine) is not null);

    IoStatusBlock Send(WmiProvider provider, byte minor, Va dataPath, Va buffer, uint size)
    {
        if (!CanSend(provider)) return new IoStatusBlock(STATUS_WMI_GUID_DISCONNECTED, 0);
        provider.InUse++;
        IoStatusBlock result = !provider.Routine.IsNull ? Call(provider, minor, dataPath, buffer, size)
            : nt.Io.SendToStack(provider.Device, STATUS_NOT_SUPPORTED, location =>
            {
                (location.MajorFunction, location.MinorFunction) = (IrpMajor.IRP_MJ_SYSTEM_CONTROL, minor);
                (location.ProviderId, location.DataPath) = (provider.Device.Address, dataPath);
                (location.WmiBufferSize, location.WmiBuffer) = (size, buffer);
            });
        provider.InUse--;
        if (provider.InUse == 0 && provider.Idle is { } idle) nt.Ke.KeSetEvent(idle, 0, false);
        return result;
    }

    // WMIENTRY: the minor function, path, size and buffer of an IRP; what was registered; and how much came back.
    IoStatusBlock Call(WmiProvider provider, byte minor, Va dataPath, Va buffer, uint size)
    {
        Va returned = nt.Mm.Pool.Allocate(sizeof(uint), PoolKind.NonPaged, WmiTag, Va.Null, zero: true);
        if (returned.IsNull) return new IoStatusBlock(STATUS_INSUFFICIENT_RESOURCES, 0);
        var status = new NtStatus((uint)nt.Routines.Call(provider.Routine, minor, dataPath.Value, size, buffer.Value,
            provider.Device.Address.Value, returned.Value));
        uint length = nt.Memory.Read<uint>(returned);
        nt.Mm.Pool.Free(returned);
        return new IoStatusBlock(status, length);
    }

    /// <summary>Sends a WNODE, with more room if the provider wants it.</summary>
    /// <param name="node">What the buffer begins with: a header whose sizes and GUID are set here, and what follows
    /// it.</param>
    /// <param name="answer">What came back; empty if nothing did.</param>
    NtStatus Request(
        WmiProvider provider, WmiBlock block, byte minor, WnodeFlags flags, byte[] node, int room, out byte[] answer)
    {
        answer = [];
        for (int tries = 0; tries < 3; tries++)
        {
            room = Math.Max(room, node.Length);
            Va buffer = nt.Mm.Pool.Allocate((ulong)room, PoolKind.NonPaged, WmiTag, Va.Null, zero: true);
            if (buffer.IsNull) return STATUS_INSUFFICIENT_RESOURCES;
            nt.Memory.Write(buffer, node);
            var header = WnodeHeader.At(nt.Memory, buffer);
            (header.BufferSize, header.ProviderId) = ((uint)node.Length, provider.Number);
            (header.Guid, header.Flags) = (block.Guid, flags | block.NameFlags);
            IoStatusBlock result = Send(provider, minor, buffer + 0x18, buffer, (uint)room);
            answer = nt.Memory.ReadBytes(buffer, (int)Math.Min((ulong)room, result.Information));
            nt.Mm.Pool.Free(buffer);
            if (!result.Status.IsSuccess) return result.Status;
            if (answer.Length < WnodeTooSmall.Size
                || (Word(answer, 0x2C) & (uint)WnodeFlags.TooSmall) == 0) return result.Status;
            uint needed = Word(answer, 0x30);
            answer = [];
            if (needed <= room || needed > MaximumRoom) break;
            room = (int)needed;
        }
        return STATUS_BUFFER_TOO_SMALL;
    }

    static uint Word(byte[] bytes, long at) =>
        at >= 0 && at + 4 <= bytes.Length ? BitConverter.ToUInt32(bytes, (int)at) : 0;

    static void Put(byte[] bytes, int at, uint value) => BitConverter.TryWriteBytes(bytes.AsSpan(at), value);

    static byte[] Part(byte[] bytes, uint at, uint length) =>
        at <= bytes.Length && length <= bytes.Length - at ? bytes[(int)at..(int)(at + length)] : [];

    /// <summary>IRP_MN_ENABLE_* and IRP_MN_DISABLE_*: a header and nothing else.</summary>
    NtStatus Control(WmiProvider provider, WmiBlock block, byte minor) =>
        Request(provider, block, minor, WnodeFlags.None, new byte[WnodeHeader.Size], 0, out _);

    /// <summary>A block that takes effort to have is collected as long as somebody has it open.</summary>
    void Collect(Guid guid, int change)
    {
        int before = _collected.GetValueOrDefault(guid), now = before + change;
        if (now == 0) _collected.Remove(guid);
        else _collected[guid] = now;
        if (before != 0 && now != 0) return;
        foreach ((WmiProvider provider, WmiBlock block) in Find(guid))
            if (block.IsExpensive)
                Control(provider, block, change > 0 ? IRP_MN_ENABLE_COLLECTION : IRP_MN_DISABLE_COLLECTION);
    }

    NtStatus Collecting(Guid guid, Func<NtStatus> action)
    {
        Collect(guid, 1);
        NtStatus status = action();
        Collect(guid, -1);
        return status;
    }

    /// <summary>A WNODE_ALL_DATA of each provider that has the block, with the instances' names.</summary>
    /// <returns>The first failure if no provider has answered.</returns>
    public NtStatus QueryAllData(Guid guid, out List<byte[]> nodes)
    {
        var answers = new List<byte[]>();
        nodes = answers;
        return Collecting(guid, () =>
        {
            NtStatus status = STATUS_WMI_GUID_NOT_FOUND;
            foreach ((WmiProvider provider, WmiBlock block) in Find(guid))
            {
                NtStatus one = Request(provider, block, IRP_MN_QUERY_ALL_DATA, WnodeFlags.AllData,
                    new byte[WnodeAllData.Size], RoomAtFirst, out byte[] answer);
                if (one.IsSuccess && answer.Length >= WnodeAllData.Size) answers.Add(WithNames(answer, block));
                if (one.IsSuccess || status == STATUS_WMI_GUID_NOT_FOUND) status = one;
            }
            return answers.Count > 0 ? STATUS_SUCCESS : status;
        });
    }

    // The names come behind the data: offsets to counted texts.
    static byte[] WithNames(byte[] node, WmiBlock block)
    {
        const int maximumNames = 0x1000;
        if (block.IsDynamic) return node;
        uint count = Math.Min(Word(node, 0x34), maximumNames);
        int at = (node.Length + 7) & ~7;
        string[] names = [.. Enumerable.Range(0, (int)count).Select(i => block.NameOf((uint)i))];
        byte[] all = new byte[at + names.Length * 4 + names.Sum(n => 2 + n.Length * 2)];
        node.CopyTo(all, 0);
        Put(all, 0x38, (uint)at);
        int text = at + names.Length * 4;
        foreach (string name in names)
        {
            Put(all, at, (uint)text);
            at += 4;
            BitConverter.TryWriteBytes(all.AsSpan(text), (ushort)(name.Length * 2));
            Encoding.Unicode.GetBytes(name).CopyTo(all, text + 2);
            text += 2 + name.Length * 2;
        }
        Put(all, 0, (uint)all.Length);
        return all;
    }

    NtStatus WithInstance(
        Guid guid, string instance, Func<WmiProvider, WmiBlock, uint, NtStatus> action) => Collecting(guid, () =>
    {
        NtStatus status = STATUS_WMI_GUID_NOT_FOUND;
        foreach ((WmiProvider provider, WmiBlock block) in Find(guid))
        {
            NtStatus one = block.IndexOf(instance) is { } index ? action(provider, block, index)
                : STATUS_WMI_INSTANCE_NOT_FOUND;
            if (one != STATUS_WMI_INSTANCE_NOT_FOUND) return one;
            status = one;
        }
        return status;
    });

    /// <summary>A node about one instance: header, its own words, the name, the data.</summary>
    static byte[] NodeOf(int fixedBytes, uint instance, string name, byte[] data, uint? item)
    {
        int start = (fixedBytes + 2 + name.Length * 2 + 7) & ~7;
        byte[] node = new byte[start + data.Length];
        Put(node, 0x30, (uint)fixedBytes);
        Put(node, 0x34, instance);
        if (item is { } id) Put(node, 0x38, id);
        int at = item is null ? 0x38 : 0x3C;
        Put(node, at, (uint)start);
        Put(node, at + 4, (uint)data.Length);
        BitConverter.TryWriteBytes(node.AsSpan(fixedBytes), (ushort)(name.Length * 2));
        Encoding.Unicode.GetBytes(name).CopyTo(node, fixedBytes + 2);
        data.CopyTo(node, start);
        return node;
    }

    static byte[] SingleNode(uint index, string name, byte[] data) =>
        NodeOf(WnodeSingleInstance.Size, index, name, data, null);

    static byte[] ItemNode(uint index, string name, byte[] data, uint item) =>
        NodeOf((int)WnodeMethodItem.VariableData, index, name, data, item);

    /// <summary>A WNODE_SINGLE_INSTANCE of an instance.</summary>
    public NtStatus QuerySingleInstance(Guid guid, string instance, out byte[] node)
    {
        byte[] answer = [];
        NtStatus status = WithInstance(guid, instance, (provider, block, index) => Request(provider, block,
            IRP_MN_QUERY_SINGLE_INSTANCE, WnodeFlags.SingleInstance, SingleNode(index, instance, []), RoomAtFirst,
            out answer));
        node = answer;
        return status;
    }

    public NtStatus SetSingleInstance(Guid guid, string instance, byte[] data) =>
        WithInstance(guid, instance, (provider, block, index) => Request(provider, block,
            IRP_MN_CHANGE_SINGLE_INSTANCE, WnodeFlags.SingleInstance, SingleNode(index, instance, data), 0, out _));

    public NtStatus SetSingleItem(Guid guid, string instance, uint item, byte[] data) =>
        WithInstance(guid, instance, (provider, block, index) => Request(provider, block,
            IRP_MN_CHANGE_SINGLE_ITEM, WnodeFlags.SingleItem, ItemNode(index, instance, data, item), 0, out _));

    /// <summary>The output of a method.</summary>
    public NtStatus ExecuteMethod(Guid guid, string instance, uint method, byte[] input, out byte[] output)
    {
        byte[] answer = [];
        NtStatus status = WithInstance(guid, instance, (provider, block, index) => Request(provider, block,
            IRP_MN_EXECUTE_METHOD, WnodeFlags.MethodItem, ItemNode(index, instance, input, method), RoomAtFirst,
            out answer));
        output = Part(answer, Word(answer, 0x3C), Word(answer, 0x40));
        return status;
    }

    /// <summary>The data in a WNODE_SINGLE_INSTANCE.</summary>
    public static byte[] DataOf(byte[] node) => Part(node, Word(node, 0x38), Word(node, 0x3C));

    /// <summary>The name in a node about one instance; empty if there is none.</summary>
    static string NameIn(byte[] node) => TextAt(node, Word(node, 0x30));

    static string TextAt(byte[] node, uint at) =>
        Encoding.Unicode.GetString(Part(node, at + 2, Word(node, at) & 0xFFFE));

    /// <summary>The instances in a WNODE_ALL_DATA, with their names.</summary>
    public static IEnumerable<(string Name, byte[] Data)> InstancesOf(byte[] node)
    {
        uint count = Math.Min(Word(node, 0x34), (uint)node.Length / 4), names = Word(node, 0x38);
        bool isFixed = (Word(node, 0x2C) & (uint)WnodeFlags.FixedInstanceSize) != 0;
        for (uint i = 0; i < count; i++)
        {
            uint size = Word(node, 0x3C), at = Word(node, 0x30) + i * size;
            if (!isFixed) (at, size) = (Word(node, 0x3C + i * 8), Word(node, 0x40 + i * 8));
            yield return (TextAt(node, Word(node, names + i * 4)), Part(node, at, size));
        }
    }
}
