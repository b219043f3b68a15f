using System.Text;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What drivers tell a debugger: DbgPrint and its kin, assertions, breakpoints.</summary>
[NtModule("ntoskrnl.exe")]
sealed partial class Dbg(NtKernel nt)
{
    const int MaximumLines = 10_000;

    readonly List<string> _lines = [];
    readonly StringBuilder _open = new();

    public IReadOnlyList<string> Lines => _open.Length == 0 ? _lines : [.. _lines, _open.ToString()];

    /// <summary>Called with each line when it is complete.</summary>
    public Action<string>? OnLine { get; set; }

    void Print(string text)
    {
        foreach (char c in text)
        {
            if (c == '\n') EndLine();
            else if (c != '\r') _open.Append(c);
        }
    }

    /// <summary>A line of the kernel's own.</summary>
    public void PrintLine(string line) => Print(line + "\n");

    void EndLine()
    {
        string line = _open.ToString();
        _open.Clear();
        if (_lines.Count < MaximumLines) _lines.Add(line);
        OnLine?.Invoke(line);
    }

    [Export]
    public uint DbgPrint(Va format, VarArgs arguments)
    {
        Print(nt.Crt.FormatAnsi(format, arguments));
        return 0;
    }

    [Export]
    public uint DbgPrintEx(uint componentId, uint level, Va format, VarArgs arguments) => DbgPrint(format, arguments);

    [Export]
    public uint vDbgPrintEx(uint componentId, uint level, Va format, Va arguments) =>
        DbgPrint(format, new VarArgs(nt.Memory, arguments));

    [Export]
    public void DbgBreakPoint() => throw new GuestException(Status.STATUS_BREAKPOINT.Value);

    [Export]
    public void DbgBreakPointWithStatus(uint status) => DbgBreakPoint();

    /// <summary>A checked build's failed ASSERT: printed, then a breakpoint, as without a debugger that
    /// answers.</summary>
    [Export]
    public void RtlAssert(Va failedAssertion, Va fileName, uint lineNumber, Va message)
    {
        Print($"\n*** Assertion failed: {nt.Crt.ReadAnsi(failedAssertion)}\n");
        Print($"***   Source File: {nt.Crt.ReadAnsi(fileName)}, line {lineNumber}\n");
        DbgBreakPoint();
    }
}
