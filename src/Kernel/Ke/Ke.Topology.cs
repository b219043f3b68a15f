using System.Buffers.Binary;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>What the machine is made of: one package, a core for each processor, one node, one group.</summary>
sealed partial class Ke
{
    const int RelationCore = 0, RelationNode = 1, RelationPackage = 3, RelationGroup = 4, RelationAll = 0xFFFF;
    const int ProcessorRelationBytes = 0x30, NodeRelationBytes = 0x30, GroupRelationBytes = 0x4C;

    /// <summary>SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX, one for each core, node, package and group asked
    /// for.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeQueryLogicalProcessorRelationship(
        Va processorNumber, uint relationshipType, Va information, Va length)
    {
        int? only = processorNumber.IsNull ? null : IndexOf(processorNumber);
        if (!processorNumber.IsNull && only is null) return STATUS_INVALID_PARAMETER;
        byte[] all = [.. Relations(relationshipType, only).SelectMany(r => r)];
        uint room = _nt.Memory.Read<uint>(length);
        _nt.Memory.Write(length, all.Length);
        if (room < all.Length) return STATUS_INFO_LENGTH_MISMATCH;
        _nt.Memory.Write(information, all);
        return STATUS_SUCCESS;
    }

    IEnumerable<byte[]> Relations(uint type, int? only)
    {
        bool Wanted(int relation) => type == RelationAll || type == relation;
        for (int i = 0; i < Scheduler.Processors.Count; i++)
            if (Wanted(RelationCore) && (only ?? i) == i) yield return ProcessorRelation(RelationCore, 1UL << i);
        if (Wanted(RelationNode)) yield return NodeRelation();
        if (Wanted(RelationPackage)) yield return ProcessorRelation(RelationPackage, AllProcessors);
        if (Wanted(RelationGroup)) yield return GroupRelation();
    }

    static byte[] Relation(int relation, int bytes)
    {
        byte[] made = new byte[bytes];
        BinaryPrimitives.WriteInt32LittleEndian(made, relation);
        BinaryPrimitives.WriteInt32LittleEndian(made.AsSpan(4), bytes);
        return made;
    }

    // PROCESSOR_RELATIONSHIP: flags, efficiency, reserved, group count, GROUP_AFFINITY.
    static byte[] ProcessorRelation(int relation, ulong mask)
    {
        byte[] made = Relation(relation, ProcessorRelationBytes);
        BinaryPrimitives.WriteUInt16LittleEndian(made.AsSpan(0x1E), 1);
        BinaryPrimitives.WriteUInt64LittleEndian(made.AsSpan(0x20), mask);
        return made;
    }

    // NUMA_NODE_RELATIONSHIP: number, reserved, GROUP_AFFINITY.
    byte[] NodeRelation()
    {
        byte[] made = Relation(RelationNode, NodeRelationBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(made.AsSpan(0x20), AllProcessors);
        return made;
    }

    // GROUP_RELATIONSHIP: how many groups at most and now, then PROCESSOR_GROUP_INFO.
    byte[] GroupRelation()
    {
        byte[] made = Relation(RelationGroup, GroupRelationBytes + 4);
        BinaryPrimitives.WriteUInt16LittleEndian(made.AsSpan(0x08), 1);
        BinaryPrimitives.WriteUInt16LittleEndian(made.AsSpan(0x0A), 1);
        (made[0x20], made[0x21]) = ((byte)Scheduler.Processors.Count, (byte)Scheduler.Processors.Count);
        BinaryPrimitives.WriteUInt64LittleEndian(made.AsSpan(0x48), AllProcessors);
        return made;
    }
}
