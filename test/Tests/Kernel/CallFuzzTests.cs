using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Verifier;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Any arguments to any export end in a result, a fault, a guest's exception, or a stop of the
/// machine.</summary>
public sealed class CallFuzzTests
{
    const int Shares = 4;

    /// <summary>RINGDOWN_FUZZ is how many times as long it takes.</summary>
    static readonly int s_times = int.TryParse(Environment.GetEnvironmentVariable("RINGDOWN_FUZZ"), out int n) ? n : 1;

    /// <summary>Straight into the export, as the gate does it.</summary>
    [Theory, InlineData(0), InlineData(1), InlineData(2), InlineData(3)]
    public void No_argument_of_any_export_raises_an_exception_of_the_hosts(int share) =>
        Fuzz(share, seed: 11, rounds: 10, (machine, export) => machine.CallThunk(export));

    /// <summary>As guest code calls: a fault goes to the guest's handlers; without one it stops the machine.</summary>
    [Theory, InlineData(0), InlineData(1), InlineData(2), InlineData(3)]
    public void No_call_from_guest_code_raises_an_exception_of_the_hosts(int share) =>
        Fuzz(share, seed: 22, rounds: 6, (machine, export) => machine.CallAsGuest(export));

    /// <summary>The same while threads run on two processors, in any order.</summary>
    [Theory, InlineData(0), InlineData(1), InlineData(2), InlineData(3)]
    public void No_call_beside_other_threads_raises_an_exception_of_the_hosts(int share) =>
        Fuzz(share, seed: 33, rounds: 1, (machine, export) => machine.CallAsGuest(export), processors: 2);

    static void Fuzz(int share, ulong seed, int rounds, Action<FuzzMachine, Export> send, int processors = 1)
    {
        rounds *= s_times;
        var failures = new SortedSet<string>(StringComparer.Ordinal);
        FuzzMachine machine = new(seed, processors);
        for (int round = 0; round < rounds; round++)
        {
            for (int i = share; i < Exports.All.Length; i += Shares)
            {
                Export export = Exports.All[i];
                ulong own = seed + (ulong)(round * 10_000 + i);
                machine.Prepare(own, export.Parameters.Length);

                try
                {
                    send(machine, export);
                    continue;
                }
                catch (Exception e) when (e is PageFault or GuestException)
                {
                    continue;
                }
                catch (MachineStop)
                {
                }
                catch (Exception e)
                {
                    string call = $"{export.Name}({machine.Arguments}) at {machine.Level}, seed {own}";
                    failures.Add($"{call}: {e.GetType().Name} {e.Message} {Place(e)}");
                }
                machine.Dispose();
                machine = new FuzzMachine(own, processors);
            }
        }
        machine.Dispose();
        Assert.True(failures.Count == 0, string.Join("\n", failures));
    }

    static string Place(Exception e) =>
        string.Join(" <", (e.StackTrace ?? "").Split('\n').Take(6).Select(l => l.Trim()[2..].Split('(')[0]));
}

/// <summary>A machine with things to pass to exports, good, bad and broken.</summary>
sealed class FuzzMachine : IDisposable
{
    static readonly ulong[] s_numbers =
    [
        0, 0, 0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 100, 255, 256, 512, 0xFFF, 0x1000, 0x7FFF,
        0x8000, 0xFFFF, 0x10000,
        0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, long.MaxValue, 1UL << 63, ulong.MaxValue,
        ulong.MaxValue - 15,
        0x8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF, 0xFFFF_8000_0000_0000, 0xFFFF_FFFF_FFFF_F000, 0xFFFF_F780_0000_0000,
    ];

    readonly NtKernel _nt;
    readonly List<ulong> _things = [];
    readonly ulong[] _arguments = new ulong[16];
    readonly ulong _stack;
    Chance _chance;
    int _count;

    public FuzzMachine(ulong seed, int processors)
    {
        var findings = new FindingList();
        _nt = new NtKernel(new KernelOptions
        {
            Seed = seed,
            Processors = processors,
            Schedule = processors == 1 ? null : c => new RandomSchedule(c),
            InstructionLimit = 100_000,
            Observers = [.. Rules.All(new Reporter(findings, seed))],
        });
        _chance = new Chance(seed);
        _stack = _nt.Cpu.Rsp;
        Fill();
        if (processors > 1) StartOthers();
    }

    // Two that wait, wake and work as long as the machine lives.
    void StartOthers()
    {
        Va interval = Block(128);
        _nt.Memory.Write(interval, -500L);
        Va routine = _nt.Routines.Add("other", (nt, _) =>
        {
            while (true)
            {
                nt.KeDelayExecutionThread(0, false, interval);
                nt.KeReleaseSpinLock(interval + 64UL, nt.KeAcquireSpinLockRaiseToDpc(interval + 64UL));
            }
        });
        for (int i = 0; i < 2; i++) _nt.Ps.StartThread("other", routine, Va.Null);
    }

    public Irql Level { get; private set; }
    public string Arguments => string.Join(", ", _arguments.Take(_count).Select(a => a.ToString("x")));

    void Fill()
    {
        Va routine = _nt.Routines.Add("routine", (_, call) => call.Return(0));
        Va driverInit = _nt.Routines.Add("init", (_, call) => call.Return(0));
        DriverObject driver = _nt.Io.CreateDriver("fuzz", new Va(0xFFFF_F801_7000_0000), 0x1000, driverInit, Va.Null);
        Va text = Block(64), name = Block(16), attributes = Block(48), list = Block(32);
        _nt.Memory.Write(text, System.Text.Encoding.Unicode.GetBytes(@"\Device\Fuzz %d %s %wZ"));
        _nt.Memory.Write(name, 24UL | 64UL << 16);
        _nt.Memory.Write(name + 8, text);
        _nt.Memory.Write(attributes, 48UL);
        _nt.Memory.Write(attributes + 16, name);
        _nt.Memory.Write(list, list);
        _nt.Memory.Write(list + 8, list);
        Va freed = Block(64);
        _nt.Mm.Pool.Free(freed);
        Va user = _nt.Mm.AllocateUser(4096), image = _nt.Loader.Images[0].Base;
        _things.AddRange([routine.Value, driver.Address.Value, text.Value, name.Value, attributes.Value, list.Value,
            freed.Value, user.Value, user.Value + 4090, image.Value, _nt.Ke.CurrentThread.Address.Value,
            _nt.Ke.Pcr.Address.Value,
            _stack]);
        foreach (ushort size in (ushort[])[0xD0 + 0x48, 0xD0 + 3 * 0x48])
        {
            Irp irp = _nt.Io.IoAllocateIrp((sbyte)((size - 0xD0) / 0x48), false);
            if (!irp.IsNull) _things.Add(irp.Address.Value);
        }
        Mdl mdl = _nt.Mm.CreateMdl(user, 100);
        _things.Add(mdl.Address.Value);
        for (int i = 0; i < 4; i++) _things.Add(Block(0x200).Value);
        FillObjects(name);
        _things.AddRange(_nt.Ob.OfType(_nt.Ob.DeviceType).Select(d => d.Body.Value).Take(2));
    }

    // Processes, tokens, types and handles, so that calls get further than to the first check.
    void FillObjects(Va name)
    {
        _nt.Ps.CreateUserProcess(@"\fuzz.exe", out NtProcess? process);
        _things.AddRange([process!.Object.Address.Value, process.Token.Object!.Body.Value, _nt.Ob.Root.Body.Value,
            _nt.Ob.EventType.Address.Value, _nt.Ob.ProcessType.Address.Value]);
        foreach (NtObject target in (NtObject[])
            [_nt.Ob.At(process.Object.Address), process.Token.Object!, _nt.Ob.Root,
                _nt.Ob.At(_nt.Ke.CurrentThread.Address), _nt.Ob.Create(_nt.Ob.EventType, 0x18),
                _nt.Ob.CreateLink(@"\Device")])
            _things.Add(_nt.Ob.Open(target, uint.MaxValue & ~0xF000_0000, kernelHandle: false).Value);
        Va subject = Block(0x40), descriptor = Block(0x100), type = Block(16);
        _nt.Se.SeCaptureSubjectContext(SubjectContext.At(_nt.Memory, subject));
        SecurityInfo security = Sddl.Parse("O:BAG:SYD:(A;;GA;;;SY)(A;OICI;GR;;;WD)", GenericMapping.OfFile);
        _nt.Memory.Write(descriptor, security.ToBytes());
        _nt.Memory.Write(type, _nt.Ob.EventType.Address);
        _nt.Memory.Write(type + 8, name);
        _things.AddRange([subject.Value, descriptor.Value, type.Value]);
    }

    Va Block(ulong bytes) =>
        _nt.Mm.Pool.Allocate(bytes, PoolKind.NonPaged, 0x7A7A7566, new Va(0xFFFF_F801_7000_0010), zero: true);

    ulong Below(ulong limit) => _chance.Next() % limit;

    /// <summary>Chooses arguments and an IRQL, and puts both into the processor.</summary>
    public void Prepare(ulong seed, int count)
    {
        _chance = new Chance(seed);
        _count = count;
        if (Below(3) == 0) Scribble(new Va(_things[(int)Below((ulong)_things.Count)]));
        for (int i = 0; i < _arguments.Length; i++)
            _arguments[i] = Below(5) < 2 ? s_numbers[Below((ulong)s_numbers.Length)]
                : Below(20) == 0 ? _chance.Next()
                : _things[(int)Below((ulong)_things.Count)] + (Below(6) == 0 ? Below(64) : 0);
        Level = Below(3) == 0 ? Irql.DISPATCH_LEVEL : Irql.PASSIVE_LEVEL;
        _nt.BeginRequest();
        _nt.Cpu.Rsp = _stack;
        _nt.Ke.SetIrql(Level);
    }

    // What a driver holds a pointer to it can also overwrite; the stack and the image stay, or nothing would run.
    void Scribble(Va thing)
    {
        if (thing.Value == _stack) return;
        for (ulong i = Below(4) * 8; i < 0x140; i += 8 * (1 + Below(4)))
        {
            ulong value = Below(3) == 0 ? _chance.Next() : Below(2) == 0 ? s_numbers[Below((ulong)s_numbers.Length)]
                : _things[(int)Below((ulong)_things.Count)];
            if (!_nt.Memory.CanAccess(thing + i, 8, Access.Write)) return;
            _nt.Memory.Write(thing + i, value);
        }
    }

    public void CallThunk(Export export)
    {
        Processor cpu = _nt.Cpu;
        (cpu.Rcx, cpu.Rdx, cpu.R8, cpu.R9) = (_arguments[0], _arguments[1], _arguments[2], _arguments[3]);
        ulong rsp = _stack - 0x200;
        cpu.Rsp = rsp;
        _nt.Memory.Write(new Va(rsp), 0xFFFF_F801_7000_0020UL);
        for (int i = 4; i < _arguments.Length; i++) _nt.Memory.Write(new Va(rsp) + 8 + i * 8, _arguments[i]);
        export.Thunk(_nt, new GuestCall(_nt.Computer));
    }

    public void CallAsGuest(Export export) =>
        _nt.Routines.Call(_nt.Loader.FindExport(export.Name), _arguments.AsSpan(0, Math.Max(_count, 8)));

    public void Dispose() => _nt.Dispose();
}
