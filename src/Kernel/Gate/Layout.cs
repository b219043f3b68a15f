using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>A typed window on one structure in guest memory. It holds no data: each access reads or writes the
/// guest.</summary>
public interface IView<TSelf> where TSelf : struct, IView<TSelf>
{
    static abstract TSelf At(Memory memory, Va address);
    static abstract int Size { get; }
    static abstract string NtName { get; }
    Va Address { get; }
}

/// <summary>Makes a partial struct a view of an NT structure; the generator writes its accessors.</summary>
[AttributeUsage(AttributeTargets.Struct)]
public sealed class LayoutAttribute(string ntName) : Attribute
{
    public string NtName { get; } = ntName;

    /// <summary>sizeof, in bytes, on x64.</summary>
    public int Size { get; set; }
}

/// <summary>A field at an offset in bytes. One whose type is a layout is a pointer to it.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class FieldAttribute(int offset) : Attribute
{
    public int Offset { get; } = offset;

    /// <summary>NT's name of the field as C writes it, where it differs from the property's:
    /// <c>Tail.Overlay.Thread</c>.</summary>
    public string? Name { get; set; }
}

/// <summary>A structure that lies inside the other one at an offset in bytes.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class EmbeddedAttribute(int offset) : Attribute
{
    public int Offset { get; } = offset;
    public string? Name { get; set; }
}

/// <summary>A structure as the table of <see cref="Layouts"/> shows it.</summary>
public sealed record Layout(string NtName, int Size, LayoutField[] Fields);

public sealed record LayoutField(string Name, int Offset, int Size, string Type);
