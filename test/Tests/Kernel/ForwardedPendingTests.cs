using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.IrpMajor;
using static Ringdown.Kernel.Status;
using static Ringdown.Kernel.Wdm;

namespace Ringdown.Tests;

/// <summary>A filter that returns what the driver below it has returned.</summary>
public sealed class ForwardedPendingTests
{
    /// <summary>Pends each read until its timer fires.</summary>
    sealed class Below : NtDriver
    {
        Va _timer, _dpc;

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
                driverObject.SetMajorFunction(major, Routine(Dispatch));
            _timer = Nt.ExAllocatePool2(POOL_FLAG_NON_PAGED, (ulong)KTimer.Size, Tag("Test"));
            _dpc = Nt.ExAllocatePool2(POOL_FLAG_NON_PAGED, (ulong)KDpc.Size, Tag("Test"));
            Nt.KeInitializeTimer(At<KTimer>(_timer));
            return IoCreateDevice(driverObject, 0, @"\Device\Below", FILE_DEVICE_UNKNOWN, 0, false, out _);
        }

        NtStatus Dispatch(DeviceObject device, Irp irp)
        {
            if (irp.CurrentStackLocation.MajorFunction != IRP_MJ_READ) return Complete(irp, STATUS_SUCCESS);
            irp.MarkPending();
            Nt.KeInitializeDpc(At<KDpc>(_dpc), Routine(Finish), irp.Address);
            Nt.KeSetTimer(At<KTimer>(_timer), Milliseconds(1), At<KDpc>(_dpc));
            return STATUS_PENDING;
        }

        void Finish(KDpc dpc, Va context, Va argument1, Va argument2) => Complete(At<Irp>(context), STATUS_SUCCESS);
    }

    sealed class Above(bool marks) : NtDriver
    {
        DeviceObject _lower;

        public override NtStatus DriverEntry(DriverObject driverObject, UnicodeString registryPath)
        {
            for (IrpMajor major = IRP_MJ_CREATE; major <= IRP_MJ_PNP; major++)
                driverObject.SetMajorFunction(major, Routine(Dispatch));
            IoCreateDevice(driverObject, 0, "", FILE_DEVICE_UNKNOWN, 0, false, out DeviceObject device);
            Va lower = Local(8);
            NtStatus status = Nt.IoAttachDevice(device, Text(@"\Device\Below"), lower);
            _lower = At<DeviceObject>(Memory.Read<Va>(lower));
            return status;
        }

        NtStatus Dispatch(DeviceObject device, Irp irp)
        {
            irp.CopyCurrentStackLocationToNext();
            irp.SetCompletionRoutine(Routine(Done), Va.Null);
            return Nt.IofCallDriver(_lower, irp);
        }

        NtStatus Done(DeviceObject device, Irp irp, Va context)
        {
            if (marks && irp.PendingReturned) irp.MarkPending();
            return STATUS_SUCCESS;
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    [Rule("1.10")]
    public void It_may_mark_the_IRP_in_its_completion_routine_and_must(bool marks)
    {
        using var m = new TestMachine();
        m.Load(new Below());
        m.Load(new Above(marks));
        Assert.Equal(STATUS_SUCCESS, m.Open(@"\Device\Below").Read(8).Status);
        Assert.Equal(marks ? 0 : 1, m.Findings.Count);
        if (!marks) Assert.Contains("Above!Done", m.Findings[0].Message);
    }
}
