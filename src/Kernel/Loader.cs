using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>An image in the guest's memory.</summary>
public sealed class LoadedImage(string name, Va start, uint size, PeImage image, Symbols symbols)
{
    public string Name { get; } = name;

    /// <summary>The file name without its ending, as stacks show it.</summary>
    public string ModuleName { get; } = Path.GetFileNameWithoutExtension(name);
    public Va Base { get; } = start;
    public uint Size { get; } = size;
    public PeImage Image { get; } = image;
    public Symbols Symbols { get; } = symbols;
    public bool IsKernel { get; init; }
    internal uint ExceptionRva { get; init; }
    internal uint ExceptionSize { get; init; }

    public bool Contains(Va address) => address >= Base && address - Base < Size;
}

/// <summary>An import that nothing exports.</summary>
public sealed record MissingImport(string Module, string Name);

/// <summary>Maps images: the kernel's own, which are made here, and drivers.</summary>
public sealed partial class Loader
{
    static readonly Va s_kernelBase = new(0xFFFF_F800_0000_0000), s_firstDriver = new(0xFFFF_F801_2000_0000);
    const ulong DriverSpacing = 0x1000_0000;

    readonly NtKernel _nt;
    readonly List<LoadedImage> _images = [];
    readonly Dictionary<(string Module, string Name), Va> _exports = [];

    internal Loader(NtKernel nt) => _nt = nt;

    public IReadOnlyList<LoadedImage> Images => _images;

    internal void Boot()
    {
        Va at = s_kernelBase;
        foreach (string module in Exports.All.Select(e => e.Module).Concat(
            Exports.Data.Select(e => e.Module)).Distinct().Order())
            at = MapKernelModule(module, at) + 0x10_0000;
    }

    Va MapKernelModule(string module, Va start)
    {
        var builder = new ImageBuilder(module, start.Value);
        foreach (Export export in Exports.All) if (export.Module == module) builder.AddFunction(export.Name);
        foreach (DataExport data in Exports.Data) if (data.Module == module) builder.AddData(data.Name, data.Words * 8);
        SyntheticImage built = builder.Build();
        Memory memory = _nt.Memory;
        PeImage image = PeImage.Parse(built.Bytes);
        memory.Map(start, (ulong)built.Bytes.Length, Protection.ReadWrite);
        memory.Poke(start, built.Bytes);
        var mapped = new LoadedImage(module, start, (uint)built.Bytes.Length, image, Symbols.None) { IsKernel = true };
        _images.Add(mapped);
        Protect(mapped);
        memory.Protect(start + (ulong)built.StubsRva, built.StubsSize, Protection.ReadExecute | Protection.Host);
        foreach (Export export in Exports.All)
        {
            if (export.Module != module) continue;
            Va address = built.AddressOf(export.Name);
            _exports.Add((module, export.Name), address);
            _nt.Routines.Bind(address, new HostRoutine(export.Name, export.Thunk, export));
        }
        foreach (DataExport data in Exports.Data)
        {
            if (data.Module != module) continue;
            _exports.Add((module, data.Name), built.AddressOf(data.Name));
            ulong[] words = data.Value(_nt);
            for (int i = 0; i < data.Words; i++) memory.Write(built.AddressOf(data.Name) + i * 8, words[i]);
        }
        return start + (ulong)((built.Bytes.Length + 0xFFFF) & ~0xFFFF);
    }

    /// <summary>The address of a kernel export, by name; hal.dll and ntoskrnl.exe answer for each other, as on today's
    /// systems.</summary>
    public Va FindExport(string name) => FindExport("ntoskrnl.exe", name);

    Va FindExport(string module, string name)
    {
        if (_exports.TryGetValue((module.ToLowerInvariant(), name), out Va address)) return address;
        if (IsCore(module))
        {
            if (_exports.TryGetValue(("ntoskrnl.exe", name), out address)) return address;
            if (_exports.TryGetValue(("hal.dll", name), out address)) return address;
        }
        return FindInDriver(module, image => image.FindExport(name));
    }

    internal static bool IsCore(string module) =>
        module.Equals("ntoskrnl.exe", StringComparison.OrdinalIgnoreCase)
            || module.Equals("hal.dll", StringComparison.OrdinalIgnoreCase);

    public LoadedImage? ImageAt(Va address) => _images.Find(i => i.Contains(address));

    /// <summary>Whether a module, as stacks name it, is a driver's.</summary>
    public bool IsDriver(string module) => _images.Exists(i => !i.IsKernel && i.ModuleName == module);

    /// <summary>An address as a debugger shows it: <c>echo!EchoRead+0x12</c>.</summary>
    public string Describe(Va address) => FrameAt(address, isReturnAddress: false).Text;

    internal StackFrame FrameAt(Va address, bool isReturnAddress)
    {
        if (_nt.Routines.TryFind(address, out HostRoutine routine))
            return new StackFrame(address, "nt", $"nt!{routine.Name}", null, 0);
        if (ImageAt(address) is not { } image) return new StackFrame(address, "", address.ToString(), null, 0);
        // The line of a call, not of what follows it.
        uint rva = (uint)(address - image.Base), lookup = isReturnAddress && rva > 0 ? rva - 1 : rva;
        string function = image.Symbols.FunctionAt(lookup) is { } symbol
            ? $"{symbol.Name}{(rva > symbol.Rva ? $"+0x{rva - symbol.Rva:x}" : "")}" : $"+0x{rva:x}";
        SourceLine? line = image.Symbols.LineAt(lookup);
        string text = function[0] == '+' ? image.ModuleName + function : $"{image.ModuleName}!{function}";
        return new StackFrame(address, image.ModuleName, text, line?.File, line?.Line ?? 0);
    }
}
