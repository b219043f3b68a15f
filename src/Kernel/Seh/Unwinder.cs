using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A function's language handler, found while its frame was unwound.</summary>
readonly record struct FrameHandler(Va Routine, Va Data);

/// <summary>One frame: who runs in it, and what its language handler is.</summary>
/// <param name="Establisher">The frame's own stack pointer, by which handlers name it.</param>
readonly record struct UnwoundFrame(
    Va ControlPc, Va ImageBase, Va FunctionEntry, Va Establisher, FrameHandler? Handler);

/// <summary>Takes a context from a function to its caller, by the x64 unwind data in the guest's memory.</summary>
/// <remarks>All of it is the driver's data and may be anything: what cannot be read ends the walk.</remarks>
sealed class Unwinder(NtKernel nt)
{
    const int FlagExceptionHandler = 1, FlagUnwindHandler = 2, FlagChained = 4, MaximumChain = 32;

    readonly Memory _memory = nt.Memory;

    /// <summary>Unwinds one frame.</summary>
    /// <param name="context">Changed to the caller's.</param>
    /// <param name="handlerKind">1: exception handlers count, 2: termination handlers.</param>
    /// <returns>False at the end of the stack.</returns>
    public bool Step(CpuContext context, int handlerKind, out UnwoundFrame frame) =>
        Step(context, handlerKind, nt.Routines.Calls, out frame);

    /// <summary>The same in the stack of a thread that has made these calls.</summary>
    public bool Step(CpuContext context, int handlerKind, IReadOnlyList<NestedCall> calls, out UnwoundFrame frame)
    {
        Va pc = new(context.Rip);
        frame = new UnwoundFrame(pc, Va.Null, Va.Null, new Va(context.Rsp), null);
        if (Routines.IsReturn(pc)) return LeaveNestedCall(context, handlerKind, calls);
        if (nt.Routines.TryFind(pc, out _)) return Return(context);
        if (nt.Loader.ImageAt(pc) is not { } image) return ReturnFromNowhere(context);
        Va entry = FindEntry(image, pc);
        if (entry.IsNull)
        {
            frame = frame with { ImageBase = image.Base };
            return Return(context);
        }
        return Unwind(context, image.Base, entry, pc, handlerKind, out frame);
    }

    /// <summary>The RUNTIME_FUNCTION that covers an address; null for a leaf function.</summary>
    public Va FindEntry(LoadedImage image, Va pc)
    {
        uint rva = (uint)(pc - image.Base);
        int low = 0, high = (int)(image.ExceptionSize / 12) - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            Va entry = image.Base + image.ExceptionRva + (ulong)middle * 12;
            if (!_memory.TryPeek(entry, out uint begin) || !_memory.TryPeek(entry + 4, out uint end)) return Va.Null;
            if (rva < begin) high = middle - 1;
            else if (rva >= end) low = middle + 1;
            else return entry;
        }
        return Va.Null;
    }

    // C# called guest code here: on with what the guest did outside.
    static bool LeaveNestedCall(CpuContext context, int handlerKind, IReadOnlyList<NestedCall> calls)
    {
        foreach (NestedCall call in calls)
        {
            if (call.ReturnRsp != context.Rsp) continue;
            if (call.IsBarrier && handlerKind != 0) return false;
            (context.Rip, context.Rsp) = (call.OuterRip, call.OuterRsp);
            return context.Rip != 0;
        }
        return false;
    }

    // A call through a wild pointer has pushed where it came from; anything else has no caller that could be known.
    bool ReturnFromNowhere(CpuContext context) =>
        Return(context) && (nt.Loader.ImageAt(new Va(context.Rip)) is not null
            || Routines.IsReturn(new Va(context.Rip)));

    bool Return(CpuContext context)
    {
        if (!_memory.TryPeek(new Va(context.Rsp), out ulong rip)) return false;
        (context.Rip, context.Rsp) = (rip, context.Rsp + 8);
        return true;
    }

    bool Unwind(CpuContext context, Va imageBase, Va entry, Va pc, int handlerKind, out UnwoundFrame frame)
    {
        frame = new UnwoundFrame(pc, imageBase, entry, new Va(context.Rsp), null);
        if (!_memory.TryPeek(entry, out uint begin) || !_memory.TryPeek(entry + 8, out uint infoRva)) return false;
        uint offset = (uint)(pc - imageBase) - begin;
        for (int chain = 0; chain < MaximumChain; chain++)
        {
            Va info = imageBase + infoRva;
            byte[] header = new byte[4];
            if (!_memory.TryPeek(info, header)) return false;
            byte[] codes = new byte[header[2] * 2];
            if (!_memory.TryPeek(info + 4, codes)) return false;
            if (chain == 0)
            {
                frame = frame with { Establisher = EstablisherOf(context, header, codes, offset) };
                if (offset >= header[1] && FinishEpilogue(context, pc)) return true;
            }
            bool machineFrame = false;
            if (!new UnwindCodes(_memory, context, header, codes).Apply(offset, ref machineFrame)) return false;
            Va behind = info + 4 + ((header[2] + 1) & ~1) * 2;
            int flags = header[0] >> 3;
            if (flags == FlagChained)
            {
                if (!_memory.TryPeek(behind + 8, out infoRva)) return false;
                offset = uint.MaxValue;      // a chained part of a function is past the whole prologue of the first
                continue;
            }
            if ((flags & handlerKind) != 0 && _memory.TryPeek(behind, out uint handlerRva))
                frame = frame with { Handler = new FrameHandler(imageBase + handlerRva, behind + 4) };
            return machineFrame || Return(context);
        }
        return false;
    }

    static Va EstablisherOf(CpuContext context, byte[] header, byte[] codes, uint offset)
    {
        int register = header[3] & 15;
        if (register == 0) return new Va(context.Rsp);
        if (offset < header[1] && !UnwindCodes.FrameRegisterIsSet(codes, offset)) return new Va(context.Rsp);
        return new Va(context[register] - (ulong)(header[3] >> 4) * 16);
    }

    /// <summary>In an epilogue the registers are partly restored already: what is left of it is carried out.</summary>
    bool FinishEpilogue(CpuContext context, Va pc)
    {
        byte[] code = new byte[32];
        if (!_memory.TryPeek(pc, code)) return false;
        var tried = new CpuContext();
        context.CopyTo(tried);
        int at = 0;
        if (code[0] == 0x48 && code[1] == 0x83 && code[2] == 0xC4)
        {
            tried.Rsp += code[3];
            at = 4;
        }
        else if (code[0] == 0x48 && code[1] == 0x81 && code[2] == 0xC4)
        {
            tried.Rsp += BitConverter.ToUInt32(code, 3);
            at = 7;
        }
        while (at < 24)
        {
            bool extended = code[at] == 0x41;
            byte op = code[at + (extended ? 1 : 0)];
            if (op is < 0x58 or > 0x5F) break;
            if (!_memory.TryPeek(new Va(tried.Rsp), out ulong value)) return false;
            tried.Rsp += 8;
            tried[(op & 7) + (extended ? 8 : 0)] = value;
            at += extended ? 2 : 1;
        }
        bool isReturn = code[at] == 0xC3 || code[at] == 0xF3 && code[at + 1] == 0xC3;
        if (!isReturn || !Return(tried)) return false;
        tried.CopyTo(context);
        return true;
    }
}

/// <summary>The unwind codes of one function part, undone from the last to the first.</summary>
readonly struct UnwindCodes(Memory memory, CpuContext context, byte[] header, byte[] codes)
{
    const int PushNonvol = 0, AllocLarge = 1, AllocSmall = 2, SetFrame = 3, SaveNonvol = 4, SaveNonvolFar = 5;
    const int Epilog = 6, Spare = 7, SaveXmm = 8, SaveXmmFar = 9, PushMachineFrame = 10;

    static int Slots(int operation, int info) => operation switch
    {
        AllocLarge => info == 0 ? 2 : 3,
        SaveNonvol or SaveXmm or Spare => 2,
        SaveNonvolFar or SaveXmmFar => 3,
        _ => 1,
    };

    public static bool FrameRegisterIsSet(byte[] codes, uint offset)
    {
        for (int i = 0; i + 1 < codes.Length; i += 2 * Slots(codes[i + 1] & 15, codes[i + 1] >> 4))
            if ((codes[i + 1] & 15) == SetFrame) return codes[i] <= offset;
        return false;
    }

    /// <param name="offset">Bytes of the function before the control PC: codes of a prologue not yet executed do not
    /// count.</param>
    /// <param name="machineFrame">Set if RIP and RSP came from a trap frame.</param>
    public bool Apply(uint offset, ref bool machineFrame)
    {
        for (int i = 0; i + 1 < codes.Length;)
        {
            int operation = codes[i + 1] & 15, info = codes[i + 1] >> 4, slots = Slots(operation, info);
            if (i + slots * 2 > codes.Length) return false;
            if (codes[i] <= offset && !Undo(operation, info, i, ref machineFrame)) return false;
            i += slots * 2;
        }
        return true;
    }

    bool Undo(int operation, int info, int at, ref bool machineFrame)
    {
        uint near = at + 3 < codes.Length ? BitConverter.ToUInt16(codes, at + 2) : 0u;
        uint far = at + 5 < codes.Length ? BitConverter.ToUInt32(codes, at + 2) : 0u;
        switch (operation)
        {
            case PushNonvol:
                if (!memory.TryPeek(new Va(context.Rsp), out ulong pushed)) return false;
                context.Rsp += 8;
                if (info != 4) context[info] = pushed;
                return true;
            case AllocLarge:
                context.Rsp += info == 0 ? near * 8UL : far;
                return true;
            case AllocSmall:
                context.Rsp += (ulong)info * 8 + 8;
                return true;
            case SetFrame:
                context.Rsp = context[header[3] & 15] - (ulong)(header[3] >> 4) * 16;
                return true;
            case SaveNonvol or SaveNonvolFar:
                if (!memory.TryPeek(new Va(context.Rsp + (operation == SaveNonvol ? near * 8UL : far)),
                    out ulong saved))
                    return false;
                context[info] = saved;
                return true;
            case SaveXmm or SaveXmmFar:
                return memory.TryPeek(
                    new Va(context.Rsp + (operation == SaveXmm ? near * 16UL : far)), context.Xmm(info));
            case PushMachineFrame:
                ulong frame = context.Rsp + (info == 1 ? 8UL : 0);
                if (!memory.TryPeek(new Va(frame), out ulong rip) || !memory.TryPeek(new Va(frame + 24), out ulong rsp))
                    return false;
                (context.Rip, context.Rsp, machineFrame) = (rip, rsp, true);
                return true;
            default:
                return operation is Epilog or Spare;
        }
    }
}
