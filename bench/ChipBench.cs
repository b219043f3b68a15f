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
    const int Piece = 0x1_0000;

    static NtKernel Boot(string driver, Action<Computer> board, params string[] requirements)
    {
        var nt = new NtKernel(new KernelOptions { Board = board, UserIsAdministrator = true, SpecialPool = false });
        DriverFile.Open(Path.Combine(AppContext.BaseDirectory, driver + ".sys")).Load(nt);
        nt.User.Devices.AddRootDevice(@"Root\Bench", driver, RequirementText.Parse(requirements));
        return nt;
    }

    static UserFile Open(NtKernel nt, string path) => nt.User.CreateFile(path, out UserFile? file).IsSuccess
        ? file! : throw new InvalidOperationException(path);

    /// <summary>Writes all of a disk in 64 KiB pieces in no order, flushes, loses power, and reads and compares
    /// all.</summary>
    public static int Ata(long megabytes)
    {
        AtaChannel? channel = null;
        using NtKernel nt = Boot("atadisk", computer =>
        {
            channel = new AtaChannel(computer.Memory, computer.Clock, computer.Interrupts.Line(14));
            computer.Ports.Devices.Add(0x1F0, 8, channel.Registers);
            computer.Ports.Devices.Add(0x3F6, 1, channel.Control);
            computer.Ports.Devices.Add(0xC000, 8, channel.BusMaster);
            channel.Connect(0, new AtaDrive(new MemoryDisk(megabytes * 2048), "BENCH"));
        }, "ports 1F0-1F7", "ports 3F6-3F6", "ports C000-C007", "line 14-14");
        UserFile file = Open(nt, @"\\.\AtaDisk0");
        long[] order = [.. Enumerable.Range(0, (int)(megabytes << 20) / Piece)];
        var chance = new Chance(1);
        for (int i = order.Length - 1; i > 0; i--)
        {
            int j = chance.Next(i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }
        var bytes = new byte[Piece];
        Measure(nt, "write", megabytes << 20, () =>
        {
            foreach (long piece in order)
            {
                Array.Fill(bytes, (byte)(piece * 7 + 1));
                Check(file.Write(bytes, piece * Piece).Status);
            }
            Check(file.Flush().Status);
        });
        channel!.PowerOff();
        channel.PowerOn();
        nt.User.RunUntilIdle();
        Measure(nt, "read and compare", megabytes << 20, () =>
        {
            foreach (long piece in order)
            {
                Array.Fill(bytes, (byte)(piece * 7 + 1));
                if (!file.Read(Piece, piece * Piece).Output.SequenceEqual(bytes))
                    throw new InvalidOperationException($"What was written to {piece * Piece:x} is not there.");
            }
        });
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
        }, "ports 3F8-3FF", "line 4-4");
        UserFile file = Open(nt, @"\\.\COM1");
        Check(file.DeviceIoControl(0x1B0004, BitConverter.GetBytes(115200), 0).Status);
        var bytes = new byte[2048];
        for (int i = 0; i < bytes.Length; i++) bytes[i] = (byte)(i * 7);
        Measure(nt, "around", count / bytes.Length * bytes.Length, () =>
        {
            for (int done = 0; done + bytes.Length <= count; done += bytes.Length)
            {
                Check(file.Write(bytes).Status);
                if (!file.Read((uint)bytes.Length).Output.SequenceEqual(bytes))
                    throw new InvalidOperationException("What came back is not what was sent.");
            }
        });
        return 0;
    }

    static void Check(NtStatus status)
    {
        if (!status.IsSuccess) throw new InvalidOperationException(status.ToString());
    }

    static void Measure(NtKernel nt, string what, long bytes, Action action)
    {
        long begin = Stopwatch.GetTimestamp(), time = nt.Ke.Clock.Now;
        action();
        double host = Stopwatch.GetElapsedTime(begin).TotalSeconds, machine = (nt.Ke.Clock.Now - time) / 1e7;
        Console.WriteLine($"{what}: {bytes:n0} bytes, {bytes / host:n0} a second of the host, "
            + $"{bytes / machine:n0} of the machine's");
    }
}
