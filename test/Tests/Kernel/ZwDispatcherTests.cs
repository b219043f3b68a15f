using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class ZwDispatcherTests
{
    static Va Timeout(TestMachine m, long value)
    {
        Va at = m.Block(8);
        m.Nt.Memory.Write(at, value);
        return at;
    }

    [Fact]
    public void Events_are_set_reset_pulsed_and_waited_for()
    {
        using var m = new TestMachine();
        Handle handle = m.Event(@"\BaseNamedObjects\Ev");
        Va before = m.Block(8), now = Timeout(m, 0);
        Assert.Equal(STATUS_TIMEOUT, m.Nt.ZwWaitForSingleObject(handle, false, now));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetEvent(handle, before));
        Assert.Equal(0, m.Read<int>(before));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwWaitForSingleObject(handle, false, now));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwResetEvent(handle, before));
        Assert.Equal(1, m.Read<int>(before));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtSetEvent(handle, Va.Null));
        Assert.Equal(STATUS_SUCCESS, m.Nt.NtWaitForSingleObject(handle, false, now));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwClearEvent(handle));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwPulseEvent(handle, before));
        Assert.Equal(STATUS_TIMEOUT, m.Nt.ZwWaitForSingleObject(handle, false, now));
        Assert.Equal(STATUS_INVALID_HANDLE, m.Nt.ZwSetEvent(new Handle(0x999), before));
    }

    [Fact]
    public void Several_handles_are_waited_for_at_once()
    {
        using var m = new TestMachine();
        Handle first = m.Event(), second = m.Event();
        Va handles = m.Block(16), now = Timeout(m, 0);
        m.Nt.Memory.Write(handles, first);
        m.Nt.Memory.Write(handles + 8, second);
        m.Nt.ZwSetEvent(second, Va.Null);
        Assert.Equal(STATUS_WAIT_1, m.Nt.ZwWaitForMultipleObjects(2, handles, 1, false, now));
        Assert.Equal(STATUS_TIMEOUT, m.Nt.ZwWaitForMultipleObjects(2, handles, 0, false, now));
        m.Nt.ZwSetEvent(first, Va.Null);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwWaitForMultipleObjects(2, handles, 0, false, now));
        m.Nt.Memory.Write(handles, second);
        Assert.Equal(STATUS_INVALID_PARAMETER_MIX, m.Nt.ZwWaitForMultipleObjects(2, handles, 0, false, now));
        Assert.Equal(STATUS_INVALID_PARAMETER_1, m.Nt.ZwWaitForMultipleObjects(65, handles, 0, false, now));
        Handle directory = m.Nt.Ob.Open(m.Nt.Ob.Root, 1, kernelHandle: true);
        Assert.Equal(STATUS_OBJECT_TYPE_MISMATCH, m.Nt.ZwWaitForSingleObject(directory, false, now));
    }

    [Fact]
    public void A_timer_fires_when_it_is_due()
    {
        using var m = new TestMachine();
        Va place = m.Block(8), state = m.Block(8);
        Assert.Equal(STATUS_SUCCESS,
            m.Nt.ZwCreateTimer(place, 0x1F_0003, m.Attributes(@"\BaseNamedObjects\Ti", 0x200), 0));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenTimer(place, 3, m.Attributes(@"\BaseNamedObjects\Ti", 0x200)));
        Handle timer = m.Read<Handle>(place);
        Va due = Timeout(m, -1000);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwSetTimer(timer, due, Va.Null, Va.Null, false, 0, state));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwWaitForSingleObject(timer, false, Va.Null));
        m.Nt.ZwSetTimer(timer, Timeout(m, -100_000_000), Va.Null, Va.Null, false, 0, state);
        Assert.Equal(1, m.Read<byte>(state));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwCancelTimer(timer, state));
        Assert.Equal(0, m.Read<byte>(state));
        Assert.Equal(STATUS_NOT_SUPPORTED, m.Nt.ZwSetTimer(timer, due, new Va(1), Va.Null, false, 0, state));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.ZwSetTimer(timer, due, Va.Null, Va.Null, false, -1, state));
    }

    [Fact]
    public void The_I_O_managers_events_begin_signalled_and_are_shared_by_name()
    {
        using var m = new TestMachine();
        Va place = m.Block(8);
        KEvent first = m.Nt.IoCreateNotificationEvent(m.Text(@"\BaseNamedObjects\Io"), place);
        Assert.Equal(1, first.SignalState);
        Assert.Equal(first, m.Nt.IoCreateNotificationEvent(m.Text(@"\BaseNamedObjects\Io"), place));
        KEvent second = m.Nt.IoCreateSynchronizationEvent(m.Text(@"\BaseNamedObjects\Io2"), place);
        Assert.Equal(DispatcherType.SynchronizationEvent, second.Header.Type);
        Assert.True(m.Nt.IoCreateNotificationEvent(m.Text(@"\Nowhere\Io"), place).IsNull);
    }
}
