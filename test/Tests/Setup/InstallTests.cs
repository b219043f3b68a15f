using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

public sealed class InstallTests
{
    const string ControlSet = @"\Registry\Machine\System\CurrentControlSet";
    const string Class = "{78a1c341-4539-11d3-b88d-00c04fad5171}";
    const string Instance = @"ROOT\ECHO\0000", Device = ControlSet + @"\Enum\" + Instance;

    static RegistryValue? Value(TestMachine m, string path, string name) => m.Nt.Cm.Find(path)?.Node.FindValue(name);

    static string? Text(TestMachine m, string path, string name) => Value(m, path, name)?.Text;

    static uint Number(TestMachine m, string path, string name) => BitConverter.ToUInt32(Value(m, path, name)!.Data);

    static string[] List(TestMachine m, string path, string name) =>
        Value(m, path, name)!.RawText.Split('\0', StringSplitOptions.RemoveEmptyEntries);

    static bool Install(TestMachine m, params string[] ids) => m.Nt.Drivers.Install(Instance, ids, []);

    static void Installed(TestMachine m, string install = "", string more = "")
    {
        m.Nt.Drivers.Add(new MemoryPackage("echo").Open(MemoryPackage.Echo(install, more)));
        Assert.True(Install(m, @"ROOT\ECHO"), string.Join("\n", m.Nt.Drivers.Mistakes.Select(e => e.Message)));
    }

    [Fact]
    public void A_device_gets_the_keys_and_values_that_Windows_writes()
    {
        using var m = new TestMachine();
        Installed(m);
        Assert.Equal(("Echo device", "Ringdown", Class, Class + @"\0000", "echo"),
            (Text(m, Device, "DeviceDesc"), Text(m, Device, "Mfg"), Text(m, Device, "ClassGUID"),
                Text(m, Device, "Driver"), Text(m, Device, "Service")));
        Assert.Equal("Sample", Text(m, $@"{ControlSet}\Control\Class\{Class}", "Class"));
        string driver = $@"{ControlSet}\Control\Class\{Class}\0000";
        Assert.Equal(("Echo device", "Ringdown", "1.2.3.4", "11-28-2025", "oem0.inf", "Echo_Inst", ".NT", @"Root\Echo"),
            (Text(m, driver, "DriverDesc"), Text(m, driver, "ProviderName"), Text(m, driver, "DriverVersion"),
                Text(m, driver, "DriverDate"), Text(m, driver, "InfPath"), Text(m, driver, "InfSection"),
                Text(m, driver, "InfSectionExt"), Text(m, driver, "MatchingDeviceId")));
        // 2025-11-28 as FILETIME.
        Assert.Equal(134_087_616_000_000_000, BitConverter.ToInt64(Value(m, driver, "DriverDateData")!.Data));
        string service = $@"{ControlSet}\Services\echo";
        Assert.Equal((1u, 3u, 1u), (Number(m, service, "Type"), Number(m, service, "Start"),
            Number(m, service, "ErrorControl")));
        Assert.Equal(@"\SystemRoot\System32\drivers\echo.sys", Text(m, service, "ImagePath"));
        Assert.Equal(["oem0.inf"], List(m, service, "Owners"));
    }

    [Fact]
    public void The_driver_can_be_loaded_by_its_service_afterwards()
    {
        using var m = new TestMachine();
        Assert.Equal(Status.STATUS_OBJECT_NAME_NOT_FOUND,
            m.Nt.Loader.LoadService(ControlSet + @"\Services\echo"));
        Installed(m);
        Assert.Equal(Status.STATUS_SUCCESS, m.Nt.Loader.LoadService(ControlSet + @"\Services\echo"));
        m.Open(@"\\.\Echo").Close();
    }

    [Fact]
    public void Every_type_of_AddReg_is_written_as_its_flags_say()
    {
        using var m = new TestMachine();
        Installed(m, "AddReg = Values", """
            [Values]
            HKR,,Text,,"a;b"
            HKR,,Expand,0x20000,"%%SystemRoot%%\x"
            HKR,,Multi,0x10000,one,two
            HKR,,Number,0x10001,0x1F
            HKR,,Negative,0x10001,-1
            HKR,,FourBytes,0x10001,01,02,03,04
            HKR,,Binary,1,01,ff,\
              0x10
            HKR,,None,0x20001
            HKR,,Big,0xB0001,01,00,00,00,00,00,00,00
            HKR,,Number,0x10003,5
            HKR,,New,0x10021,1
            HKR,,Multi,0x10008,TWO,three
            HKR,Sub\Key
            HKR,Sub,,,default
            HKLM,Software\Ringdown,Here,,yes
            HKLM,Software\Ringdown,Here32,0x4000,yes
            HKCR,.rdn,,,rdnfile
            HKR,,Gone,,x
            HKR,,Gone,4
            """);
        string driver = $@"{ControlSet}\Control\Class\{Class}\0000";
        Assert.Equal(("a;b", @"%SystemRoot%\x"), (Text(m, driver, "Text"), Text(m, driver, "Expand")));
        Assert.Equal(RegistryValue.REG_EXPAND_SZ, Value(m, driver, "Expand")!.Type);
        Assert.Equal(["one", "two", "three"], List(m, driver, "Multi"));
        Assert.Equal((0x1Fu, uint.MaxValue, 0x04030201u), (Number(m, driver, "Number"), Number(m, driver, "Negative"),
            Number(m, driver, "FourBytes")));
        Assert.Equal([1, 0xFF, 0x10], Value(m, driver, "Binary")!.Data);
        Assert.Equal((RegistryValue.REG_NONE, RegistryValue.REG_QWORD),
            (Value(m, driver, "None")!.Type, Value(m, driver, "Big")!.Type));
        Assert.Null(Value(m, driver, "New"));
        Assert.Null(Value(m, driver, "Gone"));
        Assert.NotNull(m.Nt.Cm.Find(driver + @"\Sub\Key"));
        Assert.Equal("default", Text(m, driver + @"\Sub", ""));
        Assert.Equal("yes", Text(m, @"\Registry\Machine\Software\Ringdown", "Here"));
        Assert.Equal("yes", Text(m, @"\Registry\Machine\Software\WOW6432Node\Ringdown", "Here32"));
        Assert.Equal("rdnfile", Text(m, @"\Registry\Machine\Software\Classes\.rdn", ""));
    }

    [Fact]
    public void DelReg_takes_values_keys_and_strings_of_lists_and_BitReg_changes_bits()
    {
        using var m = new TestMachine();
        m.Nt.Cm.Create(@"\Registry\Machine\Software\Old\Below").Set("v", RegistryValue.Dword(1));
        m.Nt.Cm.Create(@"\Registry\Machine\Software\Kept").Set("v", RegistryValue.Dword(0xF0));
        m.Nt.Cm.Create(@"\Registry\Machine\Software\Kept").Set("b", RegistryValue.Binary(1, 0xFF));
        m.Nt.Cm.Create(@"\Registry\Machine\Software\Kept").Set("l", RegistryValue.MultiString("a", "b"));
        m.Nt.Cm.Create(@"\Registry\Machine\Software\Kept").Set("x", RegistryValue.Dword(0));
        Installed(m, "DelReg = Less\nBitReg = Bits", """
            [Less]
            HKLM,Software\Old
            HKLM,Software\Kept,x
            HKLM,Software\Kept,l,0x18002,A
            [Bits]
            HKLM,Software\Kept,v,3,0x0F
            HKLM,Software\Kept,b,0,0x0F,1
            """);
        const string kept = @"\Registry\Machine\Software\Kept";
        Assert.Null(m.Nt.Cm.Find(@"\Registry\Machine\Software\Old"));
        Assert.Null(Value(m, kept, "x"));
        Assert.Equal(["b"], List(m, kept, "l"));
        Assert.Equal(0xFFu, Number(m, kept, "v"));
        Assert.Equal([1, 0xF0], Value(m, kept, "b")!.Data);
    }

    [Fact]
    public void Hardware_values_are_the_devices_own_and_others_its_parameters()
    {
        using var m = new TestMachine();
        Installed(m, more: """
            [Echo_Inst.NT.HW]
            AddReg = Hardware
            [Hardware]
            HKR,,UpperFilters,0x10000,first,second
            HKR,,LowerFilters,0x10008,below
            HKR,,Security,,"D:P(A;;GA;;;SY)"
            HKR,,DeviceCharacteristics,0x10001,0x100
            HKR,,DeviceType,0x10001,0x22
            HKR,,Exclusive,0x10001,1
            HKR,"Interrupt Management\MessageSignaledInterruptProperties",MSISupported,0x10001,1
            HKR,,Mine,,text
            """);
        Assert.Equal(["first", "second"], List(m, Device, "UpperFilters"));
        Assert.Equal(["below"], List(m, Device, "LowerFilters"));
        Assert.Equal((0x100u, 0x22u, 1u), (Number(m, Device, "DeviceCharacteristics"), Number(m, Device, "DeviceType"),
            Number(m, Device, "Exclusive")));
        Assert.Equal(RegistryValue.REG_BINARY, Value(m, Device, "Security")!.Type);
        Assert.NotNull(SecurityInfo.Parse(Value(m, Device, "Security")!.Data)?.Dacl);
        const string parameters = Device + @"\Device Parameters";
        Assert.Equal("text", Text(m, parameters, "Mine"));
        Assert.Equal(1u, Number(m, parameters + @"\Interrupt Management\MessageSignaledInterruptProperties",
            "MSISupported"));
    }

    [Fact]
    public void A_class_is_made_once_with_its_properties()
    {
        using var m = new TestMachine();
        Installed(m, more: """
            [ClassInstall32.NTamd64]
            AddReg = ClassValues
            [ClassValues]
            HKR,,,,"Sample devices"
            HKR,,Security,,"D:P(A;;GA;;;BA)"
            HKR,,UpperFilters,0x10000,classfilter
            """);
        string path = $@"{ControlSet}\Control\Class\{Class}";
        Assert.Equal("Sample devices", Text(m, path, ""));
        Assert.Equal(["classfilter"], List(m, path, "UpperFilters"));
        Assert.Equal(RegistryValue.REG_BINARY, Value(m, path + @"\Properties", "Security")!.Type);
        m.Nt.Cm.Find(path)!.Set("", RegistryValue.String("changed"));
        Assert.True(m.Nt.Drivers.Install(@"ROOT\ECHO\0001", [@"Root\Echo"], []));
        Assert.Equal("changed", Text(m, path, ""));
        Assert.Equal(Class + @"\0001", Text(m, ControlSet + @"\Enum\ROOT\ECHO\0001", "Driver"));
    }

    [Fact]
    public void Include_and_Needs_add_the_sections_of_other_files()
    {
        using var m = new TestMachine();
        var files = new MemoryPackage("echo").With("other.inf",
            "[Version]\nSignature=$CHICAGO$\n[Shared]\nAddReg=SharedReg\n[SharedReg]\nHKR,,%n%,,%n%\n[Strings]\nn=own");
        DriverPackage package = files.Open(MemoryPackage.Echo("Include = other.inf, lost.inf\nNeeds = Shared, Lost"));
        Assert.Equal(2, package.Notes.Count);
        Assert.Contains(package.Notes, n => n.Text.Contains("lost.inf"));
        Assert.Contains(package.Notes, n => n.Text.Contains("[Lost]"));
        m.Nt.Drivers.Add(package);
        Assert.True(Install(m, @"Root\Echo"));
        Assert.Equal("own", Text(m, $@"{ControlSet}\Control\Class\{Class}\0000", "own"));
    }

    [Fact]
    public void Interfaces_filters_and_resources_are_written_for_plug_and_play()
    {
        using var m = new TestMachine();
        Installed(m, "LogConfig = Ports", """
            [Ports]
            IOConfig = 8@300-3FF%FFF8
            IRQConfig = S:5,7
            [Echo_Inst.NT.Interfaces]
            AddInterface = {a5dcbf10-6530-11d2-901f-00c04fb951ed},ref,InterfaceValues
            [InterfaceValues]
            AddReg = InterfaceReg
            [InterfaceReg]
            HKR,,FriendlyName,,Nice
            [Echo_Inst.NT.Filters]
            AddFilter = myfilter,,FilterSection
            [FilterSection]
            FilterPosition = Lower
            """);
        Assert.Equal(["myfilter"], List(m, Device, "LowerFilters"));
        const string guid = "{a5dcbf10-6530-11d2-901f-00c04fb951ed}";
        string link = $@"{ControlSet}\Control\DeviceClasses\{guid}\##?#ROOT#ECHO#0000#{guid}";
        Assert.Equal(Instance, Text(m, link, "DeviceInstance"));
        Assert.Equal($@"\\?\ROOT#ECHO#0000#{guid}\ref", Text(m, link + @"\#ref", "SymbolicLink"));
        Assert.Equal("Nice", Text(m, link + @"\#ref\Device Parameters", "FriendlyName"));
        byte[] list = Value(m, Device + @"\LogConf", "BasicConfigVector")!.Data;
        Assert.Equal((list.Length, 1, 3), (BitConverter.ToInt32(list), BitConverter.ToInt32(list, 0x1C),
            BitConverter.ToInt32(list, 0x24)));
        Assert.Equal((8, 8, 0x300, 0x3FF), (BitConverter.ToInt32(list, 0x30), BitConverter.ToInt32(list, 0x34),
            BitConverter.ToInt32(list, 0x38), BitConverter.ToInt32(list, 0x40)));
        // The second line number is an alternative of the first; both are shared.
        Assert.Equal((0, 2, 3, 8, 7), (list[0x48], list[0x49], list[0x4A], list[0x68], list[0x70]));
    }

    [Fact]
    public void The_rank_says_which_driver_is_the_best()
    {
        using var m = new TestMachine();
        DriverPackage Package(string ids, string version = "1/1/2020,1.0") =>
            new MemoryPackage("echo").Open(MemoryPackage.Echo(ids: ids, driverVer: version));
        DriverPackage compatible = Package("GENERIC"), hardware = Package("B"), older = Package("A", "1/1/2019,9.0"),
            newer = Package("A", "1/1/2021,1.0");
        foreach (DriverPackage package in (DriverPackage[])[compatible, hardware, older, newer])
            m.Nt.Drivers.Add(package);
        DriverMatch? Find(params string[] hardwareIds) => m.Nt.Drivers.Find(hardwareIds, ["x", "generic"]);
        Assert.Same(newer, Find("a", "b")!.Package);
        Assert.Equal(0xFF0000u, Find("a", "b")!.Rank);
        Assert.Same(hardware, Find("c", "b")!.Package);
        Assert.Equal((0xFF0001u, "B"), (Find("c", "b")!.Rank, Find("c", "b")!.MatchingId));
        Assert.Equal((compatible, 0xFF2001u), (Find("c")!.Package, Find("c")!.Rank));
        Assert.Null(m.Nt.Drivers.Find(["c"], []));
        m.Nt.Drivers.Add(Package("none, c"));
        Assert.Equal(0xFF1000u, Find("c")!.Rank);
    }

    [Fact]
    public void DefaultInstall_makes_services_and_starts_their_drivers()
    {
        using var m = new TestMachine();
        DriverPackage package = new MemoryPackage("echo").Open("""
            [Version]
            Signature = $WINDOWS NT$
            [DestinationDirs]
            Files = 12
            [SourceDisksNames]
            1 = Disk,,,bin
            [SourceDisksFiles]
            other.sys = 1,x64
            echo.sys = 1,x64
            [DefaultInstall.NTamd64]
            CopyFiles = Files
            [Files]
            renamed.sys,echo.sys
            [DefaultInstall.NTamd64.Services]
            AddService = Renamed,0x800,Service
            [Service]
            ServiceType = 1
            StartType = 3
            ErrorControl = 1
            ServiceBinary = %12%\renamed.sys
            LoadOrderGroup = Extended Base
            Dependencies = one, +group
            AddReg = Parameters
            [Parameters]
            HKR,Parameters,Size,0x10001,7
            """);
        Assert.Equal([(@"bin\x64\echo.sys", @"C:\Windows\System32\drivers\renamed.sys")], package.Copies);
        m.Nt.Drivers.Add(package);
        (string service, NtStatus status) = Assert.Single(m.Nt.Drivers.InstallDefault(package));
        Assert.Equal(("Renamed", Status.STATUS_SUCCESS), (service, status));
        m.Open(@"\\.\Echo").Close();
        const string key = ControlSet + @"\Services\Renamed";
        Assert.Equal(7u, Number(m, key + @"\Parameters", "Size"));
        Assert.Equal(("Extended Base", "one", "group"), (Text(m, key, "Group"), List(m, key, "DependOnService")[0],
            List(m, key, "DependOnGroup")[0]));
    }

    [Fact]
    public void A_driver_that_is_not_beside_the_package_is_a_mistake_with_its_line()
    {
        using var m = new TestMachine();
        m.Nt.Drivers.Add(new MemoryPackage().Open(MemoryPackage.Echo()));
        Assert.False(Install(m, @"Root\Echo"));
        Assert.Matches(@"^test\.inf\(\d+\): echo\.sys is not beside test\.inf\.$",
            Assert.Single(m.Nt.Drivers.Mistakes).Message);
    }

    [Theory]
    [InlineData("AddReg = Lost", "[Lost]")]
    [InlineData("CopyFiles = @lost.sys", "SourceDisksFiles")]
    [InlineData("DriverVer = 13/1/2020", "no date")]
    [InlineData("FeatureScore = xyz", "FeatureScore")]
    [InlineData("AddReg = X\n[X]\nHKXX,a,b", "no root")]
    [InlineData("AddReg = X\n[X]\nHKR,,b,1,zz", "no byte")]
    [InlineData("AddReg = X\n[X]\nHKR,,b,0x10001,ten", "no number")]
    [InlineData("LogConfig = X\n[X]\nIOConfig = 8@300-200", "ends before")]
    public void What_cannot_be_is_told_with_its_line(string install, string said)
    {
        string message = Assert.Throws<InfException>(
            () => new MemoryPackage("echo").Open(MemoryPackage.Echo(install))).Message;
        Assert.Matches(@"^test\.inf\(\d+\): ", message);
        Assert.Contains(said, message);
    }

    [Fact]
    public void What_has_no_effect_is_noted_with_its_line()
    {
        DriverPackage package = new MemoryPackage("echo").Open(MemoryPackage.Echo("ProfileItems = X", """
            [Echo_Inst.NT.CoInstallers]
            AddReg = CoReg
            [Echo_Inst.NT.Wdf]
            KmdfService = echo, w
            """));
        Assert.Equal(3, package.Notes.Count);
        Assert.All(package.Notes, n => Assert.True(n.Line > 0));
        Assert.Contains(package.Notes, n => n.Text.Contains("co-installers"));
    }
}
