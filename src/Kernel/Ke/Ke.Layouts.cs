using Ringdown.Machine;

namespace Ringdown.Kernel;

[Layout("_LIST_ENTRY", Size = 0x10)]
public readonly partial struct ListEntry
{
    [Field(0x00)] public partial ListEntry Flink { get; set; }
    [Field(0x08)] public partial ListEntry Blink { get; set; }

    public bool IsEmpty => Flink == this;

    /// <summary>InitializeListHead.</summary>
    public void Initialize() => (Flink, Blink) = (this, this);

    public void InsertTail(ListEntry entry)
    {
        ListEntry last = Blink;
        (entry.Flink, entry.Blink) = (this, last);
        last.Flink = entry;
        Blink = entry;
    }

    public void InsertHead(ListEntry entry)
    {
        ListEntry first = Flink;
        (entry.Flink, entry.Blink) = (first, this);
        first.Blink = entry;
        Flink = entry;
    }

    /// <summary>RemoveEntryList. As there: links that do not point back are a corrupt list, and end the
    /// machine.</summary>
    public void Remove()
    {
        ListEntry next = Flink, previous = Blink;
        if (next.Blink != this || previous.Flink != this) throw BugCheck.CorruptListEntry(Address);
        previous.Flink = next;
        next.Blink = previous;
    }
}

/// <summary>A spin lock: a number at an address, which is what the exports take.</summary>
[Layout("KSPIN_LOCK", Size = 8)]
public readonly partial struct KSpinLock
{
    [Field(0x00)] public partial ulong Value { get; set; }

    public static implicit operator Va(KSpinLock spinLock) => spinLock.Address;
}

/// <summary>Of one who has, or waits for, a queued spin lock: on his stack.</summary>
[Layout("_KLOCK_QUEUE_HANDLE", Size = 0x18)]
public readonly partial struct KLockQueueHandle
{
    [Field(0x00, Name = "LockQueue.Next")] public partial Va Next { get; set; }
    [Field(0x08, Name = "LockQueue.Lock")] public partial Va Lock { get; set; }
    [Field(0x10)] public partial Irql OldIrql { get; set; }

    public static implicit operator Va(KLockQueueHandle handle) => handle.Address;
}

/// <summary>Who waits for a device that one at a time has.</summary>
[Layout("_KDEVICE_QUEUE", Size = 0x28)]
public readonly partial struct KDeviceQueue
{
    [Field(0x00)] public partial short Type { get; set; }
    [Field(0x02, Name = "Size")] public partial short ObjectSize { get; set; }
    [Embedded(0x08)] public partial ListEntry DeviceListHead { get; }
    [Embedded(0x18)] public partial KSpinLock Lock { get; }
    [Field(0x20)] public partial bool Busy { get; set; }

    public static implicit operator Va(KDeviceQueue queue) => queue.Address;
}

/// <summary>What a dispatcher object is: the Type of its header.</summary>
public enum DispatcherType : byte
{
    NotificationEvent = 0,
    SynchronizationEvent = 1,
    Mutant = 2,
    Process = 3,
    Queue = 4,
    Semaphore = 5,
    Thread = 6,
    Gate = 7,
    NotificationTimer = 8,
    SynchronizationTimer = 9,
}

[Layout("_DISPATCHER_HEADER", Size = 0x18)]
public readonly partial struct DispatcherHeader
{
    [Field(0x00)] public partial DispatcherType Type { get; set; }
    [Field(0x02, Name = "Size")] public partial byte ObjectSize { get; set; }
    [Field(0x04)] public partial int SignalState { get; set; }
    [Embedded(0x08)] public partial ListEntry WaitListHead { get; }

    /// <summary>Sets up a header of an object of so many bytes, with nobody waiting.</summary>
    public void Initialize(DispatcherType type, int sizeBytes, int signalState)
    {
        _memory.Write<ulong>(Address, 0);
        (Type, ObjectSize, SignalState) = (type, (byte)(sizeBytes / 4), signalState);
        WaitListHead.Initialize();
    }
}

[Layout("_KEVENT", Size = 0x18)]
public readonly partial struct KEvent
{
    [Embedded(0x00)] public partial DispatcherHeader Header { get; }
    [Field(0x04, Name = "Header.SignalState")] public partial int SignalState { get; set; }
}

[Layout("_KSEMAPHORE", Size = 0x20)]
public readonly partial struct KSemaphore
{
    [Embedded(0x00)] public partial DispatcherHeader Header { get; }
    [Field(0x04, Name = "Header.SignalState")] public partial int SignalState { get; set; }
    [Field(0x18)] public partial int Limit { get; set; }
}

[Layout("_KMUTANT", Size = 0x38)]
public readonly partial struct KMutant
{
    [Embedded(0x00)] public partial DispatcherHeader Header { get; }
    [Field(0x04, Name = "Header.SignalState")] public partial int SignalState { get; set; }
    [Embedded(0x18)] public partial ListEntry MutantListEntry { get; }
    [Field(0x28)] public partial Va OwnerThread { get; set; }
    [Field(0x30)] public partial byte Abandoned { get; set; }
    [Field(0x31)] public partial byte ApcDisable { get; set; }

    public const int ListOffset = 0x18;
}

[Layout("_KTIMER", Size = 0x40)]
public readonly partial struct KTimer
{
    [Embedded(0x00)] public partial DispatcherHeader Header { get; }
    [Field(0x04, Name = "Header.SignalState")] public partial int SignalState { get; set; }
    [Field(0x18)] public partial ulong DueTime { get; set; }
    [Embedded(0x20)] public partial ListEntry TimerListEntry { get; }
    [Field(0x30)] public partial KDpc Dpc { get; set; }

    /// <summary>The processor that set it.</summary>
    [Field(0x38)] public partial uint Processor { get; set; }
    [Field(0x3C)] public partial uint Period { get; set; }

    /// <summary>Header.Inserted: the timer is in the timer queue.</summary>
    public bool Inserted
    {
        get => _memory.Read<byte>(Address + 3) != 0;
        set => _memory.Write(Address + 3, (byte)(value ? 0x40 : 0));
    }
}

[Layout("_KDPC", Size = 0x40)]
public readonly partial struct KDpc
{
    /// <summary>Values of Type: DpcObject, ThreadedDpcObject.</summary>
    public const byte Ordinary = 0x13, Threaded = 0x1A;
    const int EntryOffset = 8;

    [Field(0x00)] public partial byte Type { get; set; }
    [Field(0x01)] public partial byte Importance { get; set; }
    [Field(0x02)] public partial ushort Number { get; set; }
    [Field(EntryOffset)] public partial Va DpcListEntry { get; set; }
    [Field(0x18)] public partial Va DeferredRoutine { get; set; }
    [Field(0x20)] public partial Va DeferredContext { get; set; }
    [Field(0x28)] public partial Va SystemArgument1 { get; set; }
    [Field(0x30)] public partial Va SystemArgument2 { get; set; }
    [Field(0x38)] public partial Va DpcData { get; set; }

    /// <summary>Where links of the queue point to.</summary>
    public Va Entry => Address + EntryOffset;

    public static KDpc AtEntry(Memory memory, Va entry) => At(memory, entry - EntryOffset);

    public void Initialize(byte type, Va routine, Va context)
    {
        (Type, Importance, Number) = (type, 1, 0);
        (DeferredRoutine, DeferredContext, DpcData) = (routine, context, Va.Null);
    }
}

[Layout("_KAPC", Size = 0x58)]
public readonly partial struct KApc
{
    public const byte ApcObject = 0x12;
    const int EntryOffset = 0x10;

    [Field(0x00)] public partial byte Type { get; set; }
    [Field(0x02, Name = "Size")] public partial byte ObjectSize { get; set; }
    [Field(0x08)] public partial KThread Thread { get; set; }
    [Embedded(EntryOffset)] public partial ListEntry ApcListEntry { get; }
    [Field(0x20)] public partial Va KernelRoutine { get; set; }
    [Field(0x28)] public partial Va RundownRoutine { get; set; }
    [Field(0x30)] public partial Va NormalRoutine { get; set; }
    [Field(0x38)] public partial Va NormalContext { get; set; }
    [Field(0x40)] public partial Va SystemArgument1 { get; set; }
    [Field(0x48)] public partial Va SystemArgument2 { get; set; }
    [Field(0x50)] public partial byte ApcStateIndex { get; set; }
    [Field(0x51)] public partial byte ApcMode { get; set; }
    [Field(0x52)] public partial bool Inserted { get; set; }

    public static KApc AtEntry(Memory memory, Va entry) => At(memory, entry - EntryOffset);
}

[Layout("_KWAIT_BLOCK", Size = 0x30)]
public readonly partial struct KWaitBlock
{
    [Embedded(0x00)] public partial ListEntry WaitListEntry { get; }
    [Field(0x10)] public partial byte WaitType { get; set; }
    [Field(0x11)] public partial byte BlockState { get; set; }
    [Field(0x12)] public partial ushort WaitKey { get; set; }
    [Field(0x18)] public partial KThread Thread { get; set; }
    [Field(0x20)] public partial Va Object { get; set; }
}

/// <summary>The DPC queue in a processor's control block.</summary>
[Layout("_KDPC_DATA", Size = 0x28)]
public readonly partial struct KDpcData
{
    [Field(0x00, Name = "DpcList.ListHead.Next")] public partial Va ListHead { get; set; }
    [Field(0x08, Name = "DpcList.LastEntry")] public partial Va LastEntry { get; set; }
    [Field(0x18)] public partial int DpcQueueDepth { get; set; }
    [Field(0x1C)] public partial uint DpcCount { get; set; }
}

/// <summary>The part of the processor control region that drivers read through GS, and the DPC queue. KPRCB starts at
/// 0x180.</summary>
[Layout("_KPCR", Size = 0x4000)]
public readonly partial struct Kpcr
{
    public const int PrcbOffset = 0x180;

    [Field(0x18)] public partial Va Self { get; set; }
    [Field(0x20)] public partial Va CurrentPrcb { get; set; }
    [Field(0x50)] public partial byte Irql { get; set; }
    [Field(0x184)] public partial byte LegacyNumber { get; set; }
    [Field(0x188)] public partial KThread CurrentThread { get; set; }
    [Field(0x198)] public partial KThread IdleThread { get; set; }
    [Field(0x1A4)] public partial uint Number { get; set; }
    [Embedded(0x3200)] public partial KDpcData DpcData { get; }
}

/// <summary>KTHREAD and, behind it, what of ETHREAD the kernel uses (offsets of Windows 10 2004).</summary>
[Layout("_ETHREAD", Size = 0x898)]
public readonly partial struct KThread
{
    /// <summary>Objects that a wait without an array of the caller's may have.</summary>
    public const int WaitBlocks = 3;

    [Embedded(0x00)] public partial DispatcherHeader Header { get; }
    [Field(0x04, Name = "Header.SignalState")] public partial int SignalState { get; set; }
    [Field(0x28)] public partial Va InitialStack { get; set; }
    [Field(0x30)] public partial Va StackLimit { get; set; }
    [Field(0x38)] public partial Va StackBase { get; set; }
    [Embedded(0x98, Name = "ApcState.ApcListHead[0]")] public partial ListEntry KernelApcList { get; }
    [Embedded(0xA8, Name = "ApcState.ApcListHead[1]")] public partial ListEntry UserApcList { get; }
    [Field(0xB8, Name = "ApcState.Process")] public partial Va Process { get; set; }
    [Field(0xC0, Name = "ApcState.KernelApcInProgress")] public partial bool KernelApcInProgress { get; set; }
    [Field(0xC1, Name = "ApcState.KernelApcPending")] public partial bool KernelApcPending { get; set; }
    [Field(0xC2, Name = "ApcState.UserApcPending")] public partial bool UserApcPending { get; set; }
    [Field(0xC3)] public partial sbyte Priority { get; set; }
    [Field(0xD0)] public partial Va WaitBlockList { get; set; }

    /// <summary>What KeRemoveQueue has taken: it shares its place with the entry of the list of waiting
    /// threads.</summary>
    [Field(0xD8)] public partial Va QueueEntry { get; set; }
    [Field(0x184)] public partial byte State { get; set; }
    [Field(0x1E4)] public partial short KernelApcDisable { get; set; }
    [Field(0x1E6)] public partial short SpecialApcDisable { get; set; }
    [Field(0x220)] public partial Va ProcessOfThread { get; set; }
    [Field(0x232)] public partial byte PreviousMode { get; set; }
    [Embedded(0x2F8)] public partial ListEntry MutantListHead { get; }
    [Field(0x478)] public partial ulong UniqueProcess { get; set; }
    [Field(0x480)] public partial ulong UniqueThread { get; set; }
    [Field(0x548)] public partial NtStatus ExitStatus { get; set; }

    /// <summary>KTHREAD.WaitBlock: they share bytes with other fields, so only what a wait needs of them is
    /// written.</summary>
    public Va WaitBlockArray => Address + 0x140;

    public ListEntry ApcList(ProcessorMode mode) => mode == ProcessorMode.KernelMode ? KernelApcList : UserApcList;
}

/// <summary>What of EPROCESS the kernel uses (offsets of Windows 10 2004).</summary>
[Layout("_EPROCESS", Size = 0xA40)]
public readonly partial struct EProcess
{
    [Embedded(0x00)] public partial DispatcherHeader Header { get; }
    [Field(0x440)] public partial ulong UniqueProcessId { get; set; }
    [Embedded(0x448)] public partial ListEntry ActiveProcessLinks { get; }
    [Field(0x4B8)] public partial Va Token { get; set; }
    [Field(0x550)] public partial Va Peb { get; set; }
}
