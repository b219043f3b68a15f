using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

public sealed class AccessCheckTests
{
    static readonly GenericMapping s_mapping = GenericMapping.OfFile;

    static NtStatus Decide(TestMachine m, string sddl, uint desired, out uint granted, bool admin = false) =>
        AccessCheck.Decide(Sddl.Parse(sddl, s_mapping), m.Nt.Se.NewUserToken(admin), s_mapping.Map(desired), 0,
            s_mapping, out granted, []);

    [Theory]
    [InlineData("O:SYG:SYD:(A;;GA;;;SY)(A;;GA;;;BA)", 1, false)]
    [InlineData("O:SYG:SYD:(A;;GR;;;WD)", 1, true)]
    [InlineData("O:SYG:SYD:(A;;GR;;;WD)", 2, false)]
    [InlineData("O:SYG:SYD:(D;;GR;;;BU)(A;;GA;;;WD)", 1, false)]
    [InlineData("O:SYG:SYD:(A;;GA;;;WD)(D;;GR;;;BU)", 1, true)]
    [InlineData("O:SYG:SYD:(A;OIIO;GA;;;WD)", 1, false)]
    [InlineData("O:SYG:SYD:NO_ACCESS_CONTROL", 1, true)]
    [InlineData("O:SYG:SY", 1, true)]
    [InlineData("O:SYG:SYD:", 1, false)]
    [InlineData("O:S-1-5-21-1004336348-1177238915-682003330-1001G:SYD:", 0x4_0000, true)]
    [InlineData("O:S-1-5-21-1004336348-1177238915-682003330-1001G:SYD:(A;;RC;;;OW)", 0x4_0000, false)]
    [InlineData("O:SYG:SYD:(A;;GA;;;WD)S:(ML;;NW;;;HI)", 2, false)]
    [InlineData("O:SYG:SYD:(A;;GA;;;WD)S:(ML;;NW;;;HI)", 1, true)]
    [InlineData("O:SYG:SYD:(A;;GA;;;WD)S:(ML;;NWNR;;;HI)", 1, false)]
    [InlineData("O:SYG:SYD:(A;;GA;;;WD)", 0x0100_0000, false)]
    public void An_ordinary_user_may(string sddl, uint desired, bool expected)
    {
        using var m = new TestMachine();
        Assert.Equal(expected, Decide(m, sddl, desired, out _).IsSuccess);
    }

    [Fact]
    public void An_administrator_is_let_in_where_administrators_are()
    {
        using var m = new TestMachine();
        Assert.Equal(STATUS_ACCESS_DENIED, Decide(m, "O:SYG:SYD:P(A;;GA;;;SY)(A;;GA;;;BA)", 0x1000_0000, out _));
        Assert.Equal(STATUS_SUCCESS,
            Decide(m, "O:SYG:SYD:P(A;;GA;;;SY)(A;;GA;;;BA)", 0x1000_0000, out uint granted, admin: true));
        Assert.Equal(s_mapping.All, granted);
    }

    [Fact]
    public void All_that_is_allowed_is_granted_when_it_is_asked_for()
    {
        using var m = new TestMachine();
        Assert.Equal(STATUS_SUCCESS, Decide(m, "O:SYG:SYD:(D;;0x4;;;WD)(A;;0x7;;;WD)", 0x200_0000, out uint granted));
        Assert.Equal(3u, granted);
        Assert.Equal(STATUS_ACCESS_DENIED, Decide(m, "O:SYG:SYD:(D;;0x7;;;WD)(A;;0x7;;;WD)", 0x200_0000, out _));
    }

    [Theory]
    [InlineData("D:P(A;;GA;;;SY)(A;;GRGW;;;BU)")]
    [InlineData("O:BAG:SYD:AI(A;OICI;FA;;;S-1-5-21-1-2-3-500)S:(ML;;NW;;;LW)")]
    public void Text_becomes_a_descriptor_and_its_bytes_are_the_same_again(string sddl)
    {
        SecurityInfo parsed = Sddl.TryParse(sddl, s_mapping)!;
        byte[] bytes = parsed.ToBytes();
        Assert.Equal(bytes, SecurityInfo.Parse(bytes)!.ToBytes());
    }

    [Theory, InlineData("X:"), InlineData("D"), InlineData("D:(A;;GA;;)"), InlineData("D:(A;;QQ;;;SY)"),
        InlineData("O:ZZ"), InlineData("D:(A;;GA;;;SY"), InlineData("D:Q(A;;GA;;;SY)")]
    public void Text_that_is_no_descriptor_is_refused(string sddl)
    {
        if (sddl == "D:(A;;GA;;;SY") Assert.NotNull(Sddl.TryParse(sddl, s_mapping));
        else Assert.Null(Sddl.TryParse(sddl, s_mapping));
    }

    static readonly Sid[] s_who =
        [Sid.World, Sid.Users, Sid.Administrators, Sid.LocalSystem, Se.OrdinaryUser, Sid.AuthenticatedUsers];

    // Each right for itself: the first entry for one of the user's SIDs that names it decides.
    static bool Naive(Token token, List<Ace> entries, int bit)
    {
        foreach (Ace entry in entries)
        {
            bool isMine = entry.Sid!.Equals(token.User) || token.Groups.Exists(g => g.Sid.Equals(entry.Sid));
            if (isMine && entry.IsEffective && (entry.Mask >> bit & 1) != 0) return entry.Type == AceType.Allow;
        }
        return false;
    }

    [Fact]
    public void The_decision_is_that_of_a_model_which_looks_at_each_right_alone()
    {
        using var m = new TestMachine();
        Token token = m.Nt.Se.NewUserToken(false);
        var entry = Gen.Choose(0, 1).SelectMany(type => Gen.Choose(0, 0x3F).SelectMany(mask =>
            Gen.Choose(0, s_who.Length - 1).SelectMany(who => Gen.Choose(0, 9).Select(flags =>
                Ace.Make((AceType)type, (byte)(flags == 9 ? Ace.INHERIT_ONLY_ACE : 0), (uint)mask, s_who[who])))));
        Arbitrary<Ace[]> lists = Arb.From(entry.ArrayOf());
        Arbitrary<int> masks = Arb.From(Gen.Choose(1, 0x3F));
        Prop.ForAll(lists, masks, (entries, desired) =>
        {
            var security = new SecurityInfo(SecurityInfo.SE_DACL_PRESENT, Sid.LocalSystem, null, null, Acl.Of(entries));
            NtStatus status = AccessCheck.Decide(
                security, token, (uint)desired, 0, s_mapping, out uint granted, []);
            uint model = 0;
            for (int bit = 0; bit < 6; bit++) if (Naive(token, [.. entries], bit)) model |= 1u << bit;
            AccessCheck.Decide(
                security, token, AccessCheck.MAXIMUM_ALLOWED, 0, s_mapping, out uint most, []);
            return status.IsSuccess == ((desired & ~model) == 0) && (!status.IsSuccess || granted == desired)
                && most == model;
        }).Check(Config.QuickThrowOnFailure.WithReplay(7, 11).WithMaxTest(300));
    }

    [Fact]
    public void Bytes_that_are_no_descriptor_are_refused_and_never_more()
    {
        byte[] good = Sddl.Parse("O:BAG:SYD:(A;;GA;;;SY)(A;;GRGW;;;BU)S:(ML;;NW;;;LW)", s_mapping).ToBytes();
        Arbitrary<(int, int)> changes = Arb.From(
            Gen.Choose(0, good.Length - 1).SelectMany(at => Gen.Choose(0, 255).Select(value => (at, value))));
        Prop.ForAll(changes, change =>
        {
            byte[] bytes = [.. good];
            bytes[change.Item1] = (byte)change.Item2;
            return SecurityInfo.Parse(bytes) is not { } parsed || parsed.ToBytes().Length > 0;
        }).Check(Config.QuickThrowOnFailure.WithReplay(3, 5).WithMaxTest(500));
    }
}
