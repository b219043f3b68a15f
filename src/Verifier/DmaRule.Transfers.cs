using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Verifier;

// What is mapped for a device, until it is flushed.
public sealed partial class DmaRule
{
    const uint MostCompared = 0x1_0000;
    const int MostCopies = 256;

    /// <summary>A part of an MDL's memory that is mapped.</summary>
    /// <param name="Before">What was in it, if the device works with a copy of it; null: nobody compares.</param>
    sealed record Piece(Va Registers, Va Mdl, Va Current, uint Length, bool ToDevice, byte[]? Before)
    {
        public Va End => Current + Length;

        public bool Meets(Va mdl, Va current, uint length) =>
            Mdl == mdl && Current < current + length && current < End;
    }

    void OnTransfer(NtKernel nt, Adapter adapter, DmaUse use)
    {
        switch (use.Step)
        {
            case DmaStep.Mapping:
                CheckMdl(nt, adapter, use);
                break;
            case DmaStep.Mapped when use.Length > 0:
                adapter.Mapped.Add(PieceOf(nt, adapter, use));
                break;
            case DmaStep.Flushed:
                OnFlushed(nt, adapter, use);
                break;
            case DmaStep.ListGiven:
                adapter.Lists[use.Buffer] = PieceOf(nt, adapter, use);
                break;
            case DmaStep.ListPut when adapter.Lists.Remove(use.Buffer, out Piece? put):
                CheckEnd(nt, put, use.ToDevice, "PutScatterGatherList");
                break;
        }
    }

    void CheckMdl(NtKernel nt, Adapter adapter, DmaUse use)
    {
        const MdlFlags stays =
            MdlFlags.PagesLocked | MdlFlags.SourceIsNonpagedPool | MdlFlags.Partial | MdlFlags.IoSpace;
        MdlFlags flags = use.Mdl.MdlFlags;
        Va begin = use.Mdl.VirtualAddress, end = begin + use.Mdl.ByteCount;
        if ((flags & stays) == 0)
            Report(nt, $"The memory of MDL {use.Mdl.Address} is not locked, and is to be mapped for a device", 0x0E);
        else if (!use.ToDevice && (flags & (stays | MdlFlags.WriteOperation)) == MdlFlags.PagesLocked)
            Report(nt, $"The memory of MDL {use.Mdl.Address} is locked for reading, and the device is to write to it");
        if (use.Length == 0) Report(nt, "A transfer of no bytes is to be mapped", 0x21);
        else if (use.Current < begin || use.Current >= end)
            Report(nt, $"{use.Current} is not in the memory of MDL {use.Mdl.Address}", 0x1B);
        else if (use.Length > end - use.Current)
            Report(nt, $"{use.Length:X} bytes are to be mapped, and MDL {use.Mdl.Address} has {end - use.Current:X} "
                + "from there on", 0x24);
        if (adapter.Mapped.Concat(adapter.Lists.Values).Any(p => p.Meets(use.Mdl.Address, use.Current, use.Length)))
            Report(nt, $"Memory of MDL {use.Mdl.Address} is to be mapped that is mapped already", 0x1D);
    }

    // Only memory of the system's own: what a program does with its buffer meanwhile is its own affair.
    static Piece PieceOf(NtKernel nt, Adapter adapter, DmaUse use)
    {
        uint length = Math.Min(use.Length, MostCompared);
        bool compares = use.IsCopied && adapter.Mapped.Count + adapter.Lists.Count < MostCopies
            && (use.Mdl.MdlFlags & MdlFlags.SourceIsNonpagedPool) != 0
            && nt.Memory.CanAccess(use.Current, length, Access.Read);
        return new Piece(use.Registers, use.Mdl.Address, use.Current, use.Length, use.ToDevice,
            compares ? nt.Memory.ReadBytes(use.Current, (int)length) : null);
    }

    void OnFlushed(NtKernel nt, Adapter adapter, DmaUse use)
    {
        Piece[] flushed = [.. adapter.Mapped.Where(p => p.Meets(use.Mdl.Address, use.Current, use.Length))];
        if (flushed.Length == 0)
        {
            Report(nt, $"{use.Current} is flushed, and is not mapped", 0x16);
            return;
        }
        if (use.Current + use.Length > flushed.Max(p => p.End))
            Report(nt, $"{use.Length:X} bytes from {use.Current} on are flushed, which is more than was mapped", 0x00);
        foreach (Piece piece in flushed)
        {
            adapter.Mapped.Remove(piece);
            CheckEnd(nt, piece, use.ToDevice, "FlushAdapterBuffers");
        }
    }

    void CheckEnd(NtKernel nt, Piece piece, bool toDevice, string routine)
    {
        if (piece.ToDevice != toDevice)
            Report(nt, $"{routine} is told the other direction than the transfer had");
        else if (piece.Before is { } before && nt.Memory.CanAccess(piece.Current, (uint)before.Length, Access.Read)
            && !before.AsSpan().SequenceEqual(nt.Memory.ReadBytes(piece.Current, before.Length)))
            Report(nt, $"The memory at {piece.Current} was written while it was mapped: "
                + (toDevice ? "the device has not seen that" : "what the device has written takes its place"));
    }
}
