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

/// <summary>Names of files: expressions, parts, what is legal; and the statuses of file systems.</summary>
public sealed class FsRtlNameTests
{
    static AnsiString Ansi(TestMachine m, string text)
    {
        AnsiString made = AnsiString.At(m.Nt.Memory, m.Block(AnsiString.Size));
        made.Set(m.Bytes([.. Encoding.Latin1.GetBytes(text), 0]), text.Length, text.Length);
        return made;
    }

    [Theory]
    [InlineData("*", "anything.txt", true), InlineData("*.TXT", "a.TXT", true), InlineData("?.TXT", "ab.TXT", false)]
    [InlineData("<.TXT", "a.b.TXT", true), InlineData("<", "a.b", false), InlineData("A>>>.B", "A.B", true)]
    [InlineData("A\"", "A", true), InlineData("A\"B", "A.B", true), InlineData("A\"B", "AB", false)]
    [InlineData("", "", true), InlineData("*", "", false), InlineData("<\"*", "NAME", true)]
    public void FsRtlIsNameInExpression_knows_DOS_wild_cards(string expression, string name, bool matches)
    {
        using var m = new TestMachine();
        Assert.Equal(matches, m.Nt.FsRtlIsNameInExpression(m.Text(expression), m.Text(name), false, default));
        Assert.Equal(matches, m.Nt.FsRtlIsDbcsInExpression(Ansi(m, expression), Ansi(m, name)));
        Assert.Equal(matches, m.Nt.FsRtlIsNameInExpression(m.Text(expression), m.Text(name.ToLower()), true, default));
    }

    // Tries every way, one character after the other.
    static bool Naive(string e, string n, string whole)
    {
        if (e == "") return n == "";
        bool atDot = n.StartsWith('.'), isLastDot = atDot && n.LastIndexOf('.') == 0;
        return e[0] switch
        {
            '*' => Naive(e[1..], n, whole) || n != "" && Naive(e, n[1..], whole),
            '<' => Naive(e[1..], n, whole) || n != "" && !isLastDot && Naive(e, n[1..], whole),
            '>' => n == "" || atDot ? Naive(e[1..], n, whole) : Naive(e[1..], n[1..], whole),
            '"' => n == "" ? Naive(e[1..], n, whole) : atDot && Naive(e[1..], n[1..], whole),
            '?' => n != "" && Naive(e[1..], n[1..], whole),
            _ => n != "" && n[0] == e[0] && Naive(e[1..], n[1..], whole),
        };
    }

    [Fact]
    public void An_expression_matches_what_a_naive_matcher_matches()
    {
        Gen<string> Text(string from, int length) => Gen.Elements(from.ToCharArray()).ArrayOf()
            .Select(c => new string(c.Take(length).ToArray()));
        var pairs = from e in Text("AB.*?<>\"", 8) from n in Text("AB.", 8) select (e, n);
        Prop.ForAll(pairs.ToArbitrary(), pair =>
        {
            bool expected = pair.e == "" || pair.n == "" ? pair.e == pair.n : Naive(pair.e, pair.n, pair.n);
            return NameExpression.Matches(pair.e, pair.n, () => { }) == expected;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(2000).WithReplay(1, 3));
    }

    [Fact]
    public void Wild_cards_and_equal_names_are_found()
    {
        using var m = new TestMachine();
        Assert.True(m.Nt.FsRtlDoesNameContainWildCards(m.Text(@"\a\b*")));
        Assert.False(m.Nt.FsRtlDoesNameContainWildCards(m.Text(@"\a*\b")));
        Assert.True(m.Nt.FsRtlDoesDbcsContainWildCards(Ansi(m, "a?")));
        Assert.True(m.Nt.FsRtlAreNamesEqual(m.Text("abc"), m.Text("ABC"), true, default));
        Assert.False(m.Nt.FsRtlAreNamesEqual(m.Text("abc"), m.Text("ABC"), false, default));
    }

    [Theory]
    [InlineData(@"\a\bc", "a", "bc"), InlineData("a", "a", ""), InlineData(@"a\", "a", ""), InlineData("", "", "")]
    [InlineData(@"\", "", ""), InlineData(@"a\b\c", "a", @"b\c")]
    public void FsRtlDissectName_gives_the_first_part_and_the_rest(string path, string first, string rest)
    {
        using var m = new TestMachine();
        UnicodeString a = m.Room(0), b = m.Room(0);
        m.Nt.FsRtlDissectName(m.Text(path), a, b);
        Assert.Equal((first, rest), (a.Text, b.Text));
        AnsiString c = Ansi(m, "x"), d = Ansi(m, "x");
        m.Nt.FsRtlDissectDbcs(Ansi(m, path), c, d);
        Assert.Equal((first, rest), (c.Text, d.Text));
    }

    [Theory]
    [InlineData("FILE.TXT", true, true), InlineData("FILENAMES.TXT", false, true), InlineData("A.TEXT", false, true)]
    [InlineData("A.", false, false), InlineData(".A", false, true), InlineData("A+B", false, true)]
    [InlineData("A:B", false, false), InlineData("", false, false), InlineData("A .B", false, true)]
    public void FAT_and_HPFS_have_their_own_ideas_of_names(string name, bool fat, bool hpfs)
    {
        using var m = new TestMachine();
        Assert.Equal(fat, m.Nt.FsRtlIsFatDbcsLegal(Ansi(m, name), false, false, false));
        Assert.Equal(hpfs, m.Nt.FsRtlIsHpfsDbcsLegal(Ansi(m, name), false, false, false));
        Assert.Equal(fat, m.Nt.FsRtlIsFatDbcsLegal(Ansi(m, @"\DIR\" + name), false, true, true) && name != "");
    }

    [Fact]
    public void FsRtlLegalAnsiCharacterArray_points_to_a_table()
    {
        using var m = new TestMachine();
        Va table = m.Read<Va>(m.Nt.Loader.FindExport("FsRtlLegalAnsiCharacterArray"));
        Assert.Equal([0x17, 0x18, 0x16, 0], ((byte[])[m.Read<byte>(table + 'A'), m.Read<byte>(table + '*'),
            m.Read<byte>(table + '+'), m.Read<byte>(table + '\\')]).Select(b => (int)b));
    }

    [Fact]
    public void Statuses_are_told_apart()
    {
        using var m = new TestMachine();
        Assert.False(m.Nt.FsRtlIsNtstatusExpected(STATUS_ACCESS_VIOLATION));
        Assert.Equal(STATUS_DISK_FULL, m.Nt.FsRtlNormalizeNtstatus(STATUS_DISK_FULL, STATUS_UNEXPECTED_IO_ERROR));
        Assert.Equal(STATUS_UNEXPECTED_IO_ERROR,
            m.Nt.FsRtlNormalizeNtstatus(STATUS_ACCESS_VIOLATION, STATUS_UNEXPECTED_IO_ERROR));
        Assert.True(m.Nt.FsRtlIsTotalDeviceFailure(STATUS_DEVICE_NOT_READY));
        Assert.False(m.Nt.FsRtlIsTotalDeviceFailure(STATUS_CRC_ERROR));
    }
}
