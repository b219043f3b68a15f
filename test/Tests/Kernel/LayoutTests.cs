using System.ComponentModel;
using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using Ringdown.Kernel;
using Xunit;
using Xunit.Abstractions;

namespace Ringdown.Tests;

/// <summary>The kernel's structures against the headers that drivers are compiled with (mingw-w64's).</summary>
public sealed class LayoutTests(ITestOutputHelper output)
{
    const string Compiler = "x86_64-w64-mingw32-gcc";

    /// <summary>Structures and fields that the headers do not show.</summary>
    static readonly (string Name, string Why)[] s_absent =
    [
        ("_EPROCESS", "Opaque: only its address is a driver's business."),
        ("_ETHREAD", "Opaque, as KTHREAD in it."),
        ("_KINTERRUPT", "Opaque."),
        ("_OBJECT_TYPE", "Opaque."),
        ("KSPIN_LOCK", "A number, no structure."),
        ("_OBJECT_HEADER", "Private: lies before the object."),
        ("_DEVICE_CAPABILITIES.Flags", "Bits that have a name each."),
        ("_DEVOBJ_EXTENSION.PowerFlags", "Private part."),
        ("_DEVOBJ_EXTENSION.ExtensionFlags", "Private part."),
        ("_DEVOBJ_EXTENSION.DeviceNode", "Private part."),
        ("_DEVOBJ_EXTENSION.AttachedTo", "Private part."),
        ("_DEVOBJ_EXTENSION.StartIoCount", "Private part."),
        ("_DEVOBJ_EXTENSION.StartIoKey", "Private part."),
        ("_DEVOBJ_EXTENSION.StartIoFlags", "Private part."),
        ("_DEVOBJ_EXTENSION.Vpb", "Private part."),
        ("_LINK_SHARE_ACCESS", "Newer than these headers."),
        ("_KDPC_DATA", "In KPRCB."),
        ("_EX_TIMER", "Opaque."),
        ("_KGATE", "Private."),
        ("_IOP_MINI_COMPLETION_PACKET_USER", "Opaque: only its address is a driver's business."),
        ("_ECP_LIST", "Opaque."),
        ("_ECP_HEADER", "Opaque: only the context behind it is a driver's business."),
        ("_KWAIT_BLOCK", "These headers have it as it was before Windows 8."),
        ("_KPCR.LegacyNumber", "In KPRCB."),
        ("_KPCR.DpcData", "In KPRCB."),
        ("_KPCR.Number", "In KPRCB, which is private and follows the public part."),
        ("_KPCR.CurrentThread", "In KPRCB."),
        ("_KPCR.IdleThread", "In KPRCB."),
    ];

    /// <summary>Where the headers have another answer, and are not believed or mean something else.</summary>
    static readonly (string Name, string Why)[] s_otherSize =
    [
        ("_DEVICE_OBJECT", "The WDK aligns it to 16 bytes, so that it has 0x150; these headers leave that out."),
        ("_DEVOBJ_EXTENSION", "The headers have the public part alone."),
        ("_KPCR", "The headers have the public part alone."),
        ("_KDPC.DpcListEntry", "A list of two directions in these headers, of one since Windows 8."),
        ("_IO_STACK_LOCATION.Parameters", "A union of all requests' parameters; here the first word of it."),
        ("_IO_STACK_LOCATION.Parameters.DeviceIoControl.InputBufferLength", "Taken with its padding: a word."),
        ("_IO_STACK_LOCATION.Parameters.DeviceIoControl.IoControlCode", "Taken with its padding: a word."),
    ];

    /// <summary>Structures of the headers for programs, which those for drivers do not have.</summary>
    static readonly string[] s_inWindowsHeader = ["_DISPATCHER_CONTEXT"];

    readonly record struct Question(string Key, string Type, string? Field, int Offset, int Size);

    static List<Question> Questions()
    {
        List<Question> all = [];
        foreach (Layout layout in Layouts.All)
        {
            if (IsIn(s_absent, layout.NtName)) continue;
            string tag = layout.NtName == "_SLIST_HEADER" ? "union "
                : layout.NtName is "WMIREGINFOW" or "WMIREGGUIDW" ? "" : "struct ";
            string type = tag + layout.NtName;
            all.Add(new Question(layout.NtName, type, null, 0, layout.Size));
            foreach (LayoutField field in layout.Fields)
            {
                string key = $"{layout.NtName}.{field.Name}";
                if (!IsIn(s_absent, key)) all.Add(new Question(key, type, field.Name, field.Offset, field.Size));
            }
        }
        return all;
    }

    static bool IsIn((string Name, string Why)[] table, string name) => Array.Exists(table, t => t.Name == name);

    /// <summary>C that has the answers in one array. One is added, as compilers write zeros in short.</summary>
    static string Source(IEnumerable<Question> questions, string[] headers)
    {
        var text = new StringBuilder("#include <stddef.h>\n");
        foreach (string header in headers) text.Append($"#include <{header}>\n");
        text.Append("unsigned long long answers[] = {\n");
        foreach (Question q in questions)
            text.Append(q.Field is null
                ? $"1, 1 + sizeof({q.Type}),\n"
                : $"1 + offsetof({q.Type}, {q.Field}), 1 + sizeof((({q.Type} *)0)->{q.Field}),\n");
        return text.Append("};\n").ToString();
    }

    /// <summary>Runs the compiler; null when there is none.</summary>
    static string? Run(params string[] arguments)
    {
        ProcessStartInfo start = new(Compiler, arguments);
        start.RedirectStandardOutput = start.RedirectStandardError = true;
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string result = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, errors.GetAwaiter().GetResult());
            return result;
        }
        catch (Win32Exception)
        {
            return null;
        }
    }

    /// <summary>One line for each question: its name, offset and size; null without a compiler.</summary>
    static List<string>? Ask(List<Question> questions, string[] headers, string include)
    {
        if (questions.Count == 0) return [];
        string file = Path.Combine(Directory.CreateTempSubdirectory("layouts").FullName, "layouts.c");
        try
        {
            File.WriteAllText(file, Source(questions, headers));
            if (Run("-w", "-D_WIN32_WINNT=0x0A00", "-isystem", include, "-S", "-o", "-", file) is not { } assembly)
                return null;
            int start = assembly.IndexOf("answers:", StringComparison.Ordinal);
            MatchCollection lines = Regex.Matches(assembly[start..], @"\.quad\s+(\d+)");
            int[] numbers = [.. lines.Select(m => int.Parse(m.Groups[1].Value))];
            Assert.Equal(questions.Count * 2, numbers.Length);
            return [.. questions.Select((q, i) => $"{q.Key} {numbers[i * 2] - 1} {numbers[i * 2 + 1] - 1}")];
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(file)!, true);
        }
    }

    static List<string>? AskCompiler(List<Question> questions)
    {
        if (Run("-print-file-name=libntoskrnl.a") is not { } library) return null;
        string root = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(library.Trim())!, "..", "include"));
        ILookup<bool, Question> parts = questions.ToLookup(q => s_inWindowsHeader.Contains(q.Type.Split(' ')[^1]));
        string[] headers = ["ntifs.h", "wmistr.h", "wmilib.h"];
        if (Ask([.. parts[false]], headers, Path.Combine(root, "ddk")) is not { } kernel) return null;
        List<string> all = [.. kernel, .. Ask([.. parts[true]], ["windows.h"], root)!];
        all.Sort(StringComparer.Ordinal);
        return all;
    }

    /// <summary>Kept beside this file, for machines without the compiler; SNAP=1 writes it anew.</summary>
    static string AnswerFile => Path.Combine(Drivers.Folder, "..", "Tests", "Kernel", "layouts.txt");

    List<string> Answers()
    {
        List<string>? answers = AskCompiler(Questions());
        if (answers is not null && Environment.GetEnvironmentVariable("SNAP") == "1")
            File.WriteAllLines(AnswerFile, answers);
        List<string> kept = [.. File.ReadAllLines(AnswerFile)];
        if (answers is null) output.WriteLine($"{Compiler} is missing: compared with its answers in layouts.txt.");
        else Assert.Equal(kept, answers);
        return kept;
    }

    [Fact]
    public void Structures_are_laid_out_as_the_headers_of_the_compiler_say()
    {
        Dictionary<string, int[]> answers = Answers().Select(line => line.Split(' '))
            .ToDictionary(p => p[0], p => new[] { int.Parse(p[1]), int.Parse(p[2]) });
        List<string> wrong = [];
        foreach (Question q in Questions())
        {
            if (!answers.TryGetValue(q.Key, out int[]? answer)) wrong.Add($"{q.Key} is not in layouts.txt");
            else if (answer[0] != q.Offset) wrong.Add($"{q.Key} is at {q.Offset:X}, the headers say {answer[0]:X}");
            else if (answer[1] != q.Size && !IsIn(s_otherSize, q.Key))
                wrong.Add($"{q.Key} has {q.Size:X} bytes, the headers say {answer[1]:X}");
        }
        Assert.Empty(wrong);
    }

    [Fact]
    public void What_the_tables_of_exceptions_name_exists()
    {
        HashSet<string> names = [.. Layouts.All.Select(l => l.NtName)];
        foreach (Layout layout in Layouts.All)
            foreach (LayoutField field in layout.Fields) names.Add($"{layout.NtName}.{field.Name}");
        IEnumerable<string> exceptions = s_absent.Concat(s_otherSize).Select(e => e.Name).Concat(s_inWindowsHeader);
        Assert.All(exceptions, name => Assert.Contains(name, names));
    }

    [Fact]
    public void Fields_lie_inside_their_structure()
    {
        foreach (Layout layout in Layouts.All)
            foreach (LayoutField field in layout.Fields)
                Assert.InRange(field.Offset + field.Size, field.Offset + 1, layout.Size);
    }
}
