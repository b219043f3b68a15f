using System.Buffers.Binary;
using static Ringdown.Kernel.ResourceType;

namespace Ringdown.Kernel;

/// <summary>What a device can do with for one of its resources: IO_RESOURCE_DESCRIPTOR.</summary>
readonly record struct Requirement(
    ResourceType Type, ShareDisposition Share, ushort Flags, ulong Length, ulong Alignment, ulong Minimum,
    ulong Maximum)
{
    public (uint First, uint Second, uint Third) Private { get; init; }

    /// <summary>Of an interrupt: which processors it is for, and how urgent it is.</summary>
    public InterruptPolicy Policy { get; init; }

    public bool IsMessage => Type == Interrupt && (Flags & Wdm.CM_RESOURCE_INTERRUPT_MESSAGE) != 0;

    /// <summary>There is only one place for it.</summary>
    public bool IsFixed => Maximum - Minimum + 1 == Length;

    /// <summary>The requirement that a resource which is there already means.</summary>
    public static Requirement Of(Resource resource) => new(resource.Type, resource.Share, resource.Flags,
        resource.Length, 1, resource.Start, resource.Start + resource.Length - 1)
    {
        Private = resource.Private,
    };
}

/// <summary>IO_RESOURCE_REQUIREMENTS_LIST, read.</summary>
static class RequirementLists
{
    const int FirstList = IoResourceRequirementsList.FirstList, ListHeader = IoResourceRequirementsList.ListHeader,
        MostLists = 64, MostDescriptors = 256;

    /// <summary>CM_RESOURCE_INTERRUPT_MESSAGE_TOKEN: the last "vector" of a requirement of messages.</summary>
    const uint MessageToken = 0xFFFF_FFFE;

    /// <summary>Alternative lists, each of resources, each of them with its alternatives in order of
    /// preference.</summary>
    public static IReadOnlyList<IReadOnlyList<IReadOnlyList<Requirement>>> Read(ReadOnlySpan<byte> bytes)
    {
        List<IReadOnlyList<IReadOnlyList<Requirement>>> lists = [];
        if (bytes.Length < FirstList) return lists;
        int count = (int)Math.Min(BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x1C..]), MostLists), at = FirstList;
        for (int i = 0; i < count && at + ListHeader <= bytes.Length; i++)
        {
            int descriptors = (int)Math.Min(
                BinaryPrimitives.ReadUInt32LittleEndian(bytes[(at + 4)..]), MostDescriptors);
            at += ListHeader;
            var list = new List<List<Requirement>>();
            for (int j = 0; j < descriptors && at + IoResourceDescriptor.Size <= bytes.Length; j++)
            {
                Add(list, bytes.Slice(at, IoResourceDescriptor.Size));
                at += IoResourceDescriptor.Size;
            }
            lists.Add(list);
        }
        return lists;
    }

    static void Add(List<List<Requirement>> list, ReadOnlySpan<byte> bytes)
    {
        if (ReadOne(bytes) is not { } requirement) return;
        bool isAlternative = (bytes[0] & (byte)ResourceOption.Alternative) != 0 && list.Count > 0;
        if (isAlternative) list[^1].Add(requirement);
        else list.Add([requirement]);
    }

    static Requirement? ReadOne(ReadOnlySpan<byte> bytes)
    {
        var type = (ResourceType)bytes[1];
        var share = (ShareDisposition)bytes[2];
        ushort flags = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        uint first = BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]),
            second = BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]),
            third = BinaryPrimitives.ReadUInt32LittleEndian(bytes[16..]);
        ulong minimum = BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]),
            maximum = BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..]);
        return type switch
        {
            Port or ResourceType.Memory or MemoryLarge when first > 0 =>
                new Requirement(type, share, flags, first, Math.Max(second, 1), minimum, maximum),
            Interrupt when (flags & Wdm.CM_RESOURCE_INTERRUPT_MESSAGE) != 0 =>
                new Requirement(type, share, flags, Math.Clamp(MessageToken - (ulong)first + 1, 1, 16), 1, 0, 255)
                {
                    Policy = InterruptPolicy.Of(minimum, maximum),
                },
            Interrupt => new Requirement(type, share, flags, 1, 1, first, second)
            {
                Policy = InterruptPolicy.Of(minimum, maximum),
            },
            Dma => new Requirement(type, share, flags, 1, 1, first, second),
            BusNumber => new Requirement(type, share, flags, first, 1, second, third),
            DevicePrivate => new Requirement(type, share, flags, 1, 1, 0, 0) { Private = (first, second, third) },
            _ => null,
        };
    }
}
