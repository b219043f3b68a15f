using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;

namespace Ringdown.Tests;

/// <summary>A package for a test: the text of its INF, and test drivers beside it by their names.</summary>
sealed class MemoryPackage(params string[] drivers) : IPackageFiles
{
    readonly Dictionary<string, string> _texts = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Puts another text beside it.</summary>
    public MemoryPackage With(string name, string text)
    {
        _texts.Add(name, text);
        return this;
    }

    public byte[]? Read(string path) =>
        _texts.TryGetValue(path, out string? text) ? Encoding.Latin1.GetBytes(text) : null;

    public DriverImage? FindDriver(string path)
    {
        string name = Path.GetFileNameWithoutExtension(path.Replace('\\', '/'));
        if (!drivers.Contains(name)) return null;
        return new DriverImage(PeImage.Parse(File.ReadAllBytes(Repository.Driver(name))), Symbols.None);
    }

    public DriverPackage Open(string inf) =>
        DriverPackage.Open("test.inf", Encoding.Latin1.GetBytes(inf), this);

    /// <summary>An INF for one device with echo.sys as its driver.</summary>
    /// <param name="install">Lines of the install section.</param>
    /// <param name="more">Other sections.</param>
    public static string Echo(string install = "", string more = "", string ids = @"Root\Echo",
        string driverVer = "11/28/2025,1.2.3.4") => $$"""
        [Version]
        Signature = "$Windows NT$"
        Class = Sample
        ClassGuid = {78A1C341-4539-11d3-B88D-00C04FAD5171}
        Provider = %Company%
        DriverVer = {{driverVer}}
        CatalogFile = echo.cat
        PnpLockDown = 1

        [DestinationDirs]
        DefaultDestDir = 12
        [SourceDisksNames]
        1 = %Disk%
        [SourceDisksFiles]
        echo.sys = 1

        [Manufacturer]
        %Company% = Standard, NTamd64
        [Standard.NTamd64]
        %Device% = Echo_Inst, {{ids}}

        [Echo_Inst.NT]
        CopyFiles = @echo.sys
        {{install}}

        [Echo_Inst.NT.Services]
        AddService = echo, 2, Echo_Service
        [Echo_Service]
        DisplayName = %Device%
        ServiceType = 1
        StartType = 3
        ErrorControl = 1
        ServiceBinary = %12%\echo.sys

        {{more}}

        [Strings]
        Company = "Ringdown"
        Disk = "Installation disk"
        Device = "Echo device"
        """;
}
