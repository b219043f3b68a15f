using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using UnicodeString = Ringdown.Kernel.UnicodeString;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class RtlStringTests
{
    [Fact]
    public void Unicode_strings_are_set_up_copied_joined_and_compared()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        UnicodeString a = m.Room(0), b = m.Room(20);
        nt.RtlInitUnicodeString(a, m.Wide("Hello"));
        Assert.Equal((10, 12), (a.Length, a.MaximumLength));
        Assert.Equal(STATUS_SUCCESS, nt.RtlInitUnicodeStringEx(a, m.Wide("Hello")));
        nt.RtlCopyUnicodeString(b, a);
        Assert.Equal(STATUS_SUCCESS, nt.RtlAppendUnicodeToString(b, m.Wide(" W")));
        Assert.Equal(STATUS_SUCCESS, nt.RtlAppendUnicodeStringToString(b, m.Unicode("or")));
        Assert.Equal("Hello Wor", b.Text);
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, nt.RtlAppendUnicodeToString(b, m.Wide("ld")));
        Assert.True(nt.RtlEqualUnicodeString(a, m.Unicode("hELLO"), true));
        Assert.False(nt.RtlEqualUnicodeString(a, m.Unicode("hELLO"), false));
        Assert.True(nt.RtlPrefixUnicodeString(a, b, false));
        Assert.True(nt.RtlCompareUnicodeString(a, m.Unicode("HELLOA"), true) < 0);
        Assert.Equal(0, nt.RtlCompareUnicodeStrings(m.Wide("abC"), 3, m.Wide("ABc"), 3, true));
        Assert.True(nt.RtlCompareUnicodeStrings(m.Wide("abC"), 3, m.Wide("ABc"), 2, true) > 0);
    }

    [Fact]
    public void Copies_are_made_in_pool_and_freed()
    {
        using var m = new TestMachine();
        UnicodeString made = m.Room(0), second = m.Room(0);
        Assert.True(m.Nt.RtlCreateUnicodeString(made, m.Wide("text")));
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlDuplicateUnicodeString(1, made, second));
        Assert.Equal(("text", 10), (second.Text, second.MaximumLength));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.RtlDuplicateUnicodeString(2, made, second));
        m.Nt.RtlFreeUnicodeString(made);
        Assert.True(made.Buffer.IsNull);
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlValidateUnicodeString(0, second));
        second.Length = 11;
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.RtlValidateUnicodeString(0, second));
    }

    [Fact]
    public void Case_is_that_of_NTs_tables()
    {
        using var m = new TestMachine();
        UnicodeString to = m.Room(40);
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlUpcaseUnicodeString(to, m.Unicode("aäß\u0131\u00B5ÿ"), false));
        Assert.Equal("AÄß\u0131\u00B5\u0178", to.Text);
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlDowncaseUnicodeString(to, m.Unicode("AÄΣ"), false));
        Assert.Equal("aäσ", to.Text);
        Assert.Equal('Я', m.Nt.RtlUpcaseUnicodeChar('я'));
        Assert.Equal('я', m.Nt.RtlDowncaseUnicodeChar('Я'));
        Assert.Equal('Я', m.Nt.towupper('я'));
        Assert.Equal('я', m.Nt.towlower('Я'));
        Assert.Equal((byte)'A', m.Nt.RtlUpperChar((byte)'a'));
        Assert.Equal(0xC4, m.Nt.RtlUpperChar(0xE4));
    }

    [Fact]
    public void Hashes_are_x65599()
    {
        using var m = new TestMachine();
        Va hash = m.Block(4);
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlHashUnicodeString(m.Unicode("aB"), true, 0, hash));
        Assert.Equal('A' * 65599u + 'B', m.U32(hash));
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlHashUnicodeString(m.Unicode("aB"), false, 1, hash));
        Assert.Equal('a' * 65599u + 'B', m.U32(hash));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.RtlHashUnicodeString(m.Unicode("aB"), false, 2, hash));
    }

    [Fact]
    public void Strings_of_bytes_are_set_up_copied_joined_and_compared()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        AnsiString a = m.Ansi(""), b = m.Ansi("12345678");
        foreach (Action<AnsiString, Va> init in (Action<AnsiString, Va>[])[nt.RtlInitAnsiString, nt.RtlInitString,
            nt.RtlInitUTF8String, (s, t) => nt.RtlInitAnsiStringEx(s, t), (s, t) => nt.RtlInitStringEx(s, t),
            (s, t) => nt.RtlInitUTF8StringEx(s, t)])
        {
            init(a, m.Narrow("abc"));
            Assert.Equal((3, 4), (a.Length, a.MaximumLength));
        }
        nt.RtlCopyString(b, a);
        Assert.Equal(STATUS_SUCCESS, nt.RtlAppendStringToString(b, m.Ansi("DE")));
        Assert.Equal(STATUS_SUCCESS, nt.RtlAppendAsciizToString(b, m.Narrow("F")));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, nt.RtlAppendAsciizToString(b, m.Narrow("GHI")));
        Assert.Equal("abcDEF", b.Text);
        Assert.True(nt.RtlPrefixString(a, b, false));
        Assert.True(nt.RtlEqualString(m.Ansi("ABCdef"), b, true));
        Assert.True(nt.RtlCompareString(a, b, false) < 0);
        nt.RtlUpperString(b, m.Ansi("äbc"));
        Assert.Equal("ÄBC", b.Text);
        Va pointer = m.Block(8), text = m.Bytes(0x80, 0x41);
        nt.Memory.Write(pointer, text);
        Assert.Equal('€', nt.RtlAnsiCharToUnicodeChar(pointer));
        Assert.Equal((text + 1).Value, m.U64(pointer));
    }

    [Fact]
    public void Text_goes_through_both_code_pages()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        UnicodeString u = m.Room(40), bytes = m.Room(20);
        Assert.Equal(STATUS_SUCCESS, nt.RtlAnsiStringToUnicodeString(u, m.Ansi(0x80, 0xE4), false));
        Assert.Equal("€ä", u.Text);
        Assert.Equal(STATUS_SUCCESS, nt.RtlOemStringToUnicodeString(u, m.Ansi(0x84, 0xB3), false));
        Assert.Equal("ä│", u.Text);
        Assert.Equal(STATUS_SUCCESS, nt.RtlOemStringToCountedUnicodeString(u, m.Ansi(0x84), false));
        Assert.Equal("ä", u.Text);
        UnicodeString source = m.Unicode("aä€Ł");
        Assert.Equal(STATUS_SUCCESS, nt.RtlUnicodeStringToAnsiString(bytes, source, false));
        Assert.Equal([0x61, 0xE4, 0x80, (byte)'L'], m.BytesOf(bytes));
        Assert.Equal(STATUS_SUCCESS, nt.RtlUpcaseUnicodeStringToAnsiString(bytes, source, false));
        Assert.Equal([0x41, 0xC4, 0x80, (byte)'L'], m.BytesOf(bytes));
        Assert.Equal(STATUS_SUCCESS, nt.RtlUnicodeStringToOemString(bytes, source, false));
        Assert.Equal([0x61, 0x84, (byte)'?', (byte)'L'], m.BytesOf(bytes));
        Assert.Equal(STATUS_SUCCESS, nt.RtlUpcaseUnicodeStringToOemString(bytes, m.Unicode("ä"), false));
        Assert.Equal([0x8E], m.BytesOf(bytes));
        Assert.Equal(STATUS_UNMAPPABLE_CHARACTER, nt.RtlUpcaseUnicodeStringToCountedOemString(bytes, source, false));
        Assert.Equal(STATUS_SUCCESS, nt.RtlUnicodeStringToCountedOemString(bytes, m.Unicode("ä"), true));
        Assert.Equal(1, bytes.MaximumLength);
        nt.RtlFreeOemString(bytes);
        bytes.Set(m.Block(3), 0, 3);
        Assert.Equal(STATUS_BUFFER_OVERFLOW, nt.RtlUnicodeStringToAnsiString(bytes, source, false));
        Assert.Equal([0x61, 0xE4], m.BytesOf(bytes));
        nt.RtlUnicodeStringToAnsiString(bytes, source, true);
        nt.RtlFreeAnsiString(bytes);
    }

    [Fact]
    public void Counted_characters_go_through_both_code_pages()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va to = m.Block(64), size = m.Block(4), wide = m.Wide("aä"), ansi = m.Bytes(0x61, 0xE4), oem = m.Bytes(0x61,
            0x84);
        nt.RtlMultiByteToUnicodeN(to, 64, size, ansi, 2);
        Assert.Equal(("aä", 4u), (m.WideAt(to), m.U32(size)));
        nt.RtlOemToUnicodeN(to, 64, size, oem, 2);
        Assert.Equal(("aä", 4u), (m.WideAt(to), m.U32(size)));
        foreach ((Func<NtStatus> call, byte[] result) in ((Func<NtStatus>, byte[])[])[
            (() => nt.RtlUnicodeToMultiByteN(to, 64, size, wide, 4), [0x61, 0xE4]),
            (() => nt.RtlUpcaseUnicodeToMultiByteN(to, 64, size, wide, 4), [0x41, 0xC4]),
            (() => nt.RtlUnicodeToOemN(to, 64, size, wide, 4), [0x61, 0x84]),
            (() => nt.RtlUpcaseUnicodeToOemN(to, 64, size, wide, 4), [0x41, 0x8E])])
        {
            Assert.Equal(STATUS_SUCCESS, call());
            Assert.Equal((result[0], result[1], 2u),
                (nt.Memory.Read<byte>(to), nt.Memory.Read<byte>(to + 1), m.U32(size)));
        }
        nt.RtlMultiByteToUnicodeSize(size, ansi, 2);
        Assert.Equal(4u, m.U32(size));
        nt.RtlUnicodeToMultiByteSize(size, wide, 4);
        Assert.Equal(2u, m.U32(size));
        Assert.Equal((6u, 6u), (nt.RtlxAnsiStringToUnicodeSize(m.Ansi("ab")),
            nt.RtlxOemStringToUnicodeSize(m.Ansi("ab"))));
        Assert.Equal((3u, 3u),
            (nt.RtlxUnicodeStringToAnsiSize(m.Unicode("ab")), nt.RtlxUnicodeStringToOemSize(m.Unicode("ab"))));
        Assert.Equal((6u, 6u), (nt.RtlAnsiStringToUnicodeSize(m.Ansi("ab")),
            nt.RtlOemStringToUnicodeSize(m.Ansi("ab"))));
        Assert.Equal((3u, 3u),
            (nt.RtlUnicodeStringToAnsiSize(m.Unicode("ab")), nt.RtlUnicodeStringToOemSize(m.Unicode("ab"))));
        Va c = m.Wide("ä");
        Assert.True(nt.RtlIsValidOemCharacter(c));
        Assert.Equal("Ä", m.WideAt(c));
        Va pages = m.Block(4);
        nt.RtlGetDefaultCodePage(pages, pages + 2);
        Assert.Equal(1252u | 437u << 16, m.U32(pages));
    }

    [Fact]
    public void The_code_pages_are_variables_too()
    {
        using var m = new TestMachine();
        Assert.Equal(0, m.Nt.Memory.Read<byte>(m.Nt.Loader.FindExport("NlsMbCodePageTag")));
        Assert.Equal(0, m.Nt.Memory.Read<byte>(m.Nt.Loader.FindExport("NlsMbOemCodePageTag")));
        Assert.Equal(1252, m.Nt.Memory.Read<ushort>(m.Nt.Loader.FindExport("NlsAnsiCodePage")));
        Assert.Equal(437, m.Nt.Memory.Read<ushort>(m.Nt.Loader.FindExport("NlsOemCodePage")));
        Va leads = m.Nt.Memory.Read<Va>(m.Nt.Loader.FindExport("NlsOemLeadByteInfo"));
        Assert.Equal(leads, m.Nt.Memory.Read<Va>(m.Nt.Loader.FindExport("NlsLeadByteInfo")));
        Assert.All(m.Nt.Memory.ReadBytes(leads, 512), b => Assert.Equal(0, b));
    }

    [Fact]
    public void Each_byte_comes_back_from_Unicode()
    {
        for (int i = 0; i < 256; i++)
            foreach (NlsCodePage page in (NlsCodePage[])[NlsCodePage.Ansi, NlsCodePage.Oem])
                Assert.Equal(i, page.ToByte(page.ToUnicode((byte)i)));
        Assert.Equal("SsZzYAO",
            string.Concat("ŚśŽžŶĀŌ".Select(c => c == 'Ž' || c == 'ž' ? (char)NlsCodePage.Oem.ToByte(c)
            : (char)NlsCodePage.Ansi.ToByte(c))));
    }

    [Fact]
    public void UTF_8_goes_there_and_back_as_dotnet_has_it()
    {
        using var m = new TestMachine();
        Va size = m.Block(4), to = m.Block(0x4000);
        Prop.ForAll(ArbMap.Default.ArbFor<string>(), text =>
        {
            text ??= "";
            byte[] utf8 = Encoding.UTF8.GetBytes(text);
            NtStatus status = m.Nt.RtlUnicodeToUTF8N(to, 0x4000, size, m.Wide(text), (uint)text.Length * 2);
            Assert.Equal(utf8, m.Nt.Memory.ReadBytes(to, (int)m.U32(size)));
            bool clean = Encoding.UTF8.GetString(utf8) == text;
            Assert.Equal(clean ? STATUS_SUCCESS : STATUS_SOME_NOT_MAPPED, status);
            Assert.Equal(STATUS_SUCCESS, m.Nt.RtlUTF8ToUnicodeN(to, 0x4000, size, m.Bytes(utf8), (uint)utf8.Length));
            Assert.Equal(Encoding.UTF8.GetString(utf8), Encoding.Unicode.GetString(
                m.Nt.Memory.ReadBytes(to, (int)m.U32(size))));
        }).Check(GuestText.Properties(200));
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlUTF8ToUnicodeN(Va.Null, 0, size, m.Narrow("abc"), 3));
        Assert.Equal(6u, m.U32(size));
        Assert.Equal(STATUS_BUFFER_TOO_SMALL, m.Nt.RtlUTF8ToUnicodeN(to, 4, size, m.Narrow("abc"), 3));
        Assert.Equal(STATUS_SOME_NOT_MAPPED, m.Nt.RtlUTF8ToUnicodeN(to, 40, size, m.Bytes(0xFF, 0x41), 2));
        Assert.Equal("\uFFFDA", Encoding.Unicode.GetString(m.Nt.Memory.ReadBytes(to, 4)));
        UnicodeString u = m.Room(0);
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlUTF8StringToUnicodeString(u, m.Ansi(0xC3, 0xA4), true));
        Assert.Equal("ä", u.Text);
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlUnicodeStringToUTF8String(u, m.Unicode("ä"), true));
        Assert.Equal([0xC3, 0xA4], m.BytesOf(u));
        m.Nt.RtlFreeUTF8String(u);
    }

    [Fact]
    public void Integers_become_text_and_text_integers()
    {
        using var m = new TestMachine();
        UnicodeString to = m.Room(140);
        Va value = m.Block(4), narrow = m.Block(40);
        Prop.ForAll(ArbMap.Default.ArbFor<uint>(), Gen.Elements(2u, 8u, 10u, 16u).ToArbitrary(), (number, @base) =>
        {
            Assert.Equal(STATUS_SUCCESS, m.Nt.RtlIntegerToUnicodeString(number, @base, to));
            Assert.Equal(Convert.ToString(number, (int)@base), to.Text, ignoreCase: true);
            Assert.Equal(STATUS_SUCCESS, m.Nt.RtlUnicodeStringToInteger(to, @base, value));
            Assert.Equal(number, m.U32(value));
            Assert.Equal(STATUS_SUCCESS, m.Nt.RtlIntegerToChar(number, @base, 40, narrow));
            Assert.Equal(STATUS_SUCCESS, m.Nt.RtlCharToInteger(narrow, @base, value));
            Assert.Equal(number, m.U32(value));
        }).Check(GuestText.Properties(200));
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlInt64ToUnicodeString(ulong.MaxValue, 10, to));
        Assert.Equal("18446744073709551615", to.Text);
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.RtlInt64ToUnicodeString(1, 3, to));
        Assert.Equal(STATUS_BUFFER_OVERFLOW, m.Nt.RtlIntegerToChar(1000, 10, 3, narrow));
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlUnicodeStringToInteger(m.Unicode("  -0x1f."), 0, value));
        Assert.Equal(unchecked((uint)-0x1F), m.U32(value));
    }

    [Fact]
    public void GUIDs_become_text_and_text_GUIDs()
    {
        using var m = new TestMachine();
        UnicodeString to = m.Room(0);
        Va back = m.Block(16);
        var guid = new Guid("01234567-89ab-cdef-0123-456789abcdef");
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlStringFromGUID(m.Bytes(guid.ToByteArray()), to));
        Assert.Equal("{01234567-89AB-CDEF-0123-456789ABCDEF}", to.Text);
        Assert.Equal(STATUS_SUCCESS, m.Nt.RtlGUIDFromString(to, back));
        Assert.Equal(guid, new Guid(m.Nt.Memory.ReadBytes(back, 16)));
        Assert.Equal(STATUS_INVALID_PARAMETER, m.Nt.RtlGUIDFromString(m.Unicode("{01234567}"), back));
    }

    [Fact]
    public void Altitudes_are_numbers_of_any_length()
    {
        using var m = new TestMachine();
        Assert.True(m.Nt.RtlCompareAltitudes(m.Unicode("100000"), m.Unicode("99999.9")) > 0);
        Assert.True(m.Nt.RtlCompareAltitudes(m.Unicode("100.25"), m.Unicode("100.3")) < 0);
        Assert.Equal(0, m.Nt.RtlCompareAltitudes(m.Unicode("0100"), m.Unicode("100.0")));
    }

    [Fact, Rule("17.5", Hypothesis = true)]
    public void Status_codes_become_Win32_errors_and_stay_in_the_threads_block()
    {
        using var m = new TestMachine();
        Va teb = m.Nt.User.Win32.VirtualAlloc(0x2000);
        KThread thread = m.Nt.Ke.CurrentThread;
        thread.Teb = teb;
        Assert.Equal(2u, m.Nt.RtlNtStatusToDosError(STATUS_OBJECT_NAME_NOT_FOUND));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Read<NtStatus>(teb + 0x1250));
        Assert.Equal(6u, m.Nt.RtlNtStatusToDosErrorNoTeb(STATUS_INVALID_HANDLE));
        Assert.Equal(STATUS_OBJECT_NAME_NOT_FOUND, m.Read<NtStatus>(teb + 0x1250));
        thread.Teb = new Va(0x1234);
        Assert.Equal(2u, m.Nt.RtlNtStatusToDosError(STATUS_OBJECT_NAME_NOT_FOUND));
        thread.Teb = Va.Null;
        Assert.Equal(5u, m.Nt.RtlNtStatusToDosError(STATUS_ACCESS_DENIED));
        Assert.Equal(5u, m.Nt.RtlNtStatusToDosErrorNoTeb(STATUS_ACCESS_DENIED));
    }

    [Fact]
    public void Short_names_count_up_and_then_take_a_sum()
    {
        using var m = new TestMachine();
        var context = GenerateNameContext.At(m.Nt.Memory, m.Block(GenerateNameContext.Size));
        UnicodeString to = m.Room(24);
        string[] names = [.. Enumerable.Range(0, 6).Select(_ =>
        {
            Assert.Equal(STATUS_SUCCESS, m.Nt.RtlGenerate8dot3Name(m.Unicode("Long name+here.text"), false, context,
                to));
            return to.Text;
        })];
        Assert.Equal(["LONGNA~1.TEX", "LONGNA~2.TEX", "LONGNA~3.TEX", "LONGNA~4.TEX"], names[..4]);
        Assert.Matches("^LO[0-9A-F]{4}~1\\.TEX$", names[4]);
        Assert.Equal(names[4].Replace("~1", "~2"), names[5]);
        Va spaces = m.Block(1);
        AnsiString oem = m.Ansi("123456789012");
        Assert.True(m.Nt.RtlIsNameLegalDOS8Dot3(m.Unicode("a b.txt"), oem, spaces));
        Assert.Equal(("A B.TXT", 1), (oem.Text, m.Nt.Memory.Read<byte>(spaces)));
        foreach (string bad in (string[])["toolongname", "a.b.c", "a.", "a+b", ".a", "a.text", "€"])
            Assert.False(m.Nt.RtlIsNameLegalDOS8Dot3(m.Unicode(bad), AnsiString.At(m.Nt.Memory, Va.Null), Va.Null),
                bad);
    }
}
