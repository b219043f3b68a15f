using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>RTL_RUN_ONCE: a pointer whose two low bits say how far the initialization is.</summary>
sealed partial class Rtl
{
    const ulong RunOnceNew = 0, RunOnceRunning = 1, RunOnceDone = 2, RunOnceAsync = 3, RunOnceBits = 3;
    const uint RTL_RUN_ONCE_CHECK_ONLY = 1, RTL_RUN_ONCE_ASYNC = 2, RTL_RUN_ONCE_INIT_FAILED = 4;
    const long RunOncePollTicks = 10_000;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void RtlRunOnceInitialize(Va runOnce) => nt.Memory.Write(runOnce, RunOnceNew);

    /// <summary>STATUS_PENDING to the one that is to initialize; others wait for it, and get what it stored.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlRunOnceBeginInitialize(Va runOnce, uint flags, Va context)
    {
        if (flags is not (0 or RTL_RUN_ONCE_CHECK_ONLY or RTL_RUN_ONCE_ASYNC)) return STATUS_INVALID_PARAMETER_2;
        while (true)
        {
            ulong value = nt.Memory.Read<ulong>(runOnce), state = value & RunOnceBits;
            if (state == RunOnceDone)
            {
                if (!context.IsNull) nt.Memory.Write(context, value & ~RunOnceBits);
                return STATUS_SUCCESS;
            }
            if (flags == RTL_RUN_ONCE_CHECK_ONLY) return STATUS_UNSUCCESSFUL;
            ulong wanted = flags == RTL_RUN_ONCE_ASYNC ? RunOnceAsync : RunOnceRunning;
            if (state == RunOnceNew) nt.Memory.Write(runOnce, wanted);
            if (state == RunOnceNew || state == RunOnceAsync && wanted == RunOnceAsync) return STATUS_PENDING;
            if (state != wanted) return STATUS_INVALID_PARAMETER_2;
            nt.Ke.Clock.Spend();
            nt.Ke.WaitFor([nt.Ke.CurrentThread.Header], all: false, nt.Ke.Clock.Now + RunOncePollTicks);
        }
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlRunOnceComplete(Va runOnce, uint flags, Va context)
    {
        ulong state = nt.Memory.Read<ulong>(runOnce) & RunOnceBits;
        bool failed = (flags & RTL_RUN_ONCE_INIT_FAILED) != 0, isAsync = (flags & RTL_RUN_ONCE_ASYNC) != 0;
        if ((context.Value & RunOnceBits) != 0) return STATUS_INVALID_PARAMETER_3;
        if ((flags & ~6u) != 0 || failed && (isAsync || !context.IsNull)) return STATUS_INVALID_PARAMETER_2;
        if (state != (isAsync ? RunOnceAsync : RunOnceRunning)) return STATUS_UNSUCCESSFUL;
        nt.Memory.Write(runOnce, failed ? RunOnceNew : context.Value | RunOnceDone);
        return STATUS_SUCCESS;
    }

    /// <summary>Calls the routine once, however many come; if it fails, the next one calls it again.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus RtlRunOnceExecuteOnce(Va runOnce, Va initFn, Va parameter, Va context)
    {
        NtStatus status = RtlRunOnceBeginInitialize(runOnce, 0, context);
        if (status != STATUS_PENDING) return status;
        // Without a place of the caller's the routine still gets one.
        Va own = context.IsNull ? nt.Mm.Pool.Allocate(8, StringTag) : context;
        bool done = (uint)nt.Routines.Call(initFn, runOnce.Value, parameter.Value, own.Value) != 0;
        Va made = done ? nt.Memory.Read<Va>(own) : Va.Null;
        if (context.IsNull) nt.Mm.Pool.Free(own);
        status = RtlRunOnceComplete(runOnce, done ? 0 : RTL_RUN_ONCE_INIT_FAILED, made);
        return done ? status : STATUS_UNSUCCESSFUL;
    }
}
