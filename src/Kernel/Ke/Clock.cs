namespace Ringdown.Kernel;

/// <summary>The machine's time, in 100 ns units since boot: it advances with instructions, whichever processor executes
/// them, and jumps when all is idle.</summary>
sealed class Clock(NtKernel nt, Schedule schedule)
{
    /// <summary>Instructions that are executed in 100 ns.</summary>
    public const long InstructionsPerTick = 100;

    const long InstructionsPerStep = 100, ShortestToTimer = 100;

    /// <summary>When every machine boots: 2024-01-01 00:00 UTC, in 100 ns units since 1601.</summary>
    const long BootTime = 133_485_408_000_000_000;

    SharedData? _shared;
    long _idleTicks, _granted, _retired, _limit = long.MaxValue;

    /// <summary>Instructions executed since boot, by all processors.</summary>
    public long Retired
    {
        get
        {
            unsafe
            {
                return _retired + _granted - nt.Cpu.State->Budget;
            }
        }
    }

    public long Now => _idleTicks + Retired / InstructionsPerTick;

    /// <summary>The same in ns: an instruction takes one.</summary>
    public long Nanoseconds => _idleTicks * InstructionsPerTick + Retired;

    /// <summary>System time: 100 ns units since 1601.</summary>
    public long SystemTime => BootTime + Now;

    /// <summary>KeQueryTickCount: 15.625 ms units since boot.</summary>
    public long TickCount => Now / 156_250;

    public void Start(SharedData shared)
    {
        _shared = shared;
        StartSlice();
    }

    /// <summary>From here on a request may take so many instructions.</summary>
    public void Limit(long instructions) => _limit = Retired + instructions;

    public void OnSliceEnd()
    {
        Settle();
        if (_retired >= _limit) throw TimeIsUp();
    }

    /// <summary>One step of kernel code that a driver can make take for ever: it counts as some instructions of the
    /// request.</summary>
    public void Spend()
    {
        _limit -= InstructionsPerStep;
        if (Retired >= _limit) throw TimeIsUp();
    }

    // At DISPATCH_LEVEL and above Windows itself stops a processor that is not given back.
    MachineStop TimeIsUp() => nt.Ke.Irql >= Irql.DISPATCH_LEVEL
        ? new BugCheck(BugCheckCode.DPC_WATCHDOG_VIOLATION, 1, (ulong)(Retired / InstructionsPerTick))
        : new Hang(HangKind.InstructionLimit, "The request did not end within the instruction limit: an endless loop?");

    /// <summary>Jumps ahead, since all is idle. A wait beside a timer that fires again and again must end
    /// too.</summary>
    public void AdvanceTo(long time)
    {
        Spend();
        _idleTicks += Math.Max(0, time - Now);
        Publish();
    }

    /// <summary>For how long the system has slept since boot.</summary>
    public long SleptTicks { get; private set; }

    /// <summary>The same while the system sleeps.</summary>
    public void SleepTo(long time)
    {
        SleptTicks += Math.Max(0, time - Now);
        AdvanceTo(time);
    }

    /// <summary>Counts what the active processor has executed; before it is another's turn.</summary>
    public void Settle()
    {
        unsafe
        {
            long left = nt.Cpu.State->Budget;
            _retired += _granted - left;
            _granted = left;
        }
    }

    /// <summary>Gives the active processor instructions until the next decision, or until the next timer is due.
    /// What was executed before has been settled.</summary>
    public void StartSlice()
    {
        unsafe
        {
            schedule.Executed = _retired;
            long slice = schedule.Slice();
            // What is further away than any slice must not be counted in instructions: there are not enough numbers.
            if (nt.Ke.Timers.NextDue is { } due && due - Now < Schedule.LongestSlice)
                slice = Math.Min(slice, Math.Max(ShortestToTimer, (due - _idleTicks) * InstructionsPerTick - _retired));
            // Threads that only wake each other never come to the end of a slice: the request's limit is seen here.
            if (_retired >= _limit) slice = 1;
            nt.Cpu.State->Budget = _granted = slice;
        }
        Publish();
    }

    /// <summary>Something has become due before the active processor's slice would end: then it ends there.</summary>
    public void EndSliceAt(long due)
    {
        unsafe
        {
            long left = nt.Cpu.State->Budget;
            long until = Math.Max(ShortestToTimer, (due - _idleTicks) * InstructionsPerTick - Retired);
            if (until >= left) return;
            _granted -= left - until;
            nt.Cpu.State->Budget = until;
        }
    }

    void Publish() => _shared?.SetTime(Now, SystemTime, TickCount);
}
