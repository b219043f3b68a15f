using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>KTHREAD_STATE.</summary>
enum ThreadState : byte { Initialized, Ready, Running, Standby, Terminated, Waiting }

/// <summary>A stack that guest code runs on: it grows down from the base, and ends at the limit.</summary>
readonly record struct KernelStack(Va Base, Va Limit)
{
    public bool Contains(ulong rsp) => rsp > Limit.Value && rsp <= Base.Value;
}

/// <summary>What of a thread is not in its KTHREAD: where it stands on the host, and the processor's state while it
/// does not run.</summary>
sealed class NtThread(string name, KThread thread, ulong id, AddressSpace addressSpace)
{
    public string Name { get; } = name;
    public KThread Object { get; } = thread;

    /// <summary>Its CLIENT_ID.UniqueThread; 0 for the idle threads.</summary>
    public ulong Id { get; } = id;
    public AddressSpace AddressSpace { get; set; } = addressSpace;
    public CpuContext Context { get; } = new();

    /// <summary>It runs its last code: nobody can have it do anything any more.</summary>
    public bool IsEnding { get; set; }

    /// <summary>Its IRQL while it does not run, or has begun to wait.</summary>
    public Irql Irql { get; set; }

    /// <summary>KTHREAD.WaitIrql: it has signaled an object and will wait next, then at this IRQL.</summary>
    public Irql? WaitIrql { get; set; }

    public ThreadState State
    {
        get;
        set
        {
            field = value;
            KThread thread = Object;
            thread.State = (byte)value;
        }
    }

    public sbyte BasePriority { get; set; } = 8;
    public sbyte Priority { get; private set; } = 8;

    /// <summary>The priority under which it stands in the ready queue.</summary>
    public int ReadyAt { get; set; }

    /// <summary>The processors that it may run on, a bit each.</summary>
    public ulong Affinity { get; set; } = ulong.MaxValue;
    public ulong UserAffinity { get; set; } = ulong.MaxValue;
    public ulong SystemAffinity { get; set; }

    /// <summary>The host thread on whose stack its C# frames are; null if it has none: then anyone can go on with
    /// it.</summary>
    public Carrier? Host { get; set; }

    /// <summary>What to do in C# before its guest code goes on: the end of a wait, or the whole thread of one that is
    /// C# only.</summary>
    public Action? Continue { get; set; }

    public List<NestedCall> Calls { get; private set; } = [];

    /// <summary>Where the stack pointer is when the start routine returns.</summary>
    public ulong ReturnRsp { get; set; }

    /// <summary>Bytes of its stack, below the stack pointer, that are variables of the C# routine that runs.</summary>
    public ulong Locals { get; set; }

    /// <summary>Exceptions whose handlers are being looked for.</summary>
    public int Dispatching { get; set; }

    /// <summary>Termination handlers that run, innermost last.</summary>
    public Stack<TerminationCall> Terminations { get; } = new();

    public Va StartRoutine { get; init; }
    public Va StartContext { get; init; }
    public KernelStack Stack { get; set; }

    /// <summary>KTHREAD.Alerted, for each mode.</summary>
    public bool[] Alerted { get; } = new bool[2];

    /// <summary>What it waits for now.</summary>
    public Wait? Wait { get; set; }

    /// <summary>Called when it begins to wait.</summary>
    public Action? Blocks { get; set; }

    /// <summary>The KQUEUE that it takes work from.</summary>
    public Va Queue { get; set; }

    /// <summary>What KeSetKernelStackSwapEnable has set.</summary>
    public bool SwapsStack { get; set; } = true;

    public bool IsIdle => Id == 0;

    public bool MayRunOn(int processor) => (Affinity >> processor & 1) != 0;

    public void SetPriority(int priority)
    {
        Priority = (sbyte)Math.Clamp(priority, 0, 31);
        KThread thread = Object;
        thread.Priority = Priority;
    }

    /// <summary>Raises it for what it waited for, within the dynamic range.</summary>
    public void Boost(int increment)
    {
        if (increment <= 0 || BasePriority >= 16) return;
        int boosted = Math.Min(15, BasePriority + increment);
        if (boosted > Priority) SetPriority(boosted);
    }

    /// <summary>At the end of a quantum a boost falls by one.</summary>
    public void Decay()
    {
        if (Priority > BasePriority && BasePriority < 16) SetPriority(Priority - 1);
    }
}

/// <summary>What a thread waits for.</summary>
sealed class Wait(NtThread thread, DispatcherHeader[] objects, bool all, long deadline)
{
    /// <summary>No deadline.</summary>
    public const long Forever = long.MaxValue;

    public NtThread Thread { get; } = thread;
    public DispatcherHeader[] Objects { get; } = objects;
    public bool All { get; } = all;

    /// <summary>In 100 ns units of the machine's clock.</summary>
    public long Deadline { get; } = deadline;
    public bool Alertable { get; init; }
    public ProcessorMode Mode { get; init; }

    /// <summary>Where its KWAIT_BLOCKs lie.</summary>
    public Va Blocks { get; init; }

    /// <summary>The result if nothing can ever end the wait; null: then the machine hangs.</summary>
    public NtStatus? Idle { get; init; }

    public (long Due, long Order)? Timer { get; set; }

    /// <summary>The result, once the wait is over.</summary>
    public NtStatus? Result { get; set; }

    public override string ToString() =>
        Objects.Length == 0 ? "its time to come"
            : string.Join(", ", Objects.Select(o => $"the {o.Type} at {o.Address}"));
}
