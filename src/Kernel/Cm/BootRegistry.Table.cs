namespace Ringdown.Kernel;

/// <summary>The registry as every machine finds it when it boots. One tree for all machines, made when the first one
/// needs it.</summary>
static class BootRegistry
{
    const string ControlSet = @"\Registry\Machine\System\ControlSet001";

    // 2024-01-01 00:00 UTC, when every machine boots.
    const long MadeTime = 133_485_408_000_000_000;

    const string Text = """
        Windows Registry Editor Version 5.00

        [HKEY_LOCAL_MACHINE\SYSTEM\Select]
        "Current"=dword:00000001
        "Default"=dword:00000001
        "Failed"=dword:00000000
        "LastKnownGood"=dword:00000001

        [HKEY_LOCAL_MACHINE\SYSTEM\Setup]
        "SystemSetupInProgress"=dword:00000000
        "SetupType"=dword:00000000

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control]
        "CurrentUser"="USERNAME"
        "SystemBootDevice"="multi(0)disk(0)rdisk(0)partition(1)"
        "SystemStartOptions"=" NOEXECUTE=OPTIN"
        "WaitToKillServiceTimeout"="5000"

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Class]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\DeviceClasses]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\FileSystem]
        "LongPathsEnabled"=dword:00000000
        "NtfsDisable8dot3NameCreation"=dword:00000002

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\ComputerName\ComputerName]
        "ComputerName"="RINGDOWN"
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\ComputerName\ActiveComputerName]
        "ComputerName"="RINGDOWN"

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\CrashControl]
        "AutoReboot"=dword:00000001
        "CrashDumpEnabled"=dword:00000000

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Nls\CodePage]
        "ACP"="1252"
        "OEMCP"="437"
        "MACCP"="10000"
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Nls\Language]
        "Default"="0409"
        "InstallLanguage"="0409"

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Power]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\PnP]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\ProductOptions]
        "ProductType"="WinNT"

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\SafeBoot]
        "AlternateShell"="cmd.exe"
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\SafeBoot\Minimal]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\SafeBoot\Network]

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\ServiceGroupOrder]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\GroupOrderList]

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Session Manager]
        "GlobalFlag"=dword:00000000
        "ProtectionMode"=dword:00000001
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Session Manager\Environment]
        "OS"="Windows_NT"
        "PROCESSOR_ARCHITECTURE"="AMD64"
        "NUMBER_OF_PROCESSORS"="1"
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Session Manager\Executive]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Session Manager\Kernel]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Session Manager\Memory Management]
        "ClearPageFileAtShutdown"=dword:00000000
        "DisablePagingExecutive"=dword:00000000
        "LargeSystemCache"=dword:00000000
        "NonPagedPoolQuota"=dword:00000000
        "NonPagedPoolSize"=dword:00000000
        "PagedPoolQuota"=dword:00000000
        "PagedPoolSize"=dword:00000000
        "SecondLevelDataCache"=dword:00000000
        "SystemPages"=dword:00000000
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Session Manager\Power]

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\SystemInformation]
        "SystemManufacturer"="Ringdown"
        "SystemProductName"="Ringdown"

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\TimeZoneInformation]
        "ActiveTimeBias"=dword:00000000
        "Bias"=dword:00000000
        "TimeZoneKeyName"="UTC"

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\Windows]
        "CSDVersion"=dword:00000000
        "Directory"=hex(2):25,00,53,00,79,00,73,00,74,00,65,00,6d,00,52,00,6f,00,6f,00,\
          74,00,25,00,00,00
        "NoInteractiveServices"=dword:00000001
        "SystemDirectory"=hex(2):25,00,53,00,79,00,73,00,74,00,65,00,6d,00,52,00,6f,00,\
          6f,00,74,00,25,00,5c,00,73,00,79,00,73,00,74,00,65,00,6d,00,33,00,32,00,00,\
          00

        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Control\WMI]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Enum\Root]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Hardware Profiles\0001\System\CurrentControlSet\Enum]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Hardware Profiles\Current]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Policies]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Services]
        [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Services\Tcpip\Parameters]
        "Hostname"="ringdown"

        [HKEY_LOCAL_MACHINE\SOFTWARE\Classes]
        [HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Cryptography]
        "MachineGuid"="6f1d2c3b-4a59-4687-b6a5-94837261504f"
        [HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion]
        "ProgramFilesDir"="C:\\Program Files"
        "CommonFilesDir"="C:\\Program Files\\Common Files"
        [HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System]
        "EnableLUA"=dword:00000001
        [HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion]
        "BuildLab"="19041.vb_release.191206-1406"
        "BuildLabEx"="19041.1.amd64fre.vb_release.191206-1406"
        "CurrentMajorVersionNumber"=dword:0000000a
        "CurrentMinorVersionNumber"=dword:00000000
        "CurrentType"="Multiprocessor Free"
        "CurrentVersion"="6.3"
        "EditionID"="Professional"
        "InstallationType"="Client"
        "ProductName"="Windows 10 Pro"
        "ReleaseId"="2004"
        "SystemRoot"="C:\\Windows"
        "UBR"=dword:00000001
        [HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows]
        [HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Microsoft]

        [HKEY_LOCAL_MACHINE\SAM]
        [HKEY_LOCAL_MACHINE\SECURITY]

        [HKEY_USERS\.Default\Control Panel]
        [HKEY_USERS\.Default\Environment]
        [HKEY_USERS\.Default\Software]
        [HKEY_USERS\S-1-5-18\Software]
        """;

    // What the kernel itself finds out at each boot.
    const string Hardware = """
        Windows Registry Editor Version 5.00

        [HKEY_LOCAL_MACHINE\HARDWARE\DESCRIPTION\System]
        "Identifier"="AT/AT COMPATIBLE"
        "SystemBiosDate"="01/01/24"

        [HKEY_LOCAL_MACHINE\HARDWARE\DESCRIPTION\System\CentralProcessor\0]
        "Component Information"=hex:00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00
        "FeatureSet"=dword:3d1b3fff
        "Identifier"="Intel64 Family 6 Model 60 Stepping 3"
        "ProcessorNameString"="Ringdown Processor"
        "VendorIdentifier"="GenuineIntel"
        "~MHz"=dword:000003e8

        [HKEY_LOCAL_MACHINE\HARDWARE\DEVICEMAP]
        [HKEY_LOCAL_MACHINE\HARDWARE\RESOURCEMAP]
        """;

    /// <summary>The root, \REGISTRY.</summary>
    public static RegistryNode Root { get; } = Build();

    static RegistryNode Build()
    {
        var root = new RegistryNode("REGISTRY")
        {
            LastWriteTime = MadeTime,
        };
        root = root.With(Named("MACHINE")).With(Named("USER"));
        root = Add(Add(root, Text, isVolatile: false), Hardware, isVolatile: true);
        string build = SharedData.BuildNumber.ToString(System.Globalization.CultureInfo.InvariantCulture);
        root = Change(root, Parts(@"Machine\Software\Microsoft\Windows NT\CurrentVersion"), false, n =>
            n.WithValue("CurrentBuild", RegistryValue.String(build)).WithValue(
                "CurrentBuildNumber", RegistryValue.String(build)));
        return Change(root, Parts(@"Machine\System\CurrentControlSet"), true, n =>
            (n with { IsLink = true }).WithValue(RegistryNode.LinkValue, RegistryValue.Link(ControlSet)));
    }

    static RegistryNode Named(string name) => new(name) { LastWriteTime = MadeTime };

    static ReadOnlySpan<string> Parts(string path) => path.Split('\\');

    static RegistryNode Add(RegistryNode root, string text, bool isVolatile)
    {
        foreach (RegistrySection section in RegistryDocument.Parse(text).Sections)
            root = Change(root, Parts(section.Path[@"\Registry\".Length..]), isVolatile, node =>
            {
                foreach ((string name, RegistryValue? value) in section.Values) node = node.WithValue(name, value!);
                return node;
            });
        return root;
    }

    static RegistryNode Change(
        RegistryNode node, ReadOnlySpan<string> path, bool isVolatile, Func<RegistryNode, RegistryNode> change)
    {
        if (path.Length == 0) return change(node);
        RegistryNode child = node.Find(path[0]) ?? Named(path[0]) with { IsVolatile = isVolatile };
        return node.With(Change(child, path[1..], isVolatile, change));
    }
}
