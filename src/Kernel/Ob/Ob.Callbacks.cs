using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>A driver's registration for handles to processes and threads.</summary>
sealed record ObjectCallback(
    Va Registration, string Altitude, ObjectType Type, uint Operations, Va Pre, Va Post, Va Context);

/// <summary>A handle that is being made: who was asked before, and must be told after.</summary>
sealed record HandleOperation(
    NtObject Target, uint Operation, bool IsKernel, Va Block, List<(ObjectCallback Callback, ulong Context)> Asked);

/// <summary>ObRegisterCallbacks: those with the higher altitude are asked first and told last.</summary>
sealed partial class Ob
{
    const uint OB_OPERATION_HANDLE_CREATE = 1, OB_OPERATION_HANDLE_DUPLICATE = 2;
    const ushort OB_FLT_REGISTRATION_VERSION = 0x100;
    const uint CallbackTag = 0x6C46_624F;       // 'ObFl'

    readonly List<ObjectCallback> _callbacks = [];

    [Export]
    public ushort ObGetFilterVersion() => OB_FLT_REGISTRATION_VERSION;

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus ObRegisterCallbacks(Va callbackRegistration, Va registrationHandle)
    {
        Memory memory = _nt.Memory;
        uint count = memory.Read<ushort>(callbackRegistration + 2);
        if ((memory.Read<ushort>(callbackRegistration) & 0xFF00) != OB_FLT_REGISTRATION_VERSION || count is 0 or > 64)
            return STATUS_INVALID_PARAMETER;
        string altitude = UnicodeString.At(memory, callbackRegistration + 8).Text;
        if (!IsAltitude(altitude)) return STATUS_INVALID_PARAMETER;
        Va context = memory.Read<Va>(callbackRegistration + 0x18);
        Va operations = memory.Read<Va>(callbackRegistration + 0x20);
        Va handle = _nt.Mm.Pool.Allocate(0x20, CallbackTag);
        var made = new List<ObjectCallback>();
        NtStatus status = STATUS_SUCCESS;
        for (uint i = 0; i < count && status.IsSuccess; i++)
            status = ReadOperation(operations + i * 0x20, handle, altitude, context, made);
        if (!status.IsSuccess)
        {
            _nt.Mm.Pool.Free(handle);
            return status;
        }
        foreach (ObjectCallback callback in made) InsertByAltitude(callback);
        memory.Write(registrationHandle, handle);
        return STATUS_SUCCESS;
    }

    // OB_OPERATION_REGISTRATION: the exported variable that holds the type, what for, and the two routines.
    NtStatus ReadOperation(Va at, Va handle, string altitude, Va context, List<ObjectCallback> made)
    {
        Memory memory = _nt.Memory;
        ObjectType? type = TypeAt(memory.Read<Va>(memory.Read<Va>(at)));
        uint operations = memory.Read<uint>(at + 8);
        Va pre = memory.Read<Va>(at + 0x10), post = memory.Read<Va>(at + 0x18);
        if (type is not { TakesCallbacks: true } || operations is 0 or > 3 || pre.IsNull && post.IsNull)
            return STATUS_INVALID_PARAMETER;
        if (!pre.IsNull && !MayCallBack(pre) || !post.IsNull && !MayCallBack(post)) return STATUS_ACCESS_DENIED;
        if (_callbacks.Exists(c => c.Type == type && CompareAltitudes(c.Altitude, altitude) == 0))
            return STATUS_FLT_INSTANCE_ALTITUDE_COLLISION;
        made.Add(new ObjectCallback(handle, altitude, type, operations, pre, post, context));
        return STATUS_SUCCESS;
    }

    /// <summary>A routine that may decide over others lies in an image linked with /INTEGRITYCHECK.</summary>
    public bool MayCallBack(Va routine)
    {
        const ushort forceIntegrity = 0x80;
        return _nt.Loader.ImageAt(routine) is { IsKernel: false } image
            ? (image.Image.DllCharacteristics & forceIntegrity) != 0 : _nt.Routines.TryFind(routine, out _);
    }

    static bool IsAltitude(string text) =>
        text.Length is > 0 and < 64 && text.Count(c => c == '.') <= 1 && text.All(c => c is '.' or >= '0' and <= '9');

    /// <summary>Altitudes are decimal numbers of any length.</summary>
    static int CompareAltitudes(string a, string b)
    {
        string[] x = a.Split('.'), y = b.Split('.');
        string left = x[0].TrimStart('0'), right = y[0].TrimStart('0');
        if (left.Length != right.Length) return left.Length.CompareTo(right.Length);
        int whole = string.CompareOrdinal(left, right);
        return whole != 0 ? whole
            : string.CompareOrdinal((x.ElementAtOrDefault(1) ?? "").TrimEnd('0'),
                (y.ElementAtOrDefault(1) ?? "").TrimEnd('0'));
    }

    void InsertByAltitude(ObjectCallback callback)
    {
        int at = _callbacks.FindIndex(c => CompareAltitudes(c.Altitude, callback.Altitude) < 0);
        _callbacks.Insert(at < 0 ? _callbacks.Count : at, callback);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ObUnRegisterCallbacks(Va registrationHandle)
    {
        if (_callbacks.RemoveAll(c => c.Registration == registrationHandle) == 0)
            throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, registrationHandle.Value);
        _nt.Mm.Pool.Free(registrationHandle);
    }

    /// <summary>Asks the registered callbacks. They may take rights away, but give none.</summary>
    uint BeforeHandle(NtObject target, uint operation, uint granted, uint wanted, bool kernel, NtProcess? from,
        NtProcess? to, out HandleOperation? call)
    {
        call = null;
        if (!target.Type.TakesCallbacks) return granted;
        ObjectCallback[] asked = [.. _callbacks.Where(
            c => c.Type == target.Type && (c.Operations & operation) != 0)];
        if (asked.Length == 0) return granted;
        // OB_PRE_OPERATION_INFORMATION and its parameters, then OB_POST_OPERATION_INFORMATION and its.
        Va block = _nt.Mm.Pool.Allocate(0xA0, CallbackTag);
        call = new HandleOperation(target, operation, kernel, block, []);
        Va parameters = block + 0x28;
        WriteOperation(block, call, parameters, 0x20);
        _nt.Memory.Write(parameters, granted);
        _nt.Memory.Write(parameters + 4, target.Type.Mapping.Map(wanted) & ~MAXIMUM_ALLOWED);
        if (from is not null) _nt.Memory.Write(parameters + 8, from.Object.Address);
        if (to is not null) _nt.Memory.Write(parameters + 16, to.Object.Address);
        foreach (ObjectCallback callback in asked)
        {
            _nt.Memory.Write(block + 0x18, 0UL);
            if (!callback.Pre.IsNull) _nt.Routines.Call(callback.Pre, callback.Context.Value, block.Value);
            call.Asked.Add((callback, _nt.Memory.Read<ulong>(block + 0x18)));
            granted &= _nt.Memory.Read<uint>(parameters);
            _nt.Memory.Write(parameters, granted);
        }
        return granted;
    }

    void WriteOperation(Va at, HandleOperation call, Va parameters, int parametersOffset)
    {
        _nt.Memory.Write(at, call.Operation);
        _nt.Memory.Write(at + 4, call.IsKernel ? 1u : 0);
        _nt.Memory.Write(at + 8, call.Target.Body);
        _nt.Memory.Write(at + 0x10, call.Target.Type.Address);
        _nt.Memory.Write(at + parametersOffset, parameters);
    }

    void AfterHandle(HandleOperation? call, NtStatus status, uint granted)
    {
        if (call is null) return;
        Va post = call.Block + 0x60;
        WriteOperation(post, call, post + 0x30, 0x28);
        _nt.Memory.Write(post + 0x20, status);
        _nt.Memory.Write(post + 0x30, granted);
        for (int i = call.Asked.Count - 1; i >= 0; i--)
        {
            (ObjectCallback callback, ulong context) = call.Asked[i];
            if (callback.Post.IsNull) continue;
            _nt.Memory.Write(post + 0x18, context);
            _nt.Routines.Call(callback.Post, callback.Context.Value, post.Value);
        }
        _nt.Mm.Pool.Free(call.Block);
    }
}
