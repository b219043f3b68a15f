using System.Diagnostics;
using System.Reflection;

namespace Ringdown.Kernel;

/// <summary>Shows the frames of C# drivers in stacks: the methods and lines that .NET knows, where the guest's stack
/// has but the routine that was called.</summary>
static class ManagedStack
{
    /// <summary>Puts the .NET frames of each C# routine in the place of the routine's own frame.</summary>
    /// <param name="thrown">What a routine threw: it has the innermost frames, which are left by now.</param>
    public static IReadOnlyList<StackFrame> Expand(NtKernel nt, IReadOnlyList<StackFrame> stack, Exception? thrown)
    {
        if (!stack.Any(f => IsManaged(nt, f))) return stack;
        var calls = new Queue<List<System.Diagnostics.StackFrame>>(Calls(nt, new StackTrace(fNeedFileInfo: true)));
        if (thrown is not null)
            calls = new([.. Calls(nt, new StackTrace(thrown, fNeedFileInfo: true)).Take(1), .. calls]);
        var expanded = new List<StackFrame>();
        foreach (StackFrame frame in stack)
        {
            if (!IsManaged(nt, frame) || !calls.TryDequeue(out var inner)) expanded.Add(frame);
            else expanded.AddRange(inner.Select(f => Describe(frame, f)));
        }
        return expanded;
    }

    static bool IsManaged(NtKernel nt, StackFrame frame) => nt.Loader.ImageAt(frame.Address) is { Managed: not null };

    // Each call of a routine ends, outwards, in the method that all of them come through.
    static IEnumerable<List<System.Diagnostics.StackFrame>> Calls(NtKernel nt, StackTrace trace)
    {
        Assembly[] drivers = [.. nt.Loader.Images.Where(i => i.Managed is not null).Select(i => i.Managed!.Assembly)];
        var call = new List<System.Diagnostics.StackFrame>();
        foreach (System.Diagnostics.StackFrame frame in trace.GetFrames())
        {
            if (frame.GetMethod() is not { } method) continue;
            if (method.DeclaringType == typeof(ManagedImage) && method.Name == "Invoke")
            {
                if (call.Count > 0) yield return call;
                call = [];
            }
            else if (method.DeclaringType is { } type && drivers.Contains(type.Assembly) && IsDrivers(type))
                call.Add(frame);
        }
        if (call.Count > 0) yield return call;
    }

    // The system's own bus drivers are in one assembly with the kernel.
    static bool IsDrivers(Type type)
    {
        if (type.Assembly != typeof(NtDriver).Assembly) return true;
        Type outer = type;
        while (outer.DeclaringType is { } around) outer = around;
        return typeof(NtDriver).IsAssignableFrom(outer);
    }

    static StackFrame Describe(StackFrame routine, System.Diagnostics.StackFrame frame)
    {
        string name = NameOf(frame.GetMethod()!, null);
        string? file = frame.GetFileName() is { Length: > 0 } path ? Path.GetFileName(path) : null;
        return routine with
        {
            Text = $"{routine.Module}!{name}",
            File = file,
            Line = file is null ? 0 : frame.GetFileLineNumber(),
        };
    }

    /// <summary>A method's name as its source has it: of a local function its own, of a lambda that of the method that
    /// it stands in.</summary>
    public static string NameOf(MethodBase method, Type? home)
    {
        string name = method.Name;
        int end = name.IndexOf('>');
        if (name.StartsWith('<') && end > 0)
        {
            int local = name.IndexOf("g__", StringComparison.Ordinal), bar = name.IndexOf('|');
            name = local > 0 && bar > local ? name[(local + 3)..bar] : name[1..end] + " lambda";
        }
        Type? owner = method.DeclaringType;
        while (owner is { IsNested: true } && owner.Name.StartsWith('<')) owner = owner.DeclaringType;
        bool isDrivers = owner is null || owner == home || typeof(NtDriver).IsAssignableFrom(owner);
        return isDrivers ? name : $"{owner!.Name}.{name}";
    }
}
