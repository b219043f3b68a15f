using Iced.Intel;

namespace Ringdown.Machine;

/// <summary>Which arithmetic flags are read before they are set again: the others need not be computed.</summary>
/// <remarks>
/// So in a block a dead flag may be stale when an instruction faults. An instruction executed by <see
/// cref="Processor.Step"/> always sets all of its flags.
/// </remarks>
sealed partial class BlockBuilder
{
    // How many instructions are looked at behind the block, over all paths.
    const int LookAhead = 24;

    readonly CodeBytes _aheadBytes = new();
    Decoder? _ahead;
    int _aheadLeft;

    void FindLiveFlags(byte[] bytes, ulong start, bool single)
    {
        ref Instruction last = ref _instructions[_count - 1];
        uint live = Flags.AllArithmetic;
        if (!single && _linksCanSet)
        {
            _aheadLeft = LookAhead;
            live = LiveBehind(bytes, start, last, Flags.AllArithmetic);
        }
        for (int k = _count - 1; k >= 0; k--)
        {
            _live[k] = live;
            live = (live & ~Killed(_instructions[k])) | Read(_instructions[k]);
        }
    }

    uint LiveBehind(byte[] bytes, ulong start, in Instruction last, uint open) => last.FlowControl switch
    {
        FlowControl.UnconditionalBranch => LiveAt(bytes, start, last.NearBranchTarget, open),
        FlowControl.ConditionalBranch =>
            LiveAt(bytes, start, last.NextIP, open) | LiveAt(bytes, start, last.NearBranchTarget, open),
        FlowControl.Next when !EndsBlock(last) => LiveAt(bytes, start, last.NextIP, open),
        _ => open,
    };

    /// <summary>Of the flags in question, those that are read at an address before they are set.</summary>
    uint LiveAt(byte[] bytes, ulong start, ulong rip, uint open)
    {
        uint live = 0;
        ulong offset = rip - start;
        while (open != 0)
        {
            if (offset >= (ulong)bytes.Length || _aheadLeft-- <= 0) return live | open;
            _aheadBytes.Set(bytes, (int)offset);
            _ahead ??= Decoder.Create(64, _aheadBytes);
            _ahead.IP = start + offset;
            _ahead.Decode(out Instruction i);
            if (_ahead.LastError != DecoderError.None) return live | open;
            live |= Read(i) & open;
            open &= ~(Killed(i) | live);
            if (open == 0) break;
            if (EndsBlock(i)) return live | LiveBehind(bytes, start, i, open);
            offset = i.NextIP - start;
        }
        return live;
    }

    static uint Written(in Instruction i) => Convert(i.RflagsModified);

    // Flags that the instruction certainly sets: not those of a shift that may be by 0, or of a repetition that may be
    // empty.
    static uint Killed(in Instruction i)
    {
        if (i.Mnemonic is Mnemonic.Sal or Mnemonic.Sar or Mnemonic.Shl or Mnemonic.Shr
            or Mnemonic.Shld or Mnemonic.Shrd or Mnemonic.Rcl or Mnemonic.Rcr or Mnemonic.Rol or Mnemonic.Ror)
            return 0;
        if (i.HasRepPrefix || i.HasRepnePrefix) return 0;
        return Written(i);
    }

    static uint Read(in Instruction i) => Convert(i.RflagsRead);

    static uint Convert(RflagsBits bits)
    {
        uint flags = 0;
        if ((bits & RflagsBits.CF) != 0) flags |= Flags.CF;
        if ((bits & RflagsBits.PF) != 0) flags |= Flags.PF;
        if ((bits & RflagsBits.AF) != 0) flags |= Flags.AF;
        if ((bits & RflagsBits.ZF) != 0) flags |= Flags.ZF;
        if ((bits & RflagsBits.SF) != 0) flags |= Flags.SF;
        if ((bits & RflagsBits.OF) != 0) flags |= Flags.OF;
        return flags;
    }
}
