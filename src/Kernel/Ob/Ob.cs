using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The object manager: objects with counts and names, handles, the namespace.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Ob
{
    const uint ObjectTag = 0x206A_624F;     // 'Obj '
    public const uint OBJ_KERNEL_HANDLE = 0x200, OBJ_OPENIF = 0x80;
    const ulong KernelHandle = 0xFFFF_FFFF_8000_0000;

    readonly NtKernel _nt;
    readonly Dictionary<Va, NtObject> _objects = [];
    readonly List<ObjectType> _types = [];

    public Ob(NtKernel nt) => _nt = nt;

    /// <summary>Handles that only kernel mode can use.</summary>
    public HandleTable KernelHandles { get; } = new(KernelHandle + 4);
    public HandleTable UserHandles { get; } = new(4);
    public NtObject Root { get; private set; } = null!;

    public ObjectType DirectoryType { get; private set; } = null!;
    public ObjectType LinkType { get; private set; } = null!;
    public ObjectType DeviceType { get; private set; } = null!;
    public ObjectType DriverType { get; private set; } = null!;
    public ObjectType FileType { get; private set; } = null!;
    public ObjectType EventType { get; private set; } = null!;
    public ObjectType SemaphoreType { get; private set; } = null!;
    public ObjectType MutantType { get; private set; } = null!;
    public ObjectType ThreadType { get; private set; } = null!;
    public ObjectType ProcessType { get; private set; } = null!;
    public ObjectType KeyType { get; private set; } = null!;
    public ObjectType SectionType { get; private set; } = null!;

    [ExportData] public Va IoFileObjectType => FileType.Address;
    [ExportData] public Va IoDeviceObjectType => DeviceType.Address;
    [ExportData] public Va IoDriverObjectType => DriverType.Address;
    [ExportData] public Va ExEventObjectType => EventType.Address;
    [ExportData] public Va ExSemaphoreObjectType => SemaphoreType.Address;
    [ExportData] public Va PsThreadType => ThreadType.Address;
    [ExportData] public Va PsProcessType => ProcessType.Address;
    [ExportData] public Va MmSectionObjectType => SectionType.Address;
    [ExportData] public Va CmKeyObjectType => KeyType.Address;

    public void Boot()
    {
        DirectoryType = NewType("Directory");
        LinkType = NewType("SymbolicLink");
        DeviceType = NewType("Device");
        DriverType = NewType("Driver");
        FileType = NewType("File", _nt.Io.OnLastHandle, _nt.Io.OnDeleteFile);
        EventType = NewType("Event");
        SemaphoreType = NewType("Semaphore");
        MutantType = NewType("Mutant");
        ThreadType = NewType("Thread");
        ProcessType = NewType("Process");
        KeyType = NewType("Key", _nt.Cm.OnLastHandle, _nt.Cm.OnDelete);
        SectionType = NewType("Section");
        Root = CreateDirectory("");
        foreach (string name in (
            ReadOnlySpan<string>)["Device", "Driver", "FileSystem", "GLOBAL??", "BaseNamedObjects", "Callback",
                "ObjectTypes"])
            Insert(Root, name, CreateDirectory(name));
        Insert(Root.Entries!["Device"], "PhysicalMemory", Create(SectionType, 0x40));
        Insert(Root, "??", CreateLink(@"\GLOBAL??"));
        Insert(Root, "DosDevices", CreateLink(@"\??"));
    }

    ObjectType NewType(string name, Action<NtObject>? onLastHandle = null, Action<NtObject>? onDelete = null)
    {
        var type = new ObjectType(
            name, _nt.Mm.Pool.Allocate(0xD8, ObjectTag))
        { OnLastHandle = onLastHandle, OnDelete = onDelete };
        _types.Add(type);
        return type;
    }

    /// <summary>Makes an object with one reference and a zeroed body.</summary>
    public NtObject Create(ObjectType type, int bodyBytes, object? state = null) =>
        Register(type, bodyBytes, state, null, null);

    NtObject CreateDirectory(string name)
    {
        NtObject directory = Register(DirectoryType, 16, null, new(StringComparer.OrdinalIgnoreCase), null);
        directory.Name = name;
        return directory;
    }

    /// <param name="maker">The return address of the driver that makes it.</param>
    public NtObject CreateLink(string target, Va maker = default) => Register(LinkType, 16, maker, null, target);

    NtObject Register(ObjectType type, int bodyBytes, object? state, SortedDictionary<string, NtObject>? entries,
        string? target)
    {
        var header = ObjectHeader.At(_nt.Memory, _nt.Mm.Pool.Allocate(ObjectHeader.BodyOffset + bodyBytes, ObjectTag));
        header.PointerCount = 1;
        header.TypeIndex = (byte)(_types.IndexOf(type) + 2);
        var made = new NtObject(
            type, header.Address
                + ObjectHeader.BodyOffset, header)
        { State = state, Entries = entries, Target = target };
        _objects.Add(made.Body, made);
        return made;
    }

    /// <summary>The object at an address; a driver that passes anything else has lost its pointer.</summary>
    public NtObject At(Va body) => _objects.GetValueOrDefault(body)
        ?? throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, body.Value);

    public NtObject? Find(Va body) => _objects.GetValueOrDefault(body);

    public IEnumerable<NtObject> OfType(ObjectType type) =>
        _objects.Values.Where(o => o.Type == type).OrderBy(o => o.Body);

    public void Reference(NtObject target)
    {
        ObjectHeader header = target.Header;
        header.PointerCount++;
    }

    /// <summary>Drops a reference; the last one deletes the object.</summary>
    public void Dereference(NtObject target)
    {
        ObjectHeader header = target.Header;
        long count = header.PointerCount - 1;
        header.PointerCount = count;
        if (count < 0) throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, target.Body.Value, 2, (ulong)count);
        if (count > 0) return;
        if (target.Parent is not null) Remove(target);
        _objects.Remove(target.Body);
        target.Type.OnDelete?.Invoke(target);
        _nt.Mm.Pool.Free(header.Address);
    }

    /// <summary>A handle in the table that the attributes and the mode ask for.</summary>
    public Handle Open(NtObject target, uint access, bool kernelHandle)
    {
        Reference(target);
        ObjectHeader header = target.Header;
        header.HandleCount++;
        return (kernelHandle ? KernelHandles : UserHandles).Add(target, access, _nt.Caller);
    }

    public NtObject? Lookup(Handle handle) => handle.Value switch
    {
        ulong.MaxValue => Find(_nt.Ps.CurrentProcess.Address),
        ulong.MaxValue - 1 => Find(_nt.Ke.CurrentThread.Address),
        >= KernelHandle => KernelHandles.Find(handle),
        _ => UserHandles.Find(handle),
    };

    /// <summary>NtClose.</summary>
    public NtStatus Close(Handle handle)
    {
        NtObject? target = (handle.Value >= KernelHandle ? KernelHandles : UserHandles).Remove(handle);
        if (target is null) return STATUS_INVALID_HANDLE;
        ObjectHeader header = target.Header;
        if (--header.HandleCount == 0) target.Type.OnLastHandle?.Invoke(target);
        Dereference(target);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public long ObfReferenceObject(Va @object)
    {
        NtObject target = At(@object);
        Reference(target);
        return target.Header.PointerCount;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public long ObfDereferenceObject(Va @object)
    {
        NtObject target = At(@object);
        long left = target.Header.PointerCount - 1;
        Dereference(target);
        return left;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ObDereferenceObjectDeferDelete(Va @object) => Dereference(At(@object));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ObReferenceObjectByHandle(
        Handle handle, uint desiredAccess, Va objectType, byte accessMode, Va @object, Va handleInformation)
    {
        if (Lookup(handle) is not { } target) return STATUS_INVALID_HANDLE;
        if (!objectType.IsNull && objectType != target.Type.Address) return STATUS_OBJECT_TYPE_MISMATCH;
        Reference(target);
        _nt.Memory.Write(@object, target.Body);
        if (!handleInformation.IsNull) _nt.Memory.Write(handleInformation, (ulong)desiredAccess << 32);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public NtStatus ObReferenceObjectByPointer(Va @object, uint desiredAccess, Va objectType, byte accessMode)
    {
        NtObject target = At(@object);
        if (objectType != target.Type.Address && !(objectType.IsNull && accessMode == 0))
            return STATUS_OBJECT_TYPE_MISMATCH;
        Reference(target);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus ObOpenObjectByPointer(
        Va @object, uint handleAttributes, Va passedAccessState, uint desiredAccess, Va objectType, byte accessMode,
            Va handle)
    {
        NtObject target = At(@object);
        if (!objectType.IsNull && objectType != target.Type.Address) return STATUS_OBJECT_TYPE_MISMATCH;
        _nt.Memory.Write(handle, Open(target, desiredAccess, (handleAttributes & OBJ_KERNEL_HANDLE) != 0));
        return STATUS_SUCCESS;
    }
}
