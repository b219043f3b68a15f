namespace Ringdown.Machine;

/// <summary>What comes into a computer from outside of the process: only at moments of the computer's time that are the
/// same when the run is repeated.</summary>
public interface IHostInput
{
    /// <summary>There is something at all by which input could come.</summary>
    bool HasWires { get; }

    /// <summary>A slice of the processors' time has ended: what has come enters now. Does not wait.</summary>
    /// <returns>Whether anything has.</returns>
    bool Look(long now);

    /// <summary>All is idle: waits for what comes before the computer would go on by itself.</summary>
    /// <param name="due">When it goes on by itself; null: never.</param>
    /// <returns>When something comes, which <see cref="Enter"/> then lets in: <paramref name="now"/> to <paramref
    /// name="due"/>. Null: nothing comes before; without a due time, never.</returns>
    long? Wait(long now, long? due);

    /// <summary>Lets in what the last <see cref="Wait"/> has found.</summary>
    void Enter();
}

/// <summary>The chip's end of a wire that leads out of the process.</summary>
public interface IWireEnd
{
    /// <summary>Bytes that have entered and that the chip has not taken yet.</summary>
    int Waiting { get; }

    void Receive(ReadOnlySpan<byte> bytes);

    /// <summary>Somebody is at the other end, or has gone.</summary>
    void SetConnected(bool isConnected);

    /// <summary>Told each byte that the chip sends.</summary>
    Action<byte>? Sent { get; set; }
}

/// <summary>The host's side of a board.</summary>
public interface IBoardHost
{
    /// <summary>Images of disks are written; else the machine writes to copies.</summary>
    bool WritesImages { get; }

    /// <summary>Connects a wire to what a plug's name says: <c>pty</c>, or <c>tcp:PORT</c>.</summary>
    /// <returns>Why it cannot be; null if it is done.</returns>
    string? Connect(string plug, IWireEnd end);
}
