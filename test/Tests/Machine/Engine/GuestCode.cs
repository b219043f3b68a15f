using Iced.Intel;
using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>A processor with one page of code, some data and a stack, for tests of instructions.</summary>
sealed unsafe class GuestCode : IDisposable
{
    public const long Budget = 1_000_000;

    readonly bool _ownsCache;

    public static readonly Va Code = new(0xFFFF_F800_0010_0000), Data = new(0xFFFF_8000_0020_0000);
    public static readonly Va Stack = new(0xFFFF_8000_0040_0000), HostPage = new(0xFFFF_F800_7000_0000);

    public static ulong StackTop => Stack.Value + 0x3000;

    public GuestCode(Action<Assembler>? code = null, CodeCache? cache = null, IPortSpace? ports = null)
    {
        Memory = new Memory();
        _ownsCache = cache is null;
        Cache = cache ?? new CodeCache();
        Cpu = new Processor(Memory, Cache, ports);
        Memory.Map(Code, 0x4000, Protection.ReadExecute);
        Memory.Map(Data, 0x4000, Protection.ReadWrite);
        Memory.Map(Stack, 0x4000, Protection.ReadWrite);
        Memory.Map(HostPage, 0x1000, Protection.Host | Protection.ReadExecute);
        (Cpu.Rip, Cpu.Rsp, Cpu.State->Budget) = (Code.Value, StackTop, Budget);
        if (code is not null) Load(Code, Assemble(Code, code));
    }

    public Memory Memory { get; }
    public CodeCache Cache { get; }
    public Processor Cpu { get; }

    public void Load(Va address, byte[] bytes) => Memory.Poke(address, bytes);

    public static byte[] Assemble(Va address, Action<Assembler> code)
    {
        var assembler = new Assembler(64);
        code(assembler);
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), address.Value);
        return stream.ToArray();
    }

    public void Dispose()
    {
        Cpu.Dispose();
        Memory.Dispose();
        if (_ownsCache) Cache.Dispose();
    }
}
