using System.Runtime.InteropServices;
using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>KUSER_SHARED_DATA: the page that headers read inline, at FFFFF780`00000000.</summary>
sealed class SharedData(Memory memory, Va address)
{
    public const uint BuildNumber = 19041;

    public void Fill(int processors)
    {
        memory.Write(address + 0x004, 0x0FA0_0000u);                       // TickCountMultiplier: 15.625 ms
        memory.Write(address + 0x030, MemoryMarshal.AsBytes(@"C:\Windows".AsSpan()));
        memory.Write(address + 0x260, BuildNumber);
        memory.Write(address + 0x264, 1u);                                 // NtProductWinNt
        memory.Write<byte>(address + 0x268, 1);                            // ProductTypeIsValid
        memory.Write<ushort>(address + 0x26A, 9);                          // PROCESSOR_ARCHITECTURE_AMD64
        memory.Write(address + 0x26C, 10u);                                // NtMajorVersion
        memory.Write(address + 0x270, 0u);                                 // NtMinorVersion
        // CX8, MMX, SSE, RDTSC, PAE, SSE2, NX, SSE3, CX16
        foreach (int feature in (ReadOnlySpan<int>)[2, 3, 6, 8, 9, 10, 12, 13, 14])
            memory.Write<byte>(address + 0x274 + feature, 1);
        memory.Write(address + 0x2E8, 0x8_0000u);                          // NumberOfPhysicalPages: 2 GiB
        memory.Write(address + 0x3C0, processors);                                // ActiveProcessorCount
    }

    public void SetTime(long interruptTime, long systemTime, long tickCount)
    {
        SetKSystemTime(0x008, interruptTime);
        SetKSystemTime(0x014, systemTime);
        SetKSystemTime(0x320, tickCount);
    }

    // KSYSTEM_TIME: readers compare the two high halves to see that nothing changed meanwhile.
    void SetKSystemTime(int offset, long value)
    {
        memory.Write(address + offset + 8, (int)(value >> 32));
        memory.Write(address + offset, value);
    }
}
