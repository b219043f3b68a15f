using Ringdown.Machine;

namespace Ringdown.Check;

/// <summary>Sends the control codes that the driver's code compares with, each with several sizes and
/// contents.</summary>
sealed class ControlPhase : IPhase
{
    /// <summary>Machines that one code may bring down before the rest of its cases is left out.</summary>
    const int MaximumStops = 2;
    const uint UnknownCode = 0x0022_3FFC;

    static readonly (uint Input, uint Output)[] s_sizes = [(0, 0), (8, 8), (64, 64), (1, 0), (0, 1), (4096, 4096)];

    public string Name => "device control";

    public void Run(CheckRun run)
    {
        foreach (string path in run.Surface!.Paths)
        {
            foreach (uint code in run.Surface.ControlCodes.Append(UnknownCode))
            {
                int before = run.Findings.Errors;
                Exercise(run, path, code);
                if (run.Findings.Errors > before) run.Harmful.Add(code);
            }
        }
    }

    static void Exercise(CheckRun run, string path, uint code)
    {
        int stops = 0;
        string name = ControlCodes.Describe(code);
        foreach ((uint input, uint output) in s_sizes)
        {
            foreach (byte fill in (ReadOnlySpan<byte>)[0x41, 0xFF])
            {
                if (input == 0 && fill != 0x41) continue;
                byte[] data = new byte[input];
                data.AsSpan().Fill(fill);
                bool runs = run.WithFile(path, $"ioctl {name}, {input} bytes in, {output} out",
                    (_, file) => file.DeviceIoControl(code, data, output));
                if (!runs && ++stops >= MaximumStops) return;
            }
        }
        if (!Underway.Exercise(
            run, path, $"ioctl {name}", file => file.DeviceIoControl(code, new byte[64], 64))) return;
        // The same function by the other ways of passing buffers: a driver that handles it must not trust them.
        for (uint method = 0; method < 4; method++)
        {
            uint other = code & ~3u | method;
            foreach ((string what, Va buffer) in BadBuffers.All)
            {
                bool runs = run.WithFile(path, $"ioctl {ControlCodes.Describe(other)} with {what}",
                    (_, file) => file.DeviceIoControl(other, buffer, 64, buffer, 64));
                if (!runs && ++stops >= MaximumStops) return;
            }
        }
    }
}
