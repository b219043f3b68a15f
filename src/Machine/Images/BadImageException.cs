namespace Ringdown.Machine;

/// <summary>A file is no driver that this machine can load. The message is a sentence: what is wrong, and
/// where.</summary>
public sealed class BadImageException(string message) : Exception(message);
