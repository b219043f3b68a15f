using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>One of the kernel's own images, as it is in every machine before it boots.</summary>
sealed class KernelImage
{
    readonly HostRoutine[] _routines;

    public KernelImage(string name, Va start)
    {
        Name = name;
        var builder = new ImageBuilder(name, start.Value);
        Export[] exports = [.. Exports.All.Where(e => e.Module == name)];
        foreach (Export export in exports) builder.AddFunction(export.Name);
        foreach (DataExport data in Exports.Data) if (data.Module == name) builder.AddData(data.Name, data.Words * 8);
        Built = builder.Build();
        Image = PeImage.Parse(Built.Bytes);
        _routines = [.. exports.Select(e => new HostRoutine(e.Name, null, e))];
    }

    public string Name { get; }
    public SyntheticImage Built { get; }
    public PeImage Image { get; }
    public Va Base => new(Built.Base);

    /// <summary>The export whose stub is at an address.</summary>
    public bool TryFind(Va address, out HostRoutine routine)
    {
        int index = Built.FunctionAt(address);
        routine = index < 0 ? default : _routines[index];
        return index >= 0;
    }
}

/// <summary>The kernel's own images. They are made once: all machines have them at the same addresses.</summary>
static class KernelImages
{
    static readonly Va s_first = new(0xFFFF_F800_0000_0000);

    static readonly KernelImage[] s_all = Build();

    static readonly Dictionary<(string Module, string Name), Va> s_exports = s_all
        .SelectMany(i => i.Built.Rvas.Keys.Select(n => KeyValuePair.Create((i.Name, n), i.Built.AddressOf(n))))
        .ToDictionary();

    public static IReadOnlyList<KernelImage> All => s_all;

    static KernelImage[] Build()
    {
        var images = new List<KernelImage>();
        Va at = s_first;
        foreach (string module in Exports.All.Select(e => e.Module).Concat(
            Exports.Data.Select(e => e.Module)).Distinct().Order())
        {
            var image = new KernelImage(module, at);
            images.Add(image);
            at += (ulong)((image.Built.Bytes.Length + 0xFFFF) & ~0xFFFF) + 0x10_0000;
        }
        return [.. images];
    }

    /// <summary>A module is one of the kernel's own.</summary>
    public static bool Has(string module) =>
        Array.Exists(s_all, i => i.Name.Equals(module, StringComparison.OrdinalIgnoreCase));

    /// <summary>The address of an export; null where a module has none of that name.</summary>
    public static Va Find(string module, string name) => s_exports.GetValueOrDefault((module, name));

    public static bool TryFind(Va address, out HostRoutine routine)
    {
        foreach (KernelImage image in s_all)
            if (image.TryFind(address, out routine)) return true;
        routine = default;
        return false;
    }
}
