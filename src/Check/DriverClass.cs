using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Runtime.Loader;
using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>A driver in C#, in the assembly that a user built: the class that derives from <see
/// cref="NtDriver"/>.</summary>
public sealed class DriverClass
{
    const byte LoadConstant = 0x20;     // ldc.i4

    readonly Type _type;
    readonly string _file;

    DriverClass(Type type, string file) => (_type, _file) = (type, file);

    public string Name => _type.Name;

    public static bool IsAssembly(byte[] file)
    {
        try
        {
            using var reader = new PEReader(new MemoryStream(file));
            return reader.HasMetadata;
        }
        catch (BadImageFormatException)
        {
            return false;
        }
    }

    /// <param name="wanted">The class's name, where there are several.</param>
    /// <exception cref="BadImageException">There is no such driver in the assembly.</exception>
    public static DriverClass Find(string file, string? wanted)
    {
        string path = Path.GetFullPath(file);
        Type[] drivers;
        try
        {
            drivers = [.. new DriverAssemblies(path).LoadFromAssemblyPath(path).GetTypes().Where(IsDriver)
                .OrderBy(t => t.FullName, StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is BadImageFormatException or ReflectionTypeLoadException or FileLoadException)
        {
            throw new BadImageException($"{file} cannot be loaded: {e.Message}");
        }
        string names = string.Join(", ", drivers.Select(d => d.Name));
        if (drivers.Length == 0)
            throw new BadImageException($"{file} has no driver: a public class that derives from NtDriver.");
        if (wanted is null && drivers.Length > 1)
            throw new BadImageException($"{file} has several drivers ({names}): write {Path.GetFileName(file)}:NAME.");
        Type? found = drivers.FirstOrDefault(
            d => wanted is null || d.Name.Equals(wanted, StringComparison.OrdinalIgnoreCase));
        return found is null ? throw new BadImageException($"{file} has no driver {wanted}; it has {names}.")
            : new DriverClass(found, path);
    }

    static bool IsDriver(Type type) => type is { IsAbstract: false, IsVisible: true }
        && type.IsSubclassOf(typeof(NtDriver)) && type.GetConstructor([]) is not null;

    /// <summary>An instance for one machine.</summary>
    public NtDriver New() => (NtDriver)Activator.CreateInstance(_type)!;

    /// <summary>The kernel exports that the assembly's code calls, by name.</summary>
    public IReadOnlyList<string> FindExports()
    {
        using var reader = new PEReader(File.OpenRead(_file));
        MetadataReader metadata = reader.GetMetadataReader();
        var names = new SortedSet<string>(StringComparer.Ordinal);
        foreach (MemberReferenceHandle handle in metadata.MemberReferences)
        {
            MemberReference member = metadata.GetMemberReference(handle);
            if (member.Parent.Kind != HandleKind.TypeReference) continue;
            TypeReference type = metadata.GetTypeReference((TypeReferenceHandle)member.Parent);
            if (metadata.GetString(type.Name) == nameof(NtKernel)) names.Add(metadata.GetString(member.Name));
        }
        return [.. names.Where(n => Exports.All.Any(e => e.Name == n))];
    }

    /// <summary>Constants of the driver's code that look like control codes.</summary>
    public IReadOnlyList<uint> FindControlCodes()
    {
        var constants = new HashSet<uint>();
        const BindingFlags all = BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public
            | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        foreach (MethodInfo method in Family(_type).SelectMany(t => t.GetMethods(all)))
        {
            byte[] code = method.GetMethodBody()?.GetILAsByteArray() ?? [];
            for (int i = 0; i + 4 < code.Length; i++)
                if (code[i] == LoadConstant) constants.Add(BitConverter.ToUInt32(code, i + 1));
        }
        return ControlCodes.Among(constants);
    }

    // With what the compiler makes for lambdas and iterators, and the classes that it derives from.
    static IEnumerable<Type> Family(Type? type) => type is null || type == typeof(NtDriver) ? []
        : type.GetNestedTypes(BindingFlags.Public | BindingFlags.NonPublic).SelectMany(Family).Prepend(type)
            .Concat(type.IsNested ? [] : Family(type.BaseType));
}

/// <summary>Loads a driver's assembly with what lies beside it; Ringdown itself is the one that runs.</summary>
sealed class DriverAssemblies(string path) : AssemblyLoadContext(Path.GetFileName(path))
{
    readonly AssemblyDependencyResolver _resolver = new(path);

    protected override Assembly? Load(AssemblyName name)
    {
        if (name.Name is null || IsOurs(name)) return null;
        return _resolver.ResolveAssemblyToPath(name) is { } found ? LoadFromAssemblyPath(found) : null;
    }

    // The driver must see the types of the kernel that runs, not those of a copy beside it.
    static bool IsOurs(AssemblyName name) => typeof(DriverClass).Assembly.GetReferencedAssemblies()
        .Any(a => a.Name == name.Name);
}
