using Ringdown.Machine;

namespace Ringdown.Kernel;

public readonly partial struct EProcess
{
    public const uint ProcessExiting = 4, ProcessDelete = 8, BreakOnTermination = 0x2000;

    [Field(0x464)] public partial uint Flags { get; set; }
    [Field(0x468)] public partial long CreateTime { get; set; }
    [Field(0x470, Name = "ProcessQuotaUsage[0]")] public partial ulong NonPagedUsage { get; set; }
    [Field(0x478, Name = "ProcessQuotaUsage[1]")] public partial ulong PagedUsage { get; set; }
    [Field(0x480, Name = "ProcessQuotaPeak[0]")] public partial ulong NonPagedPeak { get; set; }
    [Field(0x488, Name = "ProcessQuotaPeak[1]")] public partial ulong PagedPeak { get; set; }
    [Field(0x508)] public partial Va Win32Process { get; set; }
    [Field(0x510)] public partial Va Job { get; set; }
    [Field(0x520)] public partial Va SectionBaseAddress { get; set; }
    [Field(0x540)]
    public partial ulong InheritedFromUniqueProcessId { get; set; }
    [Field(0x578)] public partial Va DebugPort { get; set; }
    [Field(0x580)] public partial Va WoW64Process { get; set; }
    [Field(0x7D4)] public partial NtStatus ExitStatus { get; set; }
    [Field(0x840)] public partial long ExitTime { get; set; }
    [Field(0x87A)] public partial byte Protection { get; set; }

    /// <summary>Where ImageFileName is: 15 characters of the image's name, and a final zero if it is
    /// shorter.</summary>
    public Va ImageFileName => Address + 0x5A8;

    public bool IsExiting => (Flags & ProcessExiting) != 0;
}

public readonly partial struct KThread
{
    [Field(0xF0)] public partial Va Teb { get; set; }
    [Field(0x1C8)] public partial Va Win32Thread { get; set; }
    [Field(0x4D0)] public partial Va Win32StartAddress { get; set; }
    [Field(0x510)] public partial uint CrossThreadFlags { get; set; }
}
