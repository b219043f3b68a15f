using Ringdown.Machine;

namespace Ringdown.Kernel;

enum ThreadState { Ready, Waiting, Terminated }

/// <summary>What of a thread is not in its KTHREAD: where it stands on the host, and the processor's state while it
/// does not run.</summary>
sealed class NtThread(string name, KThread thread, AddressSpace addressSpace)
{
    public string Name { get; } = name;
    public KThread Object { get; } = thread;
    public AddressSpace AddressSpace { get; set; } = addressSpace;
    public CpuContext Context { get; } = new();
    public Irql Irql { get; set; }
    public ThreadState State { get; set; }

    /// <summary>Null for the owner's thread, which has its host thread from outside.</summary>
    public Thread? Host { get; set; }
    public SemaphoreSlim Baton { get; } = new(0);
    public List<NestedCall> Calls { get; } = [];

    /// <summary>Exceptions whose handlers are being looked for.</summary>
    public int Dispatching { get; set; }

    /// <summary>Termination handlers that run, innermost last.</summary>
    public Stack<TerminationCall> Terminations { get; } = new();

    public Va StartRoutine { get; init; }
    public Va StartContext { get; init; }
    public Va StackBase { get; init; }
    public int StackBytes { get; init; }

    /// <summary>IRPs that it sent and that are not complete.</summary>
    public Wait? Wait { get; set; }
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

    /// <summary>The result, once the wait is over.</summary>
    public NtStatus? Result { get; set; }
}
