namespace Ringdown.Machine;

/// <summary>A chip that is described without code: registers with values, and what happens when bits of them are
/// written.</summary>
public sealed class RegisterFile : ILosesState
{
    const ulong MaximumBytes = 0x10000;

    readonly Dictionary<string, Register> _registers = new(StringComparer.Ordinal);
    readonly List<(RegisterBlock Block, ulong Bytes)> _blocks = [];
    readonly Computer _computer;
    readonly InterruptLine? _line;
    readonly PciFunction? _function;
    bool _asserts;

    RegisterFile(Computer computer, InterruptLine? line, PciFunction? function) =>
        (_computer, _line, _function) = (computer, line, function);

    sealed class Register
    {
        public ulong Value;
        public ulong Mask;
        public bool IsReadable, IsWritable, IsCleared;
        public List<Reaction> Reactions { get; } = [];
    }

    sealed class Reaction
    {
        public ulong Bits;
        public bool Raises, Lowers;
        public int? Message;
        public long AfterTicks;
        public ChipTimer? Timer;
        public (Register Register, ulong Bits)? Sets, Clears;
    }

    internal static object Make(Computer computer, ChipPlace place)
    {
        place.Only("map");
        place.Identify("RNG0002", "Registers");
        var file = new RegisterFile(computer, place.FindLine(computer), place.Function);
        IReadOnlyList<BoardElement> map = place.Description.Elements("map");
        if (map.Count == 0) throw place.Description.Wrong("map", "there are no registers.");
        foreach (BoardElement element in map) file.Declare(element);
        // Reactions may name registers further down.
        foreach (BoardElement element in map) file.AddReactions(element);
        for (int i = 0; i < file._blocks.Count; i++)
        {
            (RegisterBlock block, ulong bytes) = file._blocks[i];
            if (bytes == 0) throw place.Description.Wrong("map", $"there are no registers with \"bar\": {i}.");
            place.Put(computer, bytes, block);
        }
        return file;
    }

    /// <summary>The value of a register, whoever may read it.</summary>
    /// <exception cref="KeyNotFoundException">There is none of the name.</exception>
    public ulong this[string name]
    {
        get => _registers[name].Value;
        set => _registers[name].Value = value & _registers[name].Mask;
    }

    void Declare(BoardElement element)
    {
        element.Only("name", "bar", "offset", "size", "value", "access", "onWrite");
        string name = element.RequiredText("name");
        int size = (int)(element.Number("size", 8) ?? 4);
        if (size is not (1 or 2 or 4 or 8)) throw element.Wrong("size", "it is 1, 2, 4 or 8.");
        ulong mask = ulong.MaxValue >> (64 - 8 * size);
        string access = element.Text("access") ?? "rw";
        if (access is not ("ro" or "rw" or "wo" or "w1c"))
            throw element.Wrong("access", $"\"{access}\" is none of ro, rw, wo, w1c.");
        var register = new Register
        {
            Value = element.Number("value", mask) ?? 0,
            Mask = mask,
            IsReadable = access != "wo",
            IsWritable = access != "ro",
            IsCleared = access == "w1c",
        };
        if (!_registers.TryAdd(name, register)) throw element.Wrong("name", $"there are two registers {name}.");
        ulong offset = element.RequiredNumber("offset", MaximumBytes - 8);
        try
        {
            // What is not written of a register that clears must not clear.
            Block(element, offset + (ulong)size).Add(name, offset, size, () => register.IsReadable ? register.Value : 0,
                v => Write(register, v), writeOnly: access is "wo" or "w1c");
        }
        catch (ArgumentException)
        {
            throw element.Wrong("offset", $"{name} overlaps another register.");
        }
    }

    // The registers behind one base address register; a fixed device has one block.
    RegisterBlock Block(BoardElement element, ulong end)
    {
        int bar = (int)(element.Number("bar", 5) ?? 0);
        if (bar != 0 && _function is null) throw element.Wrong("bar", "only a device with \"pci\" has several.");
        while (_blocks.Count <= bar) _blocks.Add((new RegisterBlock(), 0));
        _blocks[bar] = (_blocks[bar].Block, ulong.Max(_blocks[bar].Bytes, end));
        return _blocks[bar].Block;
    }

    void AddReactions(BoardElement element)
    {
        Register register = _registers[element.RequiredText("name")];
        foreach (BoardElement on in element.Elements("onWrite"))
        {
            on.Only("bit", "raise", "lower", "message", "after", "set", "clear");
            if (!register.IsWritable) throw on.Wrong("bit", "the register cannot be written.");
            var reaction = new Reaction
            {
                Bits = on.Number("bit", (ulong)System.Numerics.BitOperations.PopCount(register.Mask) - 1) is { } bit
                    ? 1UL << (int)bit : 0,
                Raises = on.Flag("raise"),
                Lowers = on.Flag("lower"),
                Message = (int?)on.Number("message", 2047),
                AfterTicks = on.Time("after"),
                Sets = BitsOf(on, "set"),
                Clears = BitsOf(on, "clear"),
            };
            if (reaction.Raises && reaction.Lowers) throw on.Wrong("lower", "the line is raised already.");
            if ((reaction.Raises || reaction.Lowers) && _line is null)
                throw on.Wrong(reaction.Raises ? "raise" : "lower", "the device has no \"line\".");
            if (reaction.Message is not null && _function is null)
                throw on.Wrong("message", "only a device with \"pci\" has messages.");
            if (reaction.AfterTicks > 0) reaction.Timer = new ChipTimer(_computer.Clock, () => Do(reaction));
            register.Reactions.Add(reaction);
        }
    }

    (Register Register, ulong Bits)? BitsOf(BoardElement on, string property)
    {
        if (on.Element(property) is not { } bits) return null;
        bits.Only("register", "bits");
        string name = bits.RequiredText("register");
        if (!_registers.TryGetValue(name, out Register? register))
            throw bits.Wrong("register", $"there is no register {name}.");
        return (register, bits.RequiredNumber("bits", register.Mask));
    }

    void Write(Register register, ulong value)
    {
        if (!register.IsWritable) return;
        register.Value = register.IsCleared ? register.Value & ~value : value;
        foreach (Reaction reaction in register.Reactions)
        {
            if (reaction.Bits != 0 && (value & reaction.Bits) == 0) continue;
            if (reaction.Timer is null) Do(reaction);
            else if (!reaction.Timer.IsSet) reaction.Timer.Set(reaction.AfterTicks);
        }
    }

    void Do(Reaction reaction)
    {
        if (reaction.Sets is var (set, bits)) set.Value |= bits;
        if (reaction.Clears is var (clear, gone)) clear.Value &= ~gone;
        if (reaction.Message is { } message) _function!.Signal(message);
        if (!reaction.Raises && !reaction.Lowers) return;
        _asserts = reaction.Raises;
        _line!.Set(this, _asserts);
    }

    public void Exchange(ChipState state)
    {
        foreach (Register register in _registers.Values)
        {
            state.Value(ref register.Value);
            foreach (Reaction reaction in register.Reactions)
                if (reaction.Timer is { } timer) state.Timer(timer);
        }
        state.Value(ref _asserts);
        _line?.Set(this, _asserts);
    }
}
