using Ringdown.Machine;
using static Ringdown.Kernel.Irql;

namespace Ringdown.Kernel;

/// <summary>The running stack.</summary>
sealed partial class Rtl
{
    const uint MaximumFrames = 0xFE00;

    /// <summary>The registers as they are in the caller, behind its call.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void RtlCaptureContext(ContextView contextRecord)
    {
        var context = new CpuContext();
        nt.Cpu.CopyTo(context);
        if (!nt.Caller.IsNull) (context.Rip, context.Rsp) = (nt.Caller.Value, context.Rsp + 8);
        contextRecord.Save(context);
    }

    /// <summary>Return addresses from the caller's own on; how many there were.</summary>
    [Export]
    public uint RtlWalkFrameChain(Va callers, uint count, uint flags) =>
        (flags & 1) != 0 ? 0 : WriteFrames(callers, 0, count, out _);

    [Export]
    public ushort RtlCaptureStackBackTrace(uint framesToSkip, uint framesToCapture, Va backTrace, Va backTraceHash)
    {
        uint count = WriteFrames(backTrace, framesToSkip, Math.Min(framesToCapture, MaximumFrames), out uint hash);
        if (!backTraceHash.IsNull && count > 0) nt.Memory.Write(backTraceHash, hash);
        return (ushort)count;
    }

    // The innermost frame is the export's own.
    uint WriteFrames(Va target, uint skip, uint count, out uint hash)
    {
        hash = 0;
        uint written = 0;
        IReadOnlyList<StackFrame> frames = nt.Stack();
        for (ulong i = 1UL + skip; i < (ulong)frames.Count && written < count; i++)
        {
            ulong address = frames[(int)i].Address.Value;
            nt.Memory.Write(target + written++ * 8UL, address);
            hash = unchecked(hash + (uint)address);
        }
        return written;
    }

    /// <summary>Takes a context from a function to its caller; returns the function's handler, if it has one of the
    /// kind that is asked for (1 exception, 2 termination).</summary>
    [Export(Support.Partial, "The function entry is looked up from the address, and context pointers are not filled.")]
    public Va RtlVirtualUnwind(
        uint handlerType, Va imageBase, Va controlPc, Va functionEntry, ContextView contextRecord, Va handlerData,
        Va establisherFrame, Va contextPointers)
    {
        var context = new CpuContext();
        contextRecord.Load(context);
        context.Rip = controlPc.Value;
        nt.Seh.Unwinder.Step(context, (int)(handlerType & 3), out UnwoundFrame frame);
        contextRecord.Save(context);
        nt.Memory.Write(establisherFrame, frame.Establisher);
        nt.Memory.Write(handlerData, frame.Handler?.Data ?? Va.Null);
        return frame.Handler?.Routine ?? Va.Null;
    }

    /// <summary>The return address of the caller, and of its caller.</summary>
    [Export]
    public void RtlGetCallersAddress(Va callersAddress, Va callersCaller)
    {
        IReadOnlyList<StackFrame> frames = nt.Stack();
        nt.Memory.Write(callersAddress, frames.Count > 2 ? frames[2].Address : Va.Null);
        nt.Memory.Write(callersCaller, frames.Count > 3 ? frames[3].Address : Va.Null);
    }
}
