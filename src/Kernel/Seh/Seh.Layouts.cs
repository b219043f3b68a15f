using Ringdown.Machine;

namespace Ringdown.Kernel;

[Layout("_EXCEPTION_RECORD", Size = 0x98)]
public readonly partial struct ExceptionRecordView
{
    [Field(0x00)] public partial uint ExceptionCode { get; set; }
    [Field(0x04)] public partial uint ExceptionFlags { get; set; }
    [Field(0x08)] public partial Va ExceptionRecord { get; set; }
    [Field(0x10)] public partial Va ExceptionAddress { get; set; }
    [Field(0x18)] public partial uint NumberParameters { get; set; }

    public ulong Parameter(int n) => _memory.Read<ulong>(Address + 0x20 + n * 8);
    public void SetParameter(int n, ulong value) => _memory.Write(Address + 0x20 + n * 8, value);
}

/// <summary>CONTEXT: the registers as an exception handler sees them. Only what the engine's context holds is filled
/// in.</summary>
[Layout("_CONTEXT", Size = 0x4D0)]
public readonly partial struct ContextView
{
    const uint FullContext = 0x10_000F;
    const int RaxOffset = 0x78, RipOffset = 0xF8, Xmm0Offset = 0x1A0;

    [Field(0x30)] public partial uint ContextFlags { get; set; }
    [Field(0x34)] public partial uint MxCsr { get; set; }
    [Field(0x44)] public partial uint EFlags { get; set; }

    public void Save(CpuContext context)
    {
        ContextFlags = FullContext;
        EFlags = (uint)context.Rflags;
        for (int i = 0; i < 16; i++) _memory.Write(Address + RaxOffset + i * 8, context[i]);
        _memory.Write(Address + RipOffset, context.Rip);
        for (int i = 0; i < 16; i++) _memory.Write(Address + Xmm0Offset + i * 16, context.Xmm(i));
    }

    public void Load(CpuContext context)
    {
        for (int i = 0; i < 16; i++) context[i] = _memory.Read<ulong>(Address + RaxOffset + i * 8);
        context.Rip = _memory.Read<ulong>(Address + RipOffset);
        context.Rflags = EFlags;
        for (int i = 0; i < 16; i++) context.Xmm(i).Clear();
        for (int i = 0; i < 16; i++) _memory.Read(Address + Xmm0Offset + i * 16, context.Xmm(i));
    }
}

[Layout("_DISPATCHER_CONTEXT", Size = 0x50)]
public readonly partial struct DispatcherContext
{
    [Field(0x00)] public partial Va ControlPc { get; set; }
    [Field(0x08)] public partial Va ImageBase { get; set; }
    [Field(0x10)] public partial Va FunctionEntry { get; set; }
    [Field(0x18)] public partial Va EstablisherFrame { get; set; }
    [Field(0x20)] public partial Va TargetIp { get; set; }
    [Field(0x28)] public partial ContextView ContextRecord { get; set; }
    [Field(0x30)] public partial Va LanguageHandler { get; set; }
    [Field(0x38)] public partial Va HandlerData { get; set; }
    [Field(0x40)] public partial Va HistoryTable { get; set; }
    [Field(0x48)] public partial uint ScopeIndex { get; set; }
}
