using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What the kernel tells its observers beside the calls through the gate.</summary>
public sealed partial class NtKernel
{
    /// <summary>Where the guest code that called the running export goes on: in the driver that called. A C# driver's
    /// routine for one in C#, null when other C# called.</summary>
    public Va Caller
    {
        get
        {
            if (Loader.IsManaged(Cpu.Rip)) return new Va(Cpu.Rip);
            if (!Routines.TryFind(new Va(Cpu.Rip), out _)) return Va.Null;
            return Memory.TryPeek(new Va(Cpu.Rsp), out ulong caller) ? new Va(caller) : Va.Null;
        }
    }

    public Irql CurrentIrql => Ke.Irql;

    /// <summary>Who holds the locks that are taken now: a thread, or the DPCs of a processor.</summary>
    public ulong CurrentContext => Ke.Scheduler.Active is { InService: > 0 } serving
        ? ~(ulong)(serving.Number + Computer.MaximumProcessors * serving.InService)
        : Ke.Scheduler.Active is { Dpcs.IsDelivering: true } processor ? ~(ulong)processor.Number
        : Ke.Scheduler.Current.Id;

    /// <summary>The same in words.</summary>
    public string CurrentContextName => Ke.Scheduler.Active is { InService: > 0 } serving
        ? $"interrupt on processor {serving.Number}"
        : Ke.Scheduler.Active is { Dpcs.IsDelivering: true } processor
        ? $"DPC on processor {processor.Number}"
        : $"{Ke.Scheduler.Current.Name}, processor {Ke.Scheduler.Active.Number}";

    public string CurrentThreadName => Ke.Scheduler.Current.Name;

    /// <summary>What became of an IRP that still exists; null if there is none at the address.</summary>
    public IrpRecord? IrpRecordOf(Va irp) => Io.FindRecord(irp);

    /// <summary>A driver's code or data that may be paged out now.</summary>
    public bool IsPageable(Va address) => Mm.Paging.IsPageable(address)
        || Mm.Pool.Near(address) is { Kind: PoolKind.Paged } block && address >= block.Address;

    /// <summary>Whether an address is on the kernel stack of the thread that runs.</summary>
    public bool IsOnStack(Va address) => Ke.Scheduler.Current.Stack.Contains(address.Value);

    /// <summary>How many bytes the pool block that begins at an address has; 0 if none does.</summary>
    public ulong SizeOfPool(Va address) => Mm.Pool.TryFind(address, out PoolBlock? block) ? block!.Bytes : 0;

    /// <summary>The stack of the running thread, innermost first.</summary>
    public IReadOnlyList<StackFrame> Stack()
    {
        var context = new CpuContext();
        Cpu.CopyTo(context);
        return ManagedStack.Expand(this, CrashReport.Walk(this, context, Routines.Calls), null);
    }

    /// <summary>The same, below a routine that has just returned to C#.</summary>
    public IReadOnlyList<StackFrame> StackFrom(Va routine) =>
        [Loader.FrameAt(routine, isReturnAddress: false), .. Stack()];

    /// <summary>The machine's time since boot in ns; an instruction takes one.</summary>
    public long Nanoseconds => Ke.Clock.Nanoseconds;

    /// <summary>An observer wants the steps of IRPs, or their histories.</summary>
    internal bool WatchesIrps { get; }

    /// <summary>An observer wants to look back at what happened to an IRP.</summary>
    internal bool KeepsIrpHistory { get; }

    internal void OnIrpStep(Va irp, int depth, IrpEvent happened)
    {
        if (_irpObservers.Length == 0) return;
        KProcessor processor = Ke.Scheduler.Active;
        var step = new IrpStep(happened, irp, depth, Nanoseconds, processor.Number, processor.Irql, CurrentContext,
            processor.Dpcs.Routine);
        foreach (IIrpObserver observer in _irpObservers) observer.Stepped(this, step);
    }

    internal void OnThreadSwitched(KProcessor processor, NtThread? before, NtThread next)
    {
        if (_processorObservers.Length == 0) return;
        var change = new ThreadSwitch(processor.Number, before?.Id ?? 0, next.Id, next.Name,
            before is { State: ThreadState.Terminated });
        foreach (IProcessorObserver observer in _processorObservers) observer.ThreadSwitched(this, change);
    }

    internal void OnDpcStarting(KProcessor processor, Va routine)
    {
        foreach (IProcessorObserver observer in _processorObservers)
            observer.DpcStarting(this, processor.Number, routine);
    }

    internal void OnDpcEnded(KProcessor processor, Va routine)
    {
        foreach (IProcessorObserver observer in _processorObservers)
            observer.DpcEnded(this, processor.Number, routine);
    }

    internal void OnIrqlChanged(KProcessor processor, Irql irql)
    {
        foreach (IProcessorObserver observer in _processorObservers)
            observer.IrqlChanged(this, processor.Number, irql);
    }

    internal void OnDispatching(Irp irp, IrpMajor major, Va routine)
    {
        foreach (IObserver observer in _observers) observer.Dispatching(this, irp, major, routine);
    }

    internal void OnDispatched(Dispatched dispatched)
    {
        foreach (IObserver observer in _observers) observer.Dispatched(this, dispatched);
    }

    internal void OnCompleted(Completed completed)
    {
        foreach (IObserver observer in _observers) observer.Completed(this, completed);
    }

    internal void OnIrpUsed(IrpUse use, Irp irp)
    {
        foreach (IObserver observer in _observers) observer.IrpUsed(this, use, irp);
    }

    internal void OnCompletionReturned(CompletionReturned returned)
    {
        foreach (IObserver observer in _observers) observer.CompletionReturned(this, returned);
    }

    internal void OnDeviceUsed(DeviceUse use, DeviceObject device)
    {
        foreach (IObserver observer in _observers) observer.DeviceUsed(this, use, device);
    }

    internal void OnDeviceAdded(DeviceNode node, Driver driver, NtStatus status, DeviceObject before)
    {
        var added = new DeviceAdded(node, driver, status, before);
        foreach (IObserver observer in _observers) observer.DeviceAdded(this, added);
    }

    internal void OnDeviceRemoved(
        DeviceNode node, IReadOnlyList<StackedDevice> stack, NtStatus status, bool isSurprise = false)
    {
        foreach (IObserver observer in _observers)
            observer.DeviceRemoved(this, new DeviceRemoved(node, stack, status, isSurprise, node.BusReferences));
    }

    internal void OnDmaUsed(DmaUse use)
    {
        foreach (IObserver observer in _observers) observer.DmaUsed(this, use);
    }

    internal void OnTouchedAsleep(TouchedAsleep touched)
    {
        foreach (IObserver observer in _observers) observer.RegisterTouchedAsleep(this, touched);
    }

    internal void OnRemoveLockUsed(RemoveLockUse use, Va removeLock, Va tag)
    {
        foreach (IObserver observer in _observers) observer.RemoveLockUsed(this, use, removeLock, tag);
    }

    internal void OnFastIoReturned(Va routine, Irql irqlBefore, int apcDisable)
    {
        foreach (IObserver observer in _observers) observer.FastIoReturned(this, routine, irqlBefore, apcDisable);
    }

    internal void OnIrpTouchedAfterCompletion(Va irp, Va address)
    {
        foreach (IObserver observer in _observers) observer.IrpTouchedAfterCompletion(this, irp, address);
    }

    internal void OnEventWritten(TraceEvent written)
    {
        foreach (IObserver observer in _observers) observer.EventWritten(this, written);
    }

    internal void OnMissingExport(string module, string name, Va caller)
    {
        foreach (IObserver observer in _observers) observer.MissingExportCalled(this, module, name, caller);
    }
}
