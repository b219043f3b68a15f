using System.Reflection;
using System.Text;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>The image of a C# driver: a real one, whose export directory others walk, with an address for each of its
/// routines and room for its constants.</summary>
sealed class ManagedImage
{
    /// <summary>What is in RCX of the bug check for a .NET exception: the code by which .NET raises its own.</summary>
    public const uint ClrException = 0xE043_4352;
    const int RoutineSpacing = 16, MaximumRoutines = 4096, ConstantBytes = 0x1_0000;
    const ulong StubBytes = MaximumRoutines * RoutineSpacing;

    readonly NtDriver _driver;
    readonly Dictionary<Delegate, Va> _routines = [];
    readonly Dictionary<string, Va> _constants = [];
    readonly Va _stubs;
    Va _nextConstant;

    public ManagedImage(NtKernel nt, NtDriver driver, string name, Va start)
    {
        (Nt, _driver) = (nt, driver);
        MethodInfo[] exports = [.. ExportsOf(driver.GetType())];
        var builder = new ImageBuilder(name + ".sys", start.Value);
        foreach (MethodInfo export in exports) builder.AddFunction(export.Name);
        SyntheticImage built = builder.Build();
        _stubs = start + ((ulong)built.Bytes.Length + 0xFFFF & ~0xFFFFUL);
        _nextConstant = _stubs + StubBytes;
        nt.Memory.Map(start, (ulong)built.Bytes.Length, Protection.ReadWrite);
        nt.Memory.Poke(start, built.Bytes);
        nt.Memory.Map(_stubs, StubBytes, Protection.ReadExecute | Protection.Host);
        nt.Memory.Map(_nextConstant, ConstantBytes, Protection.Read);
        Loaded = new LoadedImage(name + ".sys", start, (uint)(_nextConstant + ConstantBytes - start),
            PeImage.Parse(built.Bytes), Symbols.None)
        {
            Managed = this,
            HostPages = [(start + (ulong)built.StubsRva, built.StubsSize), (_stubs, StubBytes)],
        };
        foreach (MethodInfo export in exports) Add(built.AddressOf(export.Name), MakeDelegate(export));
        driver.Image = this;
        Entry = AddressOf(driver.DriverEntry);
    }

    public NtKernel Nt { get; }
    public LoadedImage Loaded { get; }
    public Assembly Assembly => _driver.GetType().Assembly;

    /// <summary>DriverEntry.</summary>
    public Va Entry { get; }

    static IEnumerable<MethodInfo> ExportsOf(Type driver) => driver
        .GetMethods(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
        .Where(m => m.GetCustomAttribute<DriverExportAttribute>() is not null)
        .OrderBy(m => m.Name, StringComparer.Ordinal);

    Delegate MakeDelegate(MethodInfo method)
    {
        Type type = System.Linq.Expressions.Expression.GetDelegateType(
            [.. method.GetParameters().Select(p => p.ParameterType), method.ReturnType]);
        return Delegate.CreateDelegate(type, _driver, method);
    }

    public Va AddressOf(Delegate routine)
    {
        if (_routines.TryGetValue(routine, out Va known)) return known;
        if (_routines.Count == MaximumRoutines)
            throw new InvalidOperationException("The driver has made too many routines: make each of them once.");
        Va address = _stubs + _routines.Count * RoutineSpacing;
        Add(address, routine);
        return address;
    }

    void Add(Va address, Delegate routine)
    {
        Action<NtKernel, GuestCall> adapted = RoutineAdapter.Adapt(routine);
        _routines.Add(routine, address);
        Nt.Routines.AddAt(address, ManagedStack.NameOf(routine.Method, _driver.GetType()),
            (nt, call) => Invoke(adapted, nt, call, address));
    }

    /// <summary>Every call of a routine of a C# driver comes through here.</summary>
    void Invoke(Action<NtKernel, GuestCall> routine, NtKernel nt, GuestCall call, Va address)
    {
        NtThread thread = nt.Ke.Scheduler.Current;
        try
        {
            routine(nt, call);
        }
        catch (Exception e) when (e is not (MachineStop or PageFault or GuestException or UnwindTo or ThreadExit
            or InvariantException))
        {
            throw new BugCheck(BugCheckCode.KMODE_EXCEPTION_NOT_HANDLED, ClrException, address.Value) { Thrown = e };
        }
        finally
        {
            thread.Locals = 0;
        }
    }

    public UnicodeString Constant(string text)
    {
        if (!_constants.TryGetValue(text, out Va at))
        {
            byte[] bytes = [.. Encoding.Unicode.GetBytes(text), 0, 0];
            ulong size = (ulong)(UnicodeString.Size + bytes.Length + 15) & ~15UL;
            if (bytes.Length > 0xFFFE || _nextConstant + size > _stubs + StubBytes + (ulong)ConstantBytes)
                throw new InvalidOperationException("The driver's constant strings do not fit into its image.");
            at = _nextConstant;
            _nextConstant += size;
            Nt.Memory.Poke(at, (ushort)(bytes.Length - 2));
            Nt.Memory.Poke(at + 2, (ushort)bytes.Length);
            Nt.Memory.Poke(at + 8, at + UnicodeString.Size);
            Nt.Memory.Poke(at + UnicodeString.Size, bytes);
            _constants.Add(text, at);
        }
        return UnicodeString.At(Nt.Memory, at);
    }

    /// <summary>Bytes of the stack that the running routine has taken for its variables.</summary>
    public ulong Locals
    {
        get => Nt.Ke.Scheduler.Current.Locals;
        set => Nt.Ke.Scheduler.Current.Locals = value;
    }

    public Va Local(int sizeBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeBytes);
        NtThread thread = Nt.Ke.Scheduler.Current;
        thread.Locals += (ulong)(sizeBytes + 15) & ~15UL;
        Va top = new(Nt.Routines.StackTop & ~15UL);
        Nt.Memory.Fill(top, (ulong)sizeBytes, 0);
        return top;
    }

    public Va Import(string module, string name)
    {
        if (!Loaded.Libraries.Contains(module, StringComparer.OrdinalIgnoreCase)) Loaded.Libraries.Add(module);
        return Nt.Loader.ImportFrom(module, name);
    }
}
