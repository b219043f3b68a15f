using Ringdown.Kernel;
using Ringdown.Verifier;

namespace Ringdown.Check;

/// <summary>Requests of each kind that a driver knows, begun on all of its devices.</summary>
sealed class Requests(Surface surface)
{
    const uint ReadBytes = 64;
    const int SomeCodes = 8;

    readonly List<UserFile> _files = [];
    readonly List<(string What, UserRequest Request)> _begun = [];

    /// <summary>What is open.</summary>
    public IReadOnlyList<UserFile> Files => _files;

    /// <summary>Opens everything, and begins a request of each kind.</summary>
    /// <param name="atOnce">The machine does not run on after them: a device has done nothing yet for them.</param>
    public void Begin(NtKernel nt, bool atOnce)
    {
        foreach (string path in surface.Paths)
        {
            if (!nt.User.CreateFile(path, out UserFile? file).IsSuccess) continue;
            file!.ReturnsAtOnce = atOnce;
            _files.Add(file);
            if (surface.Majors.Contains(IrpMajor.IRP_MJ_READ)) _begun.Add(("a read", file.Read(ReadBytes)));
            if (surface.Majors.Contains(IrpMajor.IRP_MJ_WRITE))
                _begun.Add(("a write", file.Write(new byte[ReadBytes])));
            foreach (uint code in surface.ControlCodes.Take(SomeCodes))
                _begun.Add(($"ioctl 0x{code:X}", file.DeviceIoControl(code, new byte[64], 64)));
        }
    }

    /// <summary>Tells of requests that a driver still has although their device is gone.</summary>
    public void ReportLeft(DriverSession session, DeviceNode device)
    {
        string[] left = [.. _begun.Where(b => !b.Request.IsComplete).Select(b => b.What).Distinct()];
        if (left.Length == 0) return;
        session.Reporter.Findings.Add(new Finding("Device", Severity.Error,
            $"{device} is gone, and its driver still keeps {string.Join(", ", left)}: at IRP_MN_SURPRISE_REMOVAL it "
            + "completes what it has.")
        {
            Driver = session.Driver!.Image.ModuleName,
            During = session.Reporter.During,
            Seed = session.Reporter.Seed,
        });
    }
}
