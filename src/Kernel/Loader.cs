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

    /// <summary>What is behind it, if it is a driver in C#.</summary>
    internal ManagedImage? Managed { get; init; }

    /// <summary>Pages in which each address is a routine on the host.</summary>
    internal IReadOnlyList<(Va Start, ulong Bytes)> HostPages { get; init; } = [];

    /// <summary>The modules that it imports from; a driver in C# adds them as it finds them.</summary>
    internal List<string> Libraries { get; } =
        [.. image.Imports.Select(i => i.Library).Distinct(StringComparer.OrdinalIgnoreCase)];

    public bool Contains(Va address) => address >= Base && address - Base < Size;
}

/// <summary>An import that nothing exports.</summary>
public sealed record MissingImport(string Module, string Name);

/// <summary>Maps images: the kernel's own, which are made here, and drivers.</summary>
public sealed partial class Loader
{
    static readonly Va s_firstDriver = new(0xFFFF_F801_2000_0000);
    const ulong DriverSpacing = 0x1000_0000;

    readonly NtKernel _nt;
    readonly List<LoadedImage> _images = [];

    internal Loader(NtKernel nt) => _nt = nt;

    public IReadOnlyList<LoadedImage> Images => _images;

    internal void Boot()
    {
        foreach (KernelImage image in KernelImages.All) MapKernelImage(image);
    }

    void MapKernelImage(KernelImage image)
    {
        (SyntheticImage built, Va start, Memory memory) = (image.Built, image.Base, _nt.Memory);
        memory.Map(start, (ulong)built.Bytes.Length, Protection.ReadWrite);
        memory.Poke(start, built.Bytes);
        var mapped = new LoadedImage(image.Name, start, (uint)built.Bytes.Length, image.Image, Symbols.None)
        {
            IsKernel = true,
            HostPages = [(start + (ulong)built.StubsRva, built.StubsSize)],
        };
        _images.Add(mapped);
        Protect(mapped);
        foreach (DataExport data in Exports.Data)
        {
            if (data.Module != image.Name) continue;
            ulong[] words = data.Value(_nt);
            for (int i = 0; i < data.Words; i++) memory.Write(built.AddressOf(data.Name) + i * 8, words[i]);
        }
    }

    /// <summary>The address of a kernel export, by name; hal.dll and ntoskrnl.exe answer for each other, as on today's
    /// systems.</summary>
    public Va FindExport(string name) => FindExport("ntoskrnl.exe", name);

    Va FindExport(string module, string name)
    {
        Va address = KernelImages.Find(module.ToLowerInvariant(), name);
        if (!address.IsNull) return address;
        if (IsCore(module))
        {
            address = KernelImages.Find("ntoskrnl.exe", name);
            if (address.IsNull) address = KernelImages.Find("hal.dll", name);
            if (!address.IsNull) return address;
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
        {
            string module = ImageAt(address) is { IsKernel: false } own ? own.ModuleName : "nt";
            return new StackFrame(address, module, $"{module}!{routine.Name}", null, 0);
        }
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
