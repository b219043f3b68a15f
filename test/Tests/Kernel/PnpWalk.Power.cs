using Ringdown.Kernel;
using Ringdown.Machine;
using Xunit;
using static Ringdown.Kernel.DeviceNodeState;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A filter that says yes or no, when it is asked whether power may go or come.</summary>
sealed class PowerJudge : WdmDriver
{
    public bool Refuses { get; set; }

    protected override NtStatus Dispatch(DeviceObject device, Irp irp)
    {
        IoStackLocation location = irp.CurrentStackLocation;
        if (location.MajorFunction != IrpMajor.IRP_MJ_POWER || location.MinorFunction != IRP_MN_QUERY_POWER || !Refuses)
            return base.Dispatch(device, irp);
        Nt.PoStartNextPowerIrp(irp);
        return Complete(irp, STATUS_DEVICE_BUSY);
    }
}

// What is asked of the device's power: whether it may go, and to tell when the device wakes the system.
sealed partial class PnpWalk
{
    const uint S3 = 4, D0 = 1, D3 = 4;
    const long SleepTicks = 10_000_000;

    readonly PowerJudge _judge = new() { IsFilter = true };
    readonly Va _answered, _ended, _place;
    DeviceNodeState _before;
    NtStatus? _answer;
    Va _waiting;
    int _waits;

    NtStatus AskOfPower(int what, uint detail)
    {
        switch (what)
        {
            case 0:
                return Query(detail % 2 == 0 ? D3 : D0);
            case 1:
                _judge.Refuses = !_judge.Refuses;
                return STATUS_SUCCESS;
            case 2:
                return Wait();
            case 3:
                _m.Nt.Computer.Pci.Known[0].Wake();
                _m.Nt.User.RunUntilIdle();
                // A device that is started, or was, tells of it.
                Assert.True(_waiting.IsNull);
                return STATUS_SUCCESS;
            case 4:
                return AskForSequence();
            default:
                if (!_waiting.IsNull) Assert.True(_m.Nt.IoCancelIrp(Irp.At(_m.Nt.Memory, _waiting)));
                _m.Nt.User.RunUntilIdle();
                Assert.True(_waiting.IsNull);
                return STATUS_SUCCESS;
        }
    }

    ulong Answered(GuestCall call)
    {
        _answer = _m.Read<IoStatusBlock>(new(call.Argument(4))).Status;
        return 0;
    }

    NtStatus Query(uint state)
    {
        if (Node.State is not (Started or QueryStopped or Stopped or QueryRemoved)) return STATUS_INVALID_DEVICE_STATE;
        _answer = null;
        _m.Nt.PoRequestPowerIrp(Node.PhysicalDevice, IRP_MN_QUERY_POWER, state, _answered, Va.Null, Va.Null);
        _m.Nt.User.RunUntilIdle();
        Assert.Equal(_judge.Refuses ? STATUS_DEVICE_BUSY : STATUS_SUCCESS, _answer);
        Seen.Add($"{_before} query {(_judge.Refuses ? "refused" : "agreed")}");
        return STATUS_SUCCESS;
    }

    // The system never asks; drivers may, and nobody here counts.
    NtStatus AskForSequence()
    {
        if (Node.State is not (Started or QueryStopped or Stopped or QueryRemoved)) return STATUS_INVALID_DEVICE_STATE;
        NtStatus? answer = null;
        _m.Nt.User.Call(() =>
        {
            answer = _m.Nt.Io.SendToStack(Node.PhysicalDevice, STATUS_NOT_SUPPORTED, location =>
                (location.MajorFunction, location.MinorFunction) =
                    (IrpMajor.IRP_MJ_POWER, IRP_MN_POWER_SEQUENCE)).Status;
            return STATUS_SUCCESS;
        });
        Assert.Equal(STATUS_NOT_SUPPORTED, answer);
        Seen.Add($"{_before} sequence asked");
        return STATUS_SUCCESS;
    }

    // One waits; who comes second hears at once that the device is busy.
    NtStatus Wait()
    {
        if (Node.State is not (Started or QueryStopped or QueryRemoved)) return STATUS_INVALID_DEVICE_STATE;
        bool isFirst = _waiting.IsNull;
        int before = _waits++;
        _m.Nt.PoRequestPowerIrp(Node.PhysicalDevice, IRP_MN_WAIT_WAKE, S3, _ended, Va.Null, _place);
        if (isFirst) _waiting = _m.Read<Va>(_place);
        _m.Nt.User.RunUntilIdle();
        Assert.Equal(isFirst ? before + 1 : before, _waits);
        return STATUS_SUCCESS;
    }

    ulong WaitEnded(GuestCall call)
    {
        NtStatus status = _m.Read<IoStatusBlock>(new(call.Argument(4))).Status;
        Seen.Add($"{_before} wait {status}");
        _waits--;
        Assert.InRange(_waits, 0, 1);
        if (status != STATUS_DEVICE_BUSY) _waiting = Va.Null;
        return 0;
    }

    NtStatus Sleep(bool isWoken)
    {
        bool waits = !_waiting.IsNull;
        if (isWoken && waits) _m.Nt.Computer.Clock.After(SleepTicks / 2, _m.Nt.Computer.Pci.Known[0].Wake);
        NtStatus status = _m.Nt.SetSystemState(SystemState.Sleeping3, SleepTicks);
        Assert.Equal(_judge.Refuses, !status.IsSuccess);
        if (_judge.Refuses) Seen.Add($"{_before} sleep refused");
        _m.Nt.User.RunUntilIdle();
        return status;
    }
}
