using System.Numerics;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>Which service routines are connected to which vector, and how they are called.</summary>
/// <remarks>
/// A line has the vector 0x30 + 16 × (line mod 9) + line div 9: so IRQL 3 to 11, line 0 the lowest. Of a shared level
/// triggered vector the routines are called in the order in which they were connected until one says that it was its
/// device; of an edge triggered one all are called again until a round in which none does.
/// </remarks>
sealed class InterruptTable
{
    public const int Lines = 9 * 16;
    const int FirstVector = 0x30, StormLimit = 1000, PassivePriority = 31;

    /// <summary>Lines from here on have their vectors in the half of an IRQL from which messages get theirs.</summary>
    const int FirstInMessages = 9 * 8;

    readonly NtKernel _nt;
    readonly InterruptController _controller;
    readonly Dictionary<uint, List<KInterrupt>> _chains = [];
    readonly WorkerPool _passive;

    public InterruptTable(NtKernel nt)
    {
        (_nt, _controller) = (nt, nt.Computer.Interrupts);
        _passive = new WorkerPool(nt, "interrupt", PassivePriority);
        _controller.Raised = OnRaised;
    }

    /// <summary>While the system sleeps: told of each line that interrupts nobody.</summary>
    public Action<InterruptLine>? Ignored { get; set; }

    void OnRaised()
    {
        _nt.Ke.Scheduler.Notice();
        if (Ignored is not { } ignored) return;
        for (int i = 0; i < _nt.Ke.Scheduler.Processors.Count; i++)
            if (_controller.Next(i) is { } line) ignored(line);
    }

    /// <summary>The vector of a line.</summary>
    public static uint VectorOf(int line) => (uint)(FirstVector + 16 * (line % 9) + line / 9);

    /// <summary>The line of a vector; null for a vector that no line has.</summary>
    public static int? LineOf(uint vector)
    {
        uint line = (vector - FirstVector) / 16 + (vector - FirstVector) % 16 * 9;
        return vector is >= FirstVector and < FirstVector + Lines ? (int)line : null;
    }

    /// <summary>Connects a service routine.</summary>
    /// <returns>False if the vector is somebody's who does not share it, or is triggered in another way.</returns>
    public bool TryConnect(KInterrupt interrupt, InterruptTrigger trigger, bool shares, ulong processors)
    {
        if (!_chains.TryGetValue(interrupt.Vector, out List<KInterrupt>? chain))
            _chains.Add(interrupt.Vector, chain = []);
        bool isLatched = trigger == InterruptTrigger.Edge;
        // Each processor has vectors of its own, but a line that no message can be is the same for all of them.
        bool isLine = LineOf(interrupt.Vector) is < FirstInMessages;
        if (chain.FindIndex(i => isLine || (i.Processors & processors) != 0) is >= 0 and var at && (!shares
            || !chain[at].IsShared || chain[at].IsLatched != isLatched
            || chain[at].IsPassive != interrupt.IsPassive)) return false;
        KInterrupt connected = interrupt;
        (connected.IsShared, connected.IsLatched) = (shares, isLatched);
        chain.Add(interrupt);
        if (interrupt.IsMessage || LineOf(interrupt.Vector) is not { } number) return true;
        InterruptLine line = _controller.Line(number);
        (line.Trigger, line.Vector) = (trigger, (byte)interrupt.Vector);
        if (chain.Count == 1)
            line.Processor = BitOperations.TrailingZeroCount(processors) % _nt.Ke.Scheduler.Processors.Count;
        line.IsMasked = false;
        return true;
    }

    /// <returns>False if it is not connected.</returns>
    public bool Disconnect(KInterrupt interrupt)
    {
        List<KInterrupt>? chain = _chains.GetValueOrDefault(interrupt.Vector);
        if (chain?.Remove(interrupt) != true) return false;
        if (chain.Count == 0 && LineOf(interrupt.Vector) is { } line) _controller.Line(line).IsMasked = true;
        return true;
    }

    /// <summary>Routines that a driver has not disconnected, a line each.</summary>
    public IReadOnlyList<string> LeftBy(Func<Va, bool> isOwner) =>
        [.. _chains.OrderBy(c => c.Key).SelectMany(c => c.Value).Where(i => isOwner(i.ServiceRoutine)).Select(i =>
            $"the interrupt of vector {i.Vector:X2}, connected to {_nt.Loader.Describe(i.ServiceRoutine)}")];

    /// <summary>Whether a connected routine is to be called.</summary>
    public void SetActive(KInterrupt interrupt, bool active)
    {
        interrupt.IsInactive = !active;
        if (interrupt.IsMessage) return;
        if (_chains.TryGetValue(interrupt.Vector, out List<KInterrupt>? chain) && LineOf(interrupt.Vector) is { } line)
            _controller.Line(line).IsMasked = chain.TrueForAll(i => i.IsInactive);
    }

    /// <summary>The processors that an interrupt interrupts, a bit each.</summary>
    public ulong ProcessorsOf(KInterrupt interrupt) => !interrupt.IsMessage && LineOf(interrupt.Vector) is { } line
        ? 1UL << _controller.Line(line).Processor : interrupt.Processors;

    /// <summary>Who is connected to a line; of a message, on the processor that it was sent to.</summary>
    KInterrupt[] ChainOf(InterruptLine line) => _chains.TryGetValue(line.Vector, out List<KInterrupt>? chain)
        ? [.. chain.Where(i => line.Number >= 0 || (i.Processors >> line.Processor & 1) != 0)] : [];

    /// <summary>Some line would interrupt the processor now.</summary>
    public bool IsPending(KProcessor processor) =>
        _controller.Next(processor.Number) is { } line && line.Vector >> 4 > (int)processor.Irql;

    /// <summary>Services what is pending, as the IRQL allows. The processor is the active one.</summary>
    public void Deliver(KProcessor processor)
    {
        int streak = 0;
        while (!processor.IsMasked && _controller.Next(processor.Number) is { } line
            && line.Vector >> 4 > (int)processor.Irql)
        {
            _nt.Ke.Clock.Spend();
            Service(processor, line);
            streak = line.Trigger == InterruptTrigger.Level && line.IsAsserted ? streak + 1 : 0;
            if (streak > StormLimit) throw Storm(line);
        }
    }

    void Service(KProcessor processor, InterruptLine line)
    {
        line.Accept();
        if (ChainOf(line) is [{ IsPassive: true }, ..])
        {
            // It is quiet until the routines have run.
            line.IsMasked = true;
            _passive.Queue(() => ServicePassive(line));
            return;
        }
        var interrupted = new CpuContext();
        _nt.Cpu.CopyTo(interrupted);
        Irql old = processor.Irql;
        NtThread thread = _nt.Ke.Scheduler.Current;
        processor.Nesting++;
        processor.InService++;
        do
        {
            _nt.Ke.SetIrql(processor, (Irql)(line.Vector >> 4));
        }
        while (CallChain(processor, line));
        processor.InService--;
        processor.Nesting--;
        Invariant.Holds(_nt.Ke.Scheduler.Current == thread);
        _nt.Cpu.CopyFrom(interrupted);
        _nt.Ke.SetIrql(processor, old);
    }

    /// <returns>Whether the routines are to be asked again: an edge, and one of them had something to do.</returns>
    bool CallChain(KProcessor processor, InterruptLine line)
    {
        bool any = false;
        // One may disconnect itself from a routine that it runs.
        foreach (KInterrupt interrupt in ChainOf(line))
        {
            _nt.Ke.Clock.Spend();
            if (interrupt.IsInactive || !Call(processor, interrupt)) continue;
            any = true;
            if (line.Trigger == InterruptTrigger.Level) return false;
        }
        return any && line.Trigger == InterruptTrigger.Edge && ChainOf(line).Length > 1;
    }

    bool Call(KProcessor processor, KInterrupt interrupt)
    {
        Irql before = processor.Irql;
        if (interrupt.SynchronizeIrql > before) _nt.Ke.SetIrql(processor, interrupt.SynchronizeIrql);
        _nt.Ke.Acquire(interrupt.ActualLock);
        Irql at = _nt.Ke.Irql;
        Va routine = interrupt.ServiceRoutine;
        ulong address = interrupt.Address.Value, context = interrupt.ServiceContext.Value;
        bool claimed = (byte)(interrupt.IsMessage
            ? _nt.Routines.CallInterrupting(processor.InterruptStack, routine, address, context, interrupt.MessageId)
            : _nt.Routines.CallInterrupting(processor.InterruptStack, routine, address, context)) != 0;
        if (_nt.Ke.Irql != at)
            throw new BugCheck(BugCheckCode.IRQL_UNEXPECTED_VALUE, routine.Value, (ulong)at, (ulong)_nt.Ke.Irql);
        _nt.Ke.Release(interrupt.ActualLock);
        _nt.Ke.SetIrql(_nt.Ke.Scheduler.Active, before);
        return claimed;
    }

    /// <summary>Calls the routines of a line in a thread, at PASSIVE_LEVEL.</summary>
    void ServicePassive(InterruptLine line)
    {
        bool any;
        do
        {
            any = false;
            foreach (KInterrupt interrupt in ChainOf(line))
            {
                // It may have been disconnected while another routine waited.
                if (_chains[line.Vector].Contains(interrupt) && !interrupt.IsInactive
                    && CallPassive(interrupt, interrupt.ServiceRoutine, interrupt.Address.Value,
                        interrupt.ServiceContext.Value, interrupt.MessageId)) any = true;
                if (any && line.Trigger == InterruptTrigger.Level) break;
            }
        }
        while (any && line.Trigger == InterruptTrigger.Edge && ChainOf(line).Length > 1);
        bool isQuiet = ChainOf(line).All(i => i.IsInactive);
        line.IsMasked = line.Number >= 0 && isQuiet;
    }

    /// <summary>Calls a routine while no other one of the interrupt runs. The IRQL is PASSIVE_LEVEL.</summary>
    public bool CallPassive(KInterrupt interrupt, Va routine, params ReadOnlySpan<ulong> arguments)
    {
        ulong[] kept = [.. arguments];
        _nt.Ke.WaitFor([interrupt.PassiveLock.Header], all: false, deadline: null);
        bool result = (byte)_nt.Routines.Call(routine, kept) != 0;
        _nt.Ke.KeSetEvent(interrupt.PassiveLock, 0, false);
        return result;
    }

    // Nobody lets the line go, so nothing else would ever run.
    BugCheck Storm(InterruptLine line) => new(BugCheckCode.HARDWARE_INTERRUPT_STORM,
        ChainOf(line) is [var first, ..] ? first.ServiceRoutine.Value : 0,
        line.Vector, (ulong)line.Number, StormLimit);
}
