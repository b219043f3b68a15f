using System.Text.Json;

namespace Ringdown.Verifier;

/// <summary>Where a slice is shown: a thread's row of a process, in the words of the trace format.</summary>
readonly record struct TrackId(int Process, ulong Thread);

/// <summary>Writes the JSON trace event format, which Perfetto and chrome://tracing show. Times are in ns.</summary>
/// <remarks>Events go to the stream as they come: nothing of them is kept.</remarks>
sealed class TraceWriter : IDisposable
{
    const int FlushBytes = 1 << 16;

    readonly Utf8JsonWriter _json;

    public TraceWriter(Stream stream)
    {
        _json = new Utf8JsonWriter(stream);
        _json.WriteStartObject();
        _json.WriteString("displayTimeUnit", "ns");
        _json.WriteStartArray("traceEvents");
    }

    /// <summary>How many events were written.</summary>
    public long Count { get; private set; }

    public void NameProcess(int process, string name)
    {
        Metadata("process_name", new TrackId(process, 0), "name", name);
        Start("M", "process_sort_index", new TrackId(process, 0));
        _json.WriteStartObject("args");
        _json.WriteNumber("sort_index", process);
        _json.WriteEndObject();
        End();
    }

    public void NameThread(TrackId track, string name) => Metadata("thread_name", track, "name", name);

    public void Begin(TrackId track, long time, string name, params ReadOnlySpan<(string Name, string Value)> values)
    {
        Start("B", name, track, time);
        Values(values);
        End();
    }

    public void End(TrackId track, long time, params ReadOnlySpan<(string Name, string Value)> values)
    {
        Start("E", null, track, time);
        Values(values);
        End();
    }

    public void Slice(TrackId track, long begin, long end, string name)
    {
        Start("X", name, track, begin);
        _json.WriteNumber("dur", (end - begin) / 1000m);
        End();
    }

    /// <summary>b, n or e: slices that are told apart by a number, so that several may overlap.</summary>
    public void Async(
        string phase, int process, string category, int id, long time, string name,
        params ReadOnlySpan<(string Name, string Value)> values)
    {
        Start(phase, name, new TrackId(process, 0), time);
        _json.WriteString("cat", category);
        _json.WriteString("id", $"0x{id:x}");
        Values(values);
        End();
    }

    /// <summary>s, t or f: a point of an arrow, in the slice that is open there and then.</summary>
    public void Flow(string phase, TrackId track, int id, long time, string name)
    {
        Start(phase, name, track, time);
        _json.WriteString("cat", "flow");
        _json.WriteString("id", $"0x{id:x}");
        if (phase == "f") _json.WriteString("bp", "e");
        End();
    }

    public void Counter(int process, long time, string name, long value)
    {
        Start("C", name, new TrackId(process, 0), time);
        _json.WriteStartObject("args");
        _json.WriteNumber("value", value);
        _json.WriteEndObject();
        End();
    }

    public void Dispose()
    {
        _json.WriteEndArray();
        _json.WriteEndObject();
        _json.Dispose();
    }

    void Metadata(string kind, TrackId track, string key, string value)
    {
        Start("M", kind, track);
        _json.WriteStartObject("args");
        _json.WriteString(key, value);
        _json.WriteEndObject();
        End();
    }

    void Start(string phase, string? name, TrackId track, long? time = null)
    {
        _json.WriteStartObject();
        _json.WriteString("ph", phase);
        if (name is not null) _json.WriteString("name", name);
        _json.WriteNumber("pid", track.Process);
        _json.WriteNumber("tid", track.Thread);
        if (time is { } ns) _json.WriteNumber("ts", ns / 1000m);
    }

    void Values(ReadOnlySpan<(string Name, string Value)> values)
    {
        if (values.Length == 0) return;
        _json.WriteStartObject("args");
        foreach ((string name, string value) in values) _json.WriteString(name, value);
        _json.WriteEndObject();
    }

    void End()
    {
        _json.WriteEndObject();
        Count++;
        if (_json.BytesPending >= FlushBytes) _json.Flush();
    }
}
