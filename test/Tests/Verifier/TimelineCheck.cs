using System.Text.Json.Nodes;
using Xunit;

namespace Ringdown.Tests;

/// <summary>A trace in the JSON trace event format, checked as a viewer would read it.</summary>
sealed class TimelineCheck
{
    readonly record struct Slice(decimal Begin, decimal End, string Name);

    readonly JsonNode[] _events;
    readonly Dictionary<(int, long), List<Slice>> _slices = [];

    public TimelineCheck(ReadOnlySpan<byte> json)
    {
        _events = [.. JsonNode.Parse(json)!["traceEvents"]!.AsArray().Select(e => e!)];
        MatchSlices();
        foreach (((int, long) track, List<Slice> slices) in _slices) Nest(track, slices);
        Names();
        AsyncSlices();
        Flows();
    }

    public IEnumerable<JsonNode> Of(string phase) => _events.Where(e => (string)e["ph"]! == phase);

    public string[] ProcessNames => [.. Of("M").Where(e => (string)e["name"]! == "process_name").Select(Argument)];
    public string[] ThreadNames => [.. Of("M").Where(e => (string)e["name"]! == "thread_name").Select(Argument)];

    /// <summary>The names of the slices on the tracks of a name.</summary>
    public string[] SlicesOn(string thread)
    {
        (int, long)[] tracks = [.. Of("M").Where(e => (string)e["name"]! == "thread_name" && Argument(e) == thread)
            .Select(Track)];
        return [.. tracks.Where(_slices.ContainsKey).SelectMany(t => _slices[t]).Select(s => s.Name)];
    }

    /// <summary>The most slices that one device has at a time.</summary>
    public int MostHeldBy(string device)
    {
        int pid = (int)Of("M").First(e => Argument(e) == $"device {device}")["pid"]!, held = 0, most = 0;
        foreach (JsonNode e in _events.Where(e => (int)e["pid"]! == pid && (string)e["ph"]! is "b" or "e"))
            most = Math.Max(most, held += (string)e["ph"]! == "b" ? 1 : -1);
        Assert.Equal(0, held);
        return most;
    }

    static string Argument(JsonNode e) => e["args"]?["name"]?.GetValue<string>() ?? "";
    static (int, long) Track(JsonNode e) => ((int)e["pid"]!, (long)e["tid"]!);
    static decimal Time(JsonNode e) => (decimal)e["ts"]!;

    void MatchSlices()
    {
        var open = new Dictionary<(int, long), Stack<(decimal Begin, string Name)>>();
        foreach (JsonNode e in _events)
        {
            var stack = open.TryGetValue(Track(e), out var known) ? known : open[Track(e)] = new();
            List<Slice> slices = _slices.TryGetValue(Track(e), out List<Slice>? have) ? have : [];
            switch ((string)e["ph"]!)
            {
                case "B":
                    stack.Push((Time(e), (string)e["name"]!));
                    continue;
                case "E":
                    (decimal begin, string name) = stack.Pop();
                    slices.Add(new Slice(begin, Time(e), name));
                    break;
                case "X":
                    slices.Add(new Slice(Time(e), Time(e) + (decimal)e["dur"]!, (string)e["name"]!));
                    break;
                default:
                    continue;
            }
            _slices[Track(e)] = slices;
        }
        Assert.All(open.Values, Assert.Empty);
        Assert.All(_slices.Values.SelectMany(s => s), s => Assert.True(s.Begin <= s.End, s.ToString()));
    }

    // Two slices of a track are apart, or one is in the other.
    static void Nest((int, long) track, List<Slice> slices)
    {
        var around = new Stack<Slice>();
        foreach (Slice slice in slices.OrderBy(s => s.Begin).ThenByDescending(s => s.End))
        {
            while (around.TryPeek(out Slice outer) && outer.End <= slice.Begin) around.Pop();
            if (around.TryPeek(out Slice within)) Assert.True(slice.End <= within.End, $"{track}: {slice} in {within}");
            around.Push(slice);
        }
    }

    void Names()
    {
        Assert.Equal(ProcessNames.Length, ProcessNames.Distinct().Count());
        JsonNode[] names = [.. Of("M")];
        HashSet<int> processes =
            [.. names.Where(e => (string)e["name"]! == "process_name").Select(e => (int)e["pid"]!)];
        HashSet<(int, long)> threads = [.. names.Where(e => (string)e["name"]! == "thread_name").Select(Track)];
        Assert.All(_events, e => Assert.Contains((int)e["pid"]!, processes));
        Assert.All(_slices.Keys, track => Assert.Contains(track, threads));
    }

    void AsyncSlices()
    {
        foreach (var same in _events.Where(e => (string)e["ph"]! is "b" or "n" or "e")
            .GroupBy(e => ((int)e["pid"]!, (string)e["cat"]!, (string)e["id"]!)))
        {
            var open = new Stack<string>();
            decimal last = 0;
            foreach (JsonNode e in same)
            {
                Assert.True(Time(e) >= last);
                last = Time(e);
                if ((string)e["ph"]! == "b") open.Push((string)e["name"]!);
                else if ((string)e["ph"]! == "n") Assert.NotEmpty(open);
                else Assert.Equal(open.Pop(), (string)e["name"]!);
            }
            Assert.Empty(open);
        }
    }

    // An arrow has one begin and one end, in this order, each at a slice.
    void Flows()
    {
        foreach (var same in _events.Where(e => (string)e["ph"]! is "s" or "t" or "f").GroupBy(e => (string)e["id"]!))
        {
            string phases = string.Concat(same.Select(e => (string)e["ph"]!));
            Assert.Contains(phases, (string[])["stf", "sf"]);
            Assert.Equal(same.Select(Time).Order(), same.Select(Time));
            Assert.All(same, e => Assert.Contains(
                _slices[Track(e)], s => s.Begin <= Time(e) && Time(e) <= s.End));
        }
    }
}
