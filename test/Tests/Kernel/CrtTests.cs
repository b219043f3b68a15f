using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;

namespace Ringdown.Tests;

public sealed class CrtTests
{
    string Format(TestMachine m, string format, params ulong[] arguments)
    {
        Va to = m.Block(600);
        m.Nt._vsnprintf(to, 600, m.Narrow(format), m.ListAt(arguments));
        return m.NarrowAt(to);
    }

    [Theory]
    [InlineData("%d|%5d|%-5d|%05d|%+d", "-7|   -7|-7   |-0007|-7")]
    [InlineData("%x|%X|%#x|%#06x|%08X|%.4x", "fffffff9|FFFFFFF9|0xfffffff9|0xfffffff9|FFFFFFF9|fffffff9")]
    [InlineData("%u|%I64d|%lld|%hd|%hhu", "4294967289|-7|-7|-7|249")]
    [InlineData("%%|%5.3d|%-6.2d|", "%| -007|-07   |")]
    public void Numbers_are_written_as_Microsofts_library_does(string format, string expected)
    {
        using var m = new TestMachine();
        Assert.Equal(expected, Format(m, format, [.. Enumerable.Repeat(unchecked((ulong)-7), 8)]));
    }

    [Fact]
    public void Text_is_written_narrow_and_wide()
    {
        using var m = new TestMachine();
        Assert.Equal("ab|  ab|a|€", Format(m, "%s|%4s|%.1s|%S", m.Narrow("ab").Value, m.Narrow("ab").Value,
            m.Narrow("ab").Value, m.Wide("€").Value).Replace('\u0080', '€'));
        Assert.Equal("xy|(null)|c", Format(m, "%wZ|%s|%c", m.Unicode("xy").Address.Value, 0, 'c'));
        Va to = m.Block(100);
        Assert.Equal(8, m.Nt._vsnwprintf(to, 50, m.Wide("%s|%hs|%Z"), m.ListAt(
            m.Wide("ab").Value, m.Narrow("cd").Value, m.Ansi("ef").Address.Value)));
        Assert.Equal("ab|cd|ef", m.WideAt(to));
    }

    // The model is .NET's own formatting, put together by hand.
    [Fact]
    public void Flags_width_and_precision_go_together_as_a_model_says()
    {
        using var m = new TestMachine();
        var specs = from flags in Gen.Elements("", "-", "0", "+", " ", "-0", "+0")
                    from width in Gen.Choose(0, 12)
                    from precision in Gen.Choose(-1, 8)
                    from value in Gen.Choose(-100000, 100000)
                    select (flags, width, precision, value);
        Prop.ForAll(specs.ToArbitrary(), s =>
        {
            string digits = Math.Abs((long)s.value).ToString().PadLeft(Math.Max(0, s.precision), '0');
            if (s is { precision: 0, value: 0 }) digits = "";
            string sign = s.value < 0 ? "-" : s.flags.Contains('+') ? "+" : s.flags.Contains(' ') ? " " : "";
            string expected = s.flags.Contains('-') ? (sign + digits).PadRight(s.width)
                : s.flags.Contains('0') && s.precision < 0 ? sign + digits.PadLeft(Math.Max(0, s.width - sign.Length),
                    '0')
                : (sign + digits).PadLeft(s.width);
            string format = $"%{s.flags}{(s.width > 0 ? s.width : "")}{(s.precision >= 0 ? "." + s.precision : "")}d";
            Assert.Equal(expected, Format(m, format, unchecked((ulong)s.value)));
        }).Check(GuestText.Properties(500));
    }

    [Fact]
    public void What_does_not_fit_is_cut_or_refused()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va to = m.Block(64), narrow = m.Narrow("%d"), wide = m.Wide("%d");
        Assert.Equal(-1, nt._snprintf(to, 3, narrow, m.List(12345)));
        Assert.Equal(5, nt.sprintf(to, narrow, m.List(12345)));
        Assert.Equal(5, nt.vsprintf(to, narrow, m.ListAt(12345)));
        Assert.Equal(-1, nt._snwprintf(to, 3, wide, m.List(12345)));
        foreach (int length in (int[])[nt.swprintf(to, wide, m.List(12345)), nt._swprintf(to, wide, m.List(12345)),
            nt._vswprintf(to, wide, m.ListAt(12345)), nt.swprintf_s(to, 6, wide, m.List(12345)),
            nt.vswprintf_s(to, 6, wide, m.ListAt(12345)), nt._snwprintf_s(to, 6, 5, wide, m.List(12345)),
            nt._vsnwprintf_s(to, 6, 5, wide, m.ListAt(12345)), nt._scwprintf(wide, m.List(12345)),
            nt._vscwprintf(wide, m.ListAt(12345)), nt._scprintf(narrow, m.List(12345)),
            nt._vscprintf(narrow, m.ListAt(12345))]) Assert.Equal(5, length);
        Assert.Equal("12345", m.WideAt(to));
        Assert.Equal(-1, nt.sprintf_s(to, 5, narrow, m.List(12345)));
        Assert.Equal("", m.NarrowAt(to));
        Assert.Equal(-1, nt.vsprintf_s(to, 5, narrow, m.ListAt(12345)));
        Assert.Equal(-1, nt._snprintf_s(to, 5, ulong.MaxValue, narrow, m.List(12345)));
        Assert.Equal("1234", m.NarrowAt(to));
        Assert.Equal(-1, nt._vsnprintf_s(to, 5, 2, narrow, m.ListAt(12345)));
        Assert.Equal("12", m.NarrowAt(to));
    }

    [Fact]
    public void Text_is_read_by_a_format()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va a = m.Block(8), b = m.Block(8), text = m.Block(32);
        Assert.Equal(3, nt.sscanf_s(m.Narrow(" -12 name,0x1F"), m.Narrow("%d %[^,],%i"),
            m.List(a.Value, text.Value, 32, b.Value)));
        Assert.Equal((unchecked((uint)-12), "name", 31u), (m.U32(a), m.NarrowAt(text), m.U32(b)));
        Assert.Equal(1, nt._snscanf_s(m.Narrow("1234"), 2, m.Narrow("%d"), m.List(a.Value)));
        Assert.Equal(12u, m.U32(a));
        Assert.Equal(2, nt.swscanf_s(m.Wide("abc 7f"), m.Wide("%s %x"), m.List(text.Value, 16, a.Value)));
        Assert.Equal(("abc", 0x7Fu), (m.WideAt(text), m.U32(a)));
        Assert.Equal(1, nt._snwscanf_s(m.Wide("77"), 1, m.Wide("%d"), m.List(a.Value)));
        Assert.Equal(-1, nt.sscanf_s(m.Narrow(""), m.Narrow("%d"), m.List(a.Value)));
        Assert.Equal(0, nt.sscanf_s(m.Narrow("toolong"), m.Narrow("%s"), m.List(text.Value, 3)));
    }

    [Fact]
    public void Memory_is_moved_compared_and_searched()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va a = m.Narrow("abcdef"), b = m.Block(8);
        nt.memcpy(b, a, 7);
        nt.memmove(b + 1, b, 5);
        Assert.Equal("aabcde", m.NarrowAt(b));
        Assert.True(nt.memcmp(a, b, 6) > 0);
        Assert.Equal(a + 3, nt.memchr(a, 'd', 6));
        Assert.True(nt.memchr(a, 'x', 6).IsNull);
        nt.memset(b, 'z', 3);
        Assert.Equal("zzzcde", m.NarrowAt(b));
        Assert.Equal((0, 34, 22), (nt.memcpy_s(b, 8, a, 7), nt.memcpy_s(b, 3, a, 7), nt.memcpy_s(Va.Null, 3, a, 7)));
        Assert.Equal((0, 34, 22), (nt.memmove_s(b, 8, a, 7), nt.memmove_s(b, 3, a, 7), nt.memmove_s(b, 8, Va.Null, 7)));
    }

    [Fact]
    public void Narrow_text_is_measured_compared_searched_and_joined()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va a = m.Narrow("hello.world"), to = m.Block(40);
        Assert.Equal((11UL, 3UL), (nt.strlen(a), nt.strnlen(a, 3)));
        Assert.Equal((a + 5, a + 9, a + 6), (nt.strchr(a, '.'), nt.strrchr(a, 'l'), nt.strstr(a, m.Narrow("wor"))));
        Assert.Equal((5UL, 4UL), (nt.strcspn(a, m.Narrow(".w")), nt.strspn(a, m.Narrow("hel"))));
        Assert.Equal(a + 2, nt.strpbrk(a, m.Narrow("lw")));
        Assert.Equal((0, 0), (nt.strncmp(a, m.Narrow("hellx"), 4), nt._strnicmp(a, m.Narrow("HELLx"), 4)));
        Assert.Equal(0, nt._stricmp(a, m.Narrow("HELLO.WORLD")));
        Assert.True(nt.strcmp(a, m.Narrow("hello")) > 0);
        Assert.True(nt._stricmp(m.Narrow("_"), m.Narrow("A")) < 0);
        nt.strcpy(to, m.Narrow("ab"));
        nt.strcat(to, m.Narrow("cd"));
        nt.strncat(to, m.Narrow("efgh"), 2);
        Assert.Equal("abcdef", m.NarrowAt(to));
        nt.strncpy(to, m.Narrow("xy"), 4);
        Assert.Equal("xy", m.NarrowAt(to));
        nt._strupr(to);
        Assert.Equal("XY", m.NarrowAt(nt._strrev(to)) == "YX" ? m.NarrowAt(nt._strrev(to)) : "");
        nt._strlwr(to);
        Assert.Equal("xy", m.NarrowAt(to));
        Assert.Equal("zy", m.NarrowAt(nt._strnset(to, 'z', 1)));
        Assert.Equal("qq", m.NarrowAt(nt._strset(to, 'q')));
        Assert.Equal((0, 0), (nt._strset_s(to, 4, 'r'), nt._strnset_s(to, 4, 's', 1)));
        Assert.Equal("sr", m.NarrowAt(to));
    }

    [Fact]
    public void Wide_text_is_measured_compared_searched_and_joined()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va a = m.Wide("hello.world"), to = m.Block(80);
        Assert.Equal((11UL, 3UL), (nt.wcslen(a), nt.wcsnlen(a, 3)));
        Assert.Equal((a + 10, a + 18, a + 12), (nt.wcschr(a, '.'), nt.wcsrchr(a, 'l'), nt.wcsstr(a, m.Wide("wor"))));
        Assert.Equal((5UL, 4UL), (nt.wcscspn(a, m.Wide(".w")), nt.wcsspn(a, m.Wide("hel"))));
        Assert.Equal(a + 4, nt.wcspbrk(a, m.Wide("lw")));
        Assert.Equal((0, 0), (nt.wcsncmp(a, m.Wide("hellx"), 4), nt._wcsnicmp(a, m.Wide("HELLx"), 4)));
        Assert.Equal(0, nt._wcsicmp(m.Wide("ä"), m.Wide("Ä")));
        Assert.True(nt.wcscmp(a, m.Wide("hello")) > 0);
        nt.wcscpy(to, m.Wide("ab"));
        nt.wcscat(to, m.Wide("cd"));
        nt.wcsncat(to, m.Wide("efgh"), 2);
        Assert.Equal("abcdef", m.WideAt(to));
        nt.wcsncpy(to, m.Wide("xy"), 4);
        Assert.Equal("XY", m.WideAt(nt._wcsupr(to)));
        Assert.Equal("yx", m.WideAt(nt._wcsrev(nt._wcslwr(to))));
        Assert.Equal("zx", m.WideAt(nt._wcsnset(to, 'z', 1)));
        Assert.Equal((0, 0), (nt._wcsset_s(to, 4, 'r'), nt._wcsnset_s(to, 4, 's', 1)));
        Assert.Equal("sr", m.WideAt(to));
    }

    [Fact]
    public void Safe_copies_never_write_past_the_size()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va n = m.Block(4), w = m.Block(8);
        Assert.Equal((0, 34, 22), (nt.strcpy_s(n, 4, m.Narrow("abc")), nt.strcpy_s(n, 4, m.Narrow("abcd")),
            nt.strcpy_s(Va.Null, 4, m.Narrow("abc"))));
        Assert.Equal("", m.NarrowAt(n));
        Assert.Equal((0, 34), (nt.wcscpy_s(w, 4, m.Wide("abc")), nt.wcscpy_s(w, 4, m.Wide("abcd"))));
        Assert.Equal((0, 80), (nt.strncpy_s(n, 4, m.Narrow("abcd"), 3),
            nt.strncpy_s(n, 4, m.Narrow("abcd"), ulong.MaxValue)));
        Assert.Equal("abc", m.NarrowAt(n));
        Assert.Equal((0, 80), (nt.wcsncpy_s(w, 4, m.Wide("ab"), 3),
            nt.wcsncpy_s(w, 4, m.Wide("abcd"), ulong.MaxValue)));
        Assert.Equal("abc", m.WideAt(w));
        nt.strcpy_s(n, 4, m.Narrow("a"));
        nt.wcscpy_s(w, 4, m.Wide("a"));
        Assert.Equal((0, 0), (nt.strcat_s(n, 4, m.Narrow("b")), nt.wcscat_s(w, 4, m.Wide("b"))));
        Assert.Equal((0, 80), (nt.strncat_s(n, 4, m.Narrow("cd"), 1),
            nt.wcsncat_s(w, 4, m.Wide("cd"), ulong.MaxValue)));
        Assert.Equal(("abc", "abc"), (m.NarrowAt(n), m.WideAt(w)));
    }

    [Fact]
    public void Text_falls_into_tokens()
    {
        using var m = new TestMachine();
        Va context = m.Block(8), narrow = m.Narrow(",a,,bc"), wide = m.Wide("x;y");
        Assert.Equal("a", m.NarrowAt(m.Nt.strtok_s(narrow, m.Narrow(","), context)));
        Assert.Equal("bc", m.NarrowAt(m.Nt.strtok_s(Va.Null, m.Narrow(","), context)));
        Assert.True(m.Nt.strtok_s(Va.Null, m.Narrow(","), context).IsNull);
        Assert.Equal("x", m.WideAt(m.Nt.wcstok_s(wide, m.Wide(";"), context)));
        Assert.Equal("y", m.WideAt(m.Nt.wcstok_s(Va.Null, m.Wide(";"), context)));
    }

    [Fact]
    public void Paths_are_split_and_made()
    {
        using var m = new TestMachine();
        Va a = m.Block(80), b = m.Block(80), c = m.Block(80), d = m.Block(80), path = m.Block(160);
        Assert.Equal(0, m.Nt._splitpath_s(m.Narrow(@"C:\dir\name.ext"), a, 3, b, 80, c, 80, d, 80));
        Assert.Equal(("C:", @"\dir\", "name", ".ext"), (m.NarrowAt(a), m.NarrowAt(b), m.NarrowAt(c), m.NarrowAt(d)));
        Assert.Equal(0, m.Nt._makepath_s(path, 160, a, b, c, d));
        Assert.Equal(@"C:\dir\name.ext", m.NarrowAt(path));
        Assert.Equal(34, m.Nt._makepath_s(path, 5, a, b, c, d));
        Assert.Equal(0, m.Nt._wsplitpath_s(m.Wide(@"dir\name"), a, 3, b, 40, c, 40, d, 40));
        Assert.Equal(0, m.Nt._wmakepath_s(path, 80, a, b, c, d));
        Assert.Equal(@"dir\name", m.WideAt(path));
    }

    [Fact]
    public void Numbers_become_text()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va to = m.Block(160);
        Assert.Equal("-12", m.NarrowAt(nt._itoa(-12, to, 10)));
        Assert.Equal("fffffff4", m.WideAt(nt._itow(-12, to, 16)));
        foreach ((Func<int> narrow, string text) in ((Func<int>, string)[])[
            (() => nt._itoa_s(-12, to, 80, 10), "-12"), (() => nt._ltoa_s(-12, to, 80, 10), "-12"),
            (() => nt._ultoa_s(12, to, 80, 2), "1100"), (() => nt._i64toa_s(-12, to, 80, 10), "-12"),
            (() => nt._ui64toa_s(ulong.MaxValue, to, 80, 36), "3w5e11264sgsf")])
        {
            Assert.Equal(0, narrow());
            Assert.Equal(text, m.NarrowAt(to));
        }
        foreach ((Func<int> wide, string text) in ((Func<int>, string)[])[
            (() => nt._itow_s(-12, to, 80, 10), "-12"), (() => nt._ltow_s(-12, to, 80, 10), "-12"),
            (() => nt._ultow_s(12, to, 80, 2), "1100"), (() => nt._i64tow_s(-12, to, 80, 10), "-12"),
            (() => nt._ui64tow_s(12, to, 80, 8), "14")])
        {
            Assert.Equal(0, wide());
            Assert.Equal(text, m.WideAt(to));
        }
        Assert.Equal((34, 22), (nt._itoa_s(1234, to, 4, 10), nt._itoa_s(1234, to, 80, 1)));
    }

    [Fact]
    public void Text_becomes_numbers()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va end = m.Block(8), text = m.Narrow(" -12x"), wide = m.Wide("0x1Fz");
        Assert.Equal((-12, -12, -12L), (nt.atoi(text), nt.atol(text), nt._atoi64(text)));
        Assert.Equal((77, 77, 77L), (nt._wtoi(m.Wide("77")), nt._wtol(m.Wide("77")), nt._wtoi64(m.Wide("77"))));
        Assert.Equal(int.MaxValue, nt.atoi(m.Narrow("99999999999")));
        Assert.Equal(-12, nt.strtol(text, end, 10));
        Assert.Equal((text + 4).Value, m.U64(end));
        Assert.Equal((31, 31u), (nt.wcstol(wide, end, 0), nt.wcstoul(wide, end, 16)));
        Assert.Equal((wide + 8).Value, m.U64(end));
        Assert.Equal(unchecked((uint)-12), nt.strtoul(text, end, 10));
        Assert.Equal(uint.MaxValue, nt.strtoul(m.Narrow("4294967296"), end, 10));
        Assert.Equal((ulong.MaxValue, 8UL), (nt._strtoui64(m.Narrow("ffffffffffffffff"), end, 16),
            nt._wcstoui64(m.Wide("010"), end, 0)));
    }

    [Fact]
    public void Characters_have_their_classes()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        for (int c = -1; c < 300; c++)
        {
            bool ascii = c is >= 0 and < 128;
            char a = (char)Math.Max(0, c);
            Assert.Equal(ascii && char.IsAsciiDigit(a), nt.isdigit(c) != 0);
            Assert.Equal(ascii && char.IsAsciiHexDigit(a), nt.isxdigit(c) != 0);
            Assert.Equal(ascii && char.IsAsciiLetterUpper(a), nt.isupper(c) != 0);
            Assert.Equal(ascii && char.IsAsciiLetterLower(a), nt.islower(c) != 0);
            Assert.Equal(ascii && char.IsAsciiLetter(a), nt.isalpha(c) != 0);
            Assert.Equal(ascii && char.IsAsciiLetterOrDigit(a), nt.isalnum(c) != 0);
            Assert.Equal(ascii && char.IsWhiteSpace(a) && c < 0x1C || c == ' ', nt.isspace(c) != 0);
            Assert.Equal(c is >= 32 and < 127, nt.isprint(c) != 0);
            Assert.Equal(ascii && c >= 0 ? char.ToUpperInvariant(a) : c, nt.toupper(c));
            Assert.Equal(ascii && c >= 0 ? char.ToLowerInvariant(a) : c, nt.tolower(c));
        }
    }

    [Fact]
    public void Characters_of_the_code_page_become_wide_and_back()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va to = m.Block(40), euro = m.Bytes(0x80, 0x41, 0);
        Assert.Equal((2UL, 2UL), (nt.mbstowcs(to, euro, 20), nt.mbstowcs(Va.Null, euro, 0)));
        Assert.Equal("€A", m.WideAt(to));
        Assert.Equal(2UL, nt.wcstombs(to, m.Wide("€A"), 20));
        Assert.Equal("\u0080A", m.NarrowAt(to));
        Assert.Equal(1, nt.mbtowc(to, euro, 1));
        Assert.Equal((1, -1), (nt.wctomb(to, '€'), nt.wctomb(to, '中')));
    }

    [Fact]
    public void Arrays_are_sorted_and_searched_by_the_callers_comparison()
    {
        using var m = new TestMachine();
        NtKernel nt = m.Nt;
        Va compare = nt.Routines.Add("compare", (k, call) => call.Return((uint)k.Memory.Read<int>(
            new Va(call.Argument(0))).CompareTo(k.Memory.Read<int>(new Va(call.Argument(1))))));
        Va inContext = nt.Routines.Add("compare", (k, call) => call.Return((uint)k.Memory.Read<int>(
            new Va(call.Argument(2))).CompareTo(k.Memory.Read<int>(new Va(call.Argument(1))))));
        Prop.ForAll(ArbMap.Default.ArbFor<int[]>(), numbers =>
        {
            Va array = m.Bytes([.. numbers.SelectMany(BitConverter.GetBytes)]), last = array + numbers.Length * 4;
            int[] Read() => [.. Enumerable.Range(0, numbers.Length).Select(i => nt.Memory.Read<int>(array + i * 4))];
            nt.qsort(array, (ulong)numbers.Length, 4, compare);
            Assert.Equal(numbers.Order(), Read());
            foreach (int number in numbers)
            {
                Va found = nt.bsearch(m.Bytes(BitConverter.GetBytes(number)), array, (ulong)numbers.Length, 4, compare);
                Assert.Equal(number, nt.Memory.Read<int>(found));
            }
            nt.qsort_s(array, (ulong)numbers.Length, 4, inContext, Va.Null);
            Assert.Equal(numbers.OrderDescending(), Read());
        }).Check(GuestText.Properties(40));
    }

    [Fact]
    public void Chance_is_Microsofts_row()
    {
        using var m = new TestMachine();
        m.Nt.srand(1);
        Assert.Equal([41, 18467, 6334, 26500, 19169], Enumerable.Range(0, 5).Select(_ => m.Nt.rand()));
    }

    [Fact]
    public void The_stack_is_probed_and_a_pure_call_is_refused()
    {
        using var m = new TestMachine();
        m.Nt.Cpu.Rax = 0x2000;
        m.Nt.__chkstk();
        m.Nt.Cpu.Rax = 0x10_0000;
        Assert.Throws<PageFault>(m.Nt.__chkstk);
        Assert.Throws<GuestException>(m.Nt._purecall);
    }
}
