using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The object manager: objects with counts and names, handles, the namespace.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Ob
{
    const uint ObjectTag = 0x206A_624F;     // 'Obj '
    public const uint NameTag = 0x6D4E_624F;        // 'ObNm'
    public const uint OBJ_KERNEL_HANDLE = ObjectRequest.OBJ_KERNEL_HANDLE, OBJ_OPENIF = ObjectRequest.OBJ_OPENIF;

    readonly NtKernel _nt;
    readonly Dictionary<Va, NtObject> _objects = [];
    readonly List<ObjectType> _types = [];

    public Ob(NtKernel nt) => _nt = nt;

    public NtObject Root { get; private set; } = null!;
    public IReadOnlyList<ObjectType> Types => _types;

    public ObjectType TypeType { get; private set; } = null!;
    public ObjectType DirectoryType { get; private set; } = null!;
    public ObjectType LinkType { get; private set; } = null!;
    public ObjectType DeviceType { get; private set; } = null!;
    public ObjectType DriverType { get; private set; } = null!;
    public ObjectType FileType { get; private set; } = null!;
    public ObjectType IoCompletionType { get; private set; } = null!;
    public ObjectType EventType { get; private set; } = null!;
    public ObjectType SemaphoreType { get; private set; } = null!;
    public ObjectType MutantType { get; private set; } = null!;
    public ObjectType TimerType { get; private set; } = null!;
    public ObjectType ThreadType { get; private set; } = null!;
    public ObjectType ProcessType { get; private set; } = null!;
    public ObjectType TokenType { get; private set; } = null!;
    public ObjectType KeyType { get; private set; } = null!;
    public ObjectType SectionType { get; private set; } = null!;
    public ObjectType CallbackType { get; private set; } = null!;

    [ExportData] public Va IoFileObjectType => FileType.Address;
    [ExportData] public Va IoDeviceObjectType => DeviceType.Address;
    [ExportData] public Va IoDriverObjectType => DriverType.Address;
    [ExportData] public Va ExEventObjectType => EventType.Address;
    [ExportData] public Va ExSemaphoreObjectType => SemaphoreType.Address;
    [ExportData] public Va ExMutantObjectType => MutantType.Address;
    [ExportData] public Va ExTimerObjectType => TimerType.Address;
    [ExportData] public Va PsThreadType => ThreadType.Address;
    [ExportData] public Va PsProcessType => ProcessType.Address;
    [ExportData] public Va SeTokenObjectType => TokenType.Address;
    [ExportData] public Va MmSectionObjectType => SectionType.Address;
    [ExportData] public Va CmKeyObjectType => KeyType.Address;

    public void Boot()
    {
        TypeType = NewType("Type", new(0x2_0000, 0x2_0000, 0x2_0000, 0xF_0001));
        DirectoryType = NewType("Directory", new(0x2_0003, 0x2_000C, 0x2_0003, 0xF_000F), isSecured: true);
        LinkType = NewType("SymbolicLink", new(0x2_0001, 0x2_0000, 0x2_0001, 0xF_0001));
        DeviceType = NewType("Device", GenericMapping.OfFile, onDelete: _nt.Io.OnDeleteDevice);
        DriverType = NewType("Driver", GenericMapping.OfFile);
        FileType = NewType("File", GenericMapping.OfFile, _nt.Io.OnLastHandle, _nt.Io.OnDeleteFile, waitOffset: 0x98);
        FileType.OnProcessClosed = _nt.Io.OnProcessClosed;
        EventType = NewType("Event", new(0x2_0001, 0x2_0002, 0x12_0000, 0x1F_0003), waitOffset: 0);
        SemaphoreType = NewType("Semaphore", new(0x2_0001, 0x2_0002, 0x12_0000, 0x1F_0003), waitOffset: 0);
        MutantType = NewType("Mutant", new(0x2_0001, 0x2_0000, 0x12_0000, 0x1F_0001), waitOffset: 0);
        TimerType = NewType("Timer", new(0x2_0001, 0x2_0002, 0x12_0000, 0x1F_0003), onDelete: OnDeleteTimer,
            waitOffset: 0);
        ThreadType = NewType("Thread", new(0x2_0048, 0x2_0437, 0x12_0800, 0x1F_FFFF), onDelete: _nt.Ps.OnDeleteThread,
            waitOffset: 0, isSecured: true, takesCallbacks: true);
        ProcessType = NewType("Process", new(0x2_0410, 0x2_0BEB, 0x12_1001, 0x1F_FFFF),
            onDelete: _nt.Ps.OnDeleteProcess, waitOffset: 0, isSecured: true, takesCallbacks: true);
        TokenType = NewType("Token", new(0x2_0008, 0x2_00E0, 0x2_0000, 0xF_01FF), isSecured: true);
        KeyType = NewType("Key", new(0x2_0019, 0x2_0006, 0x2_0019, 0xF_003F), _nt.Cm.OnLastHandle, _nt.Cm.OnDelete);
        SectionType = NewType("Section", new(0x2_0005, 0x2_0002, 0x2_0008, 0xF_001F), onDelete: _nt.Mm.OnDeleteSection);
        CallbackType = NewType("Callback", new(0x2_0000, 0x2_0001, 0x12_0000, 0x1F_0001));
        IoCompletionType = NewType("IoCompletion", new(0x2_0001, 0x2_0002, 0x12_0000, 0x1F_0003),
            _nt.Io.OnLastPortHandle, _nt.Io.OnDeletePort);
        Root = CreateDirectory();
        Root.Name = @"\";
        foreach (string name in (
            ReadOnlySpan<string>)["Device", "Driver", "FileSystem", "GLOBAL??", "BaseNamedObjects", "Callback",
                "ObjectTypes", "KernelObjects", "Security"])
            Insert(Root, name, CreateDirectory());
        foreach (ObjectType type in _types) Insert(Root.Entries!["ObjectTypes"], type.Name, At(type.Address));
        Insert(Root.Entries!["Device"], "PhysicalMemory", Create(SectionType, 0x40));
        Insert(Root, "??", CreateLink(@"\GLOBAL??"));
        Insert(Root, "DosDevices", CreateLink(@"\??"));
        SecureNamespace();
    }

    /// <summary>Who may do what in the directories that every system has.</summary>
    void SecureNamespace()
    {
        SetSecurity(Root, Sddl.Parse("O:BAG:SYD:(A;;GRGX;;;WD)(A;;GA;;;BA)(A;;GA;;;SY)", DirectoryType.Mapping));
        foreach (NtObject child in Root.Entries!.Values)
        {
            if (child.Entries is null) continue;
            string all = child.Name is "BaseNamedObjects" ? "(A;;GRGWGX;;;WD)" : "(A;;GRGX;;;WD)";
            string closed = child.Name is "Driver" or "FileSystem" ? "" : all;
            SetSecurity(child, Sddl.Parse($"O:BAG:SYD:{closed}(A;;GA;;;BA)(A;;GA;;;SY)", DirectoryType.Mapping));
        }
        SetSecurity(Root.Entries["Device"].Entries!["PhysicalMemory"],
            Sddl.Parse("O:BAG:SYD:(A;;GA;;;SY)(A;;GR;;;BA)", SectionType.Mapping));
    }

    /// <summary>Makes a type. Its index, as in the header of its objects, counts from 2.</summary>
    public ObjectType NewType(string name, GenericMapping mapping, Action<NtObject>? onLastHandle = null,
        Action<NtObject>? onDelete = null, int? waitOffset = null, bool isSecured = false, bool takesCallbacks = false)
    {
        ObjectHeader header = NewHeader(ObjectTypeBody.Size, 2);
        var body = ObjectTypeBody.At(_nt.Memory, header.Address + ObjectHeader.BodyOffset);
        var type = new ObjectType(name, _types.Count + 2, body, mapping)
        {
            OnLastHandle = onLastHandle,
            OnDelete = onDelete,
            WaitOffset = waitOffset,
            IsSecured = isSecured,
            TakesCallbacks = takesCallbacks,
        };
        _types.Add(type);
        body.TypeList.Initialize();
        body.CallbackList.Initialize();
        _nt.Rtl.Allocate(body.Name, name);
        body.Index = (byte)type.Index;
        (body.InitializerLength, body.Mapping, body.ValidAccessMask) = (0x78, mapping, mapping.All | 0x100_0000);
        Add(new NtObject(TypeType ?? type, body.Address, header) { IsPermanent = true, State = type });
        return type;
    }

    /// <summary>The type whose POBJECT_TYPE this is; null where it is none.</summary>
    public ObjectType? TypeAt(Va address) => Find(address)?.State as ObjectType;

    /// <summary>Makes an object with one reference and a zeroed body.</summary>
    public NtObject Create(ObjectType type, int bodyBytes, object? state = null) =>
        Register(type, bodyBytes, state, null, null);

    public NtObject CreateDirectory() =>
        Register(DirectoryType, 16, null, new(StringComparer.OrdinalIgnoreCase), null);

    /// <param name="maker">The return address of the driver that makes it.</param>
    public NtObject CreateLink(string target, Va maker = default) => Register(LinkType, 16, maker, null, target);

    NtObject Register(ObjectType type, int bodyBytes, object? state, SortedDictionary<string, NtObject>? entries,
        string? target)
    {
        ObjectHeader header = NewHeader(bodyBytes, type.Index);
        var made = new NtObject(type, header.Address + ObjectHeader.BodyOffset, header)
        {
            State = state,
            Entries = entries,
            Target = target,
        };
        Add(made);
        return made;
    }

    ObjectHeader NewHeader(int bodyBytes, int typeIndex)
    {
        var header = ObjectHeader.At(_nt.Memory, _nt.Mm.Pool.Allocate(ObjectHeader.BodyOffset + bodyBytes, ObjectTag));
        header.PointerCount = 1;
        header.TypeIndex = (byte)typeIndex;
        header.Flags = ObjectHeader.OB_FLAG_KERNEL_OBJECT;
        return header;
    }

    void Add(NtObject made)
    {
        _objects.Add(made.Body, made);
        made.Type.Objects.Add(made.Body, made);
        made.Type.Count(0);
    }

    /// <summary>The object at an address; a driver that passes anything else has lost its pointer.</summary>
    public NtObject At(Va body) => _objects.GetValueOrDefault(body)
        ?? throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, body.Value);

    public NtObject? Find(Va body) => _objects.GetValueOrDefault(body);

    public IEnumerable<NtObject> OfType(ObjectType type) => type.Objects.Values;

    /// <summary>What a service does with a pointer of its caller's: from user mode it must point into user
    /// memory.</summary>
    public void Probe(Va address, long bytes, ProcessorMode mode)
    {
        if (mode == ProcessorMode.KernelMode || bytes == 0) return;
        ulong end = address.Value + (ulong)bytes;
        if (end < address.Value || end > _nt.Mm.MmUserProbeAddress)
            throw new GuestException(STATUS_ACCESS_VIOLATION.Value);
    }
}
