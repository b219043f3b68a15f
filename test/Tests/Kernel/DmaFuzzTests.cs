using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>Whatever a driver passes to the routines of DMA_OPERATIONS, it gets a result, a fault or a stop.</summary>
public sealed class DmaFuzzTests
{
    const int Calls = 60;

    // What each routine takes behind the adapter, from the second one on: Device, Mdl, Address, Length, Number, Offset,
    // Boolean, Pointer, routine (X), transfer Context, Flag, Zero, anything (V); list, registers, buffer, vector,
    // domain; and what it gives.
    static readonly string[] s_shapes =
    [
        "LPB>b", "LVbB", "DNXV>r", "MrALB", "", "rN", "MrAPB", "", "", "DMALXVB>l", "lB", "MALPPV", "DMALXVBPL>l",
        "lMP", "P", "MOLBP", "C", "ZLPBV>b", "DCNFXVP>r", "VV", "DC", "MrOZPBPLXV", "DCMOLFXVBXVP>l",
        "DCMOLFXVBPLXVP>l", "MrOLB", "N", "C", "dZLZPVPP", "MB", "d", "", ">d", "ZZLZVVP>b", "ZVVVZNLP>v", "vNPP", "vN",
        "v", "V",
    ];

    [Theory, InlineData(false), InlineData(true)]
    public void Wild_arguments_end_in_a_result_a_fault_or_a_stop(bool isSlave)
    {
        const int runs = 300;
        int results = 0;
        for (ulong seed = 1; seed <= runs; seed++) results += new Run(seed, isSlave).Go();
        Assert.InRange(results, runs * 5, runs * Calls);
    }

    sealed class Run(ulong seed, bool isSlave)
    {
        readonly Chance _chance = new(seed);
        readonly Dictionary<char, List<ulong>> _known = [];
        readonly AdapterDriver _driver = new();
        TestMachine _m = null!;
        Va _buffer, _pointer, _context;
        Mdl _mdl;

        public int Go()
        {
            using TestMachine m = _m = new TestMachine(new KernelOptions
            {
                Seed = seed,
                Board = computer => Board.Parse("""{ "devices": [ { "chip": "dma8237" } ] }""").Attach(computer),
            });
            m.Load(_driver);
            _driver.Action = 1 + (uint)_chance.Next(3);
            Assert.True(_driver.Open((0, 3), (4, isSlave ? 0 : _chance.OneIn(2) ? 1u : 0x101), (0x10, 1),
                (0x20, 0x4000), (0x28, _chance.OneIn(2) ? 24u : 64)));
            (_buffer, _pointer, _context) = (m.Nt.ExAllocatePoolWithTag(0, 0x2000, 1), m.Block(0x100), m.Block(128));
            _mdl = m.Nt.IoAllocateMdl(_buffer, 0x2000, false, false, Irp.At(m.Nt.Memory, Va.Null));
            m.Nt.MmBuildMdlForNonPagedPool(_mdl);
            int done = 0;
            try
            {
                _driver.Operate(0x90, _context.Value);
                for (; done < Calls; done++) Call(_chance.Next(s_shapes.Length));
            }
            catch (Exception e) when (e is MachineStop or GuestException or PageFault)
            {
                // As a driver ends that does such a thing.
            }
            return done;
        }

        void Call(int routine)
        {
            string[] shape = s_shapes[routine].Split('>');
            SetPointed();
            ulong[] arguments = [.. shape[0].Select(Argument)];
            ulong given = _driver.Operate(16 + routine * 8, arguments);
            if (shape.Length > 1)
            {
                char gives = shape[1][0];
                Note(gives, gives is 'b' or 'd' ? given : _m.Nt.Memory.Read<ulong>(_pointer));
                foreach (Va called in _driver.Given) Note(gives, called.Value);
            }
            _driver.Given.Clear();
            if (_chance.OneIn(8)) _m.Nt.User.RunUntilIdle();
        }

        // A length or a version where a pointer leads.
        void SetPointed() => _m.Nt.Memory.Write(_pointer, (ulong)(_chance.OneIn(2) ? 1 : _chance.Next(0x2000)));

        void Note(char kind, ulong value)
        {
            if (value <= 0x1_0000) return;
            if (!_known.TryGetValue(kind, out List<ulong>? all)) _known.Add(kind, all = []);
            all.Add(value);
        }

        ulong Argument(char kind)
        {
            if (_chance.OneIn(60)) return _chance.Next() >> _chance.Next(64);
            return kind switch
            {
                'D' => _driver.Device.Value,
                'M' => _mdl.Address.Value,
                'A' => _buffer.Value + (ulong)_chance.Next(0x1800),
                'L' => (ulong)_chance.Next(0x1800),
                'N' => (ulong)_chance.Next(5),
                'O' => (ulong)_chance.Next(0x800),
                'B' or 'F' => (ulong)_chance.Next(2),
                'P' => _pointer.Value,
                'X' => _chance.OneIn(4) ? 0 : _driver.Executes.Value,
                'C' => _context.Value,
                'V' => _chance.Next() >> _chance.Next(64),
                'Z' => 0,
                _ => _known.TryGetValue(kind, out List<ulong>? all) ? all[_chance.Next(all.Count)] : 0,
            };
        }
    }
}
