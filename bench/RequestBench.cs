using System.Diagnostics;
using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Bench;

/// <summary>Requests that a driver keeps: what one costs when many are under way.</summary>
static class RequestBench
{
    public static int Run(int count)
    {
        var nt = new NtKernel(new KernelOptions { InstructionLimit = long.MaxValue, SpecialPool = false });
        var kept = new List<Va>();
        UserFile file = Open(nt, kept);
        for (int part = 1; part <= 10; part++)
        {
            long begin = Stopwatch.GetTimestamp();
            for (int i = 0; i < count / 10; i++) file.DeviceIoControl(0x22_2003, Va.Null, 0, Va.Null, 0);
            Tell($"{kept.Count} under way, the last tenth sent", begin, count / 10);
        }
        long half = Stopwatch.GetTimestamp();
        for (int i = 0; i < count / 2; i++)
        {
            Irp irp = Irp.At(nt.Memory, kept[i]);
            nt.IofCompleteRequest(irp, 0);
        }
        Tell("half of them completed", half, count / 2);
        using var process = Process.GetCurrentProcess();
        Console.WriteLine($"{process.PeakWorkingSet64 >> 20} MiB at most");
        nt.Dispose();
        return 0;
    }

    static UserFile Open(NtKernel nt, List<Va> kept)
    {
        DriverObject driver = nt.Io.CreateDriver("keeper", new Va(0xFFFF_F801_7000_0000), 0x1000, Va.Null, Va.Null);
        Va routine = nt.Routines.Add("keep", (kernel, call) =>
        {
            Irp irp = Irp.At(kernel.Memory, new Va(call.Argument(1)));
            IoStackLocation location = irp.CurrentStackLocation;
            if (location.MajorFunction != IrpMajor.IRP_MJ_DEVICE_CONTROL)
            {
                kernel.IofCompleteRequest(irp, 0);
                return;
            }
            location.Control |= StackControl.SL_PENDING_RETURNED;
            kept.Add(irp.Address);
            call.Return(Status.STATUS_PENDING.Value);
        });
        for (IrpMajor major = 0; major <= IrpMajor.IRP_MJ_PNP; major++) driver.SetMajorFunction(major, routine);
        Va place = nt.Mm.Pool.Allocate(8, 0x68636E62);
        nt.IoCreateDevice(driver, 0, UnicodeString.At(nt.Memory, nt.Rtl.AllocateString(@"\Device\Keeper")), 0x22, 0,
            false, place);
        DeviceObject device = DeviceObject.At(nt.Memory, nt.Memory.Read<Va>(place));
        device.Flags &= ~0x80u;
        nt.User.CreateFile(@"\Device\Keeper", out UserFile? file);
        return file!;
    }

    static void Tell(string what, long begin, int count) => Console.WriteLine(
        $"{what}: {Stopwatch.GetElapsedTime(begin).TotalMicroseconds / count:f2} us each");
}
