using System.Diagnostics;
using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Tests;

namespace Ringdown.Bench;

/// <summary>Data through the drivers of samples and the chips below them: how much in a second of the host, and of the
/// machine.</summary>
static class ChipBench
{
    static NtKernel Boot(string? driver, Action<Computer> board)
    {
        var nt = new NtKernel(new KernelOptions { Board = board, UserIsAdministrator = true, SpecialPool = false });
        if (driver is not null) DriverFile.Open(Path.Combine(AppContext.BaseDirectory, driver + ".sys")).Load(nt);
        return nt;
    }

    static UserFile Open(NtKernel nt, string path) => nt.User.CreateFile(path, out UserFile? file).IsSuccess
        ? file! : throw new InvalidOperationException(path);

    /// <summary>The walk of <see cref="DiskWalk"/> over an image file of so many MiB, and as many written.</summary>
    public static int Ata(long megabytes, bool isCSharp)
    {
        long bytes = megabytes << 20;
        AtaChannel? channel = null;
        string path = Path.Combine(Path.GetTempPath(), $"bench-{Environment.ProcessId}.img");
        using (FileStream image = File.Create(path)) image.SetLength(bytes);
        try
        {
            using var medium = new ImageDisk(path, writes: true);
            using NtKernel nt = Boot(isCSharp ? null : "atadisk", computer =>
            {
                channel = new AtaChannel(computer.Memory, computer.Clock, computer.Interrupts.Line(14));
                computer.Ports.Devices.Add(0x1F0, 8, channel.Registers);
                computer.Ports.Devices.Add(0x3F6, 1, channel.Control);
                computer.Ports.Devices.Add(0xC000, 8, channel.BusMaster);
            });
            if (isCSharp) nt.Loader.Load("atadisk", new Samples.AtaDisk());
            byte[] requirements =
                RequirementText.Parse("ports 1F0-1F7", "ports 3F6-3F6", "ports C000-C007", "line 14-14");
            var walk = new DiskWalk(nt, channel!, medium,
                () => nt.User.Devices.AddRootDevice(@"Root\Bench", "atadisk", requirements), seed: 1);
            walk.Begin();
            Measure(nt, "write and read here and there", () => walk.Run(bytes),
                () => walk.Done.Written + walk.Done.Read);
            Console.WriteLine(walk.Done);
            Measure(nt, "read all and compare", walk.Verify, () => bytes);
        }
        finally
        {
            File.Delete(path);
        }
        return 0;
    }

    /// <summary>Bytes around a loop, at 115,200 baud of the machine's time.</summary>
    public static int Uart(int count)
    {
        using NtKernel nt = Boot("serial", computer =>
        {
            var uart = new Uart16550(computer.Clock, computer.Interrupts.Line(4));
            uart.LoopBack();
            computer.Ports.Devices.Add(0x3F8, 8, uart.Registers);
        });
        nt.User.Devices.AddRootDevice(@"Root\Bench", "serial", RequirementText.Parse("ports 3F8-3FF", "line 4-4"));
        UserFile file = Open(nt, @"\\.\COM1");
        Check(file.DeviceIoControl(0x1B0004, BitConverter.GetBytes(115200), 0).Status);
        var bytes = new byte[2048];
        for (int i = 0; i < bytes.Length; i++) bytes[i] = (byte)(i * 7);
        Measure(nt, "around", () =>
        {
            for (int done = 0; done + bytes.Length <= count; done += bytes.Length)
            {
                Check(file.Write(bytes).Status);
                if (!file.Read((uint)bytes.Length).Output.SequenceEqual(bytes))
                    throw new InvalidOperationException("What came back is not what was sent.");
            }
        }, () => count / bytes.Length * bytes.Length);
        return 0;
    }

    static void Check(NtStatus status)
    {
        if (!status.IsSuccess) throw new InvalidOperationException(status.ToString());
    }

    static void Measure(NtKernel nt, string what, Action action, Func<long> bytes)
    {
        long begin = Stopwatch.GetTimestamp(), time = nt.Ke.Clock.Now;
        action();
        double host = Stopwatch.GetElapsedTime(begin).TotalSeconds, machine = (nt.Ke.Clock.Now - time) / 1e7;
        Console.WriteLine($"{what}: {bytes():n0} bytes, {bytes() / host:n0} a second of the host, "
            + $"{bytes() / machine:n0} of the machine's");
    }
}
