namespace Ringdown.Machine;

public partial class PciFunction
{
    const byte PowerManagement = 1, MessageSignaled = 5, Express = 0x10, MessageSignaledX = 0x11;
    const ulong WakeEnable = 0x100, WakeStatus = 0x8000, NoSoftReset = 8;
    const int NowhereOffset = ConfigurationBytes;

    int _power = NowhereOffset, _lastCapability, _nextCapability = 0x40;
    ulong _wakeStates;

    /// <summary>Told when it was put into another power state: 0 to 3.</summary>
    public Action<int>? PowerChanged { get; set; }

    /// <summary>0 to 3: D0 to D3. One that manages no power is in D0.</summary>
    public int PowerState => _power == NowhereOffset ? 0 : (int)_space[_power + 4, 1] & 3;

    // Capabilities are a list, in the order in which they were added.
    int AddCapability(byte id, int bytes)
    {
        int at = _nextCapability;
        _space[at, 1] = id;
        _space[_lastCapability == 0 ? CapabilityPointer : _lastCapability + 1, 1] = (ulong)at;
        _space.Set(StatusOffset, 2, StatusCapabilities, true);
        (_lastCapability, _nextCapability) = (at, at + (bytes + 7 & ~7));
        return at;
    }

    /// <summary>It can be put into D3, and into D1 and D2.</summary>
    /// <param name="wakesFrom">The states from which it may wake the system, a bit each: 1 for D0, 8 for D3.</param>
    public PciFunction AddPowerManagement(bool hasD1 = false, bool hasD2 = false, uint wakesFrom = 0)
    {
        _power = AddCapability(PowerManagement, 8);
        _wakeStates = wakesFrom;
        _space[_power + 2, 2] = 3 | (hasD1 ? 0x200u : 0) | (hasD2 ? 0x400u : 0) | wakesFrom << 11;
        _space[_power + 4, 2] = NoSoftReset;
        _space.Allow(_power + 4, 2, 3 | (wakesFrom != 0 ? WakeEnable : 0));
        if (wakesFrom != 0) _space.AllowClearing(_power + 4, 2, WakeStatus);
        return this;
    }

    /// <summary>What it is to PCI Express: an endpoint, or one in the root complex.</summary>
    private protected virtual ulong PortType => Behind is null ? 9u : 0;

    /// <summary>It is a PCI Express device.</summary>
    public PciFunction AddExpress()
    {
        const ulong version2 = 2;
        int at = AddCapability(Express, 0x3C);
        _space[at + 2, 2] = version2 | PortType << 4;
        _space.Allow(at + 8, 2, 0x7FFF);
        _space.AllowClearing(at + 10, 2, 0xF);
        return this;
    }

    void ChangePower(int before)
    {
        int state = PowerState;
        ulong bits = _space[_power + 2, 2];
        if (state == 1 && (bits & 0x200) == 0 || state == 2 && (bits & 0x400) == 0)
        {
            // A write of a state that is not there is not taken.
            _space.Set(_power + 4, 1, 3, false);
            _space.Set(_power + 4, 1, (ulong)before, true);
            return;
        }
        PowerChanged?.Invoke(state);
    }

    void ResetPower()
    {
        if (_power == NowhereOffset) return;
        _space[_power + 4, 2] = NoSoftReset;
    }

    /// <summary>The chip wants to wake the system: a power management event, if it may wake from the state that it is
    /// in.</summary>
    public void Wake()
    {
        if (Bus is null || _power == NowhereOffset || (_wakeStates >> PowerState & 1) == 0) return;
        _space.Set(_power + 4, 2, WakeStatus, true);
        TellWake();
    }

    void TellWake()
    {
        const ulong both = WakeEnable | WakeStatus;
        if (Bus is not null && _power != NowhereOffset && (_space[_power + 4, 2] & both) == both) Bus.Wake(this);
    }
}
