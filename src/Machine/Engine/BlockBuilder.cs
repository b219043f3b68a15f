using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>Decodes a block and lowers its instructions to micro-ops.</summary>
/// <remarks>
/// To add an instruction: write a handler (see <see cref="Binary{TOp}"/> for one that is generic over operand places
/// and sizes, or <see cref="MiscHandlers"/> for a single one), and a case in the <c>Lower</c> method of its family that
/// calls <see cref="Two{TFamily}()"/>, <see cref="One{TFamily}"/> or <see cref="Emit"/>. A handler
/// 1. makes all accesses that can fail first (<see cref="IPlace"/>; null means <c>return Fault.At(op, s)</c>), raises
///    its other faults with <see cref="Fault.Raise"/>, and only then changes registers, flags and memory;
/// 2. returns <c>op + 1</c>; only branches return anything else;
/// 3. has <c>[MethodImpl(MethodImplOptions.AggressiveOptimization)]</c>, and its address is taken in the lowering only.
/// An instruction that ends its block without being a branch is listed in <see cref="EndsBlock"/>. A family that
/// returns false leaves the instruction to the next one in <see cref="Lower"/>; what nobody knows stops the processor
/// with a text.
/// </remarks>
sealed unsafe partial class BlockBuilder
{
    readonly CodeBytes _bytes = new();
    readonly Decoder _decoder;
    readonly Instruction[] _instructions = new Instruction[Block.MaxInstructions];
    readonly uint[] _live = new uint[Block.MaxInstructions];
    Uop[] _uops = new Uop[128];
    int _uopCount, _current, _count;
    ulong _rip, _page;
    bool _linksCanSet;
    NativeArena _arena = null!;

    public BlockBuilder() => _decoder = Decoder.Create(64, _bytes);

    /// <summary>The instruction being lowered.</summary>
    public ref Instruction Instruction => ref _instructions[_current];

    /// <summary>
    /// The arithmetic flags that something reads after the current instruction before they are set again.
    /// </summary>
    public uint LiveFlags => _live[_current];

    /// <summary>Whether the current instruction has to set flags.</summary>
    public bool FlagsWanted => (Written(Instruction) & LiveFlags) != 0;

    /// <summary>Builds the block at an offset of a page, of at most <paramref name="limit"/> instructions.</summary>
    /// <returns>Null if the first instruction does not end within the bytes.</returns>
    public Block* Build(NativeArena arena, byte[] bytes, ulong start, int offset, int limit, bool linksCanSet)
    {
        (_arena, _rip, _page, _linksCanSet) = (arena, start + (ulong)offset, start >> 12, linksCanSet);
        _bytes.Set(bytes, offset);
        _decoder.IP = _rip;
        _uopCount = 0;
        _count = Decode(limit);
        if (_count == 0) return null;
        FindLiveFlags(bytes, start, single: limit == 1);
        int lowered = 0;
        while (lowered < _count) lowered = LowerFrom(lowered);
        ref Instruction last = ref _instructions[_count - 1];
        if (last.FlowControl == FlowControl.Next && last.Mnemonic != Mnemonic.Hlt) EmitJump(last.NextIP);
        return Finish();
    }

    int Decode(int limit)
    {
        int count = 0;
        while (count < limit)
        {
            _decoder.Decode(out _instructions[count]);
            if (_decoder.LastError == DecoderError.NoMoreBytes) break;
            if (EndsBlock(_instructions[count++])) break;
        }
        return count;
    }

    int LowerFrom(int index)
    {
        _current = index;
        int first = _uopCount, next = index + 1;
        if (index + 2 == _count && BranchLowering.Fuse(this, _instructions[index + 1], _live[index + 1])) next = _count;
        else if (!Lower())
        {
            _uopCount = first;
            Emit(&MiscHandlers.Unsupported, default);
        }
        for (int i = first; i < _uopCount; i++) _uops[i].Remaining = (byte)(_count - 1 - index);
        return next;
    }

    bool Lower() =>
        IntegerLowering.Lower(this)
        || BranchLowering.Lower(this)
        || BitLowering.Lower(this)
        || StringLowering.Lower(this)
        || SystemLowering.Lower(this)
        || VectorLowering.Lower(this)
        || FpuLowering.Lower(this);

    /// <summary>Adds a micro-op to the current instruction.</summary>
    public void Emit(Handler handler, Uop uop)
    {
        if (_uopCount == _uops.Length) Array.Resize(ref _uops, _uopCount * 2);
        uop.Handler = handler;
        uop.RipOffset = (ushort)(Instruction.IP - _rip);
        _uops[_uopCount++] = uop;
    }

    /// <summary>Links for a branch: its target, and what follows it.</summary>
    public long Links(ulong target, ulong next)
    {
        Link* links = (Link*)_arena.Allocate(2 * sizeof(Link));
        links[0] = new Link { Rip = target, CanSet = _linksCanSet && target >> 12 == _page };
        links[1] = new Link { Rip = next, CanSet = _linksCanSet && next >> 12 == _page };
        return (long)links;
    }

    void EmitJump(ulong target)
    {
        Emit(&BranchHandlers.Jump, new Uop { Imm = Links(target, target) });
        ref Uop jump = ref _uops[_uopCount - 1];
        (jump.RipOffset, jump.Remaining) = ((ushort)(target - _rip), byte.MaxValue);
    }

    Block* Finish()
    {
        byte* memory = _arena.Allocate(sizeof(Block) + _uopCount * sizeof(Uop));
        Block* block = (Block*)memory;
        Uop* ops = (Uop*)(block + 1);
        *block = new Block { Rip = _rip, Ops = ops, Instructions = _count, UopCount = _uopCount };
        _uops.AsSpan(0, _uopCount).CopyTo(new Span<Uop>(ops, _uopCount));
        return block;
    }

    /// <summary>The block of a page with entry points on the host: it costs nothing and stops the processor.</summary>
    public static Block* BuildHostCall(NativeArena arena, ulong rip)
    {
        Block* block = (Block*)arena.Allocate(sizeof(Block) + sizeof(Uop));
        *block = new Block { Rip = rip, Ops = (Uop*)(block + 1), UopCount = 1 };
        *block->Ops = new Uop { Handler = &MiscHandlers.HostCall };
        return block;
    }

    static bool EndsBlock(in Instruction i) => i.FlowControl != FlowControl.Next || i.Mnemonic switch
    {
        Mnemonic.Popf or Mnemonic.Popfd or Mnemonic.Popfq or Mnemonic.Sti or Mnemonic.Hlt or Mnemonic.Mwait
            or Mnemonic.Rdtsc or Mnemonic.Rdtscp or Mnemonic.Rdpmc or Mnemonic.Wrmsr or Mnemonic.Rdmsr
            or Mnemonic.Xsetbv or Mnemonic.In or Mnemonic.Out or Mnemonic.Insb or Mnemonic.Insw or Mnemonic.Insd
            or Mnemonic.Outsb or Mnemonic.Outsw or Mnemonic.Outsd => true,
        Mnemonic.Mov => i.Op0Register.IsCR() || i.Op0Register.IsDR(),
        _ => false,
    };
}

/// <summary>Feeds the decoder from bytes; it stops at their end.</summary>
sealed class CodeBytes : CodeReader
{
    byte[] _bytes = [];
    int _position;

    public void Set(byte[] bytes, int position) => (_bytes, _position) = (bytes, position);

    public override int ReadByte() => _position < _bytes.Length ? _bytes[_position++] : -1;
}
