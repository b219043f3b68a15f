using System.Runtime.InteropServices;
using Ringdown.Machine;
using static Ringdown.Kernel.Status;

namespace Ringdown.Kernel;

/// <summary>The answers of ZwQuerySystemInformation, in NT's layouts.</summary>
sealed class SystemInformation(NtKernel nt)
{
    const uint SystemBasicInformation = 0, SystemProcessorInformation = 1, SystemPerformanceInformation = 2,
        SystemTimeOfDayInformation = 3, SystemProcessInformation = 5, SystemProcessorPerformanceInformation = 8,
        SystemModuleInformation = 11, SystemKernelDebuggerInformation = 35, SystemRangeStartInformation = 50,
        SystemFirmwareTableInformation = 76, SystemCodeIntegrityInformation = 103,
        SystemSecureBootInformation = 145, SystemKernelDebuggerInformationEx = 149;

    /// <param name="bytes">What to write to the caller's buffer, on success.</param>
    /// <param name="needed">How many bytes the whole answer has.</param>
    public NtStatus Query(uint kind, Va buffer, uint length, out byte[] bytes, out uint needed)
    {
        if (kind == SystemFirmwareTableInformation)
            return new FirmwareTables(nt).Query(buffer, length, out bytes, out needed);
        byte[]? answer = kind switch
        {
            SystemBasicInformation => Basic(),
            SystemProcessorInformation => Processor(),
            SystemPerformanceInformation => Performance(),
            SystemTimeOfDayInformation => TimeOfDay(),
            SystemProcessInformation => new ProcessList(nt, buffer).Bytes(),
            SystemProcessorPerformanceInformation => ProcessorTimes(),
            SystemModuleInformation => Modules(),
            SystemKernelDebuggerInformation => [0, 1],
            SystemRangeStartInformation => BitConverter.GetBytes(nt.Mm.MmSystemRangeStart),
            // Length, and options: enabled, and drivers signed for tests are accepted.
            SystemCodeIntegrityInformation => [8, 0, 0, 0, 3, 0, 0, 0],
            SystemSecureBootInformation => [0, 0],
            SystemKernelDebuggerInformationEx => [0, 0, 0],
            _ => null,
        };
        bytes = answer ?? [];
        needed = (uint)bytes.Length;
        if (answer is null) return STATUS_INVALID_INFO_CLASS;
        // The time of day may be asked for in part.
        if (kind == SystemTimeOfDayInformation && length < needed) bytes = bytes[..(int)(needed = length)];
        return length < needed ? STATUS_INFO_LENGTH_MISMATCH : STATUS_SUCCESS;
    }

    int Processors => (int)nt.Ke.KeNumberProcessors;

    byte[] Basic()
    {
        byte[] bytes = new byte[0x40];
        Put(bytes, 4, 156_250u);
        Put(bytes, 8, (uint)Va.PageSize);
        Put(bytes, 12, (uint)Mm.MemoryPages);
        Put(bytes, 16, (uint)PhysicalMemory.FirstFrame);
        Put(bytes, 20, (uint)PhysicalMemory.EndFrame - 1);
        Put(bytes, 24, 0x1_0000u);
        Put(bytes, 32, 0x1_0000UL);
        Put(bytes, 40, nt.Mm.MmHighestUserAddress);
        Put(bytes, 48, (1UL << Processors) - 1);
        bytes[56] = (byte)Processors;
        return bytes;
    }

    // SYSTEM_PROCESSOR_INFORMATION: AMD64, a processor of family 6.
    byte[] Processor()
    {
        byte[] bytes = new byte[12];
        Put(bytes, 0, (ushort)9);
        Put(bytes, 2, (ushort)6);
        Put(bytes, 4, (ushort)0x9E0A);
        Put(bytes, 6, (ushort)Processors);
        return bytes;
    }

    byte[] Performance()
    {
        byte[] bytes = new byte[0x158];
        Put(bytes, 0x2C, (uint)nt.Mm.AvailablePages);
        Put(bytes, 0x30, (uint)nt.Mm.CommittedPages);
        Put(bytes, 0x34, (uint)Mm.MemoryPages);
        Put(bytes, 0x38, (uint)nt.Mm.CommittedPages);
        Put(bytes, 0x70, (uint)nt.Mm.Pool.LivePages(PoolKind.Paged));
        Put(bytes, 0x74, (uint)nt.Mm.Pool.LivePages(PoolKind.NonPaged));
        IReadOnlyList<PoolTagUsage> tags = nt.PoolTags();
        Put(bytes, 0x78, (uint)tags.Sum(t => t.Paged.Allocations));
        Put(bytes, 0x7C, (uint)tags.Sum(t => t.Paged.Frees));
        Put(bytes, 0x80, (uint)tags.Sum(t => t.NonPaged.Allocations));
        Put(bytes, 0x84, (uint)tags.Sum(t => t.NonPaged.Frees));
        return bytes;
    }

    byte[] TimeOfDay()
    {
        byte[] bytes = new byte[0x30];
        Put(bytes, 0x00, nt.Ke.Clock.SystemTime - nt.Ke.Clock.Now);
        Put(bytes, 0x08, nt.Ke.Clock.SystemTime);
        Put(bytes, 0x10, nt.Ex.TimeZoneBias);
        return bytes;
    }

    // Idle, kernel (with idle), user, DPC and interrupt time of each; all work is kernel work of the first.
    byte[] ProcessorTimes()
    {
        byte[] bytes = new byte[0x30 * Processors];
        long busy = nt.Ke.Clock.Retired / Clock.InstructionsPerTick;
        for (int i = 0; i < Processors; i++)
        {
            Put(bytes, i * 0x30, Math.Max(0, nt.Ke.Clock.Now - (i == 0 ? busy : 0)));
            Put(bytes, i * 0x30 + 8, nt.Ke.Clock.Now);
        }
        return bytes;
    }

    // RTL_PROCESS_MODULES: 0x128 bytes a module, the kernel first.
    byte[] Modules()
    {
        LoadedImage[] images = [.. nt.Loader.Images.OrderBy(i => i.Name != "ntoskrnl.exe")];
        byte[] bytes = new byte[8 + images.Length * 0x128];
        Put(bytes, 0, images.Length);
        for (int i = 0; i < images.Length; i++)
        {
            Span<byte> at = bytes.AsSpan(8 + i * 0x128, 0x128);
            Put(at, 0x10, images[i].Base.Value);
            Put(at, 0x18, images[i].Size);
            Put(at, 0x20, (ushort)i);
            Put(at, 0x24, (ushort)1);
            string folder = images[i].IsKernel ? @"\SystemRoot\system32\" : @"\SystemRoot\system32\drivers\";
            Put(at, 0x26, (ushort)folder.Length);
            string path = folder + images[i].Name;
            System.Text.Encoding.ASCII.GetBytes(path.AsSpan(0, Math.Min(path.Length, 255)), at[0x28..]);
        }
        return bytes;
    }

    public static void Put<T>(Span<byte> bytes, int offset, T value) where T : unmanaged =>
        MemoryMarshal.Write(bytes[offset..], value);
}

/// <summary>SYSTEM_PROCESS_INFORMATION: a record a process, its threads behind it, then its name.</summary>
sealed class ProcessList(NtKernel nt, Va buffer)
{
    const int ProcessSize = 0x100, ThreadSize = 0x50, ImageFileNameOffset = 0x5A8;

    public byte[] Bytes()
    {
        // The idle process comes first: no name, and a thread for each processor.
        List<byte> all = [.. Record(0, "", [], (int)nt.Ke.KeNumberProcessors, 0)];
        int last = 0;
        foreach (NtObject process in nt.Ob.OfType(nt.Ob.ProcessType).OrderBy(p => IdOf(p)))
        {
            NtThread[] threads = [.. nt.Ke.Scheduler.Threads.Where(t => t.Object.UniqueProcess == IdOf(process))];
            byte[] record = Record(IdOf(process), NameOf(process), threads, threads.Length, all.Count);
            SystemInformation.Put(CollectionsMarshal.AsSpan(all), last, (uint)(all.Count - last));
            last = all.Count;
            all.AddRange(record);
        }
        return [.. all];
    }

    ulong IdOf(NtObject process) => EProcess.At(nt.Memory, process.Body).UniqueProcessId;

    string NameOf(NtObject process)
    {
        Span<byte> name = stackalloc byte[15];
        nt.Memory.TryPeek(process.Body + ImageFileNameOffset, name);
        int end = name.IndexOf((byte)0);
        if (end > 0) return System.Text.Encoding.ASCII.GetString(name[..end]);
        return process.Body == nt.Ps.SystemProcess.Address ? "System" : "user.exe";
    }

    byte[] Record(ulong id, string name, NtThread[] threads, int threadCount, int offset)
    {
        int nameAt = ProcessSize + threadCount * ThreadSize;
        byte[] bytes = new byte[(nameAt + name.Length * 2 + 2 + 7) & ~7];
        SystemInformation.Put(bytes, 0x04, (uint)threadCount);
        if (name.Length > 0)
        {
            SystemInformation.Put(bytes, 0x38, (ushort)(name.Length * 2));
            SystemInformation.Put(bytes, 0x3A, (ushort)(name.Length * 2 + 2));
            SystemInformation.Put(bytes, 0x40, buffer.Value + (ulong)(offset + nameAt));
        }
        SystemInformation.Put(bytes, 0x48, id == 0 ? 0 : 8);
        SystemInformation.Put(bytes, 0x50, id);
        MemoryMarshal.AsBytes(name.AsSpan()).CopyTo(bytes.AsSpan(nameAt));
        for (int i = 0; i < threads.Length; i++)
        {
            Span<byte> at = bytes.AsSpan(ProcessSize + i * ThreadSize, ThreadSize);
            SystemInformation.Put(at, 0x20, threads[i].StartRoutine.Value);
            SystemInformation.Put(at, 0x28, id);
            SystemInformation.Put(at, 0x30, threads[i].Object.UniqueThread);
            SystemInformation.Put(at, 0x38, (int)threads[i].Object.Priority);
            SystemInformation.Put(at, 0x3C, 8);
        }
        return bytes;
    }
}
