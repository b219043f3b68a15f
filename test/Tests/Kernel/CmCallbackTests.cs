using Ringdown.Kernel;
using Ringdown.Machine;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class CmCallbackTests
{
    readonly List<string> _seen = [];

    // Registers a callback that notes what it is told, and answers what the test says.
    ulong Register(Keys k, string altitude, Func<uint, Va, NtStatus> answer)
    {
        Va routine = k.Nt.Routines.Add("callback", (_, call) =>
        {
            _seen.Add($"{altitude}:{call.Argument(1)}");
            call.Return(answer((uint)call.Argument(1), new Va(call.Argument(2))).Value);
        });
        Va cookie = k.M.Block(8);
        Assert.Equal(STATUS_SUCCESS,
            k.Nt.CmRegisterCallbackEx(routine, k.M.Unicode(altitude), Va.Null, Va.Null, cookie, Va.Null));
        return k.M.U64(cookie);
    }

    [Fact]
    public void The_highest_is_told_first_before_and_last_after()
    {
        using var k = new Keys();
        Handle key = k.Made(Keys.Services + @"\C");
        Register(k, "100", (_, _) => STATUS_SUCCESS);
        Register(k, "2000", (_, _) => STATUS_SUCCESS);
        k.Set(key, "v", RegistryValue.Dword(1));
        Assert.Equal(["2000:1", "100:1", "100:16", "2000:16"], _seen);
        Assert.Equal(STATUS_FLT_INSTANCE_ALTITUDE_COLLISION, k.Nt.CmRegisterCallbackEx(
            k.Buffer, k.M.Unicode("100.0"), Va.Null, Va.Null, k.Length, Va.Null));
        Assert.Equal(STATUS_INVALID_PARAMETER, k.Nt.CmRegisterCallbackEx(
            k.Buffer, k.M.Unicode("high"), Va.Null, Va.Null, k.Length, Va.Null));
    }

    [Fact]
    public void A_callback_refuses_does_it_itself_or_changes_the_result()
    {
        using var k = new Keys();
        Handle key = k.Made(Keys.Services + @"\C");
        NtStatus before = STATUS_ACCESS_DENIED, after = STATUS_SUCCESS;
        Register(k, "100", (what, info) =>
        {
            if (what == 1)
            {
                var set = RegSetValueKeyInformation.At(k.Nt.Memory, info);
                Assert.Equal(("v", 4u), (set.ValueName.Text, set.Type));
                set.CallContext = new Va(77);
                return before;
            }
            var post = RegPostOperationInformation.At(k.Nt.Memory, info);
            Assert.Equal(77UL, post.CallContext.Value);
            post.ReturnStatus = STATUS_DISK_FULL;
            return after;
        });
        Assert.Equal(STATUS_ACCESS_DENIED, k.Set(key, "v", RegistryValue.Dword(1)));
        before = STATUS_CALLBACK_BYPASS;
        Assert.Equal(STATUS_SUCCESS, k.Set(key, "v", RegistryValue.Dword(1)));
        Assert.Equal(["100:1", "100:1"], _seen);
        Assert.Empty(k.M.Nt.SaveRegistry(Keys.Services + @"\C").Sections[0].Values);
        (before, after) = (STATUS_SUCCESS, STATUS_CALLBACK_BYPASS);
        Assert.Equal(STATUS_DISK_FULL, k.Set(key, "v", RegistryValue.Dword(1)));
    }

    [Fact]
    public void An_open_says_the_path_and_afterwards_the_key()
    {
        using var k = new Keys();
        Handle services = k.Made(Keys.Services);
        Va root = Va.Null, made = Va.Null;
        Register(k, "100", (what, info) =>
        {
            if (what is 26 or 28)
            {
                var create = RegCreateKeyInformation.At(k.Nt.Memory, info);
                Assert.Equal("New", create.CompleteName.Text);
                root = create.RootObject;
            }
            if (what is 27 or 29) made = RegPostOperationInformation.At(k.Nt.Memory, info).Object;
            return STATUS_SUCCESS;
        });
        Handle key = k.Made("New", root: services);
        Assert.Equal(k.Nt.Ob.Lookup(services)!.Body, root);
        Assert.Equal(k.Nt.Ob.Lookup(key)!.Body, made);
        k.Open("New", out _, services);
        k.Nt.ZwClose(key);
        Assert.Equal(["100:26", "100:27", "100:28", "100:29", "100:14", "100:25"], _seen);
    }

    [Fact]
    public void Each_operation_has_its_notifications()
    {
        using var k = new Keys();
        Handle key = k.Made(Keys.Services + @"\C");
        k.Set(key, "v", RegistryValue.Dword(1));
        Register(k, "1", (_, _) => STATUS_SUCCESS);
        k.Nt.ZwQueryValueKey(key, k.M.Unicode("v"), 2, k.Buffer, 100, k.Length);
        k.Nt.ZwEnumerateValueKey(key, 0, 2, k.Buffer, 100, k.Length);
        k.Nt.ZwEnumerateKey(key, 0, 0, k.Buffer, 100, k.Length);
        k.Nt.ZwQueryKey(key, 0, k.Buffer, 100, k.Length);
        k.Nt.ZwQueryMultipleValueKey(key, k.Buffer, 0, k.Buffer, k.Length, k.Length);
        k.Nt.ZwSetInformationKey(key, 2, k.Buffer, 4);
        k.Nt.ZwDeleteValueKey(key, k.M.Unicode("v"));
        k.Nt.ZwRenameKey(key, k.M.Unicode("D"));
        k.Nt.ZwFlushKey(key);
        k.Nt.ZwDeleteKey(key);
        int[] expected = [8, 23, 6, 21, 5, 20, 7, 22, 9, 24, 3, 18, 2, 17, 4, 19, 30, 31, 0, 15];
        Assert.Equal(expected.Select(n => $"1:{n}"), _seen);
    }

    [Fact]
    public void A_callback_names_keys_and_keeps_contexts_with_them()
    {
        using var k = new Keys();
        NtKernel nt = k.Nt;
        Handle key = k.Made(Keys.Services + @"\C");
        Va context = Va.Null, cookieAt = k.M.Block(8), name = k.M.Block(8), id = k.M.Block(8),
            body = nt.Ob.Lookup(key)!.Body;
        ulong cookie = Register(k, "1", (what, info) =>
        {
            if (what == 40) context = RegCallbackContextCleanupInformation.At(nt.Memory, info).ObjectContext;
            if (what == 30) context = RegDeleteKeyInformation.At(nt.Memory, info).ObjectContext;
            return STATUS_SUCCESS;
        });
        nt.Memory.Write(cookieAt, cookie);
        Assert.Equal(STATUS_SUCCESS, nt.CmCallbackGetKeyObjectID(cookieAt, body, id, name));
        Assert.EndsWith(@"\Services\C", UnicodeString.At(nt.Memory, nt.Memory.Read<Va>(name)).Text);
        ulong first = k.M.U64(id);
        Assert.Equal(STATUS_SUCCESS, nt.CmCallbackGetKeyObjectIDEx(cookieAt, body, id, name, 0));
        Assert.Equal(first, k.M.U64(id));
        nt.CmCallbackReleaseKeyObjectIDEx(UnicodeString.At(nt.Memory, nt.Memory.Read<Va>(name)));
        Assert.Equal(STATUS_SUCCESS, nt.CmSetCallbackObjectContext(body, cookieAt, new Va(55), name));
        Assert.True(nt.CmGetBoundTransaction(cookieAt, body).IsNull);
        nt.ZwFlushKey(key);
        Assert.Equal(55UL, context.Value);
        context = Va.Null;
        Assert.Equal(STATUS_SUCCESS, nt.CmUnRegisterCallback(cookie));
        Assert.Equal(55UL, context.Value);
        Assert.Equal(STATUS_INVALID_PARAMETER, nt.CmUnRegisterCallback(cookie));
        nt.CmGetCallbackVersion(id, id + 4);
        _seen.Clear();
        Assert.Equal(STATUS_SUCCESS, nt.CmRegisterCallback(nt.Routines.Add("old", (_, call) => call.Return(0)),
            Va.Null, cookieAt));
        k.Nt.ZwClose(key);
        Assert.Empty(_seen);
    }

    [Fact]
    public void A_change_signals_who_watches()
    {
        using var k = new Keys();
        NtKernel nt = k.Nt;
        Handle key = k.Made(Keys.Services + @"\W"), child = k.Made("C", root: key);
        Va at = k.M.Block(8), status = k.M.Block(16);
        nt.ZwCreateEvent(at, 0x1F0003, ObjectAttributes.At(nt.Memory, Va.Null), 0, false);
        Handle @event = new(k.M.U64(at));
        var signal = KEvent.At(nt.Memory, nt.Ob.Lookup(@event)!.Body);
        NtStatus Watch(bool tree, bool asynchronous = true) => nt.ZwNotifyChangeKey(
            key, asynchronous ? @event : default, Va.Null, Va.Null, status, 4, tree, Va.Null, 0, asynchronous);
        Assert.Equal(STATUS_PENDING, Watch(tree: true));
        Assert.Equal(0, signal.SignalState);
        k.Set(child, "v", RegistryValue.Dword(1));
        Assert.Equal((1, STATUS_NOTIFY_ENUM_DIR.Value), (signal.SignalState, k.M.U32(status)));
        // What changes while nobody waits is told at once to the next who asks.
        k.Set(key, "v", RegistryValue.Dword(1));
        Assert.Equal(STATUS_NOTIFY_ENUM_DIR, Watch(tree: true, asynchronous: false));
        Assert.Equal(STATUS_PENDING, Watch(tree: true));
        k.Made("Other", root: key);
        Assert.Equal(0, signal.SignalState);
        nt.ZwClose(key);
        Assert.Equal((1, STATUS_NOTIFY_CLEANUP.Value), (signal.SignalState, k.M.U32(status)));
        Assert.Equal(STATUS_INVALID_PARAMETER, nt.ZwNotifyChangeKey(
            child, @event, Va.Null, Va.Null, status, 0, false, Va.Null, 0, true));
    }
}
