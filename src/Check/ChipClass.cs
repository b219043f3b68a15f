using System.Reflection;
using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>Chips that are classes in assemblies that users built: <c>My.dll:MyChip</c>.</summary>
public static class ChipClass
{
    const string AssemblyEnding = ".dll:";

    /// <summary>Reads the description of a board. Assemblies that it names lie beside it.</summary>
    /// <exception cref="BoardException">It cannot be used; the message begins with the file's name.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static Board OpenBoard(string path)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        try
        {
            return Board.Parse(File.ReadAllText(path), chip => Find(folder, chip), folder);
        }
        catch (BoardException e)
        {
            throw new BoardException($"{path}, {e.Message}");
        }
    }

    /// <summary>Makes chips of a class; null if the name is none of a class in an assembly.</summary>
    /// <exception cref="BoardException">There is no such class.</exception>
    static ChipMaker? Find(string folder, string chip)
    {
        int at = chip.IndexOf(AssemblyEnding, StringComparison.OrdinalIgnoreCase);
        if (at < 0) return null;
        string file = Path.Combine(folder, chip[..(at + AssemblyEnding.Length - 1)]);
        string name = chip[(at + AssemblyEnding.Length)..];
        Type[] chips;
        try
        {
            chips = [.. new DriverAssemblies(file).LoadFromAssemblyPath(file).GetTypes().Where(IsChip)];
        }
        catch (Exception e) when (
            e is BadImageFormatException or ReflectionTypeLoadException or IOException or InvalidOperationException)
        {
            throw new BoardException($"{file} cannot be loaded: {e.Message}");
        }
        Type found = Array.Find(chips, t => t.Name == name || t.FullName == name) ?? throw new BoardException(
            $"{file} has no chip {name}: a public class with IChip and a constructor without parameters.");
        return (computer, place) =>
        {
            var made = (IChip)Activator.CreateInstance(found)!;
            made.Attach(computer, place);
            return made;
        };
    }

    static bool IsChip(Type type) => type is { IsAbstract: false, IsVisible: true }
        && type.IsAssignableTo(typeof(IChip)) && type.GetConstructor([]) is not null;
}
