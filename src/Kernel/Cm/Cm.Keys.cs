using System.Collections.Immutable;
using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Keys as system services: opened, created, deleted, renamed, enumerated.</summary>
sealed partial class Cm
{
    const uint REG_CREATED_NEW_KEY = 1, REG_OPENED_EXISTING_KEY = 2;
    const uint REG_OPTION_VOLATILE = 1, REG_OPTION_CREATE_LINK = 2, REG_OPTION_OPEN_LINK = 8, OBJ_OPENLINK = 0x100;
    const uint KEY_READ = 0x2_0019, KEY_WRITE = 0x2_0006, KEY_ALL_ACCESS = 0xF_003F, MAXIMUM_ALLOWED = 0x0200_0000;
    const int KeyBodyBytes = 0x40;
    const uint KeyBodyType = 0x6B79_3032;      // 'ky02'

    /// <summary>What is asked for when a key is opened or created.</summary>
    readonly record struct KeyRequest(
        uint Access, ObjectAttributes Attributes, uint Options, bool IsCreate, UnicodeString Class, Va Disposition)
    {
        public bool OpensLink => (Options & (REG_OPTION_OPEN_LINK | REG_OPTION_CREATE_LINK)) != 0
            || (Attributes.Attributes & OBJ_OPENLINK) != 0;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenKey(Va keyHandle, uint desiredAccess, ObjectAttributes objectAttributes) =>
        ZwOpenKeyEx(keyHandle, desiredAccess, objectAttributes, 0);

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwOpenKeyEx(
        Va keyHandle, uint desiredAccess, ObjectAttributes objectAttributes, uint openOptions) =>
        Open(keyHandle, new KeyRequest(
            desiredAccess, objectAttributes, openOptions, false, UnicodeString.At(_nt.Memory, Va.Null), Va.Null));

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwCreateKey(
        Va keyHandle, uint desiredAccess, ObjectAttributes objectAttributes, uint titleIndex, UnicodeString @class,
        uint createOptions, Va disposition) =>
        Open(keyHandle, new KeyRequest(desiredAccess, objectAttributes, createOptions, true, @class, disposition));

    NtStatus Open(Va keyHandle, KeyRequest request)
    {
        _nt.Memory.Write(keyHandle, 0UL);
        NtStatus status = StartOf(request.Attributes, out NtObject? root, out RegistryKey start, out string path);
        if (!status.IsSuccess) return status;
        status = Callbacks.IsEmpty ? Resolve(request, start, path, out NtObject? opened)
            : Announced(request, root, start, path, out opened);
        if (!status.IsSuccess || opened is null) return status;
        bool isKernel = (request.Attributes.Attributes & Ob.OBJ_KERNEL_HANDLE) != 0;
        _nt.Memory.Write(keyHandle, _nt.Ob.Open(opened, Mapped(request.Access), isKernel));
        _nt.Ob.Dereference(opened);
        return status;
    }

    static uint Mapped(uint access)
    {
        uint mapped = access & 0x0DFF_FFFF;
        if ((access & 0x8000_0000) != 0 || (access & 0x2000_0000) != 0) mapped |= KEY_READ;
        if ((access & 0x4000_0000) != 0) mapped |= KEY_WRITE;
        if ((access & (0x1000_0000 | MAXIMUM_ALLOWED)) != 0) mapped |= KEY_ALL_ACCESS;
        return mapped;
    }

    // With notifications around it. A callback that has opened the key itself has left the object for us.
    NtStatus Announced(
        KeyRequest request, NtObject? root, RegistryKey start, string path, out NtObject? opened)
    {
        Va result = _nt.Mm.Pool.Allocate(8, KeyTag), @class = Va.Null;
        Va name = _nt.Rtl.AllocateString(root is null ? start.Path + path : path);
        NtObject? made = null;
        uint desired = Mapped(request.Access);
        NtStatus status = Callbacks.Around(request.IsCreate ? RegOperation.CreateKey : RegOperation.OpenKey, root,
            info =>
        {
            var fields = RegCreateKeyInformation.At(_nt.Memory, info);
            fields.CompleteName = fields.RemainingName = UnicodeString.At(_nt.Memory, name);
            (fields.RootObject, fields.ObjectType) = (root?.Body ?? Va.Null, _nt.Ob.KeyType.Address);
            (fields.Options, fields.Class) = (request.Options, request.Class);
            fields.SecurityDescriptor = request.Attributes.SecurityDescriptor;
            (fields.DesiredAccess, fields.GrantedAccess) = (desired, desired);
            (fields.Disposition, fields.ResultObject) = (request.Disposition, result);
            (fields.Version, fields.Attributes) = (1, request.Attributes.Attributes);
        }, () => Resolve(request, start, path, out made), () => made?.Body ?? _nt.Memory.Read<Va>(result));
        opened = made;
        if (status.IsSuccess && made is null && _nt.Memory.Read<Va>(result) is { IsNull: false } given)
            opened = _nt.Ob.At(given);
        _nt.Mm.Pool.Free(UnicodeString.At(_nt.Memory, name).Buffer);
        _nt.Mm.Pool.Free(name);
        _nt.Mm.Pool.Free(result);
        return status;
    }

    // Where a path begins: at a key that is open, or at the root of the registry.
    NtStatus StartOf(ObjectAttributes attributes, out NtObject? root, out RegistryKey start, out string path)
    {
        (root, start) = (null, Root);
        path = attributes.ObjectName.Text;
        if (attributes.RootDirectory.IsNull)
        {
            if (!IsAbsolute(path))
                return path.StartsWith('\\') ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_OBJECT_PATH_SYNTAX_BAD;
            path = Relative(path);
            return STATUS_SUCCESS;
        }
        NtStatus status = KeyOf(attributes.RootDirectory, out root, out KeyObject? opened);
        if (!status.IsSuccess) return status;
        start = opened!.Key;
        return path.StartsWith('\\') ? STATUS_OBJECT_PATH_SYNTAX_BAD : STATUS_SUCCESS;
    }

    NtStatus Resolve(KeyRequest request, RegistryKey start, string path, out NtObject? opened)
    {
        opened = null;
        NtStatus status = Walk(start, path, request.OpensLink, out RegistryKey key, out string rest);
        bool isThere = status.IsSuccess;
        if (isThere && request.IsCreate && (request.Options & REG_OPTION_CREATE_LINK) != 0)
            return STATUS_OBJECT_NAME_COLLISION;
        if (!isThere)
        {
            if (!request.IsCreate || status != STATUS_OBJECT_NAME_NOT_FOUND || rest.Contains('\\')) return status;
            status = Create(request, ref key, rest);
            if (!status.IsSuccess) return status;
        }
        if (!request.Disposition.IsNull)
            _nt.Memory.Write(request.Disposition, isThere ? REG_OPENED_EXISTING_KEY : REG_CREATED_NEW_KEY);
        opened = NewObject(key);
        return STATUS_SUCCESS;
    }

    NtStatus Create(KeyRequest request, ref RegistryKey key, string name)
    {
        bool isVolatile = (request.Options & REG_OPTION_VOLATILE) != 0;
        if (key.Depth >= MostLevels) return STATUS_INVALID_PARAMETER;
        // Parents that the machine makes at each boot, \Registry itself among them, hold no lasting keys.
        if (key.Node.IsVolatile && !isVolatile) return STATUS_CHILD_MUST_BE_VOLATILE;
        key = key.Add(new RegistryNode(name)
        {
            Class = request.Class.Text,
            IsVolatile = isVolatile,
            IsLink = (request.Options & REG_OPTION_CREATE_LINK) != 0,
            Security = SecurityAt(request.Attributes.SecurityDescriptor),
        });
        return STATUS_SUCCESS;
    }

    // A copy in self-relative form; none of a descriptor that is not sound.
    ImmutableArray<byte> SecurityAt(Va descriptor)
    {
        var given = SecurityDescriptor.At(_nt.Memory, descriptor);
        if (given.IsNull || !given.IsRelative || !_nt.Rtl.IsValid(given)) return [];
        return [.. _nt.Memory.ReadBytes(descriptor, (int)_nt.Se.RtlLengthSecurityDescriptor(given))];
    }

    const uint KeyTag = 0x206D_4D43;     // 'CMm '

    /// <summary>An object for one opening of a key.</summary>
    public NtObject NewObject(RegistryKey key)
    {
        NtObject made = _nt.Ob.Create(_nt.Ob.KeyType, KeyBodyBytes, new KeyObject(key));
        made.Name = key.Path;
        _nt.Memory.Write(made.Body, KeyBodyType);
        ImmutableArray<byte> security = key.Node.Security;
        if (security.IsEmpty) return made;
        ObjectHeader header = made.Header;
        header.SecurityDescriptor = _nt.Mm.Pool.Allocate(security.Length, KeyTag);
        _nt.Memory.Write(header.SecurityDescriptor, security.AsSpan());
        return made;
    }

    // What was set on the object is the key's from now on.
    void KeepSecurity(NtObject opened, RegistryKey key)
    {
        Va descriptor = opened.Header.SecurityDescriptor;
        if (descriptor.IsNull) return;
        ImmutableArray<byte> now = SecurityAt(descriptor);
        _nt.Mm.Pool.Free(descriptor);
        if (!now.IsEmpty && !now.AsSpan().SequenceEqual(key.Node.Security.AsSpan()))
            key.Change(n => n with { Security = now }, RegistryChange.Security);
    }

    /// <summary>A handle to a key, for other parts of the kernel.</summary>
    public Handle OpenKey(RegistryKey key, uint access, uint attributes)
    {
        NtObject opened = NewObject(key);
        Handle handle = _nt.Ob.Open(opened, Mapped(access), (attributes & Ob.OBJ_KERNEL_HANDLE) != 0);
        _nt.Ob.Dereference(opened);
        return handle;
    }

    /// <summary>The key behind a handle; null if it is not one of a key.</summary>
    public RegistryKey? KeyAt(Handle handle) => (_nt.Ob.Lookup(handle)?.State as KeyObject)?.Key;

    NtStatus KeyOf(Handle handle, out NtObject? target, out KeyObject? opened)
    {
        target = _nt.Ob.Lookup(handle);
        opened = target?.State as KeyObject;
        return target is null ? STATUS_INVALID_HANDLE
            : opened is null ? STATUS_OBJECT_TYPE_MISMATCH
            : opened.Key.IsDeleted ? STATUS_KEY_DELETED : STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwDeleteKey(Handle keyHandle)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out KeyObject? opened);
        return !status.IsSuccess ? status : Callbacks.Around(
            RegOperation.DeleteKey, target, info => _nt.Memory.Write(info, target!.Body), () => Delete(opened!.Key));
    }

    static NtStatus Delete(RegistryKey key)
    {
        if (key.IsDeleted) return STATUS_KEY_DELETED;
        if (key.Node.Subkeys.Count > 0 || key.Parent?.Parent is null) return STATUS_CANNOT_DELETE;
        key.Delete();
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwRenameKey(Handle keyHandle, UnicodeString newName)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out KeyObject? opened);
        return !status.IsSuccess ? status : Callbacks.Around(RegOperation.RenameKey, target, info =>
        {
            var fields = RegDeleteValueKeyInformation.At(_nt.Memory, info);
            (fields.Object, fields.ValueName) = (target!.Body, newName);
        }, () => Rename(opened!.Key, newName.Text));
    }

    static NtStatus Rename(RegistryKey key, string name)
    {
        if (name.Length is 0 or > LongestName || name.Contains('\\')) return STATUS_INVALID_PARAMETER;
        if (key.IsDeleted) return STATUS_KEY_DELETED;
        if (key.Parent?.Parent is null) return STATUS_ACCESS_DENIED;
        if (key.Parent.Child(name) is { } other && other != key) return STATUS_OBJECT_NAME_COLLISION;
        key.Rename(name);
        return STATUS_SUCCESS;
    }

    /// <summary>The registry is memory: there is nothing that could be lost.</summary>
    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwFlushKey(Handle keyHandle)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out _);
        return !status.IsSuccess ? status : Callbacks.Around(RegOperation.FlushKey, target,
            info => _nt.Memory.Write(info, target!.Body), static () => STATUS_SUCCESS);
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwEnumerateKey(
        Handle keyHandle, uint index, uint keyInformationClass, Va keyInformation, uint length, Va resultLength)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out KeyObject? opened);
        return !status.IsSuccess ? status : Callbacks.Around(RegOperation.EnumerateKey, target, info =>
        {
            var fields = RegEnumerateKeyInformation.At(_nt.Memory, info);
            (fields.Object, fields.Index, fields.KeyInformationClass) = (target!.Body, index, keyInformationClass);
            (fields.KeyInformation, fields.Length, fields.ResultLength) = (keyInformation, length, resultLength);
        }, () =>
        {
            RegistryNode node = opened!.Key.Node;
            return index >= node.Subkeys.Count ? STATUS_NO_MORE_ENTRIES
                : Give(KeyInformation.OfKey(keyInformationClass, node.Subkeys[(int)index], null), keyInformation,
                    length, resultLength);
        });
    }

    NtStatus Give(KeyAnswer? answer, Va buffer, uint length, Va resultLength) =>
        answer?.Give(_nt.Memory, buffer, length, resultLength) ?? STATUS_INVALID_PARAMETER;

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwQueryKey(
        Handle keyHandle, uint keyInformationClass, Va keyInformation, uint length, Va resultLength)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out KeyObject? opened);
        return !status.IsSuccess ? status : Callbacks.Around(RegOperation.QueryKey, target, info =>
        {
            var fields = RegQueryKeyInformation.At(_nt.Memory, info);
            (fields.Object, fields.KeyInformationClass) = (target!.Body, keyInformationClass);
            (fields.KeyInformation, fields.Length, fields.ResultLength) = (keyInformation, length, resultLength);
        }, () => Give(KeyInformation.OfKey(keyInformationClass, opened!.Key.Node, opened.Key), keyInformation, length,
            resultLength));
    }

    [Export, IrqlRequiresMax(PASSIVE_LEVEL)]
    public NtStatus ZwSetInformationKey(
        Handle keyHandle, uint keySetInformationClass, Va keySetInformation, uint keySetInformationLength)
    {
        NtStatus status = KeyOf(keyHandle, out NtObject? target, out KeyObject? opened);
        return !status.IsSuccess ? status : Callbacks.Around(RegOperation.SetInformationKey, target, info =>
        {
            var fields = RegSetInformationKeyInformation.At(_nt.Memory, info);
            (fields.Object, fields.KeySetInformationClass) = (target!.Body, keySetInformationClass);
            (fields.KeySetInformation, fields.KeySetInformationLength) = (keySetInformation, keySetInformationLength);
        }, () => SetInformation(opened!.Key, keySetInformationClass, keySetInformation, keySetInformationLength));
    }

    // KeyWriteTimeInformation, KeyWow64FlagsInformation, KeyControlFlagsInformation, KeySetVirtualizationInformation.
    NtStatus SetInformation(RegistryKey key, uint informationClass, Va information, uint length)
    {
        if (informationClass > 3) return STATUS_INVALID_INFO_CLASS;
        if (length != (informationClass == 0 ? 8 : 4)) return STATUS_INFO_LENGTH_MISMATCH;
        if (informationClass == 0)
        {
            long time = _nt.Memory.Read<long>(information);
            key.Replace(key.Node with { LastWriteTime = time });
            return STATUS_SUCCESS;
        }
        uint flags = _nt.Memory.Read<uint>(information);
        if (informationClass == 1) key.WowFlags = flags;
        else if (informationClass == 2) key.ControlFlags = flags;
        else key.VirtualizationFlags = flags;
        return STATUS_SUCCESS;
    }
}
