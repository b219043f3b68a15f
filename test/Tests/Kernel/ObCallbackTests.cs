using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class ObCallbackTests
{
    static Va Registration(TestMachine m, string altitude, Va type, uint operations, Va pre, Va post)
    {
        Va variable = m.Block(8), operation = m.Block(0x20), at = m.Block(0x28);
        m.Nt.Memory.Write(variable, type);
        m.Nt.Memory.Write(operation, variable);
        m.Nt.Memory.Write(operation + 8, operations);
        m.Nt.Memory.Write(operation + 0x10, pre);
        m.Nt.Memory.Write(operation + 0x18, post);
        m.Nt.Memory.Write(at, m.Nt.ObGetFilterVersion() | 1u << 16);
        m.Nt.Memory.Write(at + 8, m.Nt.Memory.ReadBytes(m.Text(altitude).Address, 16));
        m.Nt.Memory.Write(at + 0x18, 0x77UL);
        m.Nt.Memory.Write(at + 0x20, operation);
        return at;
    }

    [Fact]
    public void Callbacks_take_rights_away_the_higher_altitude_first()
    {
        using var m = new TestMachine();
        var seen = new List<string>();
        Va Pre(string name, uint mask) => m.Routine(call =>
        {
            Va info = new(call.Argument(1)), parameters = m.Read<Va>(info + 0x20);
            seen.Add($"{name} {call.Argument(0):x} {m.Read<uint>(parameters):x} of {m.Read<uint>(parameters + 4):x}");
            m.Nt.Memory.Write(parameters, m.Read<uint>(parameters) & mask | 0x1000);
            m.Nt.Memory.Write(info + 0x18, 0x99UL);
            return 0;
        });
        Va Post(string name) => m.Routine(call =>
        {
            Va info = new(call.Argument(1));
            seen.Add($"{name} {m.Read<ulong>(info + 0x18):x} {m.Read<uint>(m.Read<Va>(info + 0x28)):x}");
            return 0;
        });
        Va type = m.Nt.Ob.ProcessType.Address, low = m.Block(8), high = m.Block(8), place = m.Block(8);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObRegisterCallbacks(
            Registration(m, "1000", type, 3, Pre("low", 0xF), Post("low after")), low));
        Assert.Equal(STATUS_SUCCESS, m.Nt.ObRegisterCallbacks(
            Registration(m, "20000.5", type, 1, Pre("high", 0x17), Post("high after")), high));
        Va process = m.Nt.Ps.UserProcess.Address, cid = m.Block(16);
        m.Nt.Memory.Write(cid, 0x1000UL);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwOpenProcess(place, 0x3B, m.Attributes(null, 0), cid));
        Assert.Equal(["high 77 3b of 3b", "low 77 13 of 3b", "low after 99 3", "high after 99 3"], seen);
        seen.Clear();
        m.Nt.ObUnRegisterCallbacks(m.Read<Va>(high));
        Handle handle = m.Read<Handle>(place), self = new(ulong.MaxValue);
        Assert.Equal(STATUS_SUCCESS, m.Nt.ZwDuplicateObject(self, handle, self, place, 0, 0, 2));
        Assert.Equal(2, seen.Count);
        m.Nt.ObUnRegisterCallbacks(m.Read<Va>(low));
        Assert.Throws<BugCheck>(() => m.Nt.ObUnRegisterCallbacks(m.Read<Va>(low)));
        Assert.Equal(process, m.Nt.Ob.Lookup(handle)!.Body);
    }

    [Fact]
    public void Registrations_that_are_wrong_are_refused()
    {
        using var m = new TestMachine();
        Va place = m.Block(8), type = m.Nt.Ob.ThreadType.Address, pre = m.Routine(_ => 0);
        NtStatus Try(string altitude, Va objectType, uint operations, Va routine) => m.Nt.ObRegisterCallbacks(
            Registration(m, altitude, objectType, operations, routine, Va.Null), place);
        Assert.Equal(STATUS_INVALID_PARAMETER, Try("high", type, 1, pre));
        Assert.Equal(STATUS_INVALID_PARAMETER, Try("1", m.Nt.Ob.FileType.Address, 1, pre));
        Assert.Equal(STATUS_INVALID_PARAMETER, Try("1", type, 4, pre));
        Assert.Equal(STATUS_INVALID_PARAMETER, Try("1", type, 1, Va.Null));
        Assert.Equal(STATUS_ACCESS_DENIED, Try("1", type, 1, new Va(0xFFFF_9000_0000_0000)));
        Assert.Equal(STATUS_SUCCESS, Try("1", type, 1, pre));
        Assert.Equal(STATUS_FLT_INSTANCE_ALTITUDE_COLLISION, Try("1.0", type, 1, pre));
    }
}
