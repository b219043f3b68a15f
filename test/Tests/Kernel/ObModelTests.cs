using FsCheck;
using FsCheck.Fluent;
using Ringdown.Kernel;
using Ringdown.Machine;
using Ringdown.Testing;
using Xunit;
using static Ringdown.Kernel.Status;

namespace Ringdown.Tests;

/// <summary>Handle tables and the namespace beside simple models of them.</summary>
public sealed class ObModelTests
{
    sealed class Thing
    {
        public int Handles;
        public bool IsPermanent;
        public string? Name;
    }

    static Arbitrary<(int Op, int Which)[]> Steps(int ops) => Arb.From(
        Gen.Choose(0, ops - 1).SelectMany(op => Gen.Choose(0, 11).Select(which => (op, which))).ArrayOf());

    [Fact]
    public void Handles_do_what_a_list_of_them_does()
    {
        using var m = new TestMachine();
        Va place = m.Block(8), on = m.Bytes([0, 1]), off = m.Bytes([0, 0]);
        Handle self = new(ulong.MaxValue);
        Prop.ForAll(Steps(5), steps =>
        {
            var open = new List<(Handle Handle, Va Body, bool IsProtected)>();
            var counts = new Dictionary<Va, int>();
            bool good = true;
            foreach ((int op, int which) in steps)
            {
                if (op == 0 || open.Count == 0)
                {
                    Handle made = m.Event(attributes: 0);
                    Va body = m.Nt.Ob.Lookup(made)!.Body;
                    open.Add((made, body, false));
                    counts[body] = 1;
                    continue;
                }
                int at = which % open.Count;
                (Handle handle, Va target, bool isProtected) = open[at];
                if (op == 1)
                {
                    good &= m.Nt.ZwDuplicateObject(self, handle, self, place, 0, 0, 2) == STATUS_SUCCESS;
                    open.Add((m.Read<Handle>(place), target, false));
                    counts[target]++;
                }
                else if (op is 2 or 3)
                {
                    good &= m.Nt.ZwSetInformationObject(handle, 4, op == 2 ? on : off, 2) == STATUS_SUCCESS;
                    open[at] = (handle, target, op == 2);
                }
                else
                {
                    NtStatus status = m.Nt.ZwClose(handle);
                    good &= status == (isProtected ? STATUS_HANDLE_NOT_CLOSABLE : STATUS_SUCCESS);
                    if (isProtected) continue;
                    open.RemoveAt(at);
                    counts[target]--;
                    good &= m.Nt.Ob.Lookup(handle) is null;
                }
                good &= (m.Nt.Ob.Find(target)?.Header.HandleCount ?? 0) == counts[target];
            }
            return good && open.TrueForAll(h => m.Nt.Ob.Lookup(h.Handle)!.Body == h.Body)
                && open.Select(h => h.Handle).Distinct().Count() == open.Count;
        }).Check(Config.QuickThrowOnFailure.WithReplay(5, 9).WithMaxTest(60));
    }

    [Fact]
    public void Names_live_as_long_as_a_model_says()
    {
        Prop.ForAll(Steps(6), steps =>
        {
            using var m = new TestMachine();
            var names = new Dictionary<string, Thing>(StringComparer.OrdinalIgnoreCase);
            var open = new List<(Handle Handle, Thing Thing)>();
            foreach ((int op, int which) in steps)
                if (!Step(m, names, open, op, which)) return false;
            return names.Keys.Order().SequenceEqual(
                m.Nt.Ob.Root.Entries!["BaseNamedObjects"].Entries!.Keys.Order(), StringComparer.OrdinalIgnoreCase);
        }).Check(Config.QuickThrowOnFailure.WithReplay(21, 33).WithMaxTest(40));
    }

    static bool Step(TestMachine m, Dictionary<string, Thing> names, List<(Handle Handle, Thing Thing)> open, int op,
        int which)
    {
        string name = ((string[])["a", "A", "b", "C"])[which % 4];
        Thing? there = names.GetValueOrDefault(name);
        Va place = m.Block(8);
        if (op >= 4)
        {
            if (open.Count == 0) return true;
            (Handle handle, Thing thing) = open[which % open.Count];
            if (op == 4)
            {
                thing.IsPermanent = false;
                return m.Nt.ZwMakeTemporaryObject(handle) == STATUS_SUCCESS;
            }
            open.RemoveAt(which % open.Count);
            if (--thing.Handles == 0 && !thing.IsPermanent) names.Remove(thing.Name!);
            return m.Nt.ZwClose(handle) == STATUS_SUCCESS;
        }
        // Create, create or open, create for ever, open.
        uint attributes = 0x240u | (op == 1 ? ObjectRequest.OBJ_OPENIF : op == 2 ? ObjectRequest.OBJ_PERMANENT : 0);
        ObjectAttributes wanted = m.Attributes($@"\BaseNamedObjects\{name}", attributes);
        NtStatus status = op == 3 ? m.Nt.ZwOpenEvent(place, 1, wanted) : m.Nt.ZwCreateEvent(place, 1, wanted, 0, false);
        NtStatus expected = op == 3 ? (there is null ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_SUCCESS)
            : there is null ? STATUS_SUCCESS : op == 1 ? STATUS_OBJECT_NAME_EXISTS : STATUS_OBJECT_NAME_COLLISION;
        if (status != expected) return false;
        if (!status.IsSuccess) return true;
        if (there is null) names.Add(name, there = new Thing { IsPermanent = op == 2, Name = name });
        there.Handles++;
        open.Add((m.Read<Handle>(place), there));
        return true;
    }
}
