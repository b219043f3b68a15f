using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

/// <summary>What a driver does with an IRP's stack locations, which are inlines in the headers.</summary>
static class IrpParts
{
    /// <summary>IoSetCompletionRoutine.</summary>
    public static void OnCompletion(
        this Irp irp, Va routine, StackControl when = StackControl.SL_INVOKE_ALWAYS, Va context = default)
    {
        IoStackLocation next = irp.CurrentStackLocation.Below;
        (next.CompletionRoutine, next.Context, next.Control) = (routine, context, when);
    }

    /// <summary>IoGetNextIrpStackLocation, with a major function.</summary>
    public static IoStackLocation Next(this Irp irp, IrpMajor major)
    {
        IoStackLocation next = irp.CurrentStackLocation.Below;
        next.MajorFunction = major;
        return next;
    }

    /// <summary>IoCopyCurrentIrpStackLocationToNext.</summary>
    public static void CopyToNext(this Irp irp) => irp.CurrentStackLocation.CopyTo(irp.CurrentStackLocation.Below);

    /// <summary>IoSkipCurrentIrpStackLocation.</summary>
    public static void Skip(this Irp irp)
    {
        irp.CurrentLocation++;
        irp.CurrentStackLocation = irp.CurrentStackLocation.Above;
    }

    /// <summary>IoSetNextIrpStackLocation: a location of the creator's own.</summary>
    public static void SetNext(this Irp irp)
    {
        irp.CurrentLocation--;
        irp.CurrentStackLocation = irp.CurrentStackLocation.Below;
    }

    /// <summary>An IRP of IoAllocateIrp for a device, whose completion routine keeps it.</summary>
    public static Irp OwnIrp(this TestMachine m, int locations, IrpMajor major = IrpMajor.IRP_MJ_FLUSH_BUFFERS)
    {
        Irp irp = m.Nt.IoAllocateIrp((sbyte)locations, false);
        irp.Next(major);
        irp.OnCompletion(m.Keeping());
        return irp;
    }

    /// <summary>A completion routine that keeps the IRP.</summary>
    public static Va Keeping(this TestMachine m, Action<Irp>? seen = null) => m.Routine(call =>
    {
        seen?.Invoke(Irp.At(m.Nt.Memory, new Va(call.Argument(1))));
        return Status.STATUS_MORE_PROCESSING_REQUIRED.Value;
    });

    /// <summary>A device over another one.</summary>
    public static DeviceObject Over(this TestMachine m, DeviceObject lower, string name,
        Func<DeviceObject, Irp, NtStatus> dispatch)
    {
        DeviceObject upper = m.Dispatching(name, dispatch);
        upper.Flags |= lower.Flags & (Io.DO_BUFFERED_IO | Io.DO_DIRECT_IO);
        Assert.Equal(lower, m.Nt.IoAttachDeviceToDeviceStack(upper, lower));
        return upper;
    }

    /// <summary>The rules have found one thing, which has these words in it.</summary>
    public static void Found(this TestMachine m, string words) =>
        Assert.Contains(words, Assert.Single(m.Findings).Message);

    /// <summary>KeWaitForSingleObject, without a time limit.</summary>
    public static NtStatus WaitFor(this TestMachine m, KEvent @event) =>
        m.Nt.KeWaitForSingleObject(@event.Header, 0, 0, false, Va.Null);
}
