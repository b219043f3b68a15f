using Ringdown.Check;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Samples;
using Ringdown.Verifier;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>The drivers of samples for the device to learn with, in C and in C#: jobs and transfers.</summary>
public sealed class EduSampleTests
{
    const uint Slow = 10_000, Page = 0x1000, Offset = 0x123;

    [Theory, InlineData("c", false), InlineData("c", true), InlineData("c#", false), InlineData("c#", true)]
    public void Forty_jobs_at_once_all_bring_their_results(string language, bool messages)
    {
        using var rig = new EduRig(language, messages);
        rig.SetStep(Slow);
        IoRequest[] jobs = [.. Enumerable.Range(0, 40).Select(i => rig.Job((uint)(i * 37 % 40)))];
        Assert.All(jobs, j => Assert.Equal(STATUS_PENDING, j.Status));
        rig.Run();
        for (int i = 0; i < jobs.Length; i++)
            Assert.Equal(EduRig.Factorial((uint)(i * 37 % 40)), rig.ResultOf(jobs[i]));
        Assert.Equal((40u, 0u, 0u, 0u), rig.Counters);
        rig.End();
    }

    [Theory, InlineData("c", 2), InlineData("c#", 2), InlineData("c", 7), InlineData("c#", 7)]
    public void Several_programs_on_two_processors_lose_nothing(string language, int seed)
    {
        using var rig = new EduRig(language, seed % 2 == 0, seed: (ulong)seed, processors: 2);
        UserFile[] files = [.. Enumerable.Range(0, 3).Select(_ => rig.Open())];
        List<Action> threads = [];
        foreach (UserFile file in files)
            threads.Add(() =>
            {
                for (uint i = 0; i < 8; i++)
                {
                    UserRequest done = file.DeviceIoControl(Edu.FactorialCode, BitConverter.GetBytes(i), 8);
                    Assert.Equal(STATUS_SUCCESS, done.Status);
                    Assert.Equal(EduRig.Factorial(i), BitConverter.ToUInt64(done.Output));
                    Assert.Equal(STATUS_SUCCESS,
                        file.DeviceIoControl(Edu.GetCode, BitConverter.GetBytes(i), 2 * i + 1).Status);
                }
                file.Close();
            });
        rig.Machine.Nt.User.Concurrently(threads);
        Assert.Equal((24u, 0u, 24u, 0u), rig.Counters);
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void A_short_job_overtakes_a_long_one(string language)
    {
        using var rig = new EduRig(language);
        rig.SetStep(Slow);
        List<string> order = [];
        IoRequest slow = rig.Job(50), quick = rig.Job(3);
        slow.OnComplete = _ => order.Add("slow");
        quick.OnComplete = _ => order.Add("quick");
        rig.Run();
        Assert.Equal(["quick", "slow"], order);
        Assert.Equal((EduRig.Factorial(50), 6ul), (rig.ResultOf(slow), rig.ResultOf(quick)));
        rig.End();
    }

    [Theory, InlineData("c", false), InlineData("c", true), InlineData("c#", false), InlineData("c#", true)]
    public void A_job_is_canceled_in_the_chip_and_in_the_queue(string language, bool messages)
    {
        using var rig = new EduRig(language, messages);
        rig.SetStep(Slow);
        IoRequest[] jobs = rig.Jobs(20, 30);
        long before = rig.Machine.Nt.Ke.Clock.Now;
        foreach (int i in (int[])[2, 18])
        {
            rig.Cancel(jobs[i]);
            Assert.Equal(STATUS_CANCELLED, jobs[i].Status);
        }
        // At once, not when the chip is done.
        Assert.InRange(rig.Machine.Nt.Ke.Clock.Now - before, 0, Slow);
        rig.Run();
        for (int i = 0; i < jobs.Length; i++)
            if (i is not (2 or 18)) Assert.Equal(EduRig.Factorial(30), rig.ResultOf(jobs[i]));
        Assert.Equal((18u, 1u, 0u, 0u), rig.Counters);
        Assert.Equal(6ul, rig.ResultOf(Finished(rig, rig.Job(3))));
        rig.End();
    }

    static IoRequest Finished(EduRig rig, IoRequest request)
    {
        rig.Run();
        return request;
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void A_file_that_closes_ends_its_own_requests_and_no_others(string language)
    {
        using var rig = new EduRig(language);
        rig.SetStep(Slow);
        UserFile other = rig.Open();
        IoRequest[] mine = rig.Jobs(10, 20), others = [.. Enumerable.Range(0, 10).Select(_ => rig.Job(20, other))];
        other.Close();
        Assert.All(others, j => Assert.Equal(STATUS_CANCELLED, j.Status));
        rig.Run();
        Assert.All(mine, j => Assert.Equal(EduRig.Factorial(20), rig.ResultOf(j)));
        Assert.Equal((10u, 6u, 0u, 0u), rig.Counters);
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void What_is_wrong_is_refused(string language)
    {
        using var rig = new EduRig(language);
        NtStatus Send(uint code, byte[] input, uint output) => rig.File.DeviceIoControl(code, input, output).Status;
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, Send(Edu.FactorialCode, [1, 0, 0], 8));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, Send(Edu.FactorialCode, [1, 0, 0, 0], 7));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, Send(Edu.CountCode, [], 15));
        foreach (uint code in (uint[])[Edu.PutCode, Edu.GetCode])
        {
            Assert.Equal(STATUS_BUFFER_TOO_SMALL, Send(code, [0, 0, 0], 8));
            // Of nothing, over the end of the chip's buffer, longer than it, and where a sum would wrap.
            foreach ((uint offset, uint length) in ((uint, uint)[])[(0, 0), (0xFF9, 8), (1, Page), (0, Page + 1),
                (Page, 1), (uint.MaxValue, 8)])
                Assert.Equal(STATUS_INVALID_PARAMETER, Send(code, BitConverter.GetBytes(offset), length));
            Assert.Equal(STATUS_SUCCESS, Send(code, BitConverter.GetBytes(0xFF8), 8));
        }
        Assert.Equal(STATUS_INVALID_DEVICE_REQUEST, Send(Edu.CountCode + 4, new byte[8], 64));
        rig.End();
    }

    static byte[] Bytes(int count) => [.. Enumerable.Range(0, count).Select(i => (byte)(i * 13 + (i >> 8) + 1))];

    // The last of them is compared with behind a jump over the others' work.
    [Fact]
    public void Its_control_codes_are_found() =>
        Assert.Equal([Edu.GetCode, Edu.CountCode, Edu.PutCode, Edu.FactorialCode],
            ControlCodes.Find(PeImage.Parse(File.ReadAllBytes(Repository.Sample("edu")))));

    // The system copies what the chip cannot reach: in one piece for it, wherever the pages are.
    [Theory, InlineData("c", false), InlineData("c", true), InlineData("c#", false), InlineData("c#", true)]
    public void Bytes_above_28_bits_go_to_the_chip_and_come_back(string language, bool messages)
    {
        const ulong limit = 1 << 28;
        using var rig = new EduRig(language, messages);
        NtKernel nt = rig.Machine.Nt;
        Va from = nt.MmAllocateContiguousMemorySpecifyCache(2 * Page, limit, ulong.MaxValue, 0, 1) + 0x777,
            to = nt.MmAllocateContiguousMemorySpecifyCache(2 * Page, limit, ulong.MaxValue, 0, 1) + 0x345;
        Assert.True(nt.MmGetPhysicalAddress(from) >= limit && nt.MmGetPhysicalAddress(to) >= limit);
        byte[] bytes = Bytes(0xE00);
        nt.Memory.Write(from, bytes);
        IoRequest put = rig.Send(rig.File, Edu.PutCode, Offset, from, 0xE00, ProcessorMode.KernelMode),
            get = rig.Send(rig.File, Edu.GetCode, Offset, to, 0xE00, ProcessorMode.KernelMode);
        rig.Run();
        Assert.Equal((STATUS_SUCCESS, 0xE00ul), (put.Status, put.Information));
        Assert.Equal((STATUS_SUCCESS, 0xE00ul), (get.Status, get.Information));
        Assert.Equal(bytes, rig.Chip.Buffer.AsSpan((int)Offset, bytes.Length));
        Assert.Equal(bytes, nt.Memory.ReadBytes(to, bytes.Length));
        Assert.Equal((0u, 0u, 2u, 0u), rig.Counters);
        nt.MmFreeContiguousMemory(from - 0x777);
        nt.MmFreeContiguousMemory(to - 0x345);
        rig.End();
    }

    // A chip that reaches all memory is told the pages themselves, one after the other.
    [Theory, InlineData("c"), InlineData("c#")]
    public void A_buffer_of_two_pages_apart_is_two_pieces(string language)
    {
        using var rig = new EduRig(language, bits: 64);
        NtKernel nt = rig.Machine.Nt;
        Va from = nt.Mm.AllocateUser(2 * Page), to = nt.Mm.AllocateUser(2 * Page);
        // Frames are made when they are touched first: the last page gets the lower one.
        foreach (Va buffer in (Va[])[from, to])
            foreach (uint page in (uint[])[1, 0]) nt.Memory.Write(buffer + page * Page, (byte)0);
        Assert.NotEqual(nt.MmGetPhysicalAddress(from) + Page, nt.MmGetPhysicalAddress(from + Page));
        byte[] bytes = Bytes((int)Page);
        nt.Memory.Write(from + 0x801, bytes);
        IoRequest put = rig.Send(rig.File, Edu.PutCode, 0, from + 0x801, Page),
            get = rig.Send(rig.File, Edu.GetCode, 0, to + 0x3FF, Page);
        rig.Run();
        Assert.Equal((STATUS_SUCCESS, STATUS_SUCCESS, (ulong)Page), (put.Status, get.Status, get.Information));
        Assert.Equal(bytes, rig.Chip.Buffer);
        Assert.Equal(bytes, nt.Memory.ReadBytes(to + 0x3FF, bytes.Length));
        Assert.Equal((0u, 0u, 4u, 0u), rig.Counters);
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void Transfers_wait_for_each_other_and_a_fault_ends_one_only(string language)
    {
        using var rig = new EduRig(language, bits: 64);
        // Less than the adapter was told.
        rig.SetBits(12);
        Va buffer = rig.Machine.Nt.Mm.AllocateUser(Page);
        IoRequest[] puts = [.. Enumerable.Range(0, 5).Select(
            _ => rig.Send(rig.File, Edu.PutCode, 0, buffer, Page))];
        rig.Cancel(puts[3]);
        Assert.Equal((STATUS_PENDING, STATUS_CANCELLED), (puts[0].Status, puts[3].Status));
        puts[1].OnComplete = _ => rig.SetBits(64);
        rig.Run();
        Assert.Equal([STATUS_INVALID_ADDRESS, STATUS_INVALID_ADDRESS, STATUS_SUCCESS, STATUS_CANCELLED, STATUS_SUCCESS],
            puts.Select(p => p.Status));
        Assert.Equal([0ul, 0, Page, 0, Page], puts.Select(p => p.Information));
        Assert.Equal((0u, 0u, 2u, 2u), rig.Counters);
        rig.End();
    }

    [Theory, InlineData("c"), InlineData("c#")]
    public void An_interrupt_that_somebody_else_has_raised_ends_nothing(string language)
    {
        using var rig = new EduRig(language);
        rig.SetStep(Slow);
        Va buffer = rig.Machine.Nt.Mm.AllocateUser(Page);
        IoRequest job = rig.Job(5), put = rig.Send(rig.File, Edu.PutCode, 0, buffer, Page);
        rig.Chip.Registers.Write(0x14, 4, 7);
        rig.Run();
        Assert.Equal((120ul, STATUS_SUCCESS), (rig.ResultOf(job), put.Status));
        Assert.Equal((1u, 0u, 1u, 0u), rig.Counters);
        rig.End();
    }

    [Theory, InlineData("c", 1), InlineData("c#", 1), InlineData("c", 2), InlineData("c#", 2)]
    public void The_same_seed_gives_the_same_trace(string language, int processors)
    {
        string[] Trace()
        {
            var trace = new SampleTrace();
            using var rig = new EduRig(language, messages: true, seed: 5, processors: processors, observer: trace);
            Va buffer = rig.Machine.Nt.Mm.AllocateUser(Page);
            for (uint i = 0; i < 20; i++)
            {
                rig.Job(i * 7 % 20);
                rig.Send(rig.File, i % 2 == 0 ? Edu.PutCode : Edu.GetCode, i, buffer, 100);
            }
            rig.Run();
            rig.End();
            return [.. trace.Lines];
        }

        Assert.Equal(Trace(), Trace());
    }

    [Fact]
    public void Both_languages_give_the_same_results() =>
        SampleScript.Compare([], [new("edu", () => new Edu())], s =>
        {
            DeviceTree devices = s.Machine.Nt.User.Devices;
            devices.Start();
            DeviceNode node = devices.Find(@"ACPI\RNG0001")!;
            Assert.Equal(STATUS_SUCCESS, devices.SetDriver(node, "edu"));
            UserFile file = s.OpenPath(Assert.Single(devices.Interfaces(Edu.Interface)));
            for (uint i = 0; i < 8; i++) s.Control(file, Edu.FactorialCode, BitConverter.GetBytes(i * i), 8);
            s.Control(file, Edu.PutCode, BitConverter.GetBytes(0x800), 0x801);
            s.Control(file, Edu.PutCode, BitConverter.GetBytes(0x7FF), 0x801);
            s.Control(file, Edu.GetCode, BitConverter.GetBytes(0x7F8), 0x20);
            s.Note($"{s.Machine.Nt.SetSystemState(SystemState.Sleeping3, 10_000_000)} {devices.Rebalance(node)}");
            // A longer one after the other, so that they end in this order in any of the machine's.
            for (uint i = 1; i <= 20; i++) s.Start(file, 8, Edu.FactorialCode, i * 3);
            s.Finish();
            s.Control(file, Edu.CountCode, [], Edu.CounterBytes);
            s.Close(file);
            devices.Disable(node);
            s.Machine.Nt.User.RunUntilIdle();
        }, computer => Board.Parse(EduRig.BoardWithout).Attach(computer));

    // The board has an IOMMU: all transfers of these tests go through it.
    [Theory, InlineData("c"), InlineData("c#")]
    public void The_chip_is_kept_from_memory_that_the_driver_has_not_mapped(string language)
    {
        const ulong address = 0x50, length = 0x5C, command = 0x60, fault = 0x64, noMemory = 3, toMemory = 2;
        using var rig = new EduRig(language, bits: 64);
        Va buffer = rig.Machine.Nt.ExAllocatePoolWithTag(0, Page, 1);
        ulong physical = rig.Machine.Nt.MmGetPhysicalAddress(buffer);
        rig.Chip.Registers.Write(address, 8, physical);
        rig.Chip.Registers.Write(length, 4, 64);
        rig.Chip.Registers.Write(command, 4, 1 | toMemory);
        rig.Run();
        Assert.Equal(noMemory, rig.Chip.Registers.Read(fault, 4));
        Finding refused = Assert.Single(rig.Machine.Findings);
        Assert.Equal(("Dma", "edu"), (refused.Rule, refused.Driver));
        Assert.EndsWith($"wants to write memory at physical address {physical:X}, which no adapter has mapped for it. "
            + "(Driver Verifier: 0xE6/0x26)", refused.Message);
        Assert.Equal(0, rig.Machine.Nt.Computer.Iommu.Granted);
    }
}
