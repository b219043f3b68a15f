using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>
/// Fills registers and memory with values that matter: edges, floats of every class, equal halves, noise.
/// </summary>
sealed unsafe class StateMaker(Chance chance)
{
    /// <summary>Registers of every kind, for one run. Those that form addresses are set afterwards.</summary>
    public void FillRegisters(OracleState* s)
    {
        for (int i = 0; i < 16; i++) s->Gpr[i] = Integer();
        s->Rflags = chance.Next() & 0x8D5 | (chance.OneIn(4) ? 0x400u : 0) | 0x202;
        s->Mxcsr = chance.OneIn(2) ? 0x1F80 : Mxcsr();
        s->MxcsrMask = 0xFFFF;
        FillVectors(s);
        FillX87(s);
    }

    /// <summary>Memory, in pieces of one kind each.</summary>
    public void FillMemory(byte* memory, int bytes)
    {
        for (int at = 0; at < bytes; at += 64)
        {
            int kind = chance.Next(8);
            for (int i = 0; i < 64; i += 16) FillVector((ulong*)(memory + at + i), kind);
        }
    }

    public ulong Integer() => chance.Next(8) switch
    {
        0 => chance.Next(),
        1 => (ulong)(uint)chance.Next(256),
        2 => ulong.MaxValue << chance.Next(64),
        3 => 1UL << chance.Next(64),
        4 => (ulong)-(long)chance.Next(256),
        5 => chance.Next() >> chance.Next(64),
        6 => (chance.Next() & 0x0101_0101_0101_0101) * 0xFF ^ 0x8000_0000_8000_8080,
        _ => 0x7FFF_FFFF_7FFF_7F7F + (ulong)(uint)chance.Next(3),
    };

    uint Mxcsr()
    {
        uint value = (uint)chance.Next() & 0x6000 | 0x1F80;
        if (chance.OneIn(3)) value |= (uint)chance.Next() & 0x3F;
        if (chance.OneIn(3)) value |= 0x8000;
        if (chance.OneIn(3)) value |= 0x40;
        if (chance.OneIn(3)) value &= (uint)chance.Next() | ~0x1F80u;
        return value;
    }

    void FillVectors(OracleState* s)
    {
        int kind = chance.Next(8);
        for (int i = 0; i < 16; i++)
        {
            if (chance.OneIn(4)) kind = chance.Next(8);
            FillVector(OracleState.Low(s, i), kind);
            FillVector(OracleState.High(s, i), kind);
            if (i > 0 && chance.OneIn(6))
                new Span<ulong>(OracleState.Low(s, chance.Next(i)), 2).CopyTo(new Span<ulong>(OracleState.Low(s, i),
                    2));
        }
    }

    void FillVector(ulong* v, int kind)
    {
        for (int i = 0; i < 2; i++)
            v[i] = kind switch
            {
                0 => chance.Next(),
                1 or 2 => Single() | (ulong)Single() << 32,
                3 or 4 => Double(),
                5 => chance.Next() & 0x0303_0303_0303_0303,
                6 => chance.Next() & 0x0001_00FF_8000_7FFF,
                _ => Integer(),
            };
    }

    uint Single()
    {
        uint sign = (uint)chance.Next() & 0x8000_0000, noise = (uint)chance.Next() & 0x7F_FFFF;
        return sign | chance.Next(16) switch
        {
            0 => 0,
            1 => 0x7F80_0000,
            2 => 0x7FC0_0000 | noise,
            3 => 0x7F80_0001 | noise & 0x3F_FFFF,
            4 => noise >> chance.Next(23),
            5 => (uint)(1 + chance.Next(40)) << 23 | noise,
            6 => (uint)(254 - chance.Next(40)) << 23 | noise,
            7 or 8 => BitConverter.SingleToUInt32Bits(chance.Next(64) / 4f),
            9 => (uint)(127 + chance.Next(70)) << 23 | noise,
            10 => (uint)chance.Next(255) << 23 | noise,
            _ => (uint)(120 + chance.Next(16)) << 23 | noise & ~0u << chance.Next(23),
        };
    }

    ulong Double()
    {
        ulong sign = chance.Next() & 1UL << 63, noise = chance.Next() >> 12;
        return sign | chance.Next(16) switch
        {
            0 => 0,
            1 => 0x7FFUL << 52,
            2 => 0x7FF8UL << 48 | noise,
            3 => 0x7FFUL << 52 | 1 | noise >> 1,
            4 => noise >> chance.Next(52),
            5 => (ulong)(uint)(1 + chance.Next(80)) << 52 | noise,
            6 => (ulong)(uint)(2046 - chance.Next(80)) << 52 | noise,
            7 or 8 => BitConverter.DoubleToUInt64Bits(chance.Next(64) / 4.0),
            9 => (ulong)(uint)(1023 + chance.Next(70)) << 52 | noise,
            // The range of a single: overflow, underflow and denormals of a conversion.
            10 => (ulong)(uint)(1023 - 160 + chance.Next(300)) << 52 | noise & ~0UL << chance.Next(52),
            _ => (ulong)(uint)(1015 + chance.Next(16)) << 52 | noise & ~0UL << chance.Next(52),
        };
    }

    void FillX87(OracleState* s)
    {
        s->ControlWord = (ushort)(chance.OneIn(2) ? 0x37F : 0x7F | chance.Next(4) << 10 | chance.Next(4) << 8);
        if (chance.OneIn(8)) s->ControlWord &= (ushort)(chance.Next() | 0xFFC0);
        int status = (int)chance.Next() & 0x7F00 & ~0x8000;
        if (chance.OneIn(2)) status &= ~0x3800;
        int flags = chance.OneIn(3) ? chance.Next(128) : 0;
        if (!chance.OneIn(8)) flags &= s->ControlWord | 0x40;
        if ((flags & ~s->ControlWord & 0x3F) != 0) status |= 0x8080;
        s->StatusWord = (ushort)(status | flags);
        s->Tags = (byte)(chance.OneIn(3) ? 0xFF : chance.Next());
        (s->LastOpcode, s->LastInstruction, s->LastOperand) = (0, 0, 0);
        for (int i = 0; i < 8; i++)
        {
            ulong* st = (ulong*)OracleState.St(s, i);
            (st[0], st[1]) = Extended();
        }
    }

    (ulong, ulong) Extended()
    {
        ulong sign = chance.Next() & 0x8000, noise = chance.Next(), one = 1UL << 63;
        return chance.Next(20) switch
        {
            0 => (0, sign),
            1 => (one, sign | 0x7FFF),
            2 => (one | noise | 1UL << 62, sign | 0x7FFF),
            3 => ((one | noise >> 2 | 1) & ~(1UL << 62), sign | 0x7FFF),
            4 => (noise >> 1 >> chance.Next(63), sign),
            5 => (one | noise >> 1, sign),
            6 => (one | noise, sign | (ulong)(uint)(1 + chance.Next(80))),
            7 => (one | noise, sign | (ulong)(uint)(0x7FFE - chance.Next(80))),
            8 => (noise >> 1, sign | (ulong)(uint)chance.Next(0x8000)),
            9 => (one | noise, sign | (ulong)(uint)chance.Next(0x7FFF)),
            10 or 11 => (one | noise & ~0UL << chance.Next(63), sign | (ulong)(uint)(16383 + chance.Next(70))),
            12 => (one | noise, sign | (ulong)(uint)(16383 - 1080 + chance.Next(2160))),
            13 => (one | noise & ~0UL << 40 + chance.Next(12), sign | (ulong)(uint)(16383 - 160 + chance.Next(320))),
            14 => (noise, 0xFFFF),
            _ => (one | noise & ~0UL << chance.Next(63), sign | (ulong)(uint)(16383 - 4 + chance.Next(12))),
        };
    }
}
