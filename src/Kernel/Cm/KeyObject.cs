using Ringdown.Machine;

namespace Ringdown.Kernel;

/// <summary>What one opening of a key keeps: which key, and what callbacks and watchers hang on it.</summary>
sealed class KeyObject(RegistryKey key)
{
    public RegistryKey Key { get; } = key;

    /// <summary>The contexts that callbacks gave it, by their cookies.</summary>
    public SortedDictionary<ulong, Va> Contexts { get; } = [];

    /// <summary>The name that CmCallbackGetKeyObjectID has shown; the object's end frees it.</summary>
    public Va Name { get; set; }

    /// <summary>Set by the first ZwNotifyChangeKey.</summary>
    public KeyWatch? Watch { get; set; }
}

/// <summary>What somebody wants to be told of a key. A change while nobody waits is kept for the next who
/// does.</summary>
sealed class KeyWatch(RegistryKey key, RegistryChange filter, bool tree)
{
    public List<PendingNotify> Waiting { get; } = [];
    public bool HasChanged { get; set; }

    public bool Sees(RegistryKey changed, RegistryChange kind) =>
        (filter & kind) != 0 && (tree ? changed.IsWithin(key) : changed == key);
}

/// <summary>One ZwNotifyChangeKey that has not been answered: what to signal.</summary>
readonly record struct PendingNotify(Va Event, Va WorkItem, uint QueueType, Va IoStatusBlock);
