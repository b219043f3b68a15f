using Iced.Intel;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>One frame of a guest stack, as people read it.</summary>
public sealed record StackFrame(Va Address, string Module, string Text, string? File, int Line)
{
    public override string ToString() => File is null ? Text : $"{Text}  [{File} @ {Line}]";
}

/// <summary>The machine at the moment when it stopped.</summary>
public sealed record CrashReport
{
    const int MaximumFrames = 64;

    public required string Title { get; init; }

    /// <summary>The stop code and its four parameters; 0 and none for a hang.</summary>
    public uint Code { get; init; }
    public ulong[] Parameters { get; init; } = [];

    /// <summary>The driver nearest to the top of the stack: the one to look at first.</summary>
    public string? Driver { get; init; }
    public required IReadOnlyList<StackFrame> Stack { get; init; }
    public required IReadOnlyList<(string Name, ulong Value)> Registers { get; init; }

    /// <summary>Instructions up to and after RIP; the current one starts with ">".</summary>
    public required IReadOnlyList<string> Disassembly { get; init; }
    public Irql Irql { get; init; }
    public required string Thread { get; init; }

    /// <summary>What drivers' bug check callbacks said.</summary>
    public IReadOnlyList<BugCheckCallback> Callbacks { get; init; } = [];

    /// <summary>What else is known of an address in the parameters: the pool block, the IRP.</summary>
    public string? Note { get; init; }

    internal static CrashReport Make(NtKernel nt, MachineStop stop)
    {
        var context = new CpuContext();
        NtThread thread = stop.Culprit ?? nt.Ke.Scheduler.Current;
        if (stop.Context is { } trapped) trapped.CopyTo(context);
        else nt.Cpu.CopyTo(context);
        IReadOnlyList<StackFrame> stack = ManagedStack.Expand(nt, Walk(nt, context, thread.Calls), stop.Thrown);
        var bugCheck = stop as BugCheck;
        StackFrame? named = NamedBy(nt, bugCheck);
        return new CrashReport
        {
            Title = stop.Message,
            Code = (uint)(bugCheck?.Code ?? 0),
            Parameters = bugCheck?.Parameters ?? [],
            Driver = stop.Blamed ?? stack.FirstOrDefault(f => nt.Loader.IsDriver(f.Module))?.Module
                ?? named?.Module,
            Stack = stack,
            Registers = Read(context),
            Disassembly = Disassemble(nt, DriverAddress(nt, context, stack)),
            Irql = nt.Ke.Irql,
            Thread = thread.Name,
            Note = stop.Thrown is { } thrown ? $"{thrown.GetType().FullName}: {thrown.Message}"
                : stop.Known is { } known ? known : bugCheck is null ? null
                : named is not null && !stack.Any(f => nt.Loader.IsDriver(f.Module)) ? $"{named.Address} is {named}."
                : NoteOn(nt, bugCheck),
        };
    }

    // A cancel routine, a service routine: of a stop that comes when it has returned.
    static StackFrame? NamedBy(NtKernel nt, BugCheck? stop) => (stop?.Parameters ?? [])
        .Select(p => nt.Loader.FrameAt(new Va(p), isReturnAddress: false))
        .FirstOrDefault(f => nt.Loader.IsDriver(f.Module));

    /// <summary>A thread's stack, from a context outwards.</summary>
    internal static IReadOnlyList<StackFrame> Walk(NtKernel nt, CpuContext from, IReadOnlyList<NestedCall> calls)
    {
        var context = new CpuContext();
        from.CopyTo(context);
        var frames = new List<StackFrame>();
        if (context.Rip == 0 && calls.Count == 0) return frames;     // no guest code runs
        bool first = true;
        for (int i = 0; i < MaximumFrames && (context.Rip != 0 || i == 0); i++)
        {
            Va pc = new(context.Rip);
            if (!Routines.IsReturn(pc)) frames.Add(nt.Loader.FrameAt(pc, isReturnAddress: !first));
            // Outside of a nested call is where an exception happened, or a kernel routine: no return address.
            first = Routines.IsReturn(pc);
            ulong rsp = context.Rsp;
            if (!nt.Seh.Unwinder.Step(context, 0, calls, out _)) break;
            if (context.Rsp <= rsp && !Routines.IsReturn(pc)) break;
        }
        return frames;
    }

    static Va DriverAddress(NtKernel nt, CpuContext context, IReadOnlyList<StackFrame> stack)
    {
        if (!nt.Routines.TryFind(new Va(context.Rip), out _)) return new Va(context.Rip);
        return stack.FirstOrDefault(f => nt.Loader.IsDriver(f.Module))?.Address ?? Va.Null;
    }

    static IReadOnlyList<(string, ulong)> Read(CpuContext context)
    {
        string[] names = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
            "r13", "r14", "r15"];
        return [.. names.Select((name, i) => (name, context[i])), ("rip", context.Rip), ("efl", context.Rflags)];
    }

    static IReadOnlyList<string> Disassemble(NtKernel nt, Va rip)
    {
        byte[] code = new byte[64];
        if (rip.IsNull || !nt.Memory.TryPeek(rip, code)) return [];
        var decoder = Decoder.Create(64, code);
        decoder.IP = rip.Value;
        var formatter = new NasmFormatter();
        formatter.Options.HexPrefix = "0x";
        formatter.Options.HexSuffix = "";
        var lines = new List<string>();
        for (int i = 0; i < 5; i++)
        {
            decoder.Decode(out Instruction instruction);
            if (instruction.IsInvalid) break;
            var text = new StringOutput();
            formatter.Format(instruction, text);
            lines.Add($"{(i == 0 ? ">" : " ")} {new Va(instruction.IP)}  {text.ToStringAndReset()}");
        }
        return lines;
    }

    static string? NoteOn(NtKernel nt, BugCheck stop)
    {
        foreach (ulong value in stop.Parameters)
        {
            if (nt.Mm.Pool.Near(new Va(value)) is not { } block) continue;
            long offset = (long)(value - block.Address.Value);
            string where = offset >= (long)block.Bytes ? $"{offset - (long)block.Bytes} bytes behind the end of"
                : offset < 0 ? $"{-offset} bytes before the start of"
                : offset == 0 ? "the start of" : $"{offset} bytes into";
            return $"{value:x} is {where} {(block.IsFree ? "a freed" : "an allocated")} {block.Kind} block of {block.Bytes} bytes, "
                + $"tag '{block.TagText}'{(block.Owner.IsNull ? "" : $", allocated by {nt.Loader.Describe(block.Owner)}")}.";
        }
        return null;
    }
}
