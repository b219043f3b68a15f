using Ringdown.Machine;
using static Ringdown.Kernel.Irql;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>A routine that was registered with a callback object.</summary>
sealed class CallbackRegistration(Va handle, CallbackObject callback, Va routine, Va context)
{
    public Va Handle { get; } = handle;
    public CallbackObject Callback { get; } = callback;
    public Va Routine { get; } = routine;
    public Va Context { get; } = context;

    /// <summary>Calls of it that have not returned.</summary>
    public int Running { get; set; }

    /// <summary>Set by who unregisters it meanwhile: to be signalled by the last call's end.</summary>
    public KEvent Ended { get; set; }
}

/// <summary>What a callback object keeps.</summary>
sealed class CallbackObject(bool allowMultiple)
{
    public bool AllowMultiple { get; } = allowMultiple;
    public List<CallbackRegistration> Registrations { get; } = [];
}

/// <summary>Callback objects: named places where drivers tell each other, and the system tells drivers.</summary>
sealed partial class Ex
{
    const uint CallbackTag = 0x626C_6C43, CallbackBodySize = 0x38;     // 'Cllb'
    const uint OBJ_PERMANENT = 0x10;

    readonly Dictionary<Va, CallbackRegistration> _callbacks = [];

    NtObject NewCallback(bool allowMultiple)
    {
        NtObject made = nt.Ob.Create(nt.Ob.CallbackType, (int)CallbackBodySize, new CallbackObject(allowMultiple));
        nt.Memory.Write(made.Body, 0x6C6C_6143U);      // 'Call', as drivers that look inside expect
        return made;
    }

    [Export, IrqlRequiresMax(APC_LEVEL)]
    public NtStatus ExCreateCallback(
        Va callbackObject, ObjectAttributes objectAttributes, bool create, bool allowMultipleCallbacks)
    {
        string name = objectAttributes.IsNull || objectAttributes.ObjectName.IsNull
            ? "" : objectAttributes.ObjectName.Text;
        NtStatus status = STATUS_UNSUCCESSFUL;
        NtObject? found = null;
        if (name.Length > 0)
        {
            status = nt.Ob.Lookup(name, out found, out string rest);
            if (status.IsSuccess && rest.Length > 0) status = STATUS_OBJECT_PATH_NOT_FOUND;
        }
        if (status.IsSuccess)
        {
            if (found!.Type != nt.Ob.CallbackType) return STATUS_OBJECT_TYPE_MISMATCH;
            nt.Ob.Reference(found);
        }
        else if (!create) return status;
        else
        {
            found = NewCallback(allowMultipleCallbacks);
            if (name.Length > 0 && nt.Ob.Insert(name, found) is { IsSuccess: false } refused)
            {
                nt.Ob.Dereference(found);
                return refused;
            }
            if (name.Length > 0 && (objectAttributes.Attributes & OBJ_PERMANENT) != 0) nt.Ob.Reference(found);
        }
        nt.Memory.Write(callbackObject, found!.Body);
        return STATUS_SUCCESS;
    }

    CallbackObject CallbackAt(Va address, out NtObject target)
    {
        target = nt.Ob.At(address);
        return target.State as CallbackObject
            ?? throw new BugCheck(BugCheckCode.REFERENCE_BY_POINTER, 0, address.Value);
    }

    /// <summary>Returns a handle to unregister with, or null if the object lets only one register.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public Va ExRegisterCallback(Va callbackObject, Va callbackFunction, Va callbackContext)
    {
        CallbackObject callback = CallbackAt(callbackObject, out NtObject target);
        if (!callback.AllowMultiple && callback.Registrations.Count > 0) return Va.Null;
        Va handle = nt.Mm.Pool.Allocate(0x30, PoolKind.NonPaged, CallbackTag, nt.Caller, zero: true);
        if (handle.IsNull) return handle;
        nt.Memory.Write(handle + 0x10, callbackObject);
        nt.Ob.Reference(target);
        var registration = new CallbackRegistration(handle, callback, callbackFunction, callbackContext);
        callback.Registrations.Add(registration);
        _callbacks.Add(handle, registration);
        return handle;
    }

    /// <summary>Returns when the routine does not run any more, and will not again.</summary>
    [Export, IrqlRequiresMax(APC_LEVEL)]
    public void ExUnregisterCallback([FreesMem] Va callbackRegistration)
    {
        if (!_callbacks.Remove(callbackRegistration, out CallbackRegistration? gone))
            throw new BugCheck(BugCheckCode.DRIVER_VERIFIER_DETECTED_VIOLATION, 0xF7, callbackRegistration.Value);
        gone.Callback.Registrations.Remove(gone);
        if (gone.Running > 0)
        {
            gone.Ended = KEvent.At(nt.Memory, nt.Mm.Pool.Allocate(KEvent.Size, CallbackTag));
            gone.Ended.Header.Initialize(DispatcherType.NotificationEvent, KEvent.Size, 0);
            nt.Ke.WaitFor([gone.Ended.Header], all: false, deadline: null);
            nt.Mm.Pool.Free(gone.Ended.Address);
        }
        NtObject? target = nt.Ob.Find(nt.Memory.Read<Va>(callbackRegistration + 0x10));
        nt.Mm.Pool.Free(callbackRegistration);
        if (target?.State == gone.Callback) nt.Ob.Dereference(target);
    }

    /// <summary>Calls all registered routines, in the order of their registration, at the caller's IRQL.</summary>
    [Export, IrqlRequiresMax(DISPATCH_LEVEL)]
    public void ExNotifyCallback(Va callbackObject, Va argument1, Va argument2)
    {
        if (callbackObject.IsNull) return;
        foreach (CallbackRegistration registration in CallbackAt(callbackObject, out _).Registrations.ToArray())
        {
            if (!_callbacks.ContainsKey(registration.Handle)) continue;      // an earlier one took it out
            registration.Running++;
            nt.Routines.Call(
                registration.Routine, registration.Context.Value, argument1.Value, argument2.Value);
            if (--registration.Running == 0 && !registration.Ended.IsNull)
                nt.Ke.KeSetEvent(registration.Ended, 0, false);
        }
    }
}
