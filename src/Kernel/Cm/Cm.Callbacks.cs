using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>Registry callbacks: registered, removed, and what they ask of keys.</summary>
sealed partial class Cm
{
    const string LegacyAltitude = "425000";
    const uint CallbackMajorVersion = 2, CallbackMinorVersion = 1;

    RegistryCallbacks Callbacks => field ??= new RegistryCallbacks(_nt);

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus CmRegisterCallback(Va function, Va context, Va cookie)
    {
        _nt.Memory.Write(cookie, Callbacks.Add(LegacyAltitude, function, context));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus CmRegisterCallbackEx(
        Va function, UnicodeString altitude, Va driver, Va context, Va cookie, Va reserved)
    {
        if (function.IsNull || cookie.IsNull || !Altitude.IsValid(altitude.Text)) return STATUS_INVALID_PARAMETER;
        if (Callbacks.HasAltitude(altitude.Text)) return STATUS_FLT_INSTANCE_ALTITUDE_COLLISION;
        _nt.Memory.Write(cookie, 0UL);
        _nt.Memory.Write(cookie, Callbacks.Add(altitude.Text, function, context));
        return STATUS_SUCCESS;
    }

    /// <summary>The contexts that it gave to keys are cleaned up.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus CmUnRegisterCallback(ulong cookie)
    {
        if (Callbacks.Find(cookie) is not { } callback) return STATUS_INVALID_PARAMETER;
        foreach (NtObject key in _nt.Ob.OfType(_nt.Ob.KeyType).ToArray())
            if (key.State is KeyObject state && state.Contexts.Remove(cookie, out Va context))
                Callbacks.CleanUp(callback, key.Body, context);
        Callbacks.Remove(callback);
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CmGetCallbackVersion(Va major, Va minor)
    {
        if (!major.IsNull) _nt.Memory.Write(major, CallbackMajorVersion);
        if (!minor.IsNull) _nt.Memory.Write(minor, CallbackMinorVersion);
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus CmSetCallbackObjectContext(Va @object, Va cookie, Va newContext, Va oldContext)
    {
        ulong key = _nt.Memory.Read<ulong>(cookie);
        if (Callbacks.Find(key) is null) return STATUS_INVALID_PARAMETER;
        if (_nt.Ob.At(@object).State is not KeyObject state) return STATUS_OBJECT_TYPE_MISMATCH;
        Va old = state.Contexts.GetValueOrDefault(key);
        if (newContext.IsNull) state.Contexts.Remove(key);
        else state.Contexts[key] = newContext;
        if (!oldContext.IsNull) _nt.Memory.Write(oldContext, old);
        return STATUS_SUCCESS;
    }

    /// <summary>A number that is the key's alone, and its path; the string lives as long as the object.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus CmCallbackGetKeyObjectID(Va cookie, Va @object, Va objectID, Va objectName)
    {
        NtStatus status = StateOf(cookie, @object, out KeyObject? state);
        if (!status.IsSuccess) return status;
        if (!objectID.IsNull) _nt.Memory.Write(objectID, state!.Key.Id);
        if (objectName.IsNull) return STATUS_SUCCESS;
        if (state!.Name.IsNull) state.Name = _nt.Rtl.AllocateString(state.Key.Path);
        _nt.Memory.Write(objectName, state.Name);
        return STATUS_SUCCESS;
    }

    /// <summary>The same, with a string that CmCallbackReleaseKeyObjectIDEx frees.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus CmCallbackGetKeyObjectIDEx(Va cookie, Va @object, Va objectID, Va objectName, uint flags)
    {
        if (flags != 0) return STATUS_INVALID_PARAMETER;
        NtStatus status = StateOf(cookie, @object, out KeyObject? state);
        if (!status.IsSuccess) return status;
        if (!objectID.IsNull) _nt.Memory.Write(objectID, state!.Key.Id);
        if (objectName.IsNull) return STATUS_SUCCESS;
        _nt.Memory.Write(objectName, Va.Null);
        _nt.Memory.Write(objectName, _nt.Rtl.AllocateString(state!.Key.Path));
        return STATUS_SUCCESS;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void CmCallbackReleaseKeyObjectIDEx(UnicodeString objectName)
    {
        _nt.Mm.Pool.Free(objectName.Buffer);
        _nt.Mm.Pool.Free(objectName.Address);
    }

    NtStatus StateOf(Va cookie, Va target, out KeyObject? state)
    {
        state = null;
        if (Callbacks.Find(_nt.Memory.Read<ulong>(cookie)) is null) return STATUS_INVALID_PARAMETER;
        state = _nt.Ob.At(target).State as KeyObject;
        return state is null ? STATUS_OBJECT_TYPE_MISMATCH : STATUS_SUCCESS;
    }

    /// <summary>Keys here are never part of a transaction: null.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va CmGetBoundTransaction(Va cookie, Va @object)
    {
        _nt.Ob.At(@object);
        return Va.Null;
    }

    /// <summary>The last handle of an opened key is closed.</summary>
    public void OnLastHandle(NtObject key)
    {
        Callbacks.Around(RegOperation.KeyHandleClose, key, info => _nt.Memory.Write(info, key.Body), () =>
        {
            if (key.State is KeyObject { Watch: { } watch }) StopWatching(watch);
            return STATUS_SUCCESS;
        });
    }

    /// <summary>An opened key goes.</summary>
    public void OnDelete(NtObject key)
    {
        if (key.State is not KeyObject state) return;
        if (state.Watch is { } watch) StopWatching(watch);
        foreach ((ulong cookie, Va context) in state.Contexts)
            if (Callbacks.Find(cookie) is { } callback) Callbacks.CleanUp(callback, key.Body, context);
        if (!state.Name.IsNull) CmCallbackReleaseKeyObjectIDEx(UnicodeString.At(_nt.Memory, state.Name));
        KeepSecurity(key, state.Key);
    }
}
