using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Tests;

// What happens to a disk while it is used.
sealed partial class DiskWalk
{
    const uint DeviceD0 = 1, DeviceD3 = 4, SetPower = 2;
    const int SoonTicks = 50_000, LongestOffTicks = 250_000_000;
    const long SleepTicks = 10_000_000, ShortestOffTicks = 1_000;

    bool _isOff;
    int _losses;

    void Happen()
    {
        switch (_chance.Next(12))
        {
            case < 5:
                Flush();
                break;
            case < 8:
                Cancel();
                break;
            case 8:
                _done.Sleeps++;
                NtStatus slept = nt.SetSystemState(SystemState.Sleeping3, SleepTicks);
                Must(slept.IsSuccess, $"The machine does not sleep: {slept}.");
                break;
            case 9:
                PowerDown();
                break;
            case 10:
                LosePower();
                break;
            default:
                PullOut();
                break;
        }
    }

    void Flush()
    {
        _done.Flushes++;
        Reap(0);
        int losses = _losses;
        bool mayFail = _isOff;
        Win32Result flushed = Win32.FlushFileBuffers(_file);
        if (_losses != losses) return;
        Must(flushed.Succeeded || mayFail, $"A flush has ended with error {flushed.Error}.");
        if (flushed.Succeeded) _contents.Settle();
    }

    // One of them, or all.
    void Cancel()
    {
        bool isAll = _chance.OneIn(3);
        Slot[] busy = [.. _slots.Where(s => s.IsBusy)];
        if (busy.Length == 0) return;
        _done.Cancels++;
        Slot one = busy[_chance.Next(busy.Length)];
        foreach (Slot slot in isAll ? busy : [one]) slot.MayFail = true;
        Win32.CancelIoEx(_file, isAll ? null : one.Overlapped);
    }

    // A driver lets the drive put everything on its medium before power goes; what waits goes on when it is back.
    void PowerDown()
    {
        _done.PowerDowns++;
        AskForPower(DeviceD3);
        Must(channel.Drive(0)!.Unflushed == 0, "The drive's power goes, and not all is on its medium.");
        while (Array.Exists(_slots, s => s.IsBusy))
        {
            int before = _slots.Count(s => s.IsBusy);
            Reap(0);
            if (_slots.Count(s => s.IsBusy) == before) break;
        }
        _contents.Settle();
        channel.PowerOff();
        _contents.Lose();
        if (_chance.OneIn(2)) Cancel();
        channel.PowerOn();
        AskForPower(DeviceD0);
    }

    void AskForPower(uint state)
    {
        nt.PoRequestPowerIrp(_node.PhysicalDevice, (byte)SetPower, state, Va.Null, Va.Null, Va.Null);
        nt.User.RunUntilIdle();
    }

    // The drive has none for a while, and nobody was told.
    void LosePower()
    {
        _done.PowerLosses++;
        long soon = 1 + _chance.Next(SoonTicks), back = soon + ShortestOffTicks + _chance.Next(LongestOffTicks);
        bool isBack = false;
        nt.Computer.Clock.After(soon, () =>
        {
            channel.PowerOff();
            _isOff = true;
            Lost();
        });
        nt.Computer.Clock.After(back, () =>
        {
            channel.PowerOn();
            (_isOff, isBack) = (false, true);
        });
        if (_chance.OneIn(3)) Flush();
        while (!isBack)
        {
            Send();
            Reap(1000);
        }
    }

    void Lost()
    {
        _losses++;
        _contents.Lose();
        foreach (Slot slot in _slots.Where(s => s.IsBusy)) (slot.MayFail, slot.HasLost) = (true, true);
    }

    // In the middle of what it does; then it is put back.
    void PullOut()
    {
        _done.Removals++;
        bool isOut = false;
        nt.Computer.Clock.After(1 + _chance.Next(SoonTicks), () =>
        {
            channel.Connect(0, null);
            isOut = true;
            Lost();
        });
        while (!isOut) Reap(1);
        nt.User.Devices.PullOut(_node);
        Drain();
        Must(Win32.CloseHandle(_file).Succeeded, "The file of a disk that is gone cannot be closed.");
        nt.User.RunUntilIdle();
        Must(_node.State == DeviceNodeState.Deleted, $"The disk is pulled out, and still there: {_node.State}.");
        PutIn();
    }
}
