using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Floating-point and vector registers, and what else of a processor drivers ask for.</summary>
/// <remarks>On x64 kernel code may use these registers freely: a thread's own are kept whenever it is
/// switched.</remarks>
sealed partial class Ke
{
    const uint StateTag = 0x7661_5358;

    /// <summary>Bytes of XSTATE_SAVE, and where the pointer to the saved registers stands in it.</summary>
    const int XStateArea = 0x20, XStateMask = 0x08;
    const ulong FeaturesThere = 7;      // x87, SSE, AVX

    readonly HashSet<Va> _savedStates = [];

    /// <summary>Keeps the x87, SSE and AVX registers, to be put back by KeRestoreExtendedProcessorState.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeSaveExtendedProcessorState(ulong mask, Va xStateSave)
    {
        Va area = _nt.Mm.Pool.Allocate(Processor.ExtendedBytes, StateTag);
        byte[] registers = new byte[Processor.ExtendedBytes];
        _nt.Cpu.SaveExtended(registers);
        _nt.Memory.Write(area, registers);
        _nt.Memory.Write(xStateSave + XStateMask, mask & FeaturesThere);
        _nt.Memory.Write(xStateSave + XStateArea, area);
        _savedStates.Add(area);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void KeRestoreExtendedProcessorState(Va xStateSave)
    {
        Va area = _nt.Memory.Read<Va>(xStateSave + XStateArea);
        // A state that was restored already, or never saved.
        if (!_savedStates.Remove(area)) throw new BugCheck(BugCheckCode.INVALID_FLOATING_POINT_STATE, 2, area.Value);
        _nt.Cpu.RestoreExtended(_nt.Memory.ReadBytes(area, Processor.ExtendedBytes));
        _nt.Mm.Pool.Free(area);
    }

    /// <summary>On x64 there is nothing to save but the control word that the caller may change: KFLOATING_SAVE has 4
    /// bytes.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeSaveFloatingPointState(Va floatSave)
    {
        unsafe
        {
            _nt.Memory.Write(floatSave, _nt.Cpu.State->Mxcsr);
        }
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus KeRestoreFloatingPointState(Va floatSave)
    {
        uint saved = _nt.Memory.Read<uint>(floatSave);
        unsafe
        {
            _nt.Cpu.State->Mxcsr = saved & 0xFFFF;
        }
        return STATUS_SUCCESS;
    }

    /// <summary>All caches are coherent in this machine.</summary>
    [Export]
    public bool KeInvalidateAllCaches() => true;

    [Export]
    public void KeInvalidateRangeAllCaches(Va baseAddress, uint length)
    {
    }

    /// <summary>The size of a cache line.</summary>
    [Export]
    public uint KeGetRecommendedSharedDataAlignment() => 64;

    [Export]
    public uint KeIsExecutingDpc() => Scheduler.Active.Dpcs.IsDelivering ? 1u : 0;

    /// <summary>Stacks are never swapped out; the wish is kept.</summary>
    [Export]
    public bool KeSetKernelStackSwapEnable(bool enable)
    {
        NtThread thread = Scheduler.Current;
        bool old = thread.SwapsStack;
        thread.SwapsStack = enable;
        return old;
    }
}
