using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>Reads and writes of several sizes, and with buffers that are not there.</summary>
sealed class TransferPhase : IPhase
{
    static readonly uint[] s_sizes = [0, 1, 64, 4096];

    public string Name => "read and write";

    public void Run(CheckRun run)
    {
        bool reads = run.Surface!.Majors.Contains(IrpMajor.IRP_MJ_READ),
            writes = run.Surface.Majors.Contains(IrpMajor.IRP_MJ_WRITE);
        if (!reads && !writes) return;
        foreach (string path in run.Surface.Paths)
        {
            foreach (uint size in s_sizes)
            {
                if (writes) run.WithFile(path, $"write of {size} bytes", (_, file) => file.Write(Bytes(size)));
                if (reads) run.WithFile(path, $"read of {size} bytes", (_, file) => file.Read(size));
                if (reads)
                    run.WithFile(path, $"read of {size} bytes far behind the end",
                        (_, file) => file.Read(size, long.MaxValue));
                if (writes)
                    run.WithFile(path, $"write of {size} bytes at the end", (_, file) => file.Write(Bytes(size), -1));
            }
            if (writes) Underway.Exercise(run, path, "write of 64 bytes", file => file.Write(Bytes(64)));
            if (reads) Underway.Exercise(run, path, "read of 64 bytes", file => file.Read(64));
            foreach ((string what, Va buffer) in BadBuffers.All)
            {
                if (writes)
                    run.WithFile(path, $"write of 64 bytes from {what}", (_, file) => file.WriteFrom(buffer, 64));
                if (reads) run.WithFile(path, $"read of 64 bytes to {what}", (_, file) => file.ReadTo(buffer, 64));
            }
        }
    }

    static byte[] Bytes(uint size) => [.. Enumerable.Range(0, (int)size).Select(i => (byte)i)];
}

/// <summary>Pointers that a program must not be able to harm the kernel with.</summary>
static class BadBuffers
{
    public static readonly (string What, Va Buffer)[] All =
    [
        ("a null pointer", Va.Null),
        ("a user address that is not there", new Va(0x1_0000)),
        ("a kernel address", new Va(0xFFFF_F780_0000_0000)),
        ("an address that is not canonical", new Va(0x8000_0000_0000_0000)),
    ];
}
