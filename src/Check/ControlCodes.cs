using Iced.Intel;
using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>Finds the I/O control codes that a driver knows, in the comparisons of its code.</summary>
/// <remarks>
/// A switch compares with each code, or subtracts one and then the distances to the next, or subtracts the lowest and uses
/// a table. All three are followed by adding up what is compared and subtracted along the code.
/// </remarks>
public static class ControlCodes
{
    const int Window = 64, MaximumTable = 512;

    /// <summary>The codes, ascending. Only constants that look like CTL_CODE count: a device type and no reserved bits.</summary>
    public static IReadOnlyList<uint> Find(PeImage image)
    {
        var found = new SortedSet<uint>();
        foreach (PeSection section in image.Sections)
        {
            if (!section.IsExecutable || section.RawSize == 0) continue;
            Scan(image.File.Span.Slice((int)section.RawOffset, (int)Math.Min(section.RawSize, section.VirtualSize)).ToArray(), section.Rva, found);
        }
        return [.. found];
    }

    /// <summary>What was taken from a register so far, and how many codes apart its values are: 4 once it was divided.</summary>
    readonly record struct Taken(uint Base, uint Step);

    static void Scan(byte[] code, uint rva, SortedSet<uint> found)
    {
        var decoder = Decoder.Create(64, code);
        decoder.IP = rva;
        var taken = new Dictionary<Register, Taken>();
        int age = 0;
        while (decoder.IP < rva + (ulong)code.Length)
        {
            decoder.Decode(out Instruction instruction);
            bool ends = instruction.FlowControl is FlowControl.Return or FlowControl.Call;
            age = ends || age > Window ? 0 : age + 1;
            if (age == 0) taken.Clear();
            if (instruction.OpCount >= 2 && !ends) Follow(instruction, taken, found);
        }
    }

    static void Follow(in Instruction instruction, Dictionary<Register, Taken> taken, SortedSet<uint> found)
    {
        Register register = instruction.Op0Kind == OpKind.Register ? instruction.Op0Register.GetFullRegister() : Register.None;
        Taken before = taken.GetValueOrDefault(register, new Taken(0, 1));
        uint? immediate = Immediate(instruction);
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Cmp when immediate is { } compared:
                if (before.Base == 0) Add(found, compared);
                else if (compared < MaximumTable) AddTable(found, before, compared);
                else Add(found, unchecked(before.Base + compared));
                break;
            case Mnemonic.Sub when immediate is { } subtracted:
                Take(taken, found, register, unchecked(before.Base + subtracted));
                break;
            case Mnemonic.Add when immediate is { } added:
                Take(taken, found, register, unchecked(before.Base - added));
                break;
            case Mnemonic.Lea when instruction.MemoryIndex == Register.None && instruction.MemoryBase != Register.None:
                uint from = taken.GetValueOrDefault(instruction.MemoryBase.GetFullRegister()).Base;
                Take(taken, found, register, unchecked(from - (uint)instruction.MemoryDisplacement64));
                break;
            case Mnemonic.Ror or Mnemonic.Rol or Mnemonic.Shr:
                if (taken.ContainsKey(register)) taken[register] = before with { Step = 4 };
                break;
            case Mnemonic.Mov when instruction.Op0Kind == OpKind.Register:
                if (instruction.Op1Kind == OpKind.Register && taken.TryGetValue(instruction.Op1Register.GetFullRegister(), out Taken copied))
                    taken[register] = copied;
                // "mov eax, -base; add eax, [code]" is clang's way to subtract.
                else if (immediate is { } negated) taken[register] = new Taken(unchecked(0 - negated), 1);
                else taken.Remove(register);
                break;
        }
    }

    static void Take(Dictionary<Register, Taken> taken, SortedSet<uint> found, Register register, uint sum)
    {
        taken[register] = new Taken(sum, 1);
        Add(found, sum);
    }

    // "sub eax, base; cmp eax, n; ja default": a table of n + 1 entries.
    static void AddTable(SortedSet<uint> found, Taken taken, uint last)
    {
        for (uint i = 0; i <= last; i++) Add(found, taken.Base + i * taken.Step);
    }

    static uint? Immediate(in Instruction instruction) => instruction.GetOpKind(1) switch
    {
        OpKind.Immediate32 or OpKind.Immediate32to64 => instruction.Immediate32,
        OpKind.Immediate8to32 or OpKind.Immediate8to64 => (uint)(sbyte)instruction.Immediate8,
        _ => null,
    };

    static void Add(SortedSet<uint> found, uint code)
    {
        uint deviceType = code >> 16, function = (code >> 2) & 0xFFF;
        bool plausible = deviceType is > 0 and < 0x60 or >= 0x8000 and < 0xC000 && function >= 0x800 && function < 0xF00;
        if (plausible && deviceType != 0xFFFF) found.Add(code);
    }

    /// <summary>CTL_CODE's parts in words: <c>METHOD_BUFFERED, FILE_ANY_ACCESS, function 0x801</c>.</summary>
    public static string Describe(uint code)
    {
        string method = (code & 3) switch { 0 => "METHOD_BUFFERED", 1 => "METHOD_IN_DIRECT", 2 => "METHOD_OUT_DIRECT", _ => "METHOD_NEITHER" };
        return $"0x{code:X} ({method})";
    }
}
