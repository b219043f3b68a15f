using System.Text;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using Xunit.Abstractions;

namespace Ringdown.Tests;

/// <summary>Whatever stands in an INF, in a description of devices or in a .reg file: it is refused with its place, or
/// done.</summary>
public sealed class TextMutationTests(ITestOutputHelper output)
{
    const int Runs = 100;

    static readonly string[] s_pieces =
    [
        "\0", "\"", "%", "%%", "%x%", "%12%", "%01%", "%-1%", "%99999999999%", "[", "]", "[]", "=", ",", ",,,,", ";",
        "\\", "\\\r\n", "\n", "\r", "{", "}", "{}", "[[[[[[[[", "0x", "0xFFFFFFFF", "0xFFFFFFFFFFFFFFFF", "-1",
        "4294967296", "99999999999999999999", "1e999", "null", "true", "[]", "\"\\ud800\"", "\"\\u0000\"", "\uD800",
        "HKR,,X,0x10001,1", "HKLM", "AddReg = ", "Include = x.inf", "Needs = ", "CopyFiles = @", "NTamd64", ".NT",
        "LogConfig = ", "IRQConfig = 1,2,3", "MemConfig = 0-FFFFFFFFFFFFFFFF(FFFFFFFF)", "IOConfig = 0-FFFF(%fffe::)",
        "dword:", "hex(7):", "hex(", "@=", "[-HKEY_LOCAL_MACHINE]", "[HKEY_LOCAL_MACHINE\\", "'", "\t", "\u00E9",
        "\"slot\": 40", "\"line\": 256", "\"ports\": \"0xFFFF\"", "\"registers\": \"0xFFFFFFFFFFFFFFFF\"", "\"1 h\"",
    ];

    static string Mutate(string text, Chance chance)
    {
        var result = new StringBuilder(text);
        for (int n = chance.Next(4); n >= 0; n--)
        {
            int at = chance.Next(result.Length), length = Math.Min(1 + chance.Next(20), result.Length - at);
            switch (chance.Next(6))
            {
                case 0:
                    result.Remove(at, length);
                    break;
                case 1:
                    result.Insert(at, text.AsSpan(chance.Next(text.Length / 2), chance.Next(text.Length / 2)));
                    break;
                case 2:
                    result[at] = (char)chance.Next(chance.OneIn(3) ? 0x1_0000 : 0x80);
                    break;
                case 3:
                    SwapLines(result, chance);
                    break;
                case 4:
                    result.Remove(at, length).Insert(at, s_pieces[chance.Next(s_pieces.Length)]);
                    break;
                default:
                    result.Insert(at, s_pieces[chance.Next(s_pieces.Length)]);
                    break;
            }
            if (result.Length == 0) result.Append(' ');
        }
        return result.ToString();
    }

    static void SwapLines(StringBuilder text, Chance chance)
    {
        string[] lines = text.ToString().Split('\n');
        int one = chance.Next(lines.Length), two = chance.Next(lines.Length);
        (lines[one], lines[two]) = (lines[two], chance.OneIn(2) ? lines[one] : lines[two]);
        text.Clear().AppendJoin('\n', lines);
    }

    void Try(IReadOnlyList<string> texts, Action<string> use, Func<Exception, bool> isRefusal)
    {
        List<string> failures = [];
        int runs = 0, refused = 0;
        foreach (string text in texts)
        {
            for (ulong i = 0; i < (ulong)(Runs * HostTrial.Times); i++, runs++)
            {
                ulong seed = HostTrial.FirstSeed + i;
                string mutated = Mutate(text, new Chance(seed));
                string? failure = HostTrial.Run($"{text.Split('\n')[0]}, seed {seed}", () =>
                {
                    try
                    {
                        use(mutated);
                    }
                    catch (Exception e) when (isRefusal(e))
                    {
                        refused++;
                    }
                });
                if (failure is not null) failures.Add(failure);
            }
        }
        output.WriteLine($"{runs} runs, {refused} refused");
        Assert.True(failures.Count == 0, string.Join("\n", failures));
        Assert.InRange(refused, runs / 100, runs);
    }

    /// <summary>What lies beside them: a driver of the name that they say, and the files themselves.</summary>
    sealed class Beside(IReadOnlyDictionary<string, byte[]> texts) : IPackageFiles
    {
        static readonly PeImage s_echo = PeImage.Parse(File.ReadAllBytes(Repository.Driver("wdm")));

        public byte[]? Read(string path) => texts.GetValueOrDefault(path);

        public DriverImage? FindDriver(string path) =>
            path.EndsWith(".sys", StringComparison.OrdinalIgnoreCase) ? new DriverImage(s_echo, Symbols.None) : null;
    }

    [Fact]
    public void Any_inf_is_refused_or_installed()
    {
        string[] paths = [.. Directory.GetFiles(Path.Combine(Repository.Root, "samples"), "*.inf").Order(
            StringComparer.Ordinal), Path.Combine(Repository.Root, "test", "drivers", "wdm.inf")];
        string more = MemoryPackage.Echo("LogConfig = Config\nInclude = test.inf\nNeeds = More", """
            [Config]
            ConfigPriority = NORMAL
            IOConfig = 8@300-3FF%FFF8(3FF::)
            MemConfig = 8000@C0000-D7FFF%F8000
            IRQConfig = 3,4,5,7
            DMAConfig = 1,3
            [More]
            AddReg = Values
            DelReg = Values
            BitReg = Bits
            [Values]
            HKR,,Multi,0x10000,one,two
            HKR,,Number,0x10001,0x1F
            HKR,Sub\Key,Binary,1,01,ff,\
              0x10
            HKLM,Software\X,Y,,"a;b"
            [Bits]
            HKR,,Number,1,0x80,0
            [DefaultInstall.NTamd64]
            AddReg = Values
            [DefaultInstall.NTamd64.Services]
            AddService = wdm,,Echo_Service
            """);
        Try([.. paths.Select(File.ReadAllText), more], Install, e => e is InfException);
    }

    static void Install(string inf)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(inf);
        var files = new Beside(new Dictionary<string, byte[]> { ["test.inf"] = bytes });
        var package = DriverPackage.Open("test.inf", bytes, files);
        using var m = new TestMachine();
        try
        {
            m.Nt.Drivers.Add(package);
            m.Nt.Drivers.InstallDefault(package);
            foreach (DriverModel model in package.Models.Take(4))
                m.Nt.User.Devices.AddRootDevice(model.HardwareId, null, package.RequirementsOf(model));
        }
        catch (MachineStop)
        {
            // A driver that is not meant for it.
        }
    }

    [Fact]
    public void Any_board_is_refused_or_built()
    {
        string pc = File.ReadAllText(Path.Combine(Repository.Root, "samples", "pc.json"));
        string[] documents = [.. File.ReadAllText(Path.Combine(Repository.Root, "docs", "hardware.md")).Split("```json")
            .Skip(1).Select(d => d[(d.IndexOf('\n') + 1)..d.IndexOf("```", StringComparison.Ordinal)])];
        Try([pc, .. documents.Where(d => d.TrimStart().StartsWith('{'))], json =>
        {
            var board = Board.Parse(json, name => name.EndsWith("CounterChip", StringComparison.Ordinal)
                ? (computer, place) =>
                {
                    var chip = new CounterChip();
                    chip.Attach(computer, place);
                    return chip;
                }
            : null);
            using var m = new TestMachine(new KernelOptions { Board = c => board.Attach(c) });
            m.Nt.User.Devices.Start();
        }, e => e is BoardException);
    }

    [Fact]
    public void Any_reg_file_is_refused_or_applied()
    {
        using var made = new TestMachine();
        string saved = made.Nt.SaveRegistry(@"\Registry\Machine\System\CurrentControlSet\Enum").ToString() ?? "";
        const string small = """
            Windows Registry Editor Version 5.00

            [HKEY_LOCAL_MACHINE\SOFTWARE\X]
            "a"="text\\ \"quoted\""
            @="default"
            "n"=dword:0000001f
            "b"=hex:01,02,\
              03
            "m"=hex(7):61,00,00,00,00,00
            "q"=hex(b):01,00,00,00,00,00,00,00
            "gone"=-

            [-HKEY_LOCAL_MACHINE\SOFTWARE\Y]
            [HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Z\Parameters]
            "x"=""
            """;
        Try(saved.Length > 100 ? [small, saved] : [small], text =>
        {
            var document = RegistryDocument.Parse(text);
            using var m = new TestMachine(new KernelOptions { Registry = [document] });
            m.Nt.ApplyRegistry(document);
            RegistryDocument.Parse(m.Nt.SaveRegistry().ToString() ?? "");
        }, e => e is RegistryFormatException);
    }
}
