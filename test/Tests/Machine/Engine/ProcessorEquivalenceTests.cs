using Ringdown.Machine;
using Xunit;

namespace Ringdown.Tests;

public sealed unsafe class ProcessorEquivalenceTests
{
    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(4)]
    public void A_run_ends_like_single_steps_whatever_the_code_is(ulong seed)
    {
        var chance = new Chance(seed);
        using var cache = new CodeCache();
        byte[] bytes = new byte[0x1010];
        for (int round = 0; round < 200; round++)
        {
            FillWithCode(chance, bytes);
            using var run = new GuestCode(cache: cache);
            using var step = new GuestCode(cache: cache);
            Prepare(run, bytes, seed + (ulong)round);
            Prepare(step, bytes, seed + (ulong)round);
            Stop ran = run.Cpu.Run(), stepped = default;
            while (run.Cpu.State->Retired > step.Cpu.State->Retired)
            {
                stepped = step.Cpu.Step();
                if (stepped.Kind != StopKind.Budget) break;
            }
            // What stops a run in front of its next instruction stops the steps only when they try that one.
            if ((ran.Kind is StopKind.Exception or StopKind.HostCall) && stepped.Kind == StopKind.Budget)
                stepped = step.Cpu.Step();
            if (ran.Kind == StopKind.Budget && stepped.Kind == StopKind.Budget) stepped = ran;
            Assert.Equal(ran, stepped);
            AssertSame(run, step);
        }
    }

    static void AssertSame(GuestCode run, GuestCode step)
    {
        Assert.Equal(run.Cpu.Rip, step.Cpu.Rip);
        for (int i = 0; i < 16; i++) Assert.Equal(run.Cpu[i], step.Cpu[i]);
        Assert.Equal(run.Cpu.State->Retired, step.Cpu.State->Retired);
        Assert.Equal(run.Cpu.State->Budget, step.Cpu.State->Budget);
        Assert.Equal(run.Memory.ReadBytes(GuestCode.Data, 0x4000), step.Memory.ReadBytes(GuestCode.Data, 0x4000));
        Assert.Equal(run.Memory.ReadBytes(GuestCode.Stack, 0x4000), step.Memory.ReadBytes(GuestCode.Stack, 0x4000));
        Assert.Equal(run.Memory.ReadBytes(GuestCode.Code, 0x4000), step.Memory.ReadBytes(GuestCode.Code, 0x4000));
    }

    static void Prepare(GuestCode guest, byte[] bytes, ulong seed)
    {
        var chance = new Chance(seed);
        guest.Memory.Protect(GuestCode.Code, 0x2000, Protection.All);
        guest.Load(GuestCode.Code, bytes);
        for (int i = 0; i < 16; i++)
            if (i != 4) guest.Cpu[i] = Value(chance);
        guest.Cpu.State->Budget = 500;
        guest.Cpu.Rip = GuestCode.Code.Value + (ulong)chance.Next(0x1000);
    }

    // Mostly addresses of data, often close to the end of a page; now and then code, or anything.
    static ulong Value(Chance chance) => chance.Next(8) switch
    {
        0 => chance.Next(),
        1 => (ulong)chance.Next(100),
        2 => GuestCode.Code.Value + (ulong)chance.Next(0x1000),
        3 or 4 => GuestCode.Data.Value + (ulong)(0x1000 * chance.Next(4)) + 0xFF0 + (ulong)chance.Next(32),
        _ => GuestCode.Data.Value + (ulong)chance.Next(0x4000),
    };

    // Random bytes fault soon: opcodes with a register or memory operand are made more frequent.
    static void FillWithCode(Chance chance, byte[] bytes)
    {
        ReadOnlySpan<byte> opcodes =
            [0x01, 0x03, 0x11, 0x13, 0x19, 0x21, 0x29, 0x31, 0x33, 0x39, 0x3B, 0x85,
            0x87, 0x89, 0x8B, 0x8D, 0x88, 0x8A];
        int at = 0;
        while (at < bytes.Length)
        {
            bytes[at++] = (byte)(0x40 + chance.Next(16));
            int kind = chance.Next(12);
            if (at + 8 >= bytes.Length || kind == 0)
            {
                if (at < bytes.Length) bytes[at++] = (byte)chance.Next();
                continue;
            }
            if (kind == 1) bytes[at++] = (byte)(0x50 + chance.Next(16));
            else if (kind == 2) (bytes[at++], bytes[at++]) = ((byte)(0x70 + chance.Next(16)), (byte)chance.Next(256));
            else if (kind == 3) (bytes[at++], bytes[at++]) = (0xD1, (byte)(0xC0 + chance.Next(64)));
            else if (kind == 4) (bytes[at++], bytes[at++]) = (0x83, (byte)(0xC0 + chance.Next(64)));
            else (bytes[at++], bytes[at++]) = (opcodes[chance.Next(opcodes.Length)], (byte)chance.Next(256));
        }
    }
}
