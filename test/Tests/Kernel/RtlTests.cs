using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Memory, versions, images and stacks.</summary>
public sealed class RtlTests
{
    [Fact]
    public void Memory_is_compared_filled_copied_and_summed_up()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va a = m.Narrow("123456789"), b = m.Narrow("123456709");
        Assert.Equal(7UL, nt.RtlCompareMemory(a, b, 9));
        Assert.Equal(0xCBF4_3926u, nt.RtlCrc32(a, 9, 0));
        Assert.Equal(0xCBF4_3926u, nt.RtlComputeCrc32(0, a, 9));
        Assert.Equal(0x995D_C9BB_DF19_39FAUL, nt.RtlCrc64(a, 9, 0));
        nt.RtlCopyMemory(b, a, 9);
        nt.RtlMoveMemory(b, a, 9);
        nt.RtlCopyMemoryNonTemporal(b, a, 9);
        nt.RtlPrefetchMemoryNonTemporal(b, 9);
        Assert.Equal(9UL, nt.RtlCompareMemory(a, b, 9));
        nt.RtlFillMemoryNonTemporal(b, 8, 0x22);
        nt.RtlFillMemory(b, 8, 0x11);
        Assert.Equal(8UL, nt.RtlCompareMemoryUlong(b, 10, 0x1111_1111));
        nt.RtlZeroMemory(b + 4, 4);
        Assert.Equal(4UL, nt.RtlCompareMemoryUlong(b, 8, 0x1111_1111));
        Va seed = m.Block(4), other = m.Block(4);
        uint first = nt.RtlRandomEx(seed);
        Assert.Equal(first, nt.RtlRandom(other));
        Assert.NotEqual(first, nt.RtlRandomEx(seed));
        Assert.InRange(first, 0u, 0x7FFF_FFFEu);
    }

    [Fact]
    public void The_version_is_Windows_10_2004()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        var info = OsVersionInfo.At(nt.Memory, m.Block(OsVersionInfo.Size));
        info.InfoSize = OsVersionInfo.Size;
        Assert.Equal(STATUS_SUCCESS, nt.RtlGetVersion(info));
        Assert.Equal((10u, 0u, 19041u, 2u), (info.MajorVersion, info.MinorVersion, info.BuildNumber, info.PlatformId));
        Assert.True(nt.RtlIsNtDdiVersionAvailable(0x0601_0000));
        Assert.True(nt.RtlIsNtDdiVersionAvailable(0x0A00_0006));
        Assert.False(nt.RtlIsNtDdiVersionAvailable(0x0A00_0009));
        Assert.False(nt.RtlIsNtDdiVersionAvailable(0x0601_0100));
        Assert.False(nt.RtlIsServicePackVersionInstalled(0x0A00_0100));
        Va product = m.Block(4);
        Assert.True(nt.RtlGetProductInfo(10, 0, 0, 0, product));
        Assert.Equal(0u, nt.RtlGetNtGlobalFlags());
        Assert.False(nt.RtlIsStateSeparationEnabled());
    }

    [Theory]
    [InlineData(6, 1, 3, true), InlineData(10, 0, 1, true), InlineData(10, 1, 3, false), InlineData(11, 0, 3, false)]
    [InlineData(10, 0, 2, false), InlineData(9, 5, 2, true), InlineData(10, 0, 5, true), InlineData(6, 1, 5, false)]
    public void A_version_is_compared_part_by_part(uint major, uint minor, byte condition, bool holds)
    {
        using var m = new TestMachine();
        var info = OsVersionInfo.At(m.Nt.Memory, m.Block(OsVersionInfo.Size));
        (info.InfoSize, info.MajorVersion, info.MinorVersion) = (OsVersionInfo.Size, major, minor);
        ulong mask = m.Nt.VerSetConditionMask(m.Nt.VerSetConditionMask(0, 2, condition), 1, condition);
        Assert.Equal(holds ? STATUS_SUCCESS : STATUS_REVISION_MISMATCH, m.Nt.RtlVerifyVersionInfo(info, 3, mask));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.RtlVerifyVersionInfo(info, 0, mask));
    }

    [Fact]
    public void The_kernels_own_image_has_headers_and_exports()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        LoadedImage kernel = nt.Loader.Images[0];
        Va size = m.Block(8), found = m.Block(8);
        Assert.Equal(0x4550u, m.U32(nt.RtlImageNtHeader(kernel.Base)));
        Assert.True(nt.RtlImageNtHeader(m.Block(0x100)).IsNull);
        Va exports = nt.RtlImageDirectoryEntryToData(kernel.Base, true, 0, size);
        Assert.True(kernel.Contains(exports));
        Assert.True(m.U32(size) > 40);
        Assert.True(nt.RtlImageDirectoryEntryToData(kernel.Base, true, 6, size).IsNull);
        Assert.Equal(kernel.Base, nt.RtlPcToFileHeader(kernel.Base + 100, found));
        Assert.True(nt.RtlPcToFileHeader(size, found).IsNull);
        Assert.Equal(STATUS_RESOURCE_DATA_NOT_FOUND, nt.RtlFindMessage(kernel.Base, 11, 0, 1, found));
    }

    [Fact]
    public void A_function_of_a_driver_has_its_unwind_entry()
    {
        using var m = new TestMachine();
        Driver driver = m.Load(Repository.Driver("echo"));
        Va entry = driver.Image.Base + driver.Image.Image.EntryPointRva, start = m.Block(8);
        Va function = m.Nt.RtlLookupFunctionEntry(entry, start, Va.Null);
        Assert.Equal(driver.Image.Base.Value, m.U64(start));
        Assert.Equal(driver.Image.Image.EntryPointRva, m.U32(function));
        Assert.True(m.Nt.RtlLookupFunctionEntry(start, start, Va.Null).IsNull);
    }

    /// <summary>An image of headers and a resource directory with one message table and one string of bytes.</summary>
    static Va ImageWithResources(TestMachine m)
    {
        NtKernel nt = m.Nt;
        Va image = m.Block(0x400);
        void Put(int at, params uint[] words)
        {
            for (int i = 0; i < words.Length; i++) nt.Memory.Write(image + at + i * 4, words[i]);
        }
        Put(0, 0x5A4D);
        Put(0x3C, 0x40);
        Put(0x40, 0x4550);
        Put(0x40 + 24, 0x20B);
        Put(0x40 + 24 + 108, 16);
        Put(0x40 + 24 + 112 + 16, 0x200, 0x200);        // the third directory
        Put(0x200, 0, 0, 0, 1u << 16, 11, 0x8000_0018);  // type 11
        Put(0x218, 0, 0, 0, 1u << 16, 1, 0x8000_0030);   // name 1
        Put(0x230, 0, 0, 0, 1u << 16, 0x409, 0x48);      // language 409
        Put(0x248, 0x300, 0x40, 0, 0);                   // data at 300
        Put(0x300, 1, 5, 6, 16);                         // one block of messages 5 and 6
        Put(0x310, 8, 0x41, 8, 0x42);
        return image;
    }

    [Fact]
    public void Resources_are_found_by_type_name_and_language()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va image = ImageWithResources(m), path = m.ListAt(11, 1, 0x409), found = m.Block(8), size = m.Block(4);
        Assert.Equal(STATUS_SUCCESS, nt.LdrFindResource_U(image, path, 3, found));
        Va entry = nt.Memory.Read<Va>(found);
        Assert.Equal(image + 0x248, entry);
        Assert.Equal(STATUS_SUCCESS, nt.LdrAccessResource(image, entry, found, size));
        Assert.Equal(((image + 0x300).Value, 0x40u), (m.U64(found), m.U32(size)));
        Assert.Equal(STATUS_SUCCESS, nt.LdrFindResourceDirectory_U(image, path, 1, found));
        Assert.Equal(image + 0x218, nt.Memory.Read<Va>(found));
        Assert.Equal(STATUS_RESOURCE_TYPE_NOT_FOUND, nt.LdrFindResource_U(image, m.ListAt(12, 1, 0), 3, found));
        Assert.Equal(STATUS_RESOURCE_NAME_NOT_FOUND, nt.LdrFindResource_U(image, m.ListAt(11, 2, 0), 3, found));
        Assert.Equal(STATUS_RESOURCE_LANG_NOT_FOUND, nt.LdrFindResource_U(image, m.ListAt(11, 1, 7), 3, found));
        Assert.Equal(STATUS_SUCCESS, nt.RtlFindMessage(image, 11, 0, 6, found));
        Assert.Equal(image + 0x318, nt.Memory.Read<Va>(found));
        Assert.Equal(STATUS_MESSAGE_NOT_FOUND, nt.RtlFindMessage(image, 11, 0, 7, found));
    }

    [Fact]
    public void Without_guest_code_there_is_no_stack_to_walk()
    {
        using var m = new TestMachine();
        Va frames = m.Block(80);
        Assert.Equal(0u, m.Nt.RtlWalkFrameChain(frames, 10, 0));
        Assert.Equal(0, m.Nt.RtlCaptureStackBackTrace(0, 10, frames, Va.Null));
        m.Nt.RtlGetCallersAddress(frames, frames + 8);
        var context = ContextView.At(m.Nt.Memory, m.Block(ContextView.Size));
        m.Nt.RtlCaptureContext(context);
        Assert.Equal(m.Nt.Cpu.Rsp, m.U64(context.Address + 0x98));
    }

    [Fact]
    public void A_context_is_unwound_to_the_caller()
    {
        using var m = new TestMachine();
        Driver driver = m.Load(Repository.Driver("echo"));
        Va entry = driver.Image.Base + driver.Image.Image.EntryPointRva;
        var context = ContextView.At(m.Nt.Memory, m.Block(ContextView.Size));
        Va stack = m.ListAt(0x1234), data = m.Block(8), frame = m.Block(8);
        m.Nt.Memory.Write(context.Address + 0x98, stack);
        m.Nt.RtlVirtualUnwind(0, driver.Image.Base, entry, Va.Null, context, data, frame, Va.Null);
        Assert.Equal((0x1234UL, (stack + 8).Value), (m.U64(context.Address + 0xF8), m.U64(context.Address + 0x98)));
    }

    [Fact]
    public void Something_is_initialized_once()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va once = m.Block(8), context = m.Block(8);
        int calls = 0;
        Va routine = nt.Routines.Add("init", (k, call) =>
        {
            calls++;
            k.Memory.Write(new Va(call.Argument(2)), 0x1230UL);
            call.Return(calls > 1 ? 1u : 0);
        });
        nt.RtlRunOnceInitialize(once);
        Assert.Equal(STATUS_UNSUCCESSFUL, nt.RtlRunOnceExecuteOnce(once, routine, Va.Null, context));
        Assert.Equal(STATUS_SUCCESS, nt.RtlRunOnceExecuteOnce(once, routine, Va.Null, context));
        Assert.Equal(STATUS_SUCCESS, nt.RtlRunOnceExecuteOnce(once, routine, Va.Null, context));
        Assert.Equal((2, 0x1230UL), (calls, m.U64(context)));
        nt.RtlRunOnceInitialize(once);
        Assert.Equal(STATUS_UNSUCCESSFUL, nt.RtlRunOnceBeginInitialize(once, 1, context));
        Assert.Equal(STATUS_PENDING, nt.RtlRunOnceBeginInitialize(once, 2, context));
        Assert.Equal(STATUS_PENDING, nt.RtlRunOnceBeginInitialize(once, 2, context));
        Assert.Equal(STATUS_INVALID_PARAMETER_3, nt.RtlRunOnceComplete(once, 2, new Va(1)));
        Assert.Equal(STATUS_SUCCESS, nt.RtlRunOnceComplete(once, 2, new Va(0x40)));
        Assert.Equal(STATUS_UNSUCCESSFUL, nt.RtlRunOnceComplete(once, 2, new Va(0x40)));
    }

    [Fact]
    public void A_routine_of_the_kernel_is_found_by_its_name()
    {
        using var m = new TestMachine();
        Assert.Equal(m.Nt.Loader.FindExport("RtlCrc32"), m.Nt.MmGetSystemRoutineAddress(m.Unicode("RtlCrc32")));
        Assert.True(m.Nt.MmGetSystemRoutineAddress(m.Unicode("NoSuchRoutine")).IsNull);
    }
}
