namespace Ringdown.Machine;

public partial class PciFunction
{
    const ulong MessageAddresses = 0xFEE;
    const int EntryBytes = 16;

    int _msi = NowhereOffset, _msix = NowhereOffset;
    ConfigurationSpace? _table;
    bool[] _pending = [];
    InterruptLine? _line;
    bool _wasAsserted;

    /// <summary>The chip's interrupt. Asserted, it is the pin, or message 0 if messages are enabled.</summary>
    public InterruptLine Wire { get; }

    /// <summary>How many messages it has at most: 0, if it knows only its pin.</summary>
    public int Messages => _pending.Length;

    /// <summary>How many messages it has by MSI-X; 0: that it has not.</summary>
    public int TableEntries { get; private set; }

    /// <summary>It interrupts by messages now.</summary>
    public bool UsesMessages => IsMsi || IsMsix;

    bool IsMsi => _msi != NowhereOffset && (_space[_msi + 2, 2] & 1) != 0;
    bool IsMsix => _msix != NowhereOffset && (_space[_msix + 2, 2] & 0x8000) != 0;

    /// <summary>It may interrupt by messages whose data differ in the lowest bits.</summary>
    /// <param name="messages">1, 2, 4, 8, 16 or 32.</param>
    public PciFunction AddMsi(int messages)
    {
        if (messages is < 1 or > 32 || !int.IsPow2(messages))
            throw new ArgumentException("it is 1, 2, 4, 8, 16 or 32.", nameof(messages));
        _msi = AddCapability(MessageSignaled, 24);
        // 64 bits, a mask for each message.
        _space[_msi + 2, 2] = 0x180 | (ulong)int.Log2(messages) << 1;
        _space.Allow(_msi + 2, 2, 0x71);
        _space.Allow(_msi + 4, 8, ~3UL);
        _space.Allow(_msi + 12, 2, 0xFFFF);
        _space.Allow(_msi + 16, 4, uint.MaxValue >> (32 - messages));
        HaveMessages(messages);
        return this;
    }

    /// <summary>It may interrupt by messages of a table, which has a base address register of its own.</summary>
    /// <param name="messages">1 to 2048.</param>
    public PciFunction AddMsix(int messages)
    {
        if (messages is < 1 or > 2048) throw new ArgumentException("it is 1 to 2048.", nameof(messages));
        int half = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(messages * EntryBytes, 0x800));
        _table = new ConfigurationSpace(messages * EntryBytes);
        for (int i = 0; i < messages; i++)
        {
            _table.Allow(i * EntryBytes, 8, ~3UL);
            _table.Allow(i * EntryBytes + 8, 8, 0x1_FFFF_FFFF);
        }
        PciBar bar = AddBar((ulong)(2 * half), new Table(this, (ulong)half));
        _msix = AddCapability(MessageSignaledX, 12);
        _space[_msix + 2, 2] = (ulong)(messages - 1);
        _space[_msix + 4, 4] = (ulong)bar.Index;
        _space[_msix + 8, 4] = (ulong)(half | bar.Index);
        _space.Allow(_msix + 2, 2, 0xC000);
        TableEntries = messages;
        HaveMessages(messages);
        return this;
    }

    void HaveMessages(int count) => Array.Resize(ref _pending, Math.Max(_pending.Length, count));

    void ResetMessages()
    {
        Array.Clear(_pending);
        _wasAsserted = false;
        if (_msi != NowhereOffset)
        {
            _space.Set(_msi + 2, 2, 0x71, false);
            _space[_msi + 4, 8] = _space[_msi + 12, 2] = _space[_msi + 16, 8] = 0;
        }
        if (_msix == NowhereOffset) return;
        _space.Set(_msix + 2, 2, 0xC000, false);
        // All are masked at first.
        for (int i = 0; i < TableEntries; i++)
            (_table![i * EntryBytes, 8], _table[i * EntryBytes + 8, 8]) = (0, 1UL << 32);
    }

    /// <summary>The chip sends one of its messages. It waits as long as it is masked; without messages, or with the
    /// pin in use, nothing happens. Of a number beyond those that are enabled the lowest bits count.</summary>
    public void Signal(int message)
    {
        if (!IsMsix && !IsMsi || message < 0 || Bus is not { IsRestoring: false }) return;
        int enabled = IsMsix ? TableEntries : Math.Min(_pending.Length, 1 << (int)(_space[_msi + 2, 2] >> 4 & 7));
        int index = message % enabled;
        _pending[index] = true;
        if (!IsMsix) _space.Set(_msi + 20, 4, 1UL << index, true);
        SendPending();
    }

    void UpdateWire()
    {
        bool asserted = Wire.IsAsserted, byMessage = IsMsi || IsMsix;
        _space.Set(StatusOffset, 2, StatusWire, asserted && Bus is not null);
        _line?.Set(this, asserted && !byMessage && IsAwake && IsConnected && (Command & WireDisable) == 0);
        bool rises = asserted && !_wasAsserted;
        _wasAsserted = asserted;
        if (rises && byMessage) Signal(0);
    }

    void SendPending()
    {
        if (!IsMaster || Bus!.IsRestoring || !(IsMsix || IsMsi)) return;
        int count = IsMsix ? TableEntries : Math.Min(_pending.Length, 32);
        for (int i = 0; i < count; i++)
        {
            if (!_pending[i] || IsMasked(i)) continue;
            _pending[i] = false;
            if (IsMsix) Send(_table![i * EntryBytes, 8], (uint)_table[i * EntryBytes + 8, 4]);
            else
            {
                _space.Set(_msi + 20, 4, 1UL << i, false);
                Send(_space[_msi + 4, 8], (uint)_space[_msi + 12, 2] | (uint)i);
            }
        }
    }

    bool IsMasked(int message) => IsMsix
        ? (_space[_msix + 2, 2] & 0x4000) != 0 || (_table![message * EntryBytes + 12, 1] & 1) != 0
        : (_space[_msi + 16, 4] >> message & 1) != 0;

    // A message is a write: to the interrupt controller's addresses it is an interrupt, elsewhere just that.
    void Send(ulong address, uint data)
    {
        if (address >> 20 == MessageAddresses)
        {
            _computer!.Interrupts.Send((int)(address >> 12) & 0xFF, (byte)data);
            return;
        }
        Span<byte> bytes = stackalloc byte[4];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32LittleEndian(bytes, data);
        TryWritePhysical(address, bytes);
    }

    // The lower half has the entries, the upper the pending bits.
    sealed class Table(PciFunction function, ulong half) : IMmioDevice
    {
        public ulong Read(ulong offset, int size)
        {
            if (offset < half)
                return (int)offset < function.TableEntries * EntryBytes ? function._table![(int)offset, size] : 0;
            ulong bits = 0;
            int first = (int)(offset - half) * 8;
            for (int i = 0; i < size * 8 && first + i < function.TableEntries; i++)
                if (function._pending[first + i]) bits |= 1UL << i;
            return bits;
        }

        public void Write(ulong offset, int size, ulong value)
        {
            if (offset >= half) return;
            function._table!.Write((int)offset, size, value);
            function.SendPending();
        }
    }
}
