namespace Ringdown.Machine;

/// <summary>A device to learn with: jobs that take their time, interrupts, and transfers between physical memory and a
/// buffer of its own. Its registers are described in docs/hardware.md.</summary>
public sealed class EduDevice : ILosesState
{
    /// <summary>What the register ID reads: "RD", version 1.0.</summary>
    public const uint Identification = 0x5244_0100;

    /// <summary>How many bytes of addresses its registers take.</summary>
    public const int RegisterBytes = 0x80;

    /// <summary>Jobs that it holds, from when they are submitted until their completion is taken off.</summary>
    public const int MaximumJobs = 16;

    public const int BufferBytes = 0x1000;

    // Bits of INTERRUPT_STATUS.
    const uint JobDone = 1, TransferDone = 2, TransferFault = 4;

    // DMA_FAULT: why the last transfer did not happen.
    const uint NoFault = 0, AboveLimit = 1, OutsideBuffer = 2, NoMemory = 3;

    readonly IDeviceMemory _memory;
    readonly InterruptLine? _line;
    readonly Job[] _jobs = new Job[MaximumJobs];
    readonly ChipTimer _transfer;
    readonly Queue<(uint Id, ulong Result)> _done = [];
    uint _liveness, _raised, _enabled, _argument, _stepTicks = 100, _bufferOffset, _length, _fault, _addressBits = 28;
    ulong _address;
    bool _refused;
    (ulong Address, uint Offset, uint Length, bool ToMemory) _transferred;

    sealed class Job
    {
        public required ChipTimer Timer { get; init; }
        public uint Id, Steps;
    }

    public EduDevice(IDeviceMemory memory, IDeviceClock clock, InterruptLine? line)
    {
        (_memory, _line) = (memory, line);
        _transfer = new ChipTimer(clock, EndTransfer);
        for (int i = 0; i < MaximumJobs; i++)
        {
            int number = i;
            _jobs[i] = new Job { Timer = new ChipTimer(clock, () => End(_jobs[number])) };
        }
        Registers = new RegisterBlock()
            .Add("ID", 0x00, 4, () => Identification, _ => { })
            .Add("LIVENESS", 0x04, 4, () => ~_liveness, v => _liveness = (uint)v, writeOnly: true)
            .Add("STATUS", 0x08, 4, () => Status, _ => { })
            .Add("INTERRUPT_STATUS", 0x0C, 4, () => _raised, _ => { })
            .Add("INTERRUPT_ENABLE", 0x10, 4, () => _enabled, v => Update(_raised, (uint)v))
            .Add("INTERRUPT_RAISE", 0x14, 4, () => 0, v => Update(_raised | (uint)v, _enabled), writeOnly: true)
            .Add("INTERRUPT_ACK", 0x18, 4, () => 0, v => Update(_raised & ~(uint)v, _enabled), writeOnly: true)
            .Add("JOB_ARGUMENT", 0x20, 4, () => _argument, v => _argument = (uint)v)
            .Add("JOB_SUBMIT", 0x24, 4, () => 0, v => Submit((uint)v), writeOnly: true)
            .Add("JOB_STEP", 0x28, 4, () => _stepTicks, v => _stepTicks = (uint)v)
            .Add("DONE_COUNT", 0x30, 4, () => (uint)_done.Count, _ => { })
            .Add("DONE_ID", 0x34, 4, () => _done.TryPeek(out var first) ? first.Id : 0, _ => { })
            .Add("DONE_RESULT", 0x38, 8, () => _done.TryPeek(out var first) ? first.Result : 0, _ => { })
            .Add("DONE_POP", 0x40, 4, () => 0, _ => _done.TryDequeue(out var _), writeOnly: true)
            .Add("DMA_ADDRESS", 0x50, 8, () => _address, v => _address = v)
            .Add("DMA_OFFSET", 0x58, 4, () => _bufferOffset, v => _bufferOffset = (uint)v)
            .Add("DMA_LENGTH", 0x5C, 4, () => _length, v => _length = (uint)v)
            .Add("DMA_COMMAND", 0x60, 4, () => _transfer.IsSet ? 1u : 0, v => StartTransfer((uint)v), writeOnly: true)
            .Add("DMA_FAULT", 0x64, 4, () => _fault, _ => { })
            .Add("DMA_BITS", 0x68, 4, () => _addressBits, v => _addressBits = (uint)Math.Clamp(v, 12, 64));
    }

    public RegisterBlock Registers { get; }

    /// <summary>What it transfers from and to. Drivers reach it by DMA only.</summary>
    public byte[] Buffer { get; } = new byte[BufferBytes];

    uint Status => (Running > 0 ? 1u : 0) | (IsFull ? 2u : 0) | (_transfer.IsSet ? 4u : 0)
        | (_fault != NoFault ? 8u : 0) | (_refused ? 0x10u : 0);

    int Running => _jobs.Count(j => j.Timer.IsSet);
    bool IsFull => Running + _done.Count >= MaximumJobs;

    void Update(uint raised, uint enabled)
    {
        (_raised, _enabled) = (raised, enabled);
        _line?.Set(this, (raised & enabled) != 0);
    }

    void Submit(uint id)
    {
        _refused = IsFull;
        if (_refused) return;
        Job job = Array.Find(_jobs, j => !j.Timer.IsSet)!;
        // All jobs run at once: a short one overtakes a long one. From 66! on nothing is left in 64 bits.
        (job.Id, job.Steps) = (id, Math.Min(_argument, 66));
        job.Timer.Set(Math.Max(1, job.Steps) * (long)_stepTicks);
    }

    void End(Job job)
    {
        ulong result = 1;
        for (uint i = 2; i <= job.Steps; i++) result *= i;
        _done.Enqueue((job.Id, result));
        Update(_raised | JobDone, _enabled);
    }

    void StartTransfer(uint command)
    {
        if ((command & 1) == 0 || _transfer.IsSet) return;
        _transferred = (_address, _bufferOffset, _length, (command & 2) != 0);
        // 1 us, and 100 ns for each 64 bytes.
        _transfer.Set(10 + Math.Min(_length, BufferBytes) / 64);
    }

    void EndTransfer()
    {
        _fault = Transfer(_transferred.Address, _transferred.Offset, _transferred.Length, _transferred.ToMemory);
        Update(_raised | (_fault == NoFault ? TransferDone : TransferFault), _enabled);
    }

    uint Transfer(ulong address, uint offset, uint length, bool toMemory)
    {
        if (length is 0 or > BufferBytes || offset > BufferBytes - length) return OutsideBuffer;
        ulong last = address + (length - 1);
        if (last < address || _addressBits < 64 && last >> (int)_addressBits != 0) return AboveLimit;
        Span<byte> bytes = Buffer.AsSpan((int)offset, (int)length);
        return (toMemory ? _memory.TryWritePhysical(address, bytes) : _memory.TryReadPhysical(address, bytes))
            ? NoFault : NoMemory;
    }

    public void Exchange(ChipState state)
    {
        state.Value(ref _liveness);
        state.Value(ref _raised);
        state.Value(ref _enabled);
        state.Value(ref _argument);
        state.Value(ref _stepTicks);
        state.Value(ref _bufferOffset);
        state.Value(ref _length);
        state.Value(ref _fault);
        state.Value(ref _addressBits);
        state.Value(ref _address);
        state.Value(ref _refused);
        state.Value(ref _transferred);
        state.Bytes(Buffer);
        state.Items(_done);
        state.Timer(_transfer);
        foreach (Job job in _jobs)
        {
            state.Value(ref job.Id);
            state.Value(ref job.Steps);
            state.Timer(job.Timer);
        }
        Update(_raised, _enabled);
    }
}
