using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>REG_NOTIFY_CLASS: what a registry callback is told of.</summary>
enum RegNotify : uint
{
    PreDeleteKey = 0, PreSetValueKey = 1, PreDeleteValueKey = 2, PreSetInformationKey = 3, PreRenameKey = 4,
    PreEnumerateKey = 5, PreEnumerateValueKey = 6, PreQueryKey = 7, PreQueryValueKey = 8, PreQueryMultipleValueKey = 9,
    PreKeyHandleClose = 14, PostDeleteKey = 15, PostSetValueKey = 16, PostDeleteValueKey = 17,
    PostSetInformationKey = 18, PostRenameKey = 19, PostEnumerateKey = 20, PostEnumerateValueKey = 21,
    PostQueryKey = 22, PostQueryValueKey = 23, PostQueryMultipleValueKey = 24, PostKeyHandleClose = 25,
    PreCreateKeyEx = 26, PostCreateKeyEx = 27, PreOpenKeyEx = 28, PostOpenKeyEx = 29, PreFlushKey = 30,
    PostFlushKey = 31, CallbackObjectContextCleanup = 40,
}

/// <summary>A callback that a driver registered.</summary>
sealed record RegistryCallback(string Altitude, Va Function, Va Context, ulong Cookie);

/// <summary>One operation as callbacks are told of it.</summary>
/// <param name="Bytes">Size of the structure of the pre-notification.</param>
/// <param name="ContextOffset">Where in it CallContext is; the object's context follows.</param>
readonly record struct RegOperation(RegNotify Pre, RegNotify Post, int Bytes, int ContextOffset)
{
    static RegOperation Of(RegNotify pre, RegNotify post, int bytes) => new(pre, post, bytes, bytes - 0x18);

    public static RegOperation DeleteKey { get; } = Of(RegNotify.PreDeleteKey, RegNotify.PostDeleteKey, 0x20);
    public static RegOperation SetValueKey { get; } = Of(RegNotify.PreSetValueKey, RegNotify.PostSetValueKey, 0x40);
    public static RegOperation DeleteValueKey { get; } =
        Of(RegNotify.PreDeleteValueKey, RegNotify.PostDeleteValueKey, 0x28);
    public static RegOperation SetInformationKey { get; } =
        Of(RegNotify.PreSetInformationKey, RegNotify.PostSetInformationKey, 0x38);
    public static RegOperation RenameKey { get; } = Of(RegNotify.PreRenameKey, RegNotify.PostRenameKey, 0x28);
    public static RegOperation EnumerateKey { get; } = Of(RegNotify.PreEnumerateKey, RegNotify.PostEnumerateKey, 0x40);
    public static RegOperation EnumerateValueKey { get; } =
        Of(RegNotify.PreEnumerateValueKey, RegNotify.PostEnumerateValueKey, 0x40);
    public static RegOperation QueryKey { get; } = Of(RegNotify.PreQueryKey, RegNotify.PostQueryKey, 0x40);
    public static RegOperation QueryValueKey { get; } =
        Of(RegNotify.PreQueryValueKey, RegNotify.PostQueryValueKey, 0x48);
    public static RegOperation QueryMultipleValueKey { get; } =
        Of(RegNotify.PreQueryMultipleValueKey, RegNotify.PostQueryMultipleValueKey, 0x48);
    public static RegOperation FlushKey { get; } = Of(RegNotify.PreFlushKey, RegNotify.PostFlushKey, 0x20);
    public static RegOperation KeyHandleClose { get; } =
        Of(RegNotify.PreKeyHandleClose, RegNotify.PostKeyHandleClose, 0x20);
    public static RegOperation CreateKey { get; } =
        new(RegNotify.PreCreateKeyEx, RegNotify.PostCreateKeyEx, RegCreateKeyInformation.Size, 0x50);
    public static RegOperation OpenKey { get; } =
        new(RegNotify.PreOpenKeyEx, RegNotify.PostOpenKeyEx, RegCreateKeyInformation.Size, 0x50);
}

/// <summary>The registry callbacks, highest altitude first, and the notifications around each operation.</summary>
sealed class RegistryCallbacks(NtKernel nt)
{
    const uint NotifyTag = 0x6243_4D43;     // 'CMCb'

    readonly List<RegistryCallback> _all = [];
    ulong _lastCookie = 0x01D0_0000_0000_0000;

    public bool IsEmpty => _all.Count == 0;

    public bool HasAltitude(string altitude) => _all.Exists(c => Altitude.Compare(c.Altitude, altitude) == 0);

    public ulong Add(string altitude, Va function, Va context)
    {
        var made = new RegistryCallback(altitude, function, context, ++_lastCookie);
        int at = _all.FindIndex(c => Altitude.Compare(c.Altitude, altitude) < 0);
        _all.Insert(at < 0 ? _all.Count : at, made);
        return made.Cookie;
    }

    public RegistryCallback? Find(ulong cookie) => _all.Find(c => c.Cookie == cookie);

    public void Remove(RegistryCallback callback) => _all.Remove(callback);

    NtStatus Call(RegistryCallback callback, RegNotify what, Va argument) => new((uint)nt.Routines.Call(
        callback.Function, callback.Context.Value, (ulong)what, argument.Value));

    static Va ContextOf(NtObject? target, RegistryCallback callback) =>
        (target?.State as KeyObject)?.Contexts.GetValueOrDefault(callback.Cookie) ?? Va.Null;

    /// <summary>Does an operation between its notifications. A callback before it can refuse it or do it itself; one
    /// after it can change the status.</summary>
    /// <param name="target">The key that it is done to; of an open, where the path begins.</param>
    /// <param name="fill">Writes the structure, but for the contexts.</param>
    /// <param name="result">The key that an open has opened, for those who are told afterwards.</param>
    public NtStatus Around(
        RegOperation what, NtObject? target, Action<Va> fill, Func<NtStatus> operation, Func<Va>? result = null)
    {
        if (IsEmpty) return operation();
        Va info = nt.Mm.Pool.Allocate(what.Bytes, NotifyTag);
        fill(info);
        Stack<(RegistryCallback Callback, Va CallContext)> told = [];
        NtStatus? answered = Before(what, target, info, told);
        NtStatus status = answered ?? operation();
        Va block = nt.Mm.Pool.Allocate(RegPostOperationInformation.Size, NotifyTag);
        var post = RegPostOperationInformation.At(nt.Memory, block);
        while (told.TryPop(out var each))
        {
            if (!_all.Contains(each.Callback)) continue;
            post.Object = result is null ? target?.Body ?? Va.Null : result();
            (post.Status, post.ReturnStatus, post.PreInformation) = (status, status, info);
            (post.CallContext, post.ObjectContext) = (each.CallContext, ContextOf(target, each.Callback));
            if (Call(each.Callback, what.Post, block) == STATUS_CALLBACK_BYPASS) status = post.ReturnStatus;
        }
        nt.Mm.Pool.Free(block);
        nt.Mm.Pool.Free(info);
        return status;
    }

    // Null when all let it pass.
    NtStatus? Before(
        RegOperation what, NtObject? target, Va info, Stack<(RegistryCallback Callback, Va CallContext)> told)
    {
        foreach (RegistryCallback callback in _all.ToArray())
        {
            if (!_all.Contains(callback)) continue;
            nt.Memory.Write(info + what.ContextOffset, Va.Null);
            nt.Memory.Write(info + what.ContextOffset + 8, ContextOf(target, callback));
            NtStatus answer = Call(callback, what.Pre, info);
            if (answer == STATUS_CALLBACK_BYPASS) return STATUS_SUCCESS;
            if (!answer.IsSuccess) return answer;
            told.Push((callback, nt.Memory.Read<Va>(info + what.ContextOffset)));
        }
        return null;
    }

    /// <summary>Tells a callback that a context which it gave to a key is used no more.</summary>
    public void CleanUp(RegistryCallback callback, Va body, Va context)
    {
        Va block = nt.Mm.Pool.Allocate(RegCallbackContextCleanupInformation.Size, NotifyTag);
        var info = RegCallbackContextCleanupInformation.At(nt.Memory, block);
        (info.Object, info.ObjectContext) = (body, context);
        Call(callback, RegNotify.CallbackObjectContextCleanup, block);
        nt.Mm.Pool.Free(block);
    }
}
