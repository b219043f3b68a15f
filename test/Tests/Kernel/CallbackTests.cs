using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Callback objects.</summary>
public sealed class CallbackTests
{
    static Va Create(TestMachine m, ObjectAttributes attributes, bool create = true, bool multiple = true)
    {
        Va result = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ExCreateCallback(result, attributes, create, multiple));
        return m.Nt.Memory.Read<Va>(result);
    }

    [Fact]
    public void Registered_routines_are_called_in_order_with_context_and_arguments()
    {
        using var m = new TestMachine();
        List<string> log = [];
        Va routine = m.Nt.Routines.Add("callback",
            (_, call) => log.Add($"{call.Argument(0)} {call.Argument(1)} {call.Argument(2)}"));
        Va callback = Create(m, m.NoAttributes());
        Va first = m.Nt.ExRegisterCallback(callback, routine, new Va(1));
        m.Nt.ExRegisterCallback(callback, routine, new Va(2));
        m.Nt.ExNotifyCallback(callback, new Va(7), new Va(8));
        m.Nt.ExUnregisterCallback(first);
        m.Nt.ExNotifyCallback(callback, new Va(9), Va.Null);
        m.Nt.ExNotifyCallback(Va.Null, Va.Null, Va.Null);
        Assert.Equal(["1 7 8", "2 7 8", "2 9 0"], log);
        Assert.Throws<BugCheck>(() => m.Nt.ExUnregisterCallback(first));
    }

    [Theory, InlineData("SetSystemTime"), InlineData("PowerState"), InlineData("ProcessorAdd")]
    public void The_systems_own_callbacks_are_there(string name)
    {
        using var m = new TestMachine();
        Va callback = Create(m, m.Named(@"\Callback\" + name), create: false);
        Assert.Equal(callback, Create(m, m.Named(@"\Callback\" + name)));
        Assert.False(m.Nt.ExRegisterCallback(callback, m.Nt.Routines.Add("c", (_, _) => { }), Va.Null).IsNull);
    }

    [Fact]
    public void A_name_is_found_again_and_goes_with_the_last_reference()
    {
        using var m = new TestMachine();
        ObjectAttributes name = m.Named(@"\Callback\Mine");
        Va result = m.Block(8);
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Nt.ExCreateCallback(result, name, false, true));
        Va callback = Create(m, name, multiple: false);
        Assert.Equal(callback, Create(m, name, create: false));
        Va routine = m.Nt.Routines.Add("c", (_, _) => { });
        Va registration = m.Nt.ExRegisterCallback(callback, routine, Va.Null);
        Assert.True(m.Nt.ExRegisterCallback(callback, routine, Va.Null).IsNull);
        m.Nt.ObfDereferenceObject(callback);
        m.Nt.ObfDereferenceObject(callback);
        m.Nt.ExUnregisterCallback(registration);
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Nt.ExCreateCallback(result, name, false, true));
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH,
            m.Nt.ExCreateCallback(result, m.Named(@"\Device\PhysicalMemory"), true, true));
    }

    [Fact]
    public void Unregistering_waits_for_a_call_that_runs()
    {
        using var m = new TestMachine();
        List<string> log = [];
        Va callback = Create(m, m.NoAttributes());
        KEvent go = KEvent.At(m.Nt.Memory, m.Block(KEvent.Size));
        m.Nt.KeInitializeEvent(go, 0, false);
        Va registration = m.Nt.ExRegisterCallback(callback, m.Nt.Routines.Add("slow", (_, _) =>
        {
            m.Nt.KeWaitForSingleObject(go.Header, 0, 0, false, Va.Null);
            log.Add("called");
        }), Va.Null);
        m.Thread(() => m.Nt.ExNotifyCallback(callback, Va.Null, Va.Null));
        m.RunOthers();
        m.Thread(() =>
        {
            m.Nt.ExUnregisterCallback(registration);
            log.Add("unregistered");
        });
        m.RunOthers();
        Assert.Empty(log);
        m.Nt.KeSetEvent(go, 0, false);
        m.RunOthers();
        Assert.Equal(["called", "unregistered"], log);
    }
}
