using System.Buffers.Binary;
using Iced.Intel;
using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>Finds the I/O control codes that a driver knows, in the comparisons of its code.</summary>
/// <remarks>
/// A switch compares with each code, or subtracts one and then the distances to the next, or subtracts the lowest and
/// uses a table. All three are followed by adding up what is compared and subtracted along the code.
/// </remarks>
public sealed class ControlCodes
{
    const int Window = 64;
    const uint MaximumTable = 512;

    readonly PeImage _image;
    readonly SortedSet<uint> _found = [];

    /// <summary>What was taken from each register so far.</summary>
    Dictionary<Register, Taken> _taken = [];

    /// <summary>The same, at places further on to which there is a jump.</summary>
    readonly Dictionary<ulong, Dictionary<Register, Taken>> _ahead = [];

    /// <summary>A comparison with the last index of a table; which entries are codes shows when the table is
    /// read.</summary>
    (Taken Taken, uint Last, ulong Default)? _table;
    (Register Register, ulong Rva) _address;

    ControlCodes(PeImage image) => _image = image;

    /// <summary>A sum of constants, and how many codes apart the register's values are: 4 once it was
    /// divided.</summary>
    readonly record struct Taken(uint Base, uint Step);

    /// <summary>The codes, ascending. Only constants that look like CTL_CODE count: see
    /// <see cref="Among"/>.</summary>
    public static IReadOnlyList<uint> Find(PeImage image)
    {
        var scan = new ControlCodes(image);
        foreach (PeSection section in image.Sections)
            if (section.IsExecutable && section.RawSize > 0) scan.Scan(section);
        return Among(scan._found);
    }

    /// <summary>Codes for a reader: four and more that are equally far apart are one entry.</summary>
    public static string List(IReadOnlyList<uint> codes)
    {
        const int shortest = 4;
        List<string> entries = [];
        for (int i = 0, next; i < codes.Count; i = next)
        {
            next = i + 1;
            uint step = next < codes.Count ? codes[next] - codes[i] : 0;
            while (next < codes.Count && step <= 4 && codes[next] - codes[next - 1] == step) next++;
            if (next - i < shortest) next = i + 1;
            entries.Add(next - i == 1 ? $"0x{codes[i]:X}"
                : $"0x{codes[i]:X} to 0x{codes[next - 1]:X}{(step == 1 ? "" : $" by {step}")}");
        }
        return string.Join(", ", entries);
    }

    /// <summary>A code with its way of passing buffers: <c>0x222004 (METHOD_BUFFERED)</c>.</summary>
    public static string Describe(uint code)
    {
        string method = (code & 3) switch
        {
            0 => "METHOD_BUFFERED",
            1 => "METHOD_IN_DIRECT",
            2 => "METHOD_OUT_DIRECT",
            _ => "METHOD_NEITHER"
        };
        return $"0x{code:X} ({method})";
    }

    void Scan(PeSection section)
    {
        byte[] code = _image.File.Span.Slice(
            (int)section.RawOffset, (int)Math.Min(section.RawSize, section.VirtualSize)).ToArray();
        var decoder = Decoder.Create(64, code);
        decoder.IP = section.Rva;
        int age = 0;
        while (decoder.IP < section.Rva + (ulong)code.Length)
        {
            decoder.Decode(out Instruction instruction);
            if (_ahead.Remove(instruction.IP, out var jumped) && _taken.Count == 0) _taken = jumped;
            bool ends = instruction.FlowControl is FlowControl.Return or FlowControl.Call;
            age = ends || age > Window ? 0 : age + 1;
            if (age == 0) _taken.Clear();
            if (instruction.Mnemonic == Mnemonic.Ja && _table is { Default: 0 } table)
                _table = table with { Default = instruction.NearBranchTarget };
            if (instruction.Mnemonic is Mnemonic.Je or Mnemonic.Jne) EndComparison();
            if (instruction.FlowControl is FlowControl.IndirectBranch or FlowControl.Return) EndTable();
            if (instruction.OpCount >= 2 && !ends) Follow(instruction);
            else if (instruction.FlowControl is FlowControl.ConditionalBranch or FlowControl.UnconditionalBranch)
                Jump(instruction);
        }
        EndTable();
    }

    // Behind a jump that is always taken goes on what jumps there, not what stands before.
    void Jump(in Instruction instruction)
    {
        if (_taken.Count > 0 && instruction.NearBranchTarget > instruction.IP)
            _ahead.TryAdd(instruction.NearBranchTarget, new(_taken));
        if (instruction.FlowControl == FlowControl.UnconditionalBranch) _taken.Clear();
    }

    void Follow(in Instruction instruction)
    {
        Register register = instruction.Op0Kind == OpKind.Register ? instruction.Op0Register.GetFullRegister()
            : Register.None;
        Taken before = _taken.GetValueOrDefault(register, new Taken(0, 1));
        uint? immediate = Immediate(instruction);
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Cmp when immediate is { } compared:
                Compare(before, compared);
                break;
            case Mnemonic.Sub when immediate is { } subtracted:
                Take(register, unchecked(before.Base + subtracted));
                break;
            case Mnemonic.Add when immediate is { } added:
                Take(register, unchecked(before.Base - added));
                break;
            case Mnemonic.Lea when instruction.IsIPRelativeMemoryOperand:
                _address = (register, instruction.IPRelativeMemoryAddress);
                _taken.Remove(register);
                break;
            case Mnemonic.Lea when instruction.MemoryIndex == Register.None && instruction.MemoryBase != Register.None:
                uint from = _taken.GetValueOrDefault(instruction.MemoryBase.GetFullRegister()).Base;
                Take(register, unchecked(from - (uint)instruction.MemoryDisplacement64));
                break;
            case Mnemonic.Ror or Mnemonic.Rol or Mnemonic.Shr:
                if (_taken.ContainsKey(register)) _taken[register] = before with { Step = 4 };
                break;
            case Mnemonic.Movsxd when instruction.MemoryIndexScale == 4 && instruction.MemoryBase == _address.Register:
                ReadTable(_address.Rva);
                break;
            case Mnemonic.Mov when instruction.Op0Kind == OpKind.Register:
                Move(register, instruction, immediate);
                break;
        }
    }

    void Compare(Taken before, uint compared)
    {
        if (before.Base == 0) Add(compared);
        else if (compared >= MaximumTable) Add(unchecked(before.Base + compared));
        else
        {
            EndTable();
            _table = (before, compared, 0);
        }
    }

    void Move(Register register, in Instruction instruction, uint? immediate)
    {
        if (instruction.Op1Kind == OpKind.Register
            && _taken.TryGetValue(instruction.Op1Register.GetFullRegister(), out Taken copied))
            _taken[register] = copied;
        // "mov eax, -base; add eax, [code]" is clang's way to subtract.
        else if (immediate is { } negated) _taken[register] = new Taken(unchecked(0 - negated), 1);
        else _taken.Remove(register);
    }

    void Take(Register register, uint sum)
    {
        _taken[register] = new Taken(sum, 1);
        Add(sum);
    }

    // gcc and clang: offsets from the table's own start. An entry that leads where all else leads is no code.
    void ReadTable(ulong tableRva)
    {
        if (_table is not { } table) return;
        _table = null;
        for (uint i = 0; i <= table.Last; i++)
        {
            ulong entry = tableRva + i * 4;
            if (_image.SectionAt((uint)entry) is not { } section || (uint)entry - section.Rva + 4 > section.RawSize)
                return;
            int offset = BinaryPrimitives.ReadInt32LittleEndian(
                _image.File.Span[(int)(section.RawOffset + (uint)entry - section.Rva)..]);
            if (tableRva + (ulong)offset != table.Default) Add(table.Taken.Base + i * table.Taken.Step);
        }
    }

    // Compared with one value, not with the last of many.
    void EndComparison()
    {
        if (_table is not { Default: 0 } one) return;
        _table = null;
        Add(one.Taken.Base + one.Last * one.Taken.Step);
    }

    // A comparison without a table that could be read: each value may be a code.
    void EndTable()
    {
        if (_table is not { } table) return;
        _table = null;
        for (uint i = 0; i <= table.Last; i++) Add(table.Taken.Base + i * table.Taken.Step);
    }

    static uint? Immediate(in Instruction instruction) => instruction.GetOpKind(1) switch
    {
        OpKind.Immediate32 or OpKind.Immediate32to64 => instruction.Immediate32,
        OpKind.Immediate8to32 or OpKind.Immediate8to64 => (uint)(sbyte)instruction.Immediate8,
        _ => null,
    };

    void Add(uint code) => _found.Add(code);

    /// <summary>Which of a driver's constants look like CTL_CODE, ascending: a device type with a function of 0x800 or
    /// more, a vendor's. Lower functions are the system's, and easily another number: three of one device type
    /// count.</summary>
    public static IReadOnlyList<uint> Among(IEnumerable<uint> constants)
    {
        const int enough = 3;
        ILookup<bool, uint> codes = constants.Distinct().Order().Where(HasDeviceType).ToLookup(IsVendors);
        return [.. codes[true].Concat(codes[false].GroupBy(c => c >> 16).Where(g => g.Count() >= enough)
            .SelectMany(g => g)).Order()];
    }

    static bool HasDeviceType(uint code) => (code >> 16 is > 1 and < 0x60 or >= 0x8000 and < 0xC000)
        && Function(code) < 0xF00;

    static bool IsVendors(uint code) => Function(code) >= 0x800;

    static uint Function(uint code) => (code >> 2) & 0xFFF;
}
